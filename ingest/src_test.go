package main

import (
	"context"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/records"
	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest/s3server"
	"alexnet/tools/drawn"
	"alexnet/tools/stores"
)

// upload copies a folder's files to a URL.
func upload(t *testing.T, dir, to string) {
	t.Helper()
	ctx := context.Background()
	folder, err := stores.Open(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return folder.Put(ctx, filepath.ToSlash(name), f, info.Size(), bucket.Create)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSourceURL makes the same records of a folder, of its copy in a store, of
// archives there, of one of them by its name, and of a file URL.
func TestSourceURL(t *testing.T) {
	server, err := s3server.New()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	o := drawn.Options{Classes: 2, TrainPerClass: 3, ValPerClass: 2, Seed: 4}
	dir, tars := pictures(t), filepath.Join(t.TempDir(), "tars")
	if err := drawn.WriteTars(context.Background(), tars, o); err != nil {
		t.Fatal(err)
	}
	upload(t, dir, server.URL("a/pictures"))
	upload(t, tars, server.URL("tars"))
	digest := func(args ...string) string {
		t.Helper()
		out := filepath.Join(t.TempDir(), "out")
		if status, _, stderr := ingest(t, append(args, "--out", out, "--size", "16")...); status != 0 {
			t.Fatalf("%v: status %d: %s", args, status, stderr)
		}
		m, err := records.ReadManifest(out)
		if err != nil {
			t.Fatal(err)
		}
		return m.Splits["train"].Shards[0].SHA256
	}
	want := digest("--src", dir)
	file := (&url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(dir), "/")}).String()
	for _, src := range []string{server.URL("a/pictures"), server.URL("tars/"), server.URL("tars/ILSVRC2012_img_train.tar"), file} {
		if got := digest("--src", src); got != want {
			t.Errorf("%s gives other records", src)
		}
	}
	for src, want := range map[string]string{
		server.URL("nowhere"):     "s3://bucket/nowhere: no object has this name, or begins with it and a slash: file does not exist; give the folder",
		"ftp://host/x":            `no store has the scheme "ftp"`,
		"file://host/x":           "another machine (host)",
		file + "?x":               "a file URL has no parameters",
		"s3:/bucket/x":            "the bucket's name is missing behind two slashes",
		"s3://b/x#2?endpoint=h":   "write %23",
		"s3://b/x?endpoint=h:900": "does not begin with http:// or https://",
	} {
		if status, _, stderr := ingest(t, "--src", src, "--out", t.TempDir()); status != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d: %s", src, status, stderr)
		}
	}
}
