package source

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// pack makes a tar of name, content pairs. A name that ends in a slash is a
// folder, one that begins with @ a link.
func pack(t testing.TB, format tar.Format, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644, Format: format}
		switch {
		case strings.HasSuffix(h.Name, "/"):
			h.Typeflag, h.Size = tar.TypeDir, 0
		case h.Name[0] == '@':
			h.Name, h.Typeflag, h.Linkname, h.Size = h.Name[1:], tar.TypeSymlink, files[i+1], 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(files[i+1])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// writeFile puts a file into a folder that is made as needed.
func writeFile(t testing.TB, data []byte, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

// nestedTar is a training archive of two classes.
func nestedTar(t testing.TB, format tar.Format) []byte {
	return pack(t, format,
		"n01440764.tar", string(pack(t, format, "n01440764_1.JPEG", strings.Repeat("a", 700), "n01440764_2.JPEG", "bb")),
		"n01443537.tar", string(pack(t, format, "n01443537_7.JPEG", strings.Repeat("c", 512))))
}

// scanFile lists an archive and reads every item. Whatever the reach is, the
// outcome is the same.
func scanFile(t testing.TB, file string) (map[string]string, error) {
	t.Helper()
	f, err := openTar(disk{}, file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var l *listing
	for _, how := range []reach{far, {few: blockSize, many: 3 * blockSize, more: 2}, lone, near} {
		before, failed := l, err
		l, err = scanArchive(context.Background(), tarFile{r: f, name: file, size: f.id.Size, reach: how, tars: 2}, Train)
		if how != far && (fmt.Sprint(err) != fmt.Sprint(failed) || fmt.Sprint(l) != fmt.Sprint(before)) {
			t.Errorf("%s with %+v: %v, %v, else %v, %v", file, how, l, err, before, failed)
		}
	}
	if err != nil {
		return nil, err
	}
	got := map[string]string{}
	for i := range l.items {
		body, err := (tarRoot{f}).read(t.Context(), &l.items[i], nil)
		if err != nil {
			return nil, err
		}
		got[l.items[i].Key] = string(body)
	}
	return got, nil
}

func TestTarFormats(t *testing.T) {
	long := "n01440764_" + strings.Repeat("1", 200) + ".JPEG" // needs a header of its own in PAX and GNU
	for _, format := range []tar.Format{tar.FormatUSTAR, tar.FormatPAX, tar.FormatGNU} {
		inner := []string{"./", "", "./n01440764_1.JPEG", strings.Repeat("a", 700), "n01440764_2.jpg", "", "deep/er/n01440764_3.PNG", "x", "README.txt", "no"}
		if format != tar.FormatUSTAR {
			inner = append(inner, long, strings.Repeat("z", 5000))
		}
		file := writeFile(t, pack(t, format, "n01440764.tar", string(pack(t, format, inner...)), "a/", "", "md5sums", "text"), t.TempDir(), "a.tar")
		got, err := scanFile(t, file)
		if err != nil {
			t.Fatalf("%v: %v", format, err)
		}
		want := map[string]string{"n01440764/n01440764_1.JPEG": strings.Repeat("a", 700), "n01440764/n01440764_2.jpg": "", "n01440764/n01440764_3.PNG": "x"}
		if format != tar.FormatUSTAR {
			want["n01440764/"+long] = strings.Repeat("z", 5000)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v: %v, want %v", format, got, want)
		}
	}
}

// TestTarTruncated cuts a tar of tars, and a tar within, at every block: no cut
// may pass as a whole archive with fewer images.
func TestTarTruncated(t *testing.T) {
	dir := t.TempDir()
	outer := nestedTar(t, tar.FormatUSTAR)
	for n := len(outer) - 2*blockSize; n >= 0; n -= blockSize / 2 {
		file := writeFile(t, outer[:n], dir, "ILSVRC2012_img_train.tar")
		got, err := scanFile(t, file)
		malformed, ok := errors.AsType[*MalformedError](err)
		if !ok || !strings.Contains(err.Error(), "is truncated") && !strings.Contains(err.Error(), "is empty (0 bytes)") {
			t.Fatalf("cut at %d of %d: %v, %v; want a *MalformedError", n, len(outer), got, err)
		}
		if want := "; download it again (the original has the MD5 1d675b47d978889d74fa0da5fadfb00e)"; !strings.HasSuffix(err.Error(), want) || malformed.Cause == nil {
			t.Fatalf("cut at %d: %v, want it to end in %q", n, err, want)
		}
	}
	inner := pack(t, tar.FormatUSTAR, "n01440764_1.JPEG", strings.Repeat("a", 700), "n01440764_2.JPEG", "bb")
	for n := len(inner) - 2*blockSize; n >= 0; n -= blockSize / 2 {
		file := writeFile(t, pack(t, tar.FormatUSTAR, "n01443537.tar", string(inner), "n01440764.tar", string(inner[:n])), dir, "own.tar")
		got, err := scanFile(t, file)
		if err == nil || !strings.HasPrefix(err.Error(), file+": n01440764.tar: is ") || !strings.HasSuffix(err.Error(), "; copy or make the archive again") {
			t.Fatalf("inner cut at %d of %d: %v, %v", n, len(inner), got, err)
		}
	}
}

func TestTarCorruptions(t *testing.T) {
	dir := t.TempDir()
	good := nestedTar(t, tar.FormatUSTAR)
	flip := func(offset int) []byte {
		b := bytes.Clone(good)
		b[offset] ^= 0x10
		return b
	}
	hole := append(append(bytes.Clone(good[:len(good)-1024]), make([]byte, 1<<20)...), good...)
	sparse := bytes.Clone(good)
	sparse[156] = 'S' // type flag of the first header
	copy(sparse[257:], "ustar  \x00")
	fixChecksum(sparse[:512])
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"no bytes":        {nil, "is empty (0 bytes)"},
		"no members":      {make([]byte, 10240), "is an empty tar"},
		"text":            {bytes.Repeat([]byte("<!DOCTYPE html>"), 100), "is no tar archive"},
		"short text":      {[]byte("404"), "is truncated"},
		"outer header":    {flip(3), "is no tar archive"},
		"second header":   {flip(512 + 512 + 1024 + 512 + 512 + 1024 + 3), "archive/tar: invalid tar header"},
		"inner header":    {flip(512 + 3), "n01440764.tar: is no tar archive"},
		"hole":            {hole, "is damaged: ends after 2 files at byte"},
		"sparse":          {sparse, "n01440764.tar is stored as a sparse file, which cannot be read in place"},
		"sparse in PAX":   {paxSparse(t), "a.JPEG is stored as a sparse file, which cannot be read in place"},
		"inner empty":     {pack(t, tar.FormatUSTAR, "n01440764.tar", string(pack(t, tar.FormatUSTAR))), "n01440764.tar: is empty"},
		"inner no images": {pack(t, tar.FormatUSTAR, "n01440764.tar", string(pack(t, tar.FormatUSTAR, "a.txt", "x"))), "n01440764.tar: holds no image (.JPEG, .jpg, .png), only other files (a.txt: no image extension)"},
		"inner no tar":    {pack(t, tar.FormatUSTAR, "n01440764.tar", strings.Repeat("x", 2000)), "n01440764.tar: is no tar archive"},
		"mixed":           {pack(t, tar.FormatUSTAR, "n01440764.tar", string(good), "a.JPEG", "x"), "holds tars (n01440764.tar) and images (a.JPEG) side by side"},
		"gzip":            {[]byte("\x1f\x8b\x08rest"), "is compressed (gzip); decompress it: images are read in place, which a compressed tar does not allow"},
		"zip":             {[]byte("PK\x03\x04rest"), "is compressed (zip)"},
	} {
		file := writeFile(t, c.data, dir, "x.tar")
		got, err := scanFile(t, file)
		if err == nil || !strings.HasPrefix(err.Error(), file+": "+c.want) {
			t.Errorf("%s: %v, %v; want %q", name, got, err, c.want)
		}
	}
}

// TestDiskError keeps what the disk does apart from what the archive is.
func TestDiskError(t *testing.T) {
	broken := &fs.PathError{Op: "read", Path: "x.tar", Err: syscall.EIO}
	err := scanTar(context.Background(), failingReaderAt{broken}, 1<<20, near, func(member) error { return nil })
	if !errors.Is(err, syscall.EIO) {
		t.Fatalf("scanTar: %v, want to find EIO in it", err)
	}
	err = archiveFault("x.tar", "n01440764.tar", err)
	if _, ok := errors.AsType[*IOError](err); !ok || err.Error() != "x.tar: "+syscall.EIO.Error()+"; check the disk" {
		t.Errorf("%v, want an *IOError", err)
	}
	short := failingReaderAt{io.EOF} // a file that is cut while it is scanned
	if err := scanTar(context.Background(), short, 1<<20, near, func(member) error { return nil }); err == nil || err.Error() != "is truncated" {
		t.Errorf("cut while scanned: %v", err)
	}
}

type failingReaderAt struct{ err error }

func (r failingReaderAt) ReadAt([]byte, int64) (int, error) { return 0, r.err }

// paxSparse has a member whose records say that it is sparse.
func paxSparse(t testing.TB) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := &tar.Header{Name: "a.JPEG", Size: 1, Format: tar.FormatPAX, PAXRecords: map[string]string{"ALEXNET.padded.x": "1"}}
	if err := errors.Join(w.WriteHeader(h), func() error { _, err := w.Write([]byte("x")); return err }(), w.Close()); err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(b.Bytes(), []byte("ALEXNET.padded.x"), []byte("GNU.sparse.major"), 1)
}

// fixChecksum makes the checksum of a header right again.
func fixChecksum(h []byte) {
	copy(h[148:], "        ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
}

// BenchmarkScan lists a training archive of 10 classes with 1,300 images each.
// The bodies are short, as they are passed over.
func BenchmarkScan(b *testing.B) {
	var outer []string
	for class := range 10 {
		var inner []string
		for i := range 1300 {
			inner = append(inner, fmt.Sprintf("n0144%04d_%d.JPEG", class, i), strings.Repeat("x", 3000))
		}
		outer = append(outer, fmt.Sprintf("n0144%04d.tar", class), string(pack(b, tar.FormatUSTAR, inner...)))
	}
	file := writeFile(b, pack(b, tar.FormatUSTAR, outer...), b.TempDir(), "train.tar")
	b.ReportAllocs()
	var kept uint64
	for b.Loop() {
		before := heap()
		s, err := Open(context.Background(), file, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if n := len(s.Splits()[0].Items); n != 13000 {
			b.Fatalf("%d images", n)
		}
		kept = heap() - before
		s.Close()
	}
	b.ReportMetric(13000*float64(b.N)/b.Elapsed().Seconds(), "images/s")
	b.ReportMetric(float64(kept)/13000, "kept-B/image")
}

// heap is the memory that is in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
