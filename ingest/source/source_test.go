package source_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"alexnet/ingest/internal/realdata"
	"alexnet/ingest/source"
	"alexnet/records"
	"alexnet/tools/drawn"
)

var ctx = context.Background()

// open opens a source that must be good, and that must be the same in a store.
func open(t testing.TB, path string, o source.Options) source.Source {
	t.Helper()
	s := opened(t)(source.Open(ctx, path, o))
	if m, name := mirror(t, path); m != nil {
		sameInStore(t, path, s, name, opened(t)(source.OpenFolder(ctx, m, name, o)))
	}
	return s
}

// opened gives a source that is to be good and is closed at the test's end.
func opened(t testing.TB) func(s source.Source, err error) source.Source {
	return func(s source.Source, err error) source.Source {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
}

// put writes files, given as path, content pairs, below dir. A path that ends in
// a slash is a folder.
func put(t testing.TB, dir string, files ...string) string {
	t.Helper()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, filepath.FromSlash(files[i]))
		if strings.HasSuffix(files[i], "/") {
			if err := os.MkdirAll(name, 0o777); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tarOf packs name, content pairs.
func tarOf(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// gzipped compresses.
func gzipped(t testing.TB, data string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const (
	truthName  = "ILSVRC2012_validation_ground_truth.txt"
	devkitName = "ILSVRC2012_devkit_t12.tar.gz"
)

// elevenLines is a ground truth whose lines 10 and 11 are those of the real one:
// an Angora rabbit and a brain coral.
const elevenLines = "490\n361\n171\n822\n297\n482\n13\n704\n599\n164\n649\n"

// list writes a source's splits as lines of text: split, key, label, devkit id.
func list(s source.Source) []string {
	var lines []string
	for _, split := range s.Splits() {
		for _, it := range split.Items {
			lines = append(lines, fmt.Sprintf("%s %s %d %d", split.Name, it.Key, it.Label, it.ILSVRCID))
		}
	}
	return lines
}

// sameSources compares two sources in all that they give, bytes included.
func sameSources(t testing.TB, a, b source.Source) {
	t.Helper()
	if x, y := list(a), list(b); !slices.Equal(x, y) {
		t.Fatalf("items differ:\n%v\n%v", x[:min(5, len(x))], y[:min(5, len(y))])
	}
	if !slices.Equal(a.Classes(), b.Classes()) {
		t.Fatal("classes differ")
	}
	for i, split := range a.Splits() {
		for j := range split.Items {
			x, err := a.Read(ctx, &split.Items[j], nil)
			y, err2 := b.Read(ctx, &b.Splits()[i].Items[j], nil)
			if err != nil || err2 != nil || !bytes.Equal(x, y) || int64(len(x)) != split.Items[j].Size {
				t.Fatalf("%s: %d and %d bytes, %v, %v", split.Items[j].Key, len(x), len(y), err, err2)
			}
		}
	}
}

func TestFolderAndTarsAgree(t *testing.T) {
	for _, o := range []drawn.Options{
		{Classes: 3, TrainPerClass: 3, ValPerClass: 1, Seed: 1},
		{Classes: 3, TrainPerClass: 1, ValPerClass: 2, Seed: 2, Devkit: true},
		{Classes: 2, ValPerClass: 1, Seed: 3, Devkit: true},
		{Classes: 2, TrainPerClass: 1, Seed: 3},
	} {
		folder, tars := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
		if err := errors.Join(drawn.WriteFolder(ctx, folder, o), drawn.WriteTars(ctx, tars, o)); err != nil {
			t.Fatal(err)
		}
		a, b := open(t, folder, source.Options{}), open(t, tars, source.Options{})
		sameSources(t, a, b)
		items := 0
		for _, split := range a.Splits() {
			items += len(split.Items)
			for _, it := range split.Items {
				if c := a.Classes()[it.Label]; c.ILSVRCID != it.ILSVRCID {
					t.Errorf("%s: devkit id %d, its class has %d", it.Key, it.ILSVRCID, c.ILSVRCID)
				}
				if split.Name == source.Train && !strings.HasPrefix(it.Key, a.Classes()[it.Label].WNID+"/") {
					t.Errorf("%s has the class %v", it.Key, a.Classes()[it.Label])
				}
			}
		}
		if want := o.Classes * (o.TrainPerClass + o.ValPerClass); items != want {
			t.Errorf("%+v: %d items, want %d", o, items, want)
		}
		wantClasses := o.Classes
		if o.Devkit {
			wantClasses = 1000
		}
		if len(a.Classes()) != wantClasses {
			t.Errorf("%+v: %d classes, want %d", o, len(a.Classes()), wantClasses)
		}
		if !o.Devkit && a.Classes()[0].Words != "disc" {
			t.Errorf("words of %v: want those of synset_words.txt", a.Classes()[0])
		}
	}
}

// TestDevkitIdsAreNotLabels catches a mix-up of the two orders: the labels of
// these images are known.
func TestDevkitIdsAreNotLabels(t *testing.T) {
	dir := put(t, t.TempDir(),
		"train/n02119789/n02119789_1.JPEG", "fox",
		"val/ILSVRC2012_val_00000010.JPEG", "rabbit", "val/ILSVRC2012_val_00000011.JPEG", "coral", "val/ILSVRC2012_val_00000001.JPEG", "snake",
		"test/ILSVRC2012_test_00000001.JPEG", "unknown",
		truthName, elevenLines)
	want := []string{
		"train n02119789/n02119789_1.JPEG 278 1",
		"val ILSVRC2012_val_00000001.JPEG 65 490",
		"val ILSVRC2012_val_00000010.JPEG 332 164",
		"val ILSVRC2012_val_00000011.JPEG 109 649",
		"test ILSVRC2012_test_00000001.JPEG -1 0",
	}
	s := open(t, dir, source.Options{})
	if got := list(s); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for label, want := range map[int]records.Class{
		278: {WNID: "n02119789", ILSVRCID: 1, Words: "kit fox, Vulpes macrotis"},
		332: {WNID: "n02328150", ILSVRCID: 164, Words: "Angora, Angora rabbit"},
		109: {WNID: "n01917289", ILSVRCID: 649, Words: "brain coral"},
	} {
		if got := s.Classes()[label]; got != want {
			t.Errorf("class %d: %+v, want %+v", label, got, want)
		}
	}
}

// TestTruthPlaces finds the ground truth wherever people put it.
func TestTruthPlaces(t *testing.T) {
	kit := tarOf(t, "ILSVRC2012_devkit_t12/readme.txt", "x", "ILSVRC2012_devkit_t12/data/"+truthName, elevenLines)
	val := []string{"val/ILSVRC2012_val_00000010.JPEG", "rabbit"}
	valTar := []string{"ILSVRC2012_img_val.tar", tarOf(t, "ILSVRC2012_val_00000010.JPEG", "rabbit")}
	for _, images := range [][]string{val, valTar} {
		for _, truth := range [][]string{
			{truthName, elevenLines}, {"data/" + truthName, elevenLines}, {"devkit/" + truthName, elevenLines},
			{"devkit/data/" + truthName, elevenLines}, {"ILSVRC2012_devkit_t12/data/" + truthName, strings.ReplaceAll(elevenLines, "\n", "\r\n")},
			{devkitName, gzipped(t, kit)}, {"my-devkit.tar", kit}, {"data", "a file", "ILSVRC-devkit.tgz", gzipped(t, kit)},
		} {
			s := open(t, put(t, t.TempDir(), append(truth, images...)...), source.Options{})
			if got := list(s); !slices.Equal(got, []string{"val ILSVRC2012_val_00000010.JPEG 332 164"}) || len(s.Classes()) != 1000 {
				t.Errorf("%s, %s: %v, %d classes", images[0], truth[0], got, len(s.Classes()))
			}
		}
	}
}

// TestDetect tries the ways in which a source may lie on disk. The images are
// not decoded, so a few letters do for them.
func TestDetect(t *testing.T) {
	classTar := func(wnid string) string { return tarOf(t, wnid+"_1.JPEG", "x") }
	nested := tarOf(t, "n01440764.tar", classTar("n01440764"), "n02119789.tar", classTar("n02119789"))
	flat := tarOf(t, "./ILSVRC2012_val_00000010.JPEG", "x")
	tarTrain := []string{"train n01440764/n01440764_1.JPEG 0 449", "train n02119789/n02119789_1.JPEG 1 1"}
	for name, c := range map[string]struct {
		files  []string
		path   string
		layout string
		want   []string
	}{
		"one archive":         {[]string{"ILSVRC2012_img_train.tar", nested}, "ILSVRC2012_img_train.tar", "", tarTrain},
		"another name":        {[]string{"images", nested}, "images", "", tarTrain},
		"archive in a folder": {[]string{"images.tar", nested, "other.tar", tarOf(t, "a.txt", "x")}, "", "auto", tarTrain},
		"dogs beside":         {[]string{"ILSVRC2012_img_train.tar", nested, "ILSVRC2012_img_train_t3.tar", tarOf(t, "n02085620.tar", classTar("n02085620"))}, "", "ilsvrc", tarTrain},
		"val archive":         {[]string{"v.tar", flat, truthName, elevenLines}, "v.tar", "", []string{"val ILSVRC2012_val_00000010.JPEG 332 164"}},
		"val of tars": {[]string{"ILSVRC2012_img_val.tar", nested}, "", "",
			[]string{"val n01440764/n01440764_1.JPEG 0 449", "val n02119789/n02119789_1.JPEG 1 1"}},
		"folders in a tar": {[]string{"train.tar", tarOf(t, "train/n01440764/a.jpg", "x", "train/n02119789/b.png", "x")}, "", "",
			[]string{"train n01440764/a.jpg 0 449", "train n02119789/b.png 1 1"}},
		"folder and archive": {[]string{"train/n01440764/a.JPEG", "x", "ILSVRC2012_img_train.tar", nested, "ILSVRC2012_img_val.tar", flat, truthName, elevenLines}, "", "",
			[]string{"train n01440764/a.JPEG 0 449", "val ILSVRC2012_val_00000010.JPEG 332 164"}},
		"test archive": {[]string{"ILSVRC2012_img_test_v10102019.tar", tarOf(t, "test/ILSVRC2012_test_00000007.JPEG", "x")}, "", "",
			[]string{"test ILSVRC2012_test_00000007.JPEG -1 0"}},
		"val folders": {[]string{"val/n02119789/a.JPEG", "x", "train/n01440764/b.JPEG", "x"}, "", "",
			[]string{"train n01440764/b.JPEG 0 449", "val n02119789/a.JPEG 1 1"}},
		"plain": {[]string{"dog/a.jpg", "x", "cat/b.PNG", "x", "cat/c.jpeg", "x", "notes.txt", "x"}, "", "",
			[]string{"train cat/b.PNG 0 0", "train cat/c.jpeg 0 0", "train dog/a.jpg 1 0"}},
		"out of order": {[]string{"train.tar", tarOf(t, "n02119789.tar", classTar("n02119789"), "n01440764.tar", tarOf(t, "b.JPEG", "x", "a.JPEG", "x"))}, "", "",
			[]string{"train n01440764/a.JPEG 0 449", "train n01440764/b.JPEG 0 449", "train n02119789/n02119789_1.JPEG 1 1"}},
		"keys are sorted, not folders": {[]string{"a/x.jpg", "x", "a-b/x.jpg", "x"}, "", "",
			[]string{"train a-b/x.jpg 1 0", "train a/x.jpg 0 0"}},
		"plain by request": {[]string{"train/a.jpg", "x", "val/b.jpg", "x"}, "", "folder",
			[]string{"train train/a.jpg 0 0", "train val/b.jpg 1 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := put(t, t.TempDir(), c.files...)
			s := open(t, filepath.Join(dir, c.path), source.Options{Layout: c.layout})
			if got := list(s); !slices.Equal(got, c.want) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestClassesFile(t *testing.T) {
	dir := put(t, t.TempDir(),
		"train/n02119789/a.JPEG", "x", "train/n99000000/b.JPEG", "x",
		"val/ILSVRC2012_val_00000010.JPEG", "x", truthName, elevenLines,
		"list", "\ufeff# the order of the lines does not matter\nn99000000\tdrawn disc\n\nn02328150 rabbit\r\n  n02119789\n")
	s := open(t, dir, source.Options{ClassesFile: filepath.Join(dir, "list")})
	want := []records.Class{{WNID: "n02119789", ILSVRCID: 1, Words: "kit fox, Vulpes macrotis"}, {WNID: "n02328150", ILSVRCID: 164, Words: "rabbit"}, {WNID: "n99000000", Words: "drawn disc"}}
	if !slices.Equal(s.Classes(), want) {
		t.Errorf("%+v, want %+v", s.Classes(), want)
	}
	if got, want := list(s), []string{"train n02119789/a.JPEG 0 1", "train n99000000/b.JPEG 2 0", "val ILSVRC2012_val_00000010.JPEG 1 164"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSkipped(t *testing.T) {
	files := []string{"n01440764_1.JPEG", "x", "Thumbs.db", "x", ".DS_Store", "x", "._n01440764_1.JPEG", "x", "notes.txt", "x", "b.gif", "x"}
	var folder []string
	for i := 0; i < len(files); i += 2 {
		folder = append(folder, "train/n01440764/"+files[i], files[i+1])
	}
	folder = append(folder, "train/n01440764/deeper/c.JPEG", "x", "train/loose.JPEG", "x", "train/.cache/", "",
		"ILSVRC2012_img_train.tar", tarOf(t, "n01440764.tar", tarOf(t, files...)))
	s := open(t, put(t, t.TempDir(), folder...), source.Options{})
	want := []source.Skip{
		{Reason: "archive beside the unpacked train/", Count: 1, Examples: []string{"ILSVRC2012_img_train.tar"}},
		{Split: "train", Reason: "hidden file", Count: 3, Examples: []string{".cache", "._n01440764_1.JPEG", ".DS_Store"}},
		{Split: "train", Reason: "image outside a class folder", Count: 1, Examples: []string{"loose.JPEG"}},
		{Split: "train", Reason: "no image extension", Count: 3, Examples: []string{"Thumbs.db", "b.gif", "notes.txt"}},
		{Split: "train", Reason: "folder in a class folder", Count: 1, Examples: []string{"n01440764/deeper"}},
	}
	got := s.Skipped()
	for i := range got {
		slices.Sort(got[i].Examples)
	}
	for i := range want {
		slices.Sort(want[i].Examples)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("folder: %v\nwant %v", got, want)
	}
	if got := s.Describe(); !strings.HasSuffix(got, ": train 1 images (train/), 1 classes (the folders present), 9 other files ignored") {
		t.Errorf("folder: %s", got)
	}

	tars := open(t, put(t, t.TempDir(), "train.tar", tarOf(t, "n01440764.tar", tarOf(t, files...), "README", "x", "md5.txt", "x")), source.Options{})
	got = tars.Skipped()
	if fmt.Sprint(got) != "[{train no image extension 5 [README md5.txt Thumbs.db]} {train hidden file 2 [.DS_Store ._n01440764_1.JPEG]}]" {
		t.Errorf("tar: %v", got)
	}
	if len(tars.Splits()[0].Items) != 1 {
		t.Errorf("tar: %v", list(tars))
	}
}

// TestScanTells has the scan of archives tell how far it is, of tars by their sizes
// and of flat files by their places.
func TestScanTells(t *testing.T) {
	class := tarOf(t, "a.JPEG", "x")
	var flat []string
	for i := range 2001 {
		flat = append(flat, fmt.Sprintf("ILSVRC2012_test_%08d.JPEG", i+1), "x")
	}
	dir := put(t, t.TempDir(), "train.tar", tarOf(t, "n01440764.tar", class, "n01443537.tar", class), "test.tar", tarOf(t, flat...))
	var told []string
	s := open(t, dir, source.Options{OnScan: func(file string, done, size int64) {
		told = append(told, fmt.Sprint(filepath.Base(file), " ", done, " of ", size))
	}})
	n := len(class)
	want := []string{
		fmt.Sprint("train.tar ", n, " of ", 2*n+2*512+1024), fmt.Sprint("train.tar ", 2*n, " of ", 2*n+2*512+1024),
		fmt.Sprint("test.tar ", 999*1024+513, " of ", 2001*1024+1024), fmt.Sprint("test.tar ", 1999*1024+513, " of ", 2001*1024+1024),
	}
	if !slices.Equal(told[:min(len(told), len(want))], want) { // then it is opened in a store
		t.Errorf("told %q of %s, want %q", told, s.Describe(), want)
	}
}

// TestOutputInside has the output of ingest among the class folders, as it is
// where both are in the working folder: of a job that has just begun, and of one
// that is done. It is no class.
func TestOutputInside(t *testing.T) {
	for _, files := range [][]string{
		{"out/.ingest/lock", ""},
		{"out/ingest.json", "{}", "out/manifest.json", "{}", "out/train-00000-of-00001.arrow", "x"},
	} {
		s := open(t, put(t, t.TempDir(), append(files, "dogs/a.JPEG", "x", "owls/b.JPEG", "x")...), source.Options{})
		if got, want := list(s), []string{"train dogs/a.JPEG 0 0", "train owls/b.JPEG 1 0"}; !slices.Equal(got, want) || len(s.Classes()) != 2 {
			t.Errorf("%q, want %q; classes %v", got, want, s.Classes())
		}
		if got := fmt.Sprint(s.Skipped()); got != "[{train folder of records 1 [out]}]" {
			t.Errorf("skipped %s", got)
		}
		alone := put(t, t.TempDir(), files...)
		_, err := source.Open(ctx, alone, source.Options{})
		if want := alone + ": holds no image (.JPEG, .jpg, .png), only other files (out: folder of records); put the images there, or remove the folder"; err == nil || err.Error() != want {
			t.Errorf("records alone: %v, want %s", err, want)
		}
	}
}

func TestLimit(t *testing.T) {
	var files, outer []string
	for _, wnid := range []string{"n01440764", "n02119789", "n99000000"} {
		var inner []string
		for i := range 7 {
			name, body := fmt.Sprintf("%s_%d.JPEG", wnid, i), strings.Repeat("x", i)
			inner = append(inner, name, body)
			files = append(files, "train/"+wnid+"/"+name, body, "val/"+wnid+"/"+name, body)
		}
		outer = append(outer, wnid+".tar", tarOf(t, inner...))
	}
	folder := put(t, t.TempDir(), files...)
	tars := put(t, t.TempDir(), "train.tar", tarOf(t, outer...), "val.tar", tarOf(t, outer...))
	all := open(t, folder, source.Options{}).Splits()[0].Items
	picked := map[string]bool{}
	for _, seed := range []uint64{0, 1, 2} {
		limit := source.Options{Limit: 8, Seed: seed}
		a, b := open(t, folder, limit), open(t, tars, limit)
		sameSources(t, a, b)
		train := a.Splits()[0].Items
		if len(train) != 8 || len(a.Splits()[1].Items) != 8 {
			t.Fatalf("%d and %d items, want 8", len(train), len(a.Splits()[1].Items))
		}
		want := slices.Clone(records.Permutation("limit", seed, 0, len(all))[:8])
		slices.Sort(want)
		for i, j := range want {
			if train[i] != all[j] {
				t.Errorf("seed %d: item %d is %v, want %v", seed, i, train[i], all[j])
			}
		}
		picked[fmt.Sprint(want)] = true
	}
	if len(picked) != 3 {
		t.Error("the seed does not matter")
	}
	if got := open(t, folder, source.Options{Limit: 1000}).Splits()[0].Items; len(got) != len(all) {
		t.Errorf("a high limit left %d of %d", len(got), len(all))
	}
}

func TestSymlinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need rights on Windows")
	}
	dir := put(t, t.TempDir(), "train/n01440764/a.JPEG", "first", "elsewhere/b.JPEG", "second")
	for link, to := range map[string]string{
		"train/n01440764/b.JPEG": "../../elsewhere/b.JPEG", "train/n02119789": "../elsewhere",
		"train/n01440764/gone.JPEG": "nowhere", "train/n99999999": "nowhere",
	} {
		if err := os.Symlink(filepath.FromSlash(to), filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir, source.Options{})
	items := s.Splits()[0].Items
	var got []string
	for i := range items {
		body, err := s.Read(ctx, &items[i], nil)
		got = append(got, fmt.Sprintf("%s %d %s %v", items[i].Key, items[i].Size, body, err != nil))
	}
	want := []string{"n01440764/a.JPEG 5 first false", "n01440764/b.JPEG 6 second false", "n01440764/gone.JPEG 0  true", "n02119789/b.JPEG 6 second false"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if fmt.Sprint(s.Skipped()) != "[{train link to nothing 1 [n99999999]}]" {
		t.Errorf("skipped: %v", s.Skipped())
	}
}

// TestReadErrors reads what is no longer what it was when it was listed.
func TestReadErrors(t *testing.T) {
	dir := put(t, t.TempDir(), "train/n01440764/a.JPEG", "12345", "train/n01440764/b.JPEG", "12345", "train/n01440764/c.JPEG", "12345",
		"t/ILSVRC2012_img_train.tar", tarOf(t, "n01440764.tar", tarOf(t, "a.JPEG", "12345")))
	s, archived := open(t, dir, source.Options{}), open(t, filepath.Join(dir, "t"), source.Options{})
	items := s.Splits()[0].Items
	class := filepath.Join(dir, "train", "n01440764")
	put(t, class, "a.JPEG", "123456", "b.JPEG", "1")
	archive := filepath.Join(dir, "t", "ILSVRC2012_img_train.tar")
	if err := errors.Join(os.Remove(filepath.Join(class, "c.JPEG")), os.Truncate(archive, 600)); err != nil {
		t.Fatal(err)
	}
	const alone = "; leave the source alone while it is read"
	for i, want := range []string{
		filepath.Join(class, "a.JPEG") + ": has more than the 5 bytes it had when listed" + alone,
		filepath.Join(class, "b.JPEG") + ": has 1 bytes, 5 when listed" + alone,
		filepath.Join(class, "c.JPEG") + ": no such file or directory; check that the file is there and may be read",
	} {
		if runtime.GOOS == "windows" && i == 2 {
			continue // the system words it otherwise
		}
		_, err := s.Read(ctx, &items[i], nil)
		if _, ok := errors.AsType[*source.IOError](err); !ok || err.Error() != want {
			t.Errorf("%v, want the *IOError %q", err, want)
		}
	}
	if _, err := s.Read(ctx, &items[2], nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not wrap fs.ErrNotExist", err)
	}
	_, err := archived.Read(ctx, &archived.Splits()[0].Items[0], nil)
	if want := archive + ": n01440764/a.JPEG: is shorter than when it was listed; check that the archive is complete and was not changed"; err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Read(cancelled, &items[0], nil); !errors.Is(err, context.Canceled) {
		t.Errorf("read with a cancelled context: %v", err)
	}
	if s, err := source.Open(cancelled, dir, source.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("open with a cancelled context: %v, %v", s, err)
	}
	if s, err := source.Open(cancelled, archive, source.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("open an archive with a cancelled context: %v, %v", s, err)
	}
	huge := items[0]
	huge.Size = source.MaxImageBytes + 1
	if _, err := s.Read(ctx, &huge, nil); err == nil || err.Error() != "n01440764/a.JPEG: has 268435457 bytes, an image may have 268435456" {
		t.Errorf("huge image: %v", err)
	}
	s.Close()
	if _, err := s.Read(ctx, &items[0], nil); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestReadConcurrently reads all items in many goroutines, each with one buffer
// that it uses again and again.
func TestReadConcurrently(t *testing.T) {
	var inner []string
	for i := range 50 {
		inner = append(inner, fmt.Sprintf("n01440764_%d.JPEG", i), strings.Repeat(string(rune('A'+i)), 1+i*37))
	}
	s := open(t, put(t, t.TempDir(), "ILSVRC2012_img_train.tar", tarOf(t, "n01440764.tar", tarOf(t, inner...))), source.Options{})
	items := s.Splits()[0].Items
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			buf := make([]byte, 0, 4096)
			for n := range 200 {
				it := &items[(n*7+worker*13)%len(items)]
				body, err := s.Read(ctx, it, buf)
				var i int
				fmt.Sscanf(it.Key, "n01440764/n01440764_%d.JPEG", &i)
				if err != nil || string(body) != strings.Repeat(string(rune('A'+i)), 1+i*37) {
					t.Errorf("%s: %d bytes, %v", it.Key, len(body), err)
					return
				}
				if unsafe.SliceData(body) != unsafe.SliceData(buf) {
					t.Errorf("%s: new memory although %d bytes fit into the buffer", it.Key, len(body))
				}
			}
		})
	}
	group.Wait()
}

func TestItemIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(source.Item{}); size > 40 {
		t.Errorf("an item has %d bytes: 1.28 million of them, without keys, take %d MB", size, size*1281167>>20)
	}
}

// TestMini opens the real photos as folders and packed as archives.
func TestMini(t *testing.T) {
	mini := realdata.Path(t, "ilsvrc-mini")
	a := open(t, mini, source.Options{})
	if n, m := len(a.Splits()[0].Items), len(a.Splits()[1].Items); n != 459 || m != 27 || len(a.Splits()) != 2 || len(a.Classes()) != 1000 {
		t.Fatalf("%d + %d images, %d classes; want 459 + 27, 1000", n, m, len(a.Classes()))
	}
	rows, err := os.ReadFile(filepath.Join(mini, "val_labels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range strings.Split(strings.TrimSpace(string(rows)), "\n") {
		it := a.Splits()[1].Items[i]
		c := a.Classes()[it.Label]
		if got := it.Key + "\t" + c.WNID + "\t" + c.Words; got != row {
			t.Errorf("%q, want %q", got, row)
		}
	}
	tars := t.TempDir()
	var outer, val []string
	classes, err := os.ReadDir(filepath.Join(mini, "train"))
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range classes {
		outer = append(outer, class.Name()+".tar", tarOf(t, filesOf(t, filepath.Join(mini, "train", class.Name()))...))
	}
	val = filesOf(t, filepath.Join(mini, "val"))
	truth, err := os.ReadFile(filepath.Join(mini, truthName))
	if err != nil {
		t.Fatal(err)
	}
	meta, err := os.ReadFile(realdata.Path(t, "ilsvrc-meta/meta.mat"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, tars, "ILSVRC2012_img_train.tar", tarOf(t, outer...), "ILSVRC2012_img_val.tar", tarOf(t, val...),
		devkitName, gzipped(t, tarOf(t, "ILSVRC2012_devkit_t12/data/meta.mat", string(meta), "ILSVRC2012_devkit_t12/data/"+truthName, string(truth))))
	sameSources(t, a, open(t, tars, source.Options{}))
}

// filesOf reads the files of a folder as name, content pairs.
func filesOf(t testing.TB, dir string) (files []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		body, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, e.Name(), string(body))
	}
	return files
}
