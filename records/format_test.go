package records

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// writeFormatExample writes the shard that FORMAT.md shows and returns its bytes.
func writeFormatExample(t *testing.T, c Compression) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "val-00000-of-00001.arrow")
	writeShard(t, path, WriterOptions{
		Split: "val", Shape: Shape{C: 3, H: 1, W: 2}, Pixels: Int16, Compression: c,
		Baseline: []uint8{128, 127, 126, 125, 124, 123},
	}, []Record{
		{Key: "n01440764/a.JPEG", Label: 0, ILSVRCID: 449, Width: 500, Height: 375, SourceXXH3: 0x78af5f94892f3950, Pixels: []uint8{0, 255, 128, 64, 32, 16}},
		{Key: "n01443537/b.JPEG", Label: -1, Width: 10, Height: 20, SourceXXH3: 0x2d06800538d394c2, Pixels: []uint8{1, 2, 3, 4, 5, 6}},
	})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The bytes that FORMAT.md shows are those that the writer writes. Run with
// FORMAT_DUMP=DIR to get whole dumps of the examples, for a new FORMAT.md.
func TestFormatDocumentShowsRealBytes(t *testing.T) {
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```hexdump (none|zstd)\n(.*?)^```$")
	line := regexp.MustCompile(`^([0-9a-f]{8})  ((?:[0-9a-f]{2} ?| ){1,49}) *\|(.{1,16})\|$`)
	shown := make(map[Compression]int)
	for _, c := range []Compression{None, Zstd} {
		data := writeFormatExample(t, c)
		if dir := os.Getenv("FORMAT_DUMP"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, string(c)+".txt"), []byte(hex.Dump(data)), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range block.FindAllSubmatch(text, -1) {
			if string(m[1]) != string(c) {
				continue
			}
			for _, l := range strings.Split(strings.TrimSuffix(string(m[2]), "\n"), "\n") {
				f := line.FindStringSubmatch(l)
				if f == nil {
					t.Fatalf("%q is not a line of a hex dump", l)
				}
				at, err := strconv.ParseUint(f[1], 16, 32)
				if err != nil {
					t.Fatal(err)
				}
				want, err := hex.DecodeString(strings.ReplaceAll(f[2], " ", ""))
				if err != nil {
					t.Fatal(err)
				}
				end := min(len(data), int(at)+len(want))
				if got := data[min(len(data), int(at)):end]; !bytes.Equal(got, want) {
					t.Errorf("%s: FORMAT.md shows at %s % x, the writer writes % x", c, f[1], want, got)
				}
				shown[c] += len(want)
			}
		}
		if !bytes.Contains(text, []byte(strconv.Itoa(len(data))+" bytes")) {
			t.Errorf("FORMAT.md does not give the size of the example, %d bytes (%s)", len(data), c)
		}
	}
	if shown[None] < 300 || shown[Zstd] < 100 {
		t.Errorf("FORMAT.md shows %v bytes", shown)
	}
}
