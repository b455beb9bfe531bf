package source_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"alexnet/ingest/source"
	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest"
)

// mirrorBytes is how large a source may be for it to be tried from memory too.
const mirrorBytes = 8 << 20

// mirror copies the folder at path, or that of the file at path, into a store,
// and gives its name there; nil where there is none, or what a store cannot have.
// What Kaggle has above a folder comes along.
func mirror(t testing.TB, path string) (*buckettest.Memory, string) {
	t.Helper()
	top, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(top); err != nil || !info.IsDir() {
		top = filepath.Dir(top)
	}
	for slices.Contains([]string{"ILSVRC", "Data", "CLS-LOC"}, filepath.Base(top)) {
		top = filepath.Dir(top)
	}
	in := filepath.Dir(top)
	m := new(buckettest.Memory)
	size := int64(0)
	err = filepath.WalkDir(top, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if size += info.Size(); err != nil || !e.Type().IsRegular() || size > mirrorBytes {
			return cmp.Or(err, errors.ErrUnsupported)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return m.Put(ctx, nameIn(t, in, file), bytes.NewReader(data), int64(len(data)), bucket.Create)
	})
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrNotExist) {
		return nil, ""
	}
	if err != nil {
		t.Fatal(err)
	}
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return m, nameIn(t, in, full)
}

// nameIn is the object's name for a path.
func nameIn(t testing.TB, in, path string) string {
	t.Helper()
	name, err := filepath.Rel(in, path)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.ToSlash(name)
}

// sameInStore compares a source with its mirror.
func sameInStore(t testing.TB, path string, a source.Source, name string, b source.Source) {
	t.Helper()
	sameSources(t, a, b)
	if want := a.Shape().C == 0; a.Remote() || b.Remote() != want { // others are in memory
		t.Errorf("remote: %v and %v", a.Remote(), b.Remote())
	}
	if a.Shape() != b.Shape() || !maps.Equal(a.Official(), b.Official()) {
		t.Errorf("shapes %v, %v, official %v, %v", a.Shape(), b.Shape(), a.Official(), b.Official())
	}
	count := func(s source.Source) (n int) {
		for _, k := range s.Skipped() {
			n += k.Count
			if slices.Contains(k.Examples, ".cache") { // an empty folder, which a store does not have
				n--
			}
		}
		return n
	}
	if count(a) != count(b) {
		t.Errorf("skipped: %v, in the store %v", a.Skipped(), b.Skipped())
	}
	if got, _, _ := strings.Cut(b.Describe(), ": "); got != "mem://test/"+name {
		t.Errorf("the source calls itself %s", got)
	}
	_, want, _ := strings.Cut(a.Describe(), ": ")
	if _, got, _ := strings.Cut(b.Describe(), ": "); strings.Count(got, "images") != strings.Count(want, "images") {
		t.Errorf("%s: %s, in the store %s", path, want, got)
	}
}

// requests counts a store's requests by what is asked of which object, and how
// many are under way at most.
type requests struct {
	mu    sync.Mutex
	count map[string]int
}

// watch counts what is asked of m from now on.
func watch(m *buckettest.Memory) *requests {
	r := &requests{count: map[string]int{}}
	m.Before = func(op, name string) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.count[op+" "+name]++
		return nil
	}
	return r
}

// take gives the requests since the last time, sorted, with how often each was
// made, if more than once.
func (r *requests) take() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(r.count)) {
		if n := r.count[k]; n > 1 {
			k += fmt.Sprintf(" x%d", n)
		}
		all = append(all, k)
	}
	r.count = map[string]int{}
	return all
}

// fill puts objects, given as name, content pairs.
func fill(t testing.TB, m *buckettest.Memory, objects ...string) *buckettest.Memory {
	t.Helper()
	for i := 0; i < len(objects); i += 2 {
		if err := m.Put(ctx, objects[i], strings.NewReader(objects[i+1]), int64(len(objects[i+1])), bucket.Replace); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestStoreRequests: each class folder is listed once, each image is one request.
func TestStoreRequests(t *testing.T) {
	m := fill(t, new(buckettest.Memory), "set/train/n01440764/a.JPEG", "1", "set/train/n01440764/b.JPEG", "2", "set/train/n02119789/c.JPEG", "3",
		"set/val/ILSVRC2012_val_00000010.JPEG", "4", "set/data/"+truthName, elevenLines, "else/x", "")
	r := watch(m)
	s := opened(t)(source.OpenFolder(ctx, m, "set/", source.Options{}))
	if got, want := r.take(), []string{"list set", "list set/data", "list set/train", "list set/train/n01440764", "list set/train/n02119789", "list set/val", "open set/data/" + truthName}; !slices.Equal(got, want) {
		t.Errorf("to list it: %q, want %q", got, want)
	}
	for _, split := range s.Splits() {
		for i := range split.Items {
			if _, err := s.Read(ctx, &split.Items[i], nil); err != nil {
				t.Error(err)
			}
		}
	}
	if got, want := r.take(), []string{"open set/train/n01440764/a.JPEG", "open set/train/n01440764/b.JPEG", "open set/train/n02119789/c.JPEG", "open set/val/ILSVRC2012_val_00000010.JPEG"}; !slices.Equal(got, want) {
		t.Errorf("to read it: %q, want %q", got, want)
	}

	m = fill(t, new(buckettest.Memory), "a/v.tar", tarOf(t, "ILSVRC2012_val_00000010.JPEG", strings.Repeat("x", 3000), "ILSVRC2012_val_00000011.JPEG", "y"), "a/"+truthName, elevenLines)
	r = watch(m)
	s = opened(t)(source.OpenFolder(ctx, m, "a/v.tar", source.Options{}))
	r.take()
	if data, err := s.Read(ctx, &s.Splits()[0].Items[0], nil); err != nil || len(data) != 3000 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if got := r.take(); !slices.Equal(got, []string{"read a/v.tar"}) {
		t.Errorf("to read out of an archive: %q", got)
	}

	m = fill(t, new(buckettest.Memory), smallCIFAR("c/")...)
	r = watch(m)
	s = opened(t)(source.OpenFolder(ctx, m, "c", source.Options{}))
	r.take()
	if _, err := s.Read(ctx, &s.Splits()[0].Items[0], nil); err != nil || len(r.take()) > 0 {
		t.Errorf("a picture of a set that is in memory was asked for, or %v", err)
	}
}

// TestStoreScanRequests scans archives: one of many small members is read in
// large pieces, one of large members only where its headers are.
func TestStoreScanRequests(t *testing.T) {
	var small, large []string
	for i := range 1000 {
		small = append(small, fmt.Sprintf("ILSVRC2012_test_%08d.JPEG", i+1), strings.Repeat("x", 5000))
	}
	for i := range 3 {
		large = append(large, fmt.Sprintf("n0000000%d.tar", i), tarOf(t, "a.JPEG", strings.Repeat("y", 3<<20), "b.JPEG", "x"))
	}
	for name, c := range map[string]struct {
		tar  string
		most int
	}{
		// Three looks at its beginning, of two or three requests each, and 6.1 MB in
		// pieces of one.
		"small": {tarOf(t, small...), 3*3 + 6},
		// A request for each of the 3 tars, and for each of the two members in them.
		"large": {tarOf(t, large...), 3*3 + 3 + 3*2},
	} {
		m := fill(t, new(buckettest.Memory), name, c.tar)
		r := watch(m)
		s := opened(t)(source.OpenFolder(ctx, m, name, source.Options{}))
		if n := r.count["read "+name]; n == 0 || n > c.most {
			t.Errorf("%s: %d requests for %d bytes, at most %d were thought to do", name, n, len(c.tar), c.most)
		}
		sameSources(t, opened(t)(source.Open(ctx, filepath.Join(put(t, t.TempDir(), name, c.tar), name), source.Options{})), s)
	}
}

// TestStoreFaults fails each request there is, one after the other: the source
// is not opened then, and never with less in it.
func TestStoreFaults(t *testing.T) {
	images := []string{"train/n01440764/a.JPEG", "1", "train/n02119789/c.JPEG", "3", "val/ILSVRC2012_val_00000010.JPEG", "4"}
	nested := tarOf(t, "n01440764.tar", tarOf(t, "a.JPEG", "1"), "n02119789.tar", tarOf(t, "c.JPEG", "3"))
	kit := gzipped(t, tarOf(t, "kit/data/"+truthName, elevenLines))
	down := fmt.Errorf("connection reset: %w", io.EOF) // is no end of an object
	for name, files := range map[string][]string{
		"folders":  append(images, "data/"+truthName, elevenLines, "data/meta.txt", "", "synset_words.txt", "n01440764 tench\n"),
		"archives": {"ILSVRC2012_img_train.tar", nested, "ILSVRC2012_img_val.tar", tarOf(t, "ILSVRC2012_val_00000010.JPEG", "4"), devkitName, kit, "other.tar", tarOf(t, "a", "x")},
		"a tar":    {"s.tar", nested, "words.txt", ""},
		"kaggle":   {"ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000010.JPEG", "4", solutionName, tenthAndEleventh, mappingName, mapping()},
		"cifar":    smallCIFAR(""),
		"packed":   {"c.tar.gz", gzipped(t, tarOf(t, smallCIFAR("")...))},
		"mnist":    {"t10k-images-idx3-ubyte", idxFile("xy", 2, 1, 1), "t10k-labels-idx1-ubyte.gz", gzipped(t, idxFile("\x01\x02", 2))},
	} {
		t.Run(name, func(t *testing.T) {
			m := new(buckettest.Memory)
			for i := 0; i < len(files); i += 2 {
				fill(t, m, "set/"+files[i], files[i+1])
			}
			top := "set"
			if len(files[0]) < 9 { // the archive itself
				top = "set/" + files[0]
			}
			n, fail := 0, -1
			var mu sync.Mutex
			m.Before = func(string, string) error {
				mu.Lock()
				defer mu.Unlock()
				if n++; n-1 == fail {
					return down
				}
				return nil
			}
			s := opened(t)(source.OpenFolder(ctx, m, top, source.Options{}))
			all := n
			for fail = range all {
				n = 0
				s, err := source.OpenFolder(ctx, m, top, source.Options{})
				e, ok := errors.AsType[*source.IOError](err)
				if !ok || !errors.Is(err, down) || !strings.HasPrefix(e.File, "mem://test/set") || !strings.HasSuffix(err.Error(), " failed: connection reset: EOF; check the network and the store") {
					t.Errorf("request %d of %d fails: %v, %v", fail, all, s, err)
				}
				if b, ok := errors.AsType[*bucket.Error](err); !ok || !errors.Is(b.Err, down) {
					t.Errorf("request %d of %d fails: %v wraps no *bucket.Error", fail, all, err)
				}
			}
			fail, n = 0, 0
			items := s.Splits()[0].Items
			if _, err := s.Read(ctx, &items[0], nil); n > 0 && !errors.Is(err, down) { // of pixels that are in memory none is made
				t.Errorf("the request of a read fails: %v", err)
			}
		})
	}
}

// TestStoreChanged reads objects that are no longer what they were when listed.
func TestStoreChanged(t *testing.T) {
	m := fill(t, new(buckettest.Memory), "s/train/n01440764/a.JPEG", "12345", "s/train/n01440764/b.JPEG", "12345", "s/train/n01440764/c.JPEG", "12345", "s/train/n01440764/d.JPEG", "12345",
		"t/x.tar", tarOf(t, "n01440764.tar", tarOf(t, "a.JPEG", "12345")))
	s := opened(t)(source.OpenFolder(ctx, m, "s", source.Options{}))
	archived := opened(t)(source.OpenFolder(ctx, m, "t/x.tar", source.Options{}))
	fill(t, m, "s/train/n01440764/a.JPEG", "123456", "s/train/n01440764/b.JPEG", "1", "s/train/n01440764/c.JPEG", "54321", "t/x.tar", tarOf(t, "n01440764.tar", tarOf(t, "a.JPEG", "54321")))
	if err := m.Remove(ctx, "s/train/n01440764/d.JPEG"); err != nil {
		t.Fatal(err)
	}
	const in, alone = "mem://test/s/train/n01440764/", "; leave the source alone while it is read"
	for i, want := range []string{
		"a.JPEG: has 6 bytes, 5 when listed" + alone, "b.JPEG: has 1 bytes, 5 when listed" + alone,
		"c.JPEG: is another object than when it was listed: the object was replaced meanwhile" + alone,
		"d.JPEG: open failed: file does not exist; check the address, and leave the source alone while it is read",
	} {
		_, err := s.Read(ctx, &s.Splits()[0].Items[i], nil)
		if _, ok := errors.AsType[*source.IOError](err); !ok || err.Error() != in+want {
			t.Errorf("%v, want the *IOError %q", err, in+want)
		}
		if changed, gone := i == 2, i == 3; errors.Is(err, bucket.ErrChanged) != changed || errors.Is(err, fs.ErrNotExist) != gone {
			t.Errorf("%v wraps something else", err)
		}
	}
	_, err := archived.Read(ctx, &archived.Splits()[0].Items[0], nil)
	if want := "mem://test/t/x.tar: read failed: the object was replaced meanwhile" + alone; err == nil || err.Error() != want || !errors.Is(err, bucket.ErrChanged) {
		t.Errorf("%v, want %q", err, want)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for _, s := range []source.Source{s, archived} {
		if _, err := s.Read(cancelled, &s.Splits()[0].Items[0], nil); !errors.Is(err, context.Canceled) {
			t.Errorf("read with a cancelled context: %v", err)
		}
	}
	for _, name := range []string{"s", "t/x.tar"} {
		if s, err := source.OpenFolder(cancelled, m, name, source.Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("open with a cancelled context: %v, %v", s, err)
		}
	}
	count := 0
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.Before = func(string, string) error { // in the middle
		if count++; count == 2 {
			cancel()
		}
		return nil
	}
	for _, name := range []string{"s", "t/x.tar"} {
		if s, err := source.OpenFolder(ctx, m, name, source.Options{}); !errors.Is(err, context.Canceled) || s != nil {
			t.Errorf("cancelled while it is opened: %v, %v", s, err)
		}
	}
}

// TestStoreMissing opens what is not there.
func TestStoreMissing(t *testing.T) {
	m := fill(t, new(buckettest.Memory), "set/train/n01440764/a.JPEG", "1", "settle", "x")
	const give = "; give the folder that holds train/ and val/, or the ILSVRC2012 archives, or one archive"
	for name, want := range map[string]string{
		"se":      "mem://test/se: no object has this name, or begins with it and a slash: file does not exist" + give,
		"set/val": "mem://test/set/val: no object has this name, or begins with it and a slash: file does not exist" + give,
		"a//../b": "mem://test/b: no object has this name, or begins with it and a slash: file does not exist" + give,
	} {
		s, err := source.OpenFolder(ctx, m, name, source.Options{})
		if _, ok := errors.AsType[*source.IOError](err); !ok || err.Error() != want || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v, %v, want %q", s, err, want)
		}
	}
	if _, err := source.OpenFolder(ctx, new(buckettest.Memory), "", source.Options{}); err == nil || err.Error() != "mem://test: no object is there: file does not exist"+give {
		t.Errorf("an empty store: %v", err)
	}
	m.Before = func(string, string) error { return fs.ErrPermission }
	_, err := source.OpenFolder(ctx, m, "set", source.Options{})
	if want := "mem://test/set: list failed: permission denied; check that the credentials allow to list the folder and to read its objects"; err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}

// TestStoreOddNames has objects that stand for folders, in a store that is its
// own root. The order of a listing is not that of the folders' names.
func TestStoreOddNames(t *testing.T) {
	m := fill(t, new(buckettest.Memory), "a/", "", "a/b.jpg", "1", "a-b/c.jpg", "2", "a-b/", "", "notes", "", ".hidden", "")
	s := opened(t)(source.OpenFolder(ctx, m, "", source.Options{}))
	if got, want := list(s), []string{"train a-b/c.jpg 1 0", "train a/b.jpg 0 0"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := s.Describe(); got != "mem://test: train 2 images (test/), 2 classes (the folders present), 2 other files ignored" {
		t.Error(got)
	}
}

// TestStoreIndex opens archives in a store by what was found there before.
func TestStoreIndex(t *testing.T) {
	nested := tarOf(t, "n01440764.tar", tarOf(t, "a.JPEG", "1"), "n02119789.tar", tarOf(t, "c.JPEG", "3"))
	m := fill(t, new(buckettest.Memory), "s/train.tar", nested, "s/val.tar", nested)
	var index []byte
	asked := 0
	o := source.Options{ReadIndex: func() ([]byte, error) {
		if asked++; index == nil {
			return nil, &bucket.Error{Op: "open", Object: "x", Err: fs.ErrNotExist}
		}
		return index, nil
	}}
	first := opened(t)(source.OpenFolder(ctx, m, "s", o))
	if index = source.TakeIndex(first); index == nil || source.TakeIndex(first) != nil {
		t.Fatal("nothing to keep, or twice")
	}
	second := opened(t)(source.OpenFolder(ctx, m, "s", o))
	sameSources(t, first, second)
	if got := second.Describe(); strings.Count(got, "by its index") != 2 || source.TakeIndex(second) != nil || asked != 2 {
		t.Errorf("%s, asked for %d times", got, asked)
	}
	fill(t, m, "s/val.tar", nested) // the same, but another version
	third := opened(t)(source.OpenFolder(ctx, m, "s", o))
	if got := third.Describe(); strings.Count(got, "by its index") != 1 || source.TakeIndex(third) == nil {
		t.Error(got)
	}
	down := errors.New("down")
	o.ReadIndex = func() ([]byte, error) { return nil, down }
	if s, err := source.OpenFolder(ctx, m, "s", o); !errors.Is(err, down) {
		t.Errorf("%v, %v", s, err)
	}
	fill(t, m, "f/n01440764/a.JPEG", "1")
	opened(t)(source.OpenFolder(ctx, m, "f", o)) // has no archives
}

// TestStoreMD5 compares the sum of an object, which is streamed.
func TestStoreMD5(t *testing.T) {
	m := fill(t, new(buckettest.Memory), "ILSVRC2012_img_train.tar", tarOf(t, "n01440764.tar", tarOf(t, "a.JPEG", "1")))
	r := watch(m)
	done := int64(0)
	_, err := source.OpenFolder(ctx, m, "", source.Options{CheckMD5: true, OnCheck: func(_ string, n, _ int64) { done = n }})
	if _, ok := errors.AsType[*source.MalformedError](err); !ok || !strings.HasPrefix(err.Error(), "mem://test/ILSVRC2012_img_train.tar: has the MD5 ") {
		t.Error(err)
	}
	if r.count["open ILSVRC2012_img_train.tar"] != 1 || done == 0 {
		t.Errorf("%v, %d bytes", r.count, done)
	}
}
