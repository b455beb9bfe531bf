package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"path"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

// Every reader has a target here. None may panic or hang, and none may ask for
// memory because of a number in a file that the file's length does not bear out:
// withinMemory checks that. What they accept must be consistent.

// withinMemory runs f, and fails where it allocates more than 64 MB in all, which
// is far more than the small inputs of a fuzzer can need.
func withinMemory(t *testing.T, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%d MB allocated", n>>20)
	}
}

// checkTyped fails for an error that is none of the package's three.
func checkTyped(t *testing.T, err error) {
	t.Helper()
	_, io := errors.AsType[*IOError](err)
	_, malformed := errors.AsType[*MalformedError](err)
	_, unsupported := errors.AsType[*UnsupportedError](err)
	if !io && !malformed && !unsupported {
		t.Errorf("the error %v is a %T", err, err)
	}
}

func FuzzTar(f *testing.F) {
	f.Add(nestedTar(f, tar.FormatUSTAR))
	f.Add(nestedTar(f, tar.FormatPAX))
	f.Add(pack(f, tar.FormatGNU, "ILSVRC2012_val_00000001.JPEG", "x", "@ILSVRC2012_val_00000002.JPEG", "y", ".hidden.JPEG", ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		end := int64(0)
		err := scanTar(context.Background(), bytes.NewReader(data), int64(len(data)), reach{few: blockSize, many: 2 * blockSize, more: 2}, func(m member) error {
			if m.size < 0 || m.offset < end || m.offset+m.size > int64(len(data)) {
				t.Errorf("%q at %d with %d bytes lies outside of what is left", m.name, m.offset, m.size)
			}
			end = m.offset + m.size
			return nil
		})
		if err == nil && end > int64(len(data)) {
			t.Errorf("ends at %d of %d", end, len(data))
		}
	})
}

// fuzzArchive lists data as an archive of a split and reads what it lists.
func fuzzArchive(t *testing.T, data []byte, name string) {
	withinMemory(t, func() {
		l, err := scanArchive(context.Background(), tarFile{r: bytes.NewReader(data), name: name, size: int64(len(data)), reach: near, tars: 16}, Train)
		if err != nil {
			checkTyped(t, err)
			return
		}
		for i := range l.items {
			it := &l.items[i]
			if it.at.offset() < 0 || it.Size < 0 || it.at.offset()+it.Size > int64(len(data)) || !hasImageName(path.Base(it.Key)) {
				t.Errorf("%+v in %d bytes", *it, len(data))
			}
		}
	})
}

func FuzzTarOfTars(f *testing.F) {
	f.Add(nestedTar(f, tar.FormatUSTAR), false)
	f.Add(nestedTar(f, tar.FormatPAX), true)
	f.Add(pack(f, tar.FormatGNU, "n01440764.tar", "", "n01443537.tar", string(pack(f, tar.FormatGNU)), "n00007846.tar", string(pack(f, tar.FormatGNU, "a.JPEG", "x"))), true)
	f.Add(pack(f, tar.FormatUSTAR, "a.tar", strings.Repeat("x", 600)), false)
	f.Fuzz(func(t *testing.T, data []byte, whole bool) {
		name := "ILSVRC2012_img_train.tar"
		if whole {
			name = "fall11_whole.tar"
		}
		fuzzArchive(t, data, name)
	})
}

func FuzzFlatTar(f *testing.F) {
	f.Add(pack(f, tar.FormatUSTAR, "ILSVRC2012_val_00000001.JPEG", "x", "ILSVRC2012_val_00000002.JPEG", strings.Repeat("y", 1000)))
	f.Add(pack(f, tar.FormatPAX, "train/n01440764/a.png", "x", "b.JPEG", "", "c/d.jpg", "x"))
	f.Add(pack(f, tar.FormatGNU, "@ILSVRC2012_val_00000002.JPEG", "y", ".hidden.JPEG", "", strings.Repeat("a", 150)+".JPEG", "x"))
	f.Add(paxSparse(f))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzArchive(t, data, "val.tar") })
}

func FuzzTruth(f *testing.F) {
	f.Add([]byte("490\n361\n171\n"))
	f.Add([]byte("1\r\n1000\r\n"))
	f.Add([]byte("1\n\n2"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var kit devkit
		if err := kit.takeTruth("truth", data); err != nil {
			if kit.present() {
				t.Errorf("a ground truth with the error %v was kept", err)
			}
			return
		}
		for i, id := range kit.truth {
			if _, ok := officialByID(id); !ok {
				t.Errorf("line %d: devkit id %d", i+1, id)
			}
		}
	})
}

func FuzzMeta(f *testing.F) {
	f.Add(handMade(binary.LittleEndian, "IM"))
	f.Add(handMade(binary.BigEndian, "MI"))
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	z.Write(handMade(binary.LittleEndian, "IM")[128:])
	z.Close()
	m := &matWriter{order: binary.LittleEndian}
	m.Write(handMade(binary.LittleEndian, "IM")[:128])
	m.element(miCOMPRESSED, b.Bytes())
	f.Add(m.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		var synsets []Synset
		var err error
		withinMemory(t, func() { synsets, err = parseMeta(data) })
		if err != nil && synsets != nil {
			t.Errorf("%d synsets beside the error %v", len(synsets), err)
		}
		for i, s := range synsets {
			if s.ID < 1 {
				t.Errorf("synset %d has id %d", i, s.ID)
			}
		}
	})
}

// packed gzips.
func packed(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// inMemory is a file of data.
func inMemory(data []byte, base string) *pixelFile {
	return &pixelFile{name: base, base: base, r: bytes.NewReader(data), size: int64(len(data))}
}

func FuzzIdx(f *testing.F) {
	pictures := []byte("\x00\x00\x08\x03\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x03abcdef")
	labels := []byte("\x00\x00\x08\x01\x00\x00\x00\x02\x05\x09")
	f.Add(pictures, labels)
	f.Add(packed(f, pictures), packed(f, labels))
	f.Add(pictures, packed(f, labels)[:20])
	f.Add([]byte("\x00\x00\x08\x03\x01\x00\x00\x00\x00\x00\x10\x00\x00\x00\x10\x00"), []byte("\x00\x00\x08\x01\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, pictures, labels []byte) {
		withinMemory(t, func() {
			file, size, err := inMemory(pictures, "images").idx(context.Background(), idxPictures)
			if err != nil {
				checkTyped(t, err)
			} else if int64(16+size[0]*size[1]*size[2]) != file.size {
				t.Errorf("%v in %d bytes", size, file.size)
			}
			kinds, n, err := inMemory(labels, "labels").idx(context.Background(), idxLabels)
			if err == nil {
				_, err = kinds.labels(n[0])
			}
			if err != nil {
				checkTyped(t, err)
			}
		})
	})
}

func FuzzCIFAR(f *testing.F) {
	f.Add(append([]byte{9}, make([]byte, 3072)...), false)
	f.Add(append([]byte{19, 99}, make([]byte, 3072)...), true)
	f.Add(bytes.Repeat([]byte{10}, 2*3073), false)
	f.Add([]byte("short"), false)
	f.Fuzz(func(t *testing.T, data []byte, fine bool) {
		format := cifar10
		if fine {
			format = cifar100
		}
		l, r := newListing(Train), newRasterRoot(inMemory(data, "data_batch_1.bin"), cifarShape)
		withinMemory(t, func() {
			if err := format.scan(context.Background(), r, 0, l); err != nil {
				checkTyped(t, err)
				return
			}
			if int64(len(l.items))*format.record() != int64(len(data)) {
				t.Errorf("%d pictures in %d bytes", len(l.items), len(data))
			}
			for i := range l.items {
				it := &l.items[i]
				picture, err := r.read(t.Context(), it, nil)
				if err != nil || int(it.Label) >= len(format.classes) || picture[len(picture)-1] != data[(int64(i)+1)*format.record()-1] {
					t.Errorf("%+v: %d bytes, %v", *it, len(picture), err)
				}
			}
		})
	})
}

func FuzzCIFARArchive(f *testing.F) {
	record := string(make([]byte, 3073))
	set := pack(f, tar.FormatUSTAR, "cifar-10-batches-bin/", "", "cifar-10-batches-bin/batches.meta.txt", strings.Join(cifar10.classes, "\n"),
		"cifar-10-batches-bin/data_batch_1.bin", record, "cifar-10-batches-bin/test_batch.bin", record)
	f.Add(set, false)
	f.Add(set, true)
	f.Add(set[:3000], true)
	f.Add(pack(f, tar.FormatPAX, "batches.meta.txt", "airplane\nauto"), true)
	f.Add(pack(f, tar.FormatGNU, "data_batch_1.bin", "", "data_batch_1.bin", ""), true)
	f.Fuzz(func(t *testing.T, data []byte, stream bool) {
		set := &cifarSet{cifarFormat: cifar10, archive: "c.tar"}
		withinMemory(t, func() {
			var files []*pixelFile
			var err error
			if stream { // as it comes out of gzip
				files, err = set.unpackTar(context.Background(), tar.NewReader(bytes.NewReader(data)), 8<<20)
			} else {
				files, err = set.openTar(context.Background(), inMemory(data, "c.tar"))
			}
			if err != nil {
				checkTyped(t, err)
			} else if len(files) == 0 {
				t.Error("no file and no error")
			}
		})
	})
}

func FuzzSolution(f *testing.F) {
	f.Add([]byte(solutionHeader + "\nILSVRC2012_val_00048981,n03995372 85 1 499 272 \n"))
	f.Add([]byte("\ufeff" + solutionHeader + "\r\na,n01440764\r\n\r\nb,n01440764 1 2 3 4 n01440764 1 2 3 4"))
	f.Add([]byte(solutionHeader + "\na,n01440764\na,n01440764\n"))
	f.Add([]byte("a,b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		withinMemory(t, func() {
			s, err := parseSolution(bytes.NewReader(data), "s.csv")
			if err != nil {
				checkTyped(t, err)
				return
			}
			for id, of := range s.of {
				if id == "" || !isWNID(of.wnid) || of.line < 2 || of.line > bytes.Count(data, []byte("\n"))+1 {
					t.Errorf("%q: %+v", id, of)
				}
			}
		})
	})
}

func FuzzClasses(f *testing.F) {
	f.Add([]byte("n01440764 tench, Tinca tinca\nn01443537\tgoldfish\n"))
	f.Add([]byte("\ufeff# classes\n\n  dogs\r\ncats"))
	f.Add([]byte("dogs\na/b\n"))
	f.Add([]byte("dogs\ndogs\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		withinMemory(t, func() {
			classes, err := parseClasses(bytes.NewReader(data), "list", "")
			if err != nil {
				checkTyped(t, err)
				return
			}
			for i, c := range classes {
				if c.WNID == "" || !utf8.ValidString(c.WNID+c.Words) || strings.ContainsAny(c.WNID, "/\\ \t\n") || i > 0 && c.WNID <= classes[i-1].WNID {
					t.Errorf("class %d is %q", i, c.WNID)
				}
			}
		})
	})
}

// TestUnpackLimit has gzip files whose contents would take too much memory.
func TestUnpackLimit(t *testing.T) {
	const want = ": holds too much to be unpacked into memory; unpack it"
	zeros := inMemory(packed(t, make([]byte, 3<<20)), "t10k-images-idx3-ubyte.gz")
	if _, err := unpack(context.Background(), zeros, 2<<20); err == nil || err.Error() != zeros.name+want {
		t.Errorf("idx: %v", err)
	}
	archive := inMemory(packed(t, pack(t, tar.FormatUSTAR, "data_batch_1.bin", string(make([]byte, 2<<20)), "data_batch_2.bin", string(make([]byte, 2<<20)))), "c.tar.gz")
	set := &cifarSet{cifarFormat: cifar10, archive: archive.name}
	if _, err := set.unpackArchive(context.Background(), archive, 3<<20); err == nil || err.Error() != archive.name+want {
		t.Errorf("archive: %v", err)
	}
	if files, err := set.unpackArchive(context.Background(), archive, 4<<20); err != nil || len(files) != 2 || files[1].size != 2<<20 {
		t.Errorf("within the limit: %d files, %v", len(files), err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := unpack(cancelled, zeros, 4<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want it to stop", err)
	}
	wrong := packed(t, make([]byte, 1000))
	wrong[len(wrong)-5] ^= 1 // of the checksum
	if _, err := unpack(context.Background(), inMemory(wrong, "t.gz"), 4<<20); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("%v, want a wrong checksum", err)
	}
}
