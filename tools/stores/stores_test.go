package stores_test

import (
	"bytes"
	"context"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/records/bucket"
	"alexnet/tools/stores"
)

func TestIsURL(t *testing.T) {
	for s, want := range map[string]bool{
		"s3://bucket/prefix?endpoint=http://localhost:9000": true,
		"file:///folder": true, "gs://b": true, "S3://b": true, "http://x": true, "s3:/bucket": true, "s3:bucket": true,
		"out": false, "/folder/s3://x": false, `C:\out`: false, "c://out": false, "s3/bucket": false, "as3:/bucket": false, "": false, "./s3://x": false,
	} {
		if got := stores.IsURL(s); got != want {
			t.Errorf("IsURL(%q) is %t", s, got)
		}
	}
}

func TestOpenFile(t *testing.T) {
	dir := filepath.ToSlash(filepath.Join(t.TempDir(), "with space"))
	if !strings.HasPrefix(dir, "/") {
		dir = "/" + dir
	}
	ctx := context.Background()
	f, err := stores.Open(ctx, (&url.URL{Scheme: "file", Path: dir}).String())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Put(ctx, "a/b", bytes.NewReader([]byte("x")), 1, bucket.Create); err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(ctx, "a/b"); err != nil || info.Size != 1 {
		t.Errorf("%+v, %v", info, err)
	}
	if f.Name() != "file://"+dir {
		t.Errorf("the folder is called %s", f.Name())
	}
}

func TestOpenRefuses(t *testing.T) {
	for address, want := range map[string]string{
		"folder":                    "is a path and no URL",
		"ftp://host/x":              `no store has the scheme "ftp"`,
		"s3:///prefix":              "s3:/prefix: the bucket's name is missing",
		"s3:/b/x?endpoint=http://h": "s3:/b/x: the bucket's name is missing behind two slashes: s3://bucket/prefix",
		"S3:b/x":                    "s3:b/x: the bucket's name is missing behind two slashes",
		"s3:key:secret@b/x":         "no place for credentials",
		"s3://b/x#2?region=x":       "s3://b/x#…: write %23",
		"s3://b/x/../y":             "open s3://b/x/../y: invalid argument; a prefix has no empty",
		"s3://b/x//y":               "a prefix has no empty",
		"s3://127.0.0.1:90/b/x":     "s3://bucket/prefix?endpoint=http://127.0.0.1:90",
		"file:///folder?x":          "file:///folder?…: a file URL has no parameters",
		"file:///folder?":           "write %3F",
		"file:folder":               "the folder's path is missing: file:///folder",
		"file://host/folder":        "another machine (host)",
		"s3://key:secret@bucket/x":  "no place for credentials",
		"s3://b/x?endpoint=host:90": "does not begin with http:// or https://",
		"s3://b/x?colour=red&anonymous=true&region=x": `unknown query parameter "colour"`,
	} {
		_, err := stores.Open(context.Background(), address)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the secret is in the error: %v", address, err)
		}
	}
}
