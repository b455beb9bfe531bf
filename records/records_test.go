package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// testShape has odd sides, so that rows are no multiples of 8 bytes.
var testShape = Shape{C: 3, H: 5, W: 7}

// testRecords returns n pictures with all sorts of fields; the same n and
// shape give the same pictures.
func testRecords(n int, shape Shape) []Record {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]Record, n)
	for i := range all {
		pixels := make([]uint8, shape.Size())
		v := 128
		for k := range pixels { // smooth enough to be compressed
			v = min(255, max(0, v+random.IntN(9)-4))
			pixels[k] = uint8(v)
		}
		pixels[0], pixels[len(pixels)-1] = 0, 255
		all[i] = Record{
			Key:        fmt.Sprintf("n%08d/n%08d_%d.JPEG", i%3, i%3, i),
			Label:      int32(i%4) - 1,
			ILSVRCID:   int32(i * 7 % 5), // 0, null, for some
			Width:      uint16(500 + i),
			Height:     uint16(65535 - i),
			SourceXXH3: random.Uint64(),
			Pixels:     pixels,
		}
	}
	return all
}

// testBaseline returns a baseline that makes differences of both signs.
func testBaseline(p PixelType, shape Shape) []uint8 {
	if p == Uint8 {
		return nil
	}
	b := make([]uint8, shape.Size())
	for i := range b {
		b[i] = uint8(i * 5)
	}
	b[0], b[len(b)-1] = 255, 0 // with testRecords: -255 and 255
	return b
}

// testOptions returns the options of a shard of split "train".
func testOptions(p PixelType, c Compression, shape Shape) WriterOptions {
	return WriterOptions{Split: "train", Shape: shape, Pixels: p, Compression: c, Baseline: testBaseline(p, shape)}
}

// writeShard writes a shard and returns its description.
func writeShard(t testing.TB, path string, o WriterOptions, rows []Record) ShardInfo {
	t.Helper()
	w, err := CreateShard(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for _, r := range rows {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	info, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// testMean returns a mean picture that goes with testBaseline.
func testMean(p PixelType, shape Shape) *Mean {
	m := &Mean{Shape: shape, Mean: make([]float32, shape.Size()), Baseline: make([]uint8, shape.Size())}
	for i := range m.Mean {
		m.Mean[i] = float32(i*997%(255*MeanScale)) / MeanScale
	}
	copy(m.Baseline, testBaseline(p, shape))
	return m
}

// writeDataset writes a data set with the rows dealt to shards of perShard
// rows of the split "train", and an empty split "val".
func writeDataset(t testing.TB, dir string, p PixelType, c Compression, shape Shape, rows []Record, perShard int) *Manifest {
	t.Helper()
	mean, err := WriteMean(filepath.Join(dir, MeanName), testMean(p, shape))
	if err != nil {
		t.Fatal(err)
	}
	m := &Manifest{
		Shape: shape, Pixels: p, Compression: c, Seed: 1<<63 + 1, Decoder: "image/jpeg (go1.26)", Filter: "triangle",
		Classes: []Class{{WNID: "n00000000", ILSVRCID: 7, Words: "a & b"}, {WNID: "n00000001"}, {WNID: "n00000002"}},
		Mean:    mean,
		PCA:     &PCA{MeanRGB: [3]float64{1, 2, 3}, Eigenvalues: [3]float64{3, 2, 1}, Pixels: 12},
	}
	train := SplitInfo{Seen: len(rows) + 2, Written: len(rows), Rejected: 2}
	n := (len(rows) + perShard - 1) / perShard
	for k := range n {
		path := filepath.Join(dir, ShardName("train", k, n))
		part := rows[k*perShard : min(len(rows), (k+1)*perShard)]
		train.Shards = append(train.Shards, writeShard(t, path, testOptions(p, c, shape), part))
	}
	m.Splits = map[string]SplitInfo{"train": train, "val": {}}
	if err := WriteManifest(dir, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// wantRow fails unless got is the row that rec was written as.
func wantRow(t testing.TB, got Row, rec Record, p PixelType, baseline []uint8) {
	t.Helper()
	if got.Key != rec.Key || got.Label != rec.Label || got.ILSVRCID != rec.ILSVRCID || got.Width != rec.Width || got.Height != rec.Height || got.SourceXXH3 != rec.SourceXXH3 {
		t.Fatalf("row is %+v, want %+v", got, rec)
	}
	switch {
	case p == Int16 && got.U8 == nil && len(got.I16) == len(rec.Pixels):
		for k, v := range got.I16 {
			if want := int16(rec.Pixels[k]) - int16(baseline[k]); v != want {
				t.Fatalf("%s: value %d is %d, want %d - %d", rec.Key, k, v, rec.Pixels[k], baseline[k])
			}
		}
	case p == Uint8 && got.I16 == nil && len(got.U8) == len(rec.Pixels):
		if string(got.U8) != string(rec.Pixels) {
			t.Fatalf("%s: pixels differ", rec.Key)
		}
	default:
		t.Fatalf("%s: %d values of uint8 and %d of int16, want %d of %s", rec.Key, len(got.U8), len(got.I16), len(rec.Pixels), p)
	}
}

// encodings calls f in a subtest for every way to store pixels.
func encodings(t *testing.T, f func(t *testing.T, p PixelType, c Compression)) {
	for _, p := range []PixelType{Int16, Uint8} {
		for _, c := range []Compression{None, LZ4, Zstd} {
			t.Run(fmt.Sprintf("%s/%s", p, c), func(t *testing.T) { f(t, p, c) })
		}
	}
}

// wantError fails unless err's message has all the parts.
func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

// wantCorrupt fails unless err is a *CorruptError for the file and the row.
func wantCorrupt(t testing.TB, err error, file string, row int, parts ...string) *CorruptError {
	t.Helper()
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) {
		t.Fatalf("error %v (%T) is no *CorruptError", err, err)
	}
	if filepath.Base(corrupt.File) != file || corrupt.Row != row {
		t.Errorf("fault in %s, row %d, want %s, row %d", corrupt.File, corrupt.Row, file, row)
	}
	wantError(t, err, append(parts, file)...)
	return corrupt
}

// names returns the names of all files in a folder.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// mustJSON returns m as JSON, with its digest set right.
func mustJSON(t testing.TB, m *Manifest) []byte {
	t.Helper()
	m.Format, m.Version, m.Digest = FormatName, FormatVersion, m.ComputeDigest()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestMain fails when a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
