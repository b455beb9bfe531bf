package source

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// twoTars is a training and a validation archive of two classes, with files that
// are no images in the latter.
func twoTars(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, nestedTar(t, tar.FormatUSTAR), dir, "ILSVRC2012_img_train.tar")
	writeFile(t, pack(t, tar.FormatPAX,
		"n01440764.tar", string(pack(t, tar.FormatPAX, "n01440764_9.JPEG", "xyz", "notes.txt", "", ".hidden", "")),
		"n01443537.tar", string(pack(t, tar.FormatPAX, "n01443537_8.JPEG", strings.Repeat("v", 1000), "empty.png", ""))), dir, "ILSVRC2012_img_val.tar")
	return dir
}

// listOf is all that a source says, and the bytes of its images.
func listOf(t *testing.T, src Source) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, src.Classes(), src.Skipped())
	for _, s := range src.Splits() {
		for i := range s.Items {
			data, err := src.Read(t.Context(), &s.Items[i], nil)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&b, s.Name, s.Items[i], string(data))
		}
	}
	return b.String()
}

// TestIndex opens archives by an index, also with a limit, and compares with a
// scan.
func TestIndex(t *testing.T) {
	dir := twoTars(t)
	file := filepath.Join(t.TempDir(), "index")
	openWith := func(o Options) Source {
		t.Helper()
		src, err := Open(t.Context(), dir, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { src.Close() })
		return src
	}
	byIndex := func(src Source) int { return strings.Count(src.Describe(), "by its index") }
	plain := openWith(Options{})
	if err := SaveIndex(plain, file); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("an index was written that nobody asked for")
	}
	first := openWith(Options{Index: file, Limit: 3})
	for range 2 { // the second has nothing to write
		if err := SaveIndex(first, file); err != nil {
			t.Fatal(err)
		}
	}
	second := openWith(Options{Index: file})
	if byIndex(first) != 0 || byIndex(second) != 2 {
		t.Errorf("the first source: %s, the second: %s", first.Describe(), second.Describe())
	}
	if got, want := listOf(t, second), listOf(t, plain); got != want {
		t.Errorf("by the index:\n%swant:\n%s", got, want)
	}
	if got, want := listOf(t, openWith(Options{Index: file, Limit: 2, Seed: 7})), listOf(t, openWith(Options{Limit: 2, Seed: 7})); got != want {
		t.Errorf("limited, by the index:\n%swant:\n%s", got, want)
	}

	// Another archive of the same name is scanned; the other is not.
	train := filepath.Join(dir, "ILSVRC2012_img_train.tar")
	if err := os.Chtimes(train, time.Time{}, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	third := openWith(Options{Index: file})
	if byIndex(third) != 1 {
		t.Errorf("with another archive: %s", third.Describe())
	}
	if err := SaveIndex(third, file); err != nil {
		t.Fatal(err)
	}
	if fourth := openWith(Options{Index: file}); byIndex(fourth) != 2 || listOf(t, fourth) != listOf(t, plain) {
		t.Errorf("after it: %s", fourth.Describe())
	}

	// A damaged index is not used.
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for at := range data {
		spoiled := bytes.Clone(data)
		spoiled[at] ^= 0x10
		if x, err := readIndex(bytes.NewReader(spoiled)); err == nil && !sameIndex(x, data) {
			t.Errorf("byte %d is another one, and the index is read as something else", at)
		}
		if _, err := readIndex(bytes.NewReader(data[:at])); err == nil {
			t.Errorf("the first %d of %d bytes are read", at, len(data))
		}
	}
	if err := os.WriteFile(file, data[:len(data)/2], 0o666); err != nil {
		t.Fatal(err)
	}
	if src := openWith(Options{Index: file}); byIndex(src) != 0 || listOf(t, src) != listOf(t, plain) {
		t.Errorf("with a damaged index: %s", src.Describe())
	}
}

// sameIndex says whether an index is that of the bytes: a few bits of a zstd
// frame say nothing.
func sameIndex(x *index, data []byte) bool {
	var b bytes.Buffer
	return x.write(&b) == nil && bytes.Equal(b.Bytes(), data)
}

// TestIndexHeads reads indices whose heads lie.
func TestIndexHeads(t *testing.T) {
	id := archiveID{Name: "a.tar", Size: 4096}
	item := func(offset, size int64, key string) *listing {
		return &listing{split: Train, items: []Item{{Key: key, Size: size, at: at(0, offset)}}}
	}
	for name, l := range map[string]*listing{
		"beyond the end": item(5000, 10, "a.png"),
		"too long":       item(4000, 97, "a.png"),
		"no key":         item(512, 10, ""),
		"not UTF-8":      item(512, 10, "\xff.png"),
		"good":           item(512, 10, "a.png"),
	} {
		x := new(index)
		x.add(id, l)
		var b bytes.Buffer
		if err := x.write(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := readIndex(&b); (err == nil) != (name == "good") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, items := range []int{0, 2, 1 << 60} {
		x := new(index)
		x.add(id, item(512, 10, "a.png"))
		x.heads[0].Items = items
		var b bytes.Buffer
		if err := x.write(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := readIndex(&b); err == nil {
			t.Errorf("an index with 1 item that says %d is read", items)
		}
	}
}

func FuzzIndex(f *testing.F) {
	x := new(index)
	x.add(archiveID{Name: "a.tar", Size: 4096, Modified: 1}, &listing{split: Val, items: []Item{{Key: "a.png", Size: 3, at: at(0, 512)}, {Key: "b.png", at: at(0, 0)}}})
	var b bytes.Buffer
	if err := x.write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(indexMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := readIndex(bytes.NewReader(data))
		if err != nil {
			return
		}
		for i, h := range x.heads {
			for _, it := range x.lists[i].items {
				if it.at.offset() < 0 || it.Size < 0 || it.at.offset()+it.Size > h.Size {
					t.Errorf("item %+v lies outside of an archive of %d bytes", it, h.Size)
				}
			}
		}
	})
}
