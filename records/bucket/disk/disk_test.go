package disk_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest"
	"alexnet/records/bucket/disk"
)

func TestInterface(t *testing.T) {
	if err := buckettest.Check(context.Background(), disk.New(filepath.Join(t.TempDir(), "out"))); err != nil {
		t.Error(err)
	}
}

func TestListHasObjectsOnly(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/x", "b.arrow.tmp-12-345", "c/y.tmp-1-2"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, deep := range []bool{false, true} {
		for info, err := range disk.New(dir).List(context.Background(), "", deep) {
			if err != nil || !strings.HasPrefix(info.Name, "a") {
				t.Errorf("deep %t: %+v, %v", deep, info, err)
			}
		}
	}
}

func TestNames(t *testing.T) {
	f := disk.New(t.TempDir())
	for _, name := range []string{"", ".", "..", "../x", "/x", "a/../b", "a//b", "a/", "x.tmp-1-2"} {
		if err := f.Put(context.Background(), name, strings.NewReader(""), 0, bucket.Replace); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("put %q: %v", name, err)
		}
	}
}

// TestChanges has a file cut while it is read, and replaced.
func TestChanges(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	f := disk.New(dir)
	content := strings.Repeat("x", 100)
	put := func() (io.ReadCloser, bucket.Info) {
		if err := f.Put(ctx, "a", strings.NewReader(content), 100, bucket.Replace); err != nil {
			t.Fatal(err)
		}
		r, info, err := f.Open(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		return r, info
	}
	r, _ := put()
	put2, _ := put()
	put2.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != content {
		t.Errorf("a file that was replaced: %d bytes, %v", len(got), err)
	}
	r.Close()
	r, _ = put()
	defer r.Close()
	if err := os.Truncate(filepath.Join(dir, "a"), 50); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); !errors.Is(err, bucket.ErrChanged) {
		t.Errorf("a file that was cut: %d bytes, %v", len(got), err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	f := disk.New(t.TempDir())
	if err := f.Put(ctx, "a", strings.NewReader("x"), 1, bucket.Create); err != nil {
		t.Fatal(err)
	}
	r, _, err := f.Open(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	if err := f.Put(ctx, "b", strings.NewReader("x"), 1, bucket.Create); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
}
