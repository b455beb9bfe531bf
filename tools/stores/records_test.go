package stores_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/tools/stores"
	"alexnet/train/traintest"
)

// fileURL is the URL of a folder of this machine.
func fileURL(dir string) string {
	dir = filepath.ToSlash(dir)
	if !strings.HasPrefix(dir, "/") {
		dir = "/" + dir
	}
	return (&url.URL{Scheme: "file", Path: dir}).String()
}

// Records opens a folder and a URL, and says once what a URL without a cache means.
func TestRecords(t *testing.T) {
	dir := t.TempDir()
	if err := (traintest.Data{Classes: 2, Size: 8, Train: 5, Val: 3}).Make(dir); err != nil {
		t.Fatal(err)
	}
	var keys [2][]string
	for k, where := range []string{dir, fileURL(dir)} {
		var tell bytes.Buffer
		ds, done, err := stores.Records(t.Context(), where, stores.Cache{}, true, &tell)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(tell.String(), "--cache-dir DIR keeps it on a disk\n"); n != k || ds.Remote() != (k == 1) || k == 1 && ds.Dir != where {
			t.Errorf("%s: remote %v, %q", ds.Dir, ds.Remote(), tell.String())
		}
		keys[k] = keysOf(t, ds)
		if err := done(); err != nil {
			t.Error(err)
		}
	}
	if got, want := strings.Join(keys[1], " "), strings.Join(keys[0], " "); got != want || got == "" {
		t.Errorf("the keys are %s, and should be %s", got, want)
	}
}

// What the cache has kept serves the next who opens the records, and it says so.
func TestRecordsThroughCache(t *testing.T) {
	dir, c := t.TempDir(), stores.Cache{CacheDir: filepath.Join(t.TempDir(), "cache"), CacheSize: 1e8}
	if err := (traintest.Data{Classes: 2, Size: 8, Train: 5, Val: 3}).Make(dir); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"80.0 % of 5 reads were there", "100.0 % of 5 reads were there"} {
		var tell bytes.Buffer
		ds, done, err := stores.Records(t.Context(), fileURL(dir), c, true, &tell)
		if err != nil {
			t.Fatal(err)
		}
		if keys := keysOf(t, ds); len(keys) != 5 {
			t.Errorf("keys %v", keys)
		}
		if err := done(); err != nil || strings.Contains(tell.String(), "--cache-dir") || !strings.HasPrefix(tell.String(), "cache:   "+c.CacheDir+", ") || !strings.Contains(tell.String(), " kB kept; ") || !strings.Contains(tell.String(), want) {
			t.Errorf("%v, %q lacks %q", err, tell.String(), want)
		}
	}
	c.CacheSize = 1
	if _, _, err := stores.Records(t.Context(), fileURL(dir), c, true, nil); err == nil || !strings.Contains(err.Error(), "--cache-dir "+c.CacheDir) {
		t.Errorf("a cache of a byte: %v", err)
	}
}

// keysOf reads all rows of the training split.
func keysOf(t *testing.T, ds *records.Dataset) (keys []string) {
	t.Helper()
	split, err := ds.OpenSplit("train")
	if err != nil {
		t.Fatal(err)
	}
	defer split.Close()
	for i := range split.Len() {
		row, err := split.Row(i, nil)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, strings.Clone(row.Key))
	}
	return keys
}

func TestRecordsRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, where := range []string{filepath.Join(dir, "none"), fileURL(filepath.Join(dir, "none"))} {
		var tell bytes.Buffer
		_, done, err := stores.Records(t.Context(), where, stores.Cache{}, true, &tell)
		if !errors.Is(err, fs.ErrNotExist) || done == nil || done() != nil || tell.Len() > 0 {
			t.Errorf("%s: %v", where, err)
		}
	}
	var usage *cli.UsageError
	if _, _, err := stores.Records(t.Context(), dir, stores.Cache{CacheDir: "c"}, false, nil); !errors.As(err, &usage) {
		t.Errorf("a cache for a folder of this machine: %v", err)
	}
	if _, _, err := stores.Records(t.Context(), fileURL(dir), stores.Cache{CacheDir: "s3://b/c"}, false, nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), "--cache-dir s3://b/c") {
		t.Errorf("a cache at a URL: %v", err)
	}
}

func TestSize(t *testing.T) {
	var s stores.Size
	if err := s.UnmarshalText([]byte("2.5GB")); err != nil || s != 2.5e9 {
		t.Errorf("%d, %v", s, err)
	}
	if err := s.UnmarshalText([]byte("much")); err == nil {
		t.Error("much is a size")
	}
}
