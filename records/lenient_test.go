package records

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// openTrain opens the split "train" of the data set in dir.
func openTrain(t testing.TB, dir string) *Split {
	t.Helper()
	ds, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ds.OpenSplit("train")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Keys are those of the rows, read without the pixels.
func TestKey(t *testing.T) {
	encodings(t, func(t *testing.T, p PixelType, c Compression) {
		dir := t.TempDir()
		rows := testRecords(10, testShape)
		writeDataset(t, dir, p, c, testShape, rows, 4)
		s := openTrain(t, dir)
		for i, rec := range rows {
			if key, err := s.Key(i); err != nil || key != rec.Key {
				t.Errorf("key %d is %q, %v, want %q", i, key, err, rec.Key)
			}
		}
		if n := testing.AllocsPerRun(10, func() { s.Key(7); s.Label(7) }); n != 0 {
			t.Errorf("a key and a label cost %v allocations", n)
		}
		if want := testShape.Size() * p.Size(); s.RowBytes() != want || s.Packed() != (c != None) {
			t.Errorf("%d bytes a row, packed %v; want %d, %v", s.RowBytes(), s.Packed(), want, c != None)
		}
		_, err := s.Key(10)
		wantError(t, err, `split "train" has no row 10`)
		if len(s.Broken()) != 0 {
			t.Errorf("broken shards: %v", s.Broken())
		}
	})
}

// Split.Packed looks at the shards, too: the manifest may be wrong.
func TestPackedLooksAtShards(t *testing.T) {
	dir := t.TempDir()
	m := writeDataset(t, dir, Uint8, Zstd, testShape, testRecords(4, testShape), 4)
	m.Compression = None
	if err := os.WriteFile(filepath.Join(dir, ManifestName), mustJSON(t, m), 0o666); err != nil {
		t.Fatal(err)
	}
	if s := openTrain(t, dir); !s.Packed() {
		t.Error("the shard is compressed, and the split says that it is not")
	}
}

// A shard that is lost costs its own rows and no others, and they keep their
// numbers.
func TestOpenSplitLenient(t *testing.T) {
	const shard = "train-00001-of-00003.arrow"
	rows := testRecords(10, testShape)
	corrupt := func(parts ...string) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			wantCorrupt(t, err, shard, 2, parts...)
			if n := strings.Count(err.Error(), shard); n != 1 {
				t.Errorf("error %q names the shard %d times", err, n)
			}
		}
	}
	for _, c := range []struct {
		name   string
		damage func(path string) error
		check  func(*testing.T, error)
	}{
		{"missing", os.Remove, func(t *testing.T, err error) {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v is not fs.ErrNotExist", err)
			}
			wantError(t, err, shard+": row 2: ", "is listed in manifest.json and is not there")
		}},
		{"cut", func(path string) error { return os.Truncate(path, 1000) }, corrupt("it has 1000 bytes, the manifest says ")},
		{"structure", func(path string) error {
			edit(t, path, func(b []byte) []byte { clear(b[len(b)-100:]); return b })
			return nil
		}, corrupt("it does not end with ARROW1")},
		{"a folder", func(path string) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o777))
		}, corrupt("the manifest says ")},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeDataset(t, dir, Int16, None, testShape, rows, 4)
			if err := c.damage(filepath.Join(dir, shard)); err != nil {
				t.Fatal(err)
			}
			ds, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ds.OpenSplit("train"); err == nil {
				t.Error("OpenSplit opens it")
			}
			s, err := ds.OpenSplitLenient("train")
			if err != nil {
				t.Fatal(err)
			}
			wantLost(t, s, rows, ds.Mean.Baseline, c.check)
			if err := errors.Join(s.Close(), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

// wantLost fails unless rows 4 to 7 of the split, a shard, are lost and no
// others. check is called with errors for row 6, row 2 of its shard.
func wantLost(t *testing.T, s *Split, rows []Record, baseline []uint8, check func(*testing.T, error)) {
	t.Helper()
	if s.Len() != len(rows) {
		t.Fatalf("%d rows, want %d", s.Len(), len(rows))
	}
	for i, rec := range rows {
		row, err := s.Row(i, nil)
		_, kerr := s.Key(i)
		_, lerr := s.Label(i)
		if i < 4 || i > 7 {
			if err := errors.Join(err, kerr, lerr); err != nil {
				t.Fatal(err)
			}
			wantRow(t, row, rec, Int16, baseline)
			continue
		}
		for _, err := range []error{err, kerr, lerr} {
			if err == nil {
				t.Fatalf("row %d is there", i)
			}
			if i == 6 {
				check(t, err)
			}
			if !IsDamage(err) {
				t.Errorf("%v is not damage", err)
			}
		}
	}
	if file, row, err := s.Locate(6); file != "train-00001-of-00003.arrow" || row != 2 || err != nil {
		t.Errorf("row 6 is at %s, %d, %v", file, row, err)
	}
	broken := s.Broken()
	if len(broken) != 1 || broken[0].File != "train-00001-of-00003.arrow" || broken[0].First != 4 || broken[0].Rows != 4 || broken[0].Err == nil {
		t.Errorf("broken shards: %+v", broken)
	}
}

// What is not damage is not tolerated.
func TestOpenSplitLenientRefuses(t *testing.T) {
	dir := t.TempDir()
	writeDataset(t, dir, Int16, None, testShape, testRecords(10, testShape), 4)
	edit(t, filepath.Join(dir, "train-00001-of-00003.arrow"), func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte(FormatName), []byte("alexnet-picture"))
	})
	ds, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ds.OpenSplitLenient("train")
	var unsupported *UnsupportedError
	if !errors.As(err, &unsupported) {
		t.Errorf("%v (%T) is no *UnsupportedError", err, err)
	}
	for _, other := range []error{nil, err, &VersionError{}, fs.ErrPermission, syscall.EMFILE, errors.New("some other")} {
		if IsDamage(other) {
			t.Errorf("%v is damage", other)
		}
	}
	for _, damage := range []error{&CorruptError{}, &fs.PathError{Err: &mapFault{cause: err}}, &fs.PathError{Err: syscall.EIO}, missing("x", fs.ErrNotExist)} {
		if !IsDamage(damage) {
			t.Errorf("%v is not damage", damage)
		}
	}
	_, err = ds.OpenSplitLenient("test")
	wantError(t, err, `has no split "test"`)
}
