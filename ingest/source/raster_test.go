package source_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"alexnet/ingest/internal/realdata"
	"alexnet/ingest/source"
	"alexnet/records"
)

// cifarFile makes records: labels, then planes whose values tell of the picture,
// the plane and the pixel.
func cifarFile(coarse bool, labels ...byte) string {
	var b bytes.Buffer
	for i, label := range labels {
		if coarse {
			b.WriteByte(label / 5)
		}
		b.WriteByte(label)
		for plane := range 3 {
			for pixel := range 1024 {
				b.WriteByte(byte(i*7 + plane*50 + pixel))
			}
		}
	}
	return b.String()
}

// checkCIFARPicture compares what Read gives with what cifarFile has written.
func checkCIFARPicture(t *testing.T, picture []byte, i int) {
	t.Helper()
	const header = "P6\n32 32\n255\n"
	if !bytes.HasPrefix(picture, []byte(header)) || len(picture) != len(header)+3072 {
		t.Fatalf("%d bytes that begin with %q", len(picture), picture[:min(16, len(picture))])
	}
	for at, v := range picture[len(header):] {
		if want := byte(i*7 + at%3*50 + at/3); v != want {
			t.Fatalf("picture %d: pixel %d, channel %d is %d, want %d", i, at/3, at%3, v, want)
		}
	}
}

// idxFile makes an idx file of bytes.
func idxFile(values string, dimensions ...int) string {
	b := []byte{0, 0, 8, byte(len(dimensions))}
	for _, d := range dimensions {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	return string(b) + values
}

const cifarNames = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n"

// smallCIFAR is a set of two batches and a test batch.
func smallCIFAR(prefix string) []string {
	return []string{
		prefix + "batches.meta.txt", cifarNames, prefix + "data_batch_1.bin", cifarFile(false, 3, 9, 0), prefix + "readme.html", "x",
		prefix + "data_batch_2.bin", cifarFile(false, 1), prefix + "test_batch.bin", cifarFile(false, 8, 8),
	}
}

var smallCIFARItems = []string{
	"train data_batch_1/00000 3 0", "train data_batch_1/00001 9 0", "train data_batch_1/00002 0 0", "train data_batch_2/00000 1 0",
	"val test_batch/00000 8 0", "val test_batch/00001 8 0",
}

// TestCIFAR10 opens the set in each of its forms.
func TestCIFAR10(t *testing.T) {
	const folder = "cifar-10-batches-bin/"
	packed := tarOf(t, smallCIFAR(folder)...)
	loose := open(t, put(t, t.TempDir(), smallCIFAR("")...), source.Options{Layout: source.LayoutCIFAR10})
	if got := list(loose); !slices.Equal(got, smallCIFARItems) {
		t.Fatalf("%q, want %q", got, smallCIFARItems)
	}
	if got := loose.Describe(); !strings.HasSuffix(got, ": train 4 images (2 files, data_batch_1.bin to data_batch_2.bin), val 2 images (test_batch.bin), 10 classes (cifar10)") {
		t.Error(got)
	}
	for name, c := range map[string]struct {
		files []string
		path  string
	}{
		"parent":          {smallCIFAR(folder), ""},
		"gzip":            {[]string{"cifar-10-binary.tar.gz", gzipped(t, packed)}, "cifar-10-binary.tar.gz"},
		"folder of gzip":  {[]string{"cifar-10-binary.tar.gz", gzipped(t, packed)}, ""},
		"tar":             {[]string{"cifar-10-binary.tar", packed}, "cifar-10-binary.tar"},
		"folder of tar":   {[]string{"cifar-10-binary.tar", packed}, ""},
		"other gzip":      {[]string{"download", gzipped(t, packed)}, "download"},
		"other tar":       {[]string{"download", packed}, "download"},
		"both":            {append(smallCIFAR(folder), "cifar-10-binary.tar.gz", "x"), ""},
		"beside pictures": {append(smallCIFAR(""), "more/a.JPEG", "x"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, filepath.Join(put(t, t.TempDir(), c.files...), c.path), source.Options{})
			sameSources(t, loose, s)
			if s.Shape() != (records.Shape{C: 3, H: 32, W: 32}) || !maps.Equal(s.Official(), map[string]int{"train": 50000, "val": 10000}) {
				t.Errorf("shape %v, official %v", s.Shape(), s.Official())
			}
			var names []string
			for _, c := range s.Classes() {
				names = append(names, c.WNID)
			}
			if strings.Join(names, "\n")+"\n\n" != cifarNames {
				t.Errorf("classes %q", names)
			}
			for i := range s.Splits()[0].Items[:3] {
				picture, err := s.Read(ctx, &s.Splits()[0].Items[i], nil)
				if err != nil {
					t.Fatal(err)
				}
				checkCIFARPicture(t, picture, i)
			}
		})
	}
}

func TestCIFAR100(t *testing.T) {
	files := []string{"cifar-100-binary/train.bin", cifarFile(true, 3, 99, 0), "cifar-100-binary/test.bin", cifarFile(true, 42)}
	want := []string{"train train/00000 3 0", "train train/00001 99 0", "train train/00002 0 0", "val test/00000 42 0"}
	for _, dir := range []string{
		put(t, t.TempDir(), files...),
		filepath.Join(put(t, t.TempDir(), files...), "cifar-100-binary"),
		put(t, t.TempDir(), "cifar-100-binary.tar.gz", gzipped(t, tarOf(t, files...))),
		filepath.Join(put(t, t.TempDir(), "c", tarOf(t, files...)), "c"),
	} {
		s := open(t, dir, source.Options{})
		if got := list(s); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		sorted := slices.IsSortedFunc(s.Classes(), func(a, b records.Class) int { return strings.Compare(a.WNID, b.WNID) })
		if c := s.Classes(); len(c) != 100 || !sorted || c[42].WNID != "leopard" || c[99].WNID != "worm" {
			t.Errorf("%d classes, sorted %v, %v, %v", len(c), sorted, c[42], c[99])
		}
		picture, err := s.Read(ctx, &s.Splits()[0].Items[2], nil)
		if err != nil {
			t.Fatal(err)
		}
		checkCIFARPicture(t, picture, 2)
	}
}

// smallMNIST has pictures of 2 rows of 3 pixels.
func smallMNIST(labels string) map[string]string {
	return map[string]string{
		"train-images-idx3-ubyte": idxFile("abcdefABCDEF012345", 3, 2, 3), "train-labels-idx1-ubyte": idxFile("\x05\x00\x09", 3),
		"t10k-images-idx3-ubyte": idxFile("uvwxyz", 1, 2, 3), "t10k-labels-idx1-ubyte": idxFile(labels, 1),
	}
}

// TestMNIST opens the set in each of its forms.
func TestMNIST(t *testing.T) {
	want := []string{"train train/00000 5 0", "train train/00001 0 0", "train train/00002 9 0", "val t10k/00000 7 0"}
	for name, rename := range map[string]func(name, data string) []string{
		"plain": func(name, data string) []string { return []string{name, data} },
		"gzip":  func(name, data string) []string { return []string{name + ".gz", gzipped(t, data)} },
		"dots":  func(name, data string) []string { return []string{strings.Replace(name, "-idx", ".idx", 1), data} },
		"mixed": func(name, data string) []string {
			if strings.Contains(name, "images") {
				return []string{name + ".gz", gzipped(t, data)}
			}
			return []string{name, data, name + ".gz", "not looked at"}
		},
		"packed, not named so": func(name, data string) []string { return []string{name, gzipped(t, data)} },
		"torchvision":          func(name, data string) []string { return []string{"MNIST/raw/" + name, data} },
		"Fashion":              func(name, data string) []string { return []string{"FashionMNIST/raw/" + name, data} },
	} {
		t.Run(name, func(t *testing.T) {
			var files []string
			for name, data := range smallMNIST("\x07") {
				files = append(files, rename(name, data)...)
			}
			s := open(t, put(t, t.TempDir(), files...), source.Options{})
			if got := list(s); !slices.Equal(got, want) {
				t.Fatalf("%q, want %q", got, want)
			}
			if s.Shape() != (records.Shape{C: 1, H: 2, W: 3}) || !maps.Equal(s.Official(), map[string]int{"train": 60000, "val": 10000}) {
				t.Errorf("shape %v, official %v", s.Shape(), s.Official())
			}
			if c := s.Classes(); len(c) != 10 || c[9] != (records.Class{WNID: "9"}) {
				t.Errorf("classes %v", c)
			}
			for split, items := range map[int][]string{0: {"abcdef", "ABCDEF", "012345"}, 1: {"uvwxyz"}} {
				for i, pixels := range items {
					got, err := s.Read(ctx, &s.Splits()[split].Items[i], nil)
					if err != nil || string(got) != "P5\n3 2\n255\n"+pixels || s.Splits()[split].Items[i].Size != int64(len(got)) {
						t.Errorf("%q, %v; want %q", got, err, pixels)
					}
				}
			}
		})
	}
	limited := open(t, put(t, t.TempDir(), "t10k-images-idx3-ubyte", idxFile("uvwxyz", 6, 1, 1), "t10k-labels-idx1-ubyte", idxFile("\x01\x02\x03\x04\x05\x06", 6)), source.Options{Limit: 2})
	if s := limited.Splits(); len(s) != 1 || s[0].Name != source.Val || len(s[0].Items) != 2 || limited.Official() != nil {
		t.Errorf("limited: %v, %v", s, limited.Official())
	}
}

// TestFashionWords tells Fashion-MNIST by how its labels begin.
func TestFashionWords(t *testing.T) {
	labels := "\x09\x00\x00\x03\x00\x02\x07\x02\x05\x05\x00"
	s := open(t, put(t, t.TempDir(), "train-images-idx3-ubyte", idxFile(labels, 11, 1, 1), "train-labels-idx1-ubyte", idxFile(labels, 11)), source.Options{})
	if c := s.Classes()[9]; c != (records.Class{WNID: "9", Words: "ankle boot"}) {
		t.Errorf("%+v", c)
	}
}

// TestReadRaster reads concurrently, into buffers that are used again, and what
// is no longer what it was.
func TestReadRaster(t *testing.T) {
	dir := put(t, t.TempDir(), smallCIFAR("")...)
	for _, path := range []string{dir, filepath.Join(put(t, t.TempDir(), "c.tgz", gzipped(t, tarOf(t, smallCIFAR("")...))), "c.tgz")} {
		s := open(t, path, source.Options{})
		items := s.Splits()[0].Items
		var group sync.WaitGroup
		for worker := range 4 {
			group.Go(func() {
				buf := make([]byte, 0, 8192)
				for n := range 50 {
					i := (n + worker) % 3
					picture, err := s.Read(ctx, &items[i], buf)
					if err != nil || unsafe.SliceData(picture) != unsafe.SliceData(buf) || picture[13] != byte(i*7) || picture[14] != byte(i*7+50) {
						t.Errorf("picture %d: %d bytes, %v", i, len(picture), err)
						return
					}
				}
			})
		}
		group.Wait()
	}
	s := open(t, dir, source.Options{})
	file := filepath.Join(dir, "data_batch_1.bin")
	if err := os.Truncate(file, 5000); err != nil {
		t.Fatal(err)
	}
	_, err := s.Read(ctx, &s.Splits()[0].Items[1], nil)
	if _, ok := errors.AsType[*source.IOError](err); !ok || err.Error() != file+": data_batch_1/00001: is shorter than when it was listed; check that the file is complete and was not changed" {
		t.Error(err)
	}
	s.Close()
	if _, err := s.Read(ctx, &s.Splits()[0].Items[0], nil); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for _, path := range []string{put(t, t.TempDir(), smallCIFAR("")...), put(t, t.TempDir(), "cifar-10-binary.tar.gz", gzipped(t, tarOf(t, smallCIFAR("")...)))} {
		if _, err := source.Open(cancelled, path, source.Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestMemoryOfGzip reads an archive of more than one unit of memory, of pictures
// that lie across two of them.
func TestMemoryOfGzip(t *testing.T) {
	labels := make([]byte, 1000) // 3 MB
	for i := range labels {
		labels[i] = byte(i % 10)
	}
	files := []string{"data_batch_1.bin", cifarFile(false, labels...)}
	plain := open(t, put(t, t.TempDir(), files...), source.Options{})
	sameSources(t, plain, open(t, put(t, t.TempDir(), "cifar-10-binary.tar.gz", gzipped(t, tarOf(t, files...))), source.Options{}))
	if n := len(plain.Splits()[0].Items); n != 1000 {
		t.Errorf("%d pictures", n)
	}
}

// TestRealCIFAR10 opens the real test batch, after undoing how it is packed
// beside the repository: the labels, then for each picture the planes green, red
// minus green and blue minus green, as errors of a prediction from neighbours.
func TestRealCIFAR10(t *testing.T) {
	packed := realdata.Path(t, "cifar10/packed/test_batch.bin.med.xz")
	raw, err := exec.Command("xz", "-dc", packed).Output()
	if err != nil {
		t.Skip("no xz: ", err)
	}
	const n, area = 10000, 1024
	if len(raw) != n*(1+3*area) {
		t.Fatalf("%d bytes", len(raw))
	}
	file := make([]byte, 0, len(raw))
	for i := range n {
		var planes [3][area]byte // green, red, blue
		for p := range planes {
			at := n + (3*i+p)*area
			undoPrediction(planes[p][:], raw[at:at+area])
		}
		for k, green := range planes[0] {
			planes[1][k] += green
			planes[2][k] += green
		}
		file = append(file, raw[i])
		file = append(file, slices.Concat(planes[1][:], planes[0][:], planes[2][:])...)
	}
	names, err := os.ReadFile(filepath.Join(filepath.Dir(packed), "batches.meta.txt"))
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, put(t, t.TempDir(), "test_batch.bin", string(file), "batches.meta.txt", string(names)), source.Options{})
	items := s.Splits()[0].Items
	perClass := make([]int, 10)
	rough := 0 // the sum of steps between neighbours, which is small in photographs
	var picture []byte
	for i := range items {
		perClass[items[i].Label]++
		if picture, err = s.Read(ctx, &items[i], picture); err != nil {
			t.Fatal(err)
		}
		rough += max(int(picture[1600]), int(picture[1603])) - min(int(picture[1600]), int(picture[1603]))
	}
	if s.Splits()[0].Name != source.Val || slices.Max(perClass) != 1000 || slices.Min(perClass) != 1000 || rough/n > 30 {
		t.Errorf("%s: %v of each class, %d from pixel to pixel", s.Splits()[0].Name, perClass, rough/n)
	}
}

// undoPrediction adds to each error what the pixels left, above and between them
// predict: the median of left, above, and the plane through the three.
func undoPrediction(plane, errors []byte) {
	at := func(x, y int) int {
		if x < 0 || y < 0 {
			return 0
		}
		return int(plane[32*y+x])
	}
	for i, e := range errors {
		x, y := i%32, i/32
		left, above := at(x-1, y), at(x, y-1)
		guess := left + above - at(x-1, y-1)
		plane[i] = e + byte(min(max(guess, min(left, above)), max(left, above)))
	}
}

// TestChecksums compares files with published sums.
func TestChecksums(t *testing.T) {
	class := tarOf(t, "n01440764_1.JPEG", "x")
	dir := put(t, t.TempDir(), "ILSVRC2012_img_train.tar", tarOf(t, "n01440764.tar", class))
	var seen []string
	o := source.Options{CheckMD5: true, OnCheck: func(file string, done, size int64) {
		seen = append(seen, fmt.Sprint(filepath.Base(file), done, size))
	}}
	_, err := source.Open(ctx, dir, o)
	if _, ok := errors.AsType[*source.MalformedError](err); !ok || !strings.HasPrefix(err.Error(), filepath.Join(dir, "ILSVRC2012_img_train.tar")+": has the MD5 ") ||
		!strings.HasSuffix(err.Error(), ", published is 1d675b47d978889d74fa0da5fadfb00e (ILSVRC2012); download it again, or leave the check out if the file is meant to differ") {
		t.Error(err)
	}
	if !slices.Equal(seen, []string{"ILSVRC2012_img_train.tar3584 3584"}) {
		t.Errorf("progress %q", seen)
	}
	other := put(t, t.TempDir(), "train.tar", tarOf(t, "n01440764.tar", class), "val/n01440764/a.JPEG", "x")
	if got := open(t, other, o).Describe(); !strings.HasSuffix(got, ", no MD5 published to compare with: train.tar, val/") {
		t.Error(got)
	}
	kit := put(t, t.TempDir(), "val/ILSVRC2012_val_00000010.JPEG", "x", devkitName, gzipped(t, tarOf(t, truthName, elevenLines)))
	if _, err := source.Open(ctx, kit, o); err == nil || !strings.Contains(err.Error(), "published is fa75699e90414af021442c21a62c3abf") {
		t.Error(err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	o.OnCheck = func(string, int64, int64) { cancel() }
	big := put(t, t.TempDir(), "train-images-idx3-ubyte.gz", strings.Repeat("x", 9<<20), "train-labels-idx1-ubyte.gz", "x")
	if _, err := source.Open(cancelled, big, o); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want it to stop", err)
	}
}
