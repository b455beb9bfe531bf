package drawn

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"alexnet/ingest/source"
)

// small are options for a set that is drawn quickly.
var small = Options{Classes: 2, TrainPerClass: 2, ValPerClass: 1, Seed: 7}

// TestPixels compares some pictures with what they were: the pixels may not
// depend on the machine, the processor or the version of Go.
func TestPixels(t *testing.T) {
	for class, want := range []string{
		"9b8bb68d807e", "5aaa7adcfedf", "d7fec600ed72", "89d4132268ac", "92788fcea41d",
		"0e26c93b61cd", "509b2c6b164a", "24ba5bb461d5", "53b49baa131d", "4ecfdd5953fb",
		"279012a2ef6c", "d8088f23e6be", "0936b9f7fcb4", "b0a8e0213966", "933c227c6b5b",
		"9370b6d2bab3", "7ce4c2f9364e", "37529ee6bef0", "077bc100f461", "91caca21a914",
	} {
		sum := sha256.New()
		for index := range 2 {
			switch p := Picture(3, class, index).(type) {
			case *image.RGBA:
				fmt.Fprint(sum, p.Rect)
				sum.Write(p.Pix)
			case *image.Gray:
				fmt.Fprint(sum, p.Rect)
				sum.Write(p.Pix)
			}
		}
		if got := hex.EncodeToString(sum.Sum(nil)[:6]); got != want {
			t.Errorf("class %d (%s): pixels have the digest %s, want %s", class, kinds[class].name, got, want)
		}
	}
}

// TestPictures checks sizes, colours and variety over many pictures.
func TestPictures(t *testing.T) {
	const each = 6
	grey, landscape, portrait := 0, 0, 0
	seen := map[string]bool{}
	for class := range MaxClasses {
		for index := range each {
			data, err := JPEG(1, class, index)
			if err != nil {
				t.Fatal(err)
			}
			c, err := jpeg.DecodeConfig(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if c.Width < 150 || c.Width > 500 || c.Height < 150 || c.Height > 500 {
				t.Errorf("class %d, picture %d: %dx%d", class, index, c.Width, c.Height)
			}
			if c.Width > c.Height {
				landscape++
			} else if c.Width < c.Height {
				portrait++
			}
			if len(data) < 2000 || len(data) > 200000 {
				t.Errorf("class %d, picture %d: %d bytes", class, index, len(data))
			}
			if _, ok := Picture(1, class, index).(*image.Gray); ok {
				grey++
			}
			seen[string(data)] = true
		}
	}
	if len(seen) != MaxClasses*each {
		t.Errorf("%d different pictures of %d", len(seen), MaxClasses*each)
	}
	if grey < 3 || grey > 30 || landscape < 20 || portrait < 20 {
		t.Errorf("%d grey, %d landscape, %d portrait of %d pictures", grey, landscape, portrait, MaxClasses*each)
	}
	a, _ := JPEG(1, 3, 5)
	for name, other := range map[string][3]int{"seed": {2, 3, 5}, "class": {1, 4, 5}, "index": {1, 3, 6}} {
		if b, _ := JPEG(uint64(other[0]), other[1], other[2]); bytes.Equal(a, b) {
			t.Errorf("another %s gives the same picture", name)
		}
	}
	if b, _ := JPEG(1, 3, 5); !bytes.Equal(a, b) {
		t.Error("the same picture drawn twice differs")
	}
	for _, class := range []int{-17, 23} { // wrap around
		if b, _ := JPEG(1, class, 5); !bytes.Equal(a, b) {
			t.Errorf("class %d is not class 3", class)
		}
	}
}

// TestShapesCover checks that masks are between nothing and everything, cover a
// share of the picture that can be seen, and that their area is what geometry
// says where that is simple.
func TestShapesCover(t *testing.T) {
	s := scene{w: 300, h: 200, short: 200}
	cover := make([]int32, s.w)
	for class := range kinds {
		for index := range 20 {
			m := kinds[class].paint(newDraws(1, class, index), s)
			sum := 0
			for y := range s.h {
				clear(cover)
				m.row(y, cover)
				for _, c := range cover {
					if c < 0 || c > one {
						t.Fatalf("%s: a cover of %d", kinds[class].name, c)
					}
					sum += int(c)
				}
			}
			if share := float64(sum) / one / float64(s.w*s.h); share < 0.003 || share > 0.9 {
				t.Errorf("%s %d covers %.3f of the picture", kinds[class].name, index, share)
			}
		}
	}
	const r = 80
	for name, c := range map[string]struct {
		inside distance
		area   float64
	}{
		"disc":     {disc, math.Pi * r * r},
		"square":   {square, 2 * r * 11 / 16 * 2 * r * 11 / 16},
		"triangle": {triangle, 3 * math.Sqrt(3) / 4 * r * r},
		"star":     {star, 1.1226 * r * r},
		"ring":     {ring, math.Pi * r * r * (1 - 81./256)},
		"frame":    {frame, 2 * r * 11 / 16 * 2 * r * 11 / 16 * (1 - 25./64)},
	} {
		for a := 0; a < turn; a += 100 {
			list := solids{{x: 150, y: 100, r: r, cos: cos(a), sin: sin(a), inside: c.inside}}
			sum := 0
			for y := range s.h {
				clear(cover)
				list.row(y, cover)
				for _, v := range cover {
					sum += int(v)
				}
			}
			if got := float64(sum) / one; math.Abs(got-c.area) > 0.03*c.area {
				t.Errorf("%s turned by %d/1024: area %.0f, want %.0f", name, a, got, c.area)
			}
		}
	}
}

func TestClasses(t *testing.T) {
	all := Classes(MaxClasses)
	words := map[string]bool{}
	real := map[string]bool{}
	for _, s := range source.ILSVRC2012() {
		real[s.WNID] = true
	}
	for i, c := range all {
		if want := fmt.Sprintf("n990000%02d", i); c.WNID != want || real[c.WNID] || c.Words == "" || words[c.Words] {
			t.Errorf("class %d: %+v", i, c)
		}
		words[c.Words] = true
	}
	if len(Classes(-1)) != 0 || len(Classes(99)) != MaxClasses {
		t.Error("numbers out of range are not cut off")
	}
}

// tree reads a folder: path with slashes to contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestWriteFolder(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "new")
	if err := WriteFolder(ctx, dir, small); err != nil {
		t.Fatal(err)
	}
	got := tree(t, dir)
	for name, at := range map[string][2]int{
		"train/n99000000/n99000000_0.JPEG": {0, 0}, "train/n99000000/n99000000_1.JPEG": {0, 1},
		"train/n99000001/n99000001_0.JPEG": {1, 0}, "train/n99000001/n99000001_1.JPEG": {1, 1},
		"val/n99000000/n99000000_1000000.JPEG": {0, firstVal}, "val/n99000001/n99000001_1000000.JPEG": {1, firstVal},
	} {
		want, err := JPEG(small.Seed, at[0], at[1])
		if err != nil || got[name] != string(want) {
			t.Errorf("%s: %d bytes, want picture %v with %d", name, len(got[name]), at, len(want))
		}
		delete(got, name)
	}
	if len(got) != 1 || got["synset_words.txt"] != "n99000000 disc\nn99000001 triangle\n" {
		t.Errorf("besides the pictures: %v", got)
	}
	err := WriteFolder(ctx, dir, small)
	if want := dir + ": is not empty (synset_words.txt); remove it or name another folder, two sets must not mix"; err == nil || err.Error() != want {
		t.Errorf("second set: %v, want %q", err, want)
	}
}

// TestDevkit checks the labels of a flat validation split, by the shapes in it.
func TestDevkit(t *testing.T) {
	o := small
	o.Devkit, o.ValPerClass = true, 4
	dir := t.TempDir()
	if err := WriteFolder(context.Background(), dir, o); err != nil {
		t.Fatal(err)
	}
	files := tree(t, dir)
	truth := strings.Fields(files["ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"])
	if len(truth) != 8 {
		t.Fatalf("ground truth %v, want 8 lines", truth)
	}
	ids := map[string]int{"449": 0, "450": 1} // devkit ids of n01440764 and n01443537
	next := map[int]map[string]bool{0: {}, 1: {}}
	for class := range next {
		for i := range o.ValPerClass {
			data, err := JPEG(o.Seed, class, firstVal+i)
			if err != nil {
				t.Fatal(err)
			}
			next[class][string(data)] = true
		}
	}
	for i, id := range truth {
		class, ok := ids[id]
		data := files[fmt.Sprintf("val/ILSVRC2012_val_%08d.JPEG", i+1)]
		if !ok || !next[class][data] {
			t.Errorf("image %d with devkit id %s does not show class %d", i+1, id, class)
		}
		delete(next[class], data)
	}
	if strings.Join(truth, " ") == "449 449 449 449 450 450 450 450" {
		t.Error("the validation pictures are in the order of their classes")
	}
	meta, err := source.ReadMeta(strings.NewReader(files["ILSVRC2012_devkit_t12/data/meta.mat"]))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range source.ILSVRC2012() {
		if meta[i] != want {
			t.Fatalf("meta.mat: synset %d is %+v, want %+v", i+1, meta[i], want)
		}
	}
	if len(meta) != 1000 {
		t.Errorf("meta.mat has %d synsets, want 1000", len(meta))
	}
}

// TestTestSplit checks that a test split is flat and mixed, shows pictures of its own,
// and changes nothing in the others.
func TestTestSplit(t *testing.T) {
	for _, devkit := range []bool{false, true} {
		o := small
		o.Devkit = devkit
		without := t.TempDir()
		if err := WriteFolder(context.Background(), without, o); err != nil {
			t.Fatal(err)
		}
		o.TestPerClass = 4
		dir := t.TempDir()
		if err := WriteFolder(context.Background(), dir, o); err != nil {
			t.Fatal(err)
		}
		files, rest := tree(t, dir), tree(t, without)
		class := map[string]int{}
		for c := range o.Classes {
			for i := range o.TestPerClass {
				data, err := JPEG(o.Seed, c, firstTest+i)
				if err != nil {
					t.Fatal(err)
				}
				class[string(data)] = c
			}
		}
		var order []int
		for i := range 8 {
			name := fmt.Sprintf("test/ILSVRC2012_test_%08d.JPEG", i+1)
			c, ok := class[files[name]]
			if !ok {
				t.Errorf("%s shows none of the pictures, or one of them again", name)
			}
			delete(class, files[name])
			delete(files, name)
			order = append(order, c)
		}
		if slices.IsSorted(order) {
			t.Errorf("the test pictures are in the order of their classes: %v", order)
		}
		if !maps.Equal(files, rest) {
			t.Errorf("devkit %t: the other files differ from those of a set without a test split", devkit)
		}
	}
}

// TestTarsAreDeterministic writes the archives twice. That they hold what the
// folders hold, the tests of package source check.
func TestTarsAreDeterministic(t *testing.T) {
	for _, devkit := range []bool{false, true} {
		o := small
		o.Devkit = devkit
		a, b := t.TempDir(), t.TempDir()
		if err := errors.Join(WriteTars(context.Background(), a, o), WriteTars(context.Background(), b, o)); err != nil {
			t.Fatal(err)
		}
		x, y := tree(t, a), tree(t, b)
		if len(x) != 3 {
			t.Errorf("devkit %t: %d files, want 3", devkit, len(x))
		}
		for name := range x {
			if x[name] != y[name] || x[name] == "" {
				t.Errorf("devkit %t: %s differs between two runs, or is empty", devkit, name)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Classes: 0, TrainPerClass: 1}, "Classes is 0, want 1 to 20"},
		{Options{Classes: 21, TrainPerClass: 1}, "Classes is 21, want 1 to 20"},
		{Options{Classes: 1, TrainPerClass: -1}, "TrainPerClass is -1, want 0 to 999999"},
		{Options{Classes: 1, ValPerClass: firstVal}, "ValPerClass is 1000000, want 0 to 999999"},
		{Options{Classes: 1, TrainPerClass: 1, TestPerClass: -1}, "TestPerClass is -1, want 0 to 999999"},
		{Options{Classes: 1}, "TrainPerClass is 0, want a picture in train or val"},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		err := WriteTars(context.Background(), dir, c.o)
		if _, ok := errors.AsType[*OptionsError](err); !ok || err.Error() != c.want {
			t.Errorf("%+v: %v, want the *OptionsError %q", c.o, err, c.want)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%+v: the folder was made", c.o)
		}
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := WriteFolder(cancelled, t.TempDir(), small); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func BenchmarkJPEG(b *testing.B) {
	size := 0
	for i := range b.N {
		data, err := JPEG(1, i, i)
		if err != nil {
			b.Fatal(err)
		}
		size += len(data)
	}
	b.SetBytes(int64(size / b.N))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
}
