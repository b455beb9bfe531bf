package convert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"alexnet/ingest/source"
	"alexnet/records"
	"alexnet/tools/drawn"
)

// small is the set of the tests: 24 training and 9 validation pictures of 3
// classes, labelled by a devkit.
func small() drawn.Options {
	return drawn.Options{Classes: 3, TrainPerClass: 8, ValPerClass: 3, Seed: 5, Devkit: true}
}

// folder draws a set into a folder.
func folder(t testing.TB, o drawn.Options) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pictures")
	if err := drawn.WriteFolder(context.Background(), dir, o); err != nil {
		t.Fatal(err)
	}
	return dir
}

// drawnOnce holds the small set for all tests that do not change it.
var drawnOnce struct {
	sync.Once
	dir string
	err error
}

// smallSource opens the small set, which is drawn once.
func smallSource(t testing.TB) source.Source {
	t.Helper()
	drawnOnce.Do(func() {
		if drawnOnce.dir, drawnOnce.err = os.MkdirTemp("", "drawn"); drawnOnce.err == nil {
			drawnOnce.err = drawn.WriteFolder(context.Background(), drawnOnce.dir, small())
		}
	})
	if drawnOnce.err != nil {
		t.Fatal(drawnOnce.err)
	}
	return open(t, drawnOnce.dir, source.Options{})
}

// open opens a source for the length of the test.
func open(t testing.TB, path string, o source.Options) source.Source {
	t.Helper()
	src, err := source.Open(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

// config is a quick job of several shards: 5 or 6 pictures of 16x16 each.
func config(src source.Source, out string) Config {
	return Config{Source: src, Out: out, Size: 16, ShardBytes: 6 * 3 * 16 * 16 * 2, Seed: 11, MaxRejects: DefaultMaxRejects}
}

// convert runs a job that must succeed.
func convert(t testing.TB, cfg Config) Summary {
	t.Helper()
	s, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Splits {
		if c.Seen != c.Written+c.Rejected {
			t.Errorf("%s: %d seen, %d written, %d rejected", c.Name, c.Seen, c.Written, c.Rejected)
		}
	}
	return s
}

// tree returns the digests of all files below dir.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		sum := sha256.Sum256(data)
		name, _ := filepath.Rel(dir, path)
		files[name] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// sameTree compares all files of two outputs, byte for byte.
func sameTree(t *testing.T, what, got, want string) {
	t.Helper()
	a, b := tree(t, got), tree(t, want)
	if names := slices.Sorted(maps.Keys(a)); !slices.Equal(names, slices.Sorted(maps.Keys(b))) {
		t.Errorf("%s: files %v, want %v", what, names, slices.Sorted(maps.Keys(b)))
		return
	}
	for name, sum := range b {
		if a[name] != sum {
			t.Errorf("%s: %s differs", what, name)
		}
	}
}

// row is a stored picture with its raw pixels.
type row struct {
	records.Row
	pixels []uint8
}

// rows reads a split back, with the raw pixels.
func rows(t testing.TB, dir, split string) []row {
	t.Helper()
	ds, err := records.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ds.OpenSplit(split)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all := make([]row, s.Len())
	var scratch records.Scratch
	for i := range all {
		r, err := s.Row(i, &scratch)
		if err != nil {
			t.Fatal(err)
		}
		raw := make([]uint8, ds.Manifest.Shape.Size())
		for k := range raw {
			if r.I16 != nil {
				raw[k] = uint8(int(r.I16[k]) + int(ds.Mean.Baseline[k]))
			} else {
				raw[k] = r.U8[k]
			}
		}
		r.Key, r.I16, r.U8 = strings.Clone(r.Key), slices.Clone(r.I16), slices.Clone(r.U8) // they were borrowed
		all[i] = row{Row: r, pixels: raw}
	}
	return all
}

// damage overwrites a file of the source.
func damage(t testing.TB, dir, pattern string, data []byte) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("no file %s in %s (%v)", pattern, dir, err)
	}
	if err := os.WriteFile(found[0], data, 0o666); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(found[0])
}

// wrapped is a source whose Read can be disturbed.
type wrapped struct {
	source.Source
	before func(*source.Item) error
}

func (w *wrapped) Read(ctx context.Context, it *source.Item, buf []byte) ([]byte, error) {
	if err := w.before(it); err != nil {
		return nil, err
	}
	return w.Source.Read(ctx, it, buf)
}

// slowly makes every read take a while.
func slowly(src source.Source, d time.Duration) source.Source {
	return &wrapped{src, func(*source.Item) error {
		time.Sleep(d)
		return nil
	}}
}
