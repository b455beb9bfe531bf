package records

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"unsafe"

	"alexnet/records/bucket/buckettest"
)

// aligned returns a copy of data at an address that is a multiple of 8, as
// mapped files are.
func aligned(data []byte) []byte {
	words := make([]uint64, len(data)/8+1)
	c := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words))[:len(data)]
	copy(c, data)
	return c
}

// FuzzOpenShard reads anything as a shard: it must not panic, its errors must
// be of the package's types, and a row must have the pixels that its shape says.
func FuzzOpenShard(f *testing.F) {
	shape := Shape{C: 3, H: 2, W: 3}
	for _, c := range []Compression{None, LZ4, Zstd} {
		for _, p := range []PixelType{Int16, Uint8} {
			for _, n := range []int{0, 1, 3} {
				path := filepath.Join(f.TempDir(), "s.arrow")
				writeShard(f, path, testOptions(p, c, shape), testRecords(n, shape))
				data, err := os.ReadFile(path)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(data)
				f.Add(data[:len(data)/2])
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseShard("s.arrow", aligned(data))
		if err != nil {
			wantTyped(t, err)
			return
		}
		if s.spec.shape.Size() > 1<<16 {
			return // real, but slow to fuzz
		}
		var sc Scratch
		for i := range min(s.rows, 50) {
			s.spans(i, min(i+3, s.rows), i%2 == 0, func(part span) { _ = data[part.lo:part.hi:len(data)] })
			if _, err := s.label(i); err != nil {
				wantTyped(t, err)
			}
			key, kerr := s.key(i)
			if kerr != nil {
				wantTyped(t, kerr)
			}
			if err := s.fetch(i); err != nil {
				wantTyped(t, err)
			}
			row, err := s.row(i, &sc)
			if err != nil {
				wantTyped(t, err)
				continue
			}
			if kerr != nil || key != row.Key {
				t.Fatalf("row %d has the key %q, and alone it is %q, %v", i, row.Key, key, kerr)
			}
			if n := len(row.U8) + len(row.I16); n != s.spec.shape.Size() || (row.U8 == nil) == (row.I16 == nil) {
				t.Fatalf("row %d has %d values, its shape is %v", i, n, s.spec.shape)
			}
			_ = append([]byte(row.Key), byte(len(row.U8)+len(row.I16)))
		}
	})
}

// FuzzOpenObject reads anything as a shard in an object store: rows that can be read
// are those of such a file, errors are of the package's types.
func FuzzOpenObject(f *testing.F) {
	shape := Shape{C: 3, H: 2, W: 3}
	for _, c := range []Compression{None, LZ4, Zstd} {
		path := filepath.Join(f.TempDir(), "s.arrow")
		writeShard(f, path, testOptions(Int16, c, shape), testRecords(3, shape))
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, 3)
		f.Add(data[:len(data)/2], 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, rows int) {
		if rows < 0 || rows > 50 {
			return
		}
		var folder buckettest.Memory
		put(t, &folder, "s.arrow", data)
		m := &Manifest{Shape: shape, Pixels: Int16, Compression: None}
		s, err := homeOf(&folder).openObject(t.Context(), m, ShardInfo{File: "s.arrow", Rows: rows, Bytes: int64(len(data))})
		if err != nil {
			wantTyped(t, err)
			return
		}
		if s.spec.shape.Size() > 1<<16 {
			return // real, but slow to fuzz
		}
		s.remote.ctx = t.Context()
		file, lost := parseShard("s.arrow", aligned(data))
		var sc, other Scratch
		for i := range s.rows {
			_, herr := s.head(i)
			got, err := s.row(i, &sc)
			for _, err := range []error{herr, err} {
				if err != nil {
					wantTyped(t, err)
				}
			}
			if lost != nil || file.rows != rows {
				continue
			}
			want, werr := file.row(i, &other)
			if (err == nil) != (werr == nil) || !reflect.DeepEqual(got, want) {
				t.Fatalf("row %d is %+v, %v; of a file %+v, %v", i, got, err, want, werr)
			}
		}
	})
}

// FuzzReadMean reads anything as a mean picture.
func FuzzReadMean(f *testing.F) {
	path := filepath.Join(f.TempDir(), MeanName)
	if _, err := WriteMean(path, testMean(Int16, Shape{C: 1, H: 2, W: 3})); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMean(MeanName, aligned(data))
		if err == nil {
			err = m.check()
		}
		if err != nil {
			wantTyped(t, faultOf(MeanName, -1, "", err))
		}
	})
}

// FuzzReadManifest reads anything as a manifest. One that is accepted is
// written and read again unchanged.
func FuzzReadManifest(f *testing.F) {
	dir := f.TempDir()
	writeDataset(f, dir, Int16, Zstd, Shape{C: 3, H: 2, W: 3}, testRecords(3, Shape{C: 3, H: 2, W: 3}), 2)
	data, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":"alexnet-records","version":1}`))
	f.Add([]byte(`{"format":"alexnet-records","version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(ManifestName, data)
		if err != nil {
			wantTyped(t, err)
			return
		}
		digest := m.Digest
		again, err := parseManifest(ManifestName, mustJSON(t, m))
		if err != nil {
			t.Fatalf("read again: %v", err)
		}
		if again.Digest != digest {
			t.Fatalf("the digest changed from %s to %s", digest, again.Digest)
		}
	})
}
