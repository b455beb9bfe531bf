package main

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"

	"alexnet/ingest/source"
	"alexnet/tools/stores"
)

// openSource opens the pictures at a path of this machine or at a URL, and gives
// the function that closes them.
//
// A store is opened as the whole bucket: what the URL names may be an archive, and
// Kaggle's lists lie above the folder of its pictures. Asked for are only objects
// that are needed, so that it does not take more rights.
func openSource(ctx context.Context, src string, o source.Options) (source.Source, func() error, error) {
	if !stores.IsURL(src) {
		return openPath(ctx, src, o)
	}
	u, err := url.Parse(src)
	if err == nil && strings.EqualFold(u.Scheme, "file") && (u.Host == "" || u.Host == "localhost") && u.Path != "" && !strings.ContainsAny(src, "?#") {
		return openPath(ctx, pathOf(u), o)
	}
	bucket, name := src, ""
	if err == nil && u.Host != "" {
		name = strings.Trim(u.Path, "/")
		u.Path, u.RawPath = "", ""
		bucket = u.String()
	}
	folder, err := stores.Open(ctx, bucket) // also what is wrong with a URL is its to say
	if err != nil {
		return nil, nil, err
	}
	s, err := source.OpenFolder(ctx, folder, name, o)
	if err != nil {
		return nil, nil, errors.Join(err, folder.Close())
	}
	return s, func() error { return errors.Join(s.Close(), folder.Close()) }, nil
}

// openPath opens the pictures at a path.
func openPath(ctx context.Context, path string, o source.Options) (source.Source, func() error, error) {
	s, err := source.Open(ctx, path, o)
	if err != nil {
		return nil, nil, err
	}
	return s, s.Close, nil
}

// pathOf is the path that a file URL names.
func pathOf(u *url.URL) string {
	path := u.Path
	if runtime.GOOS == "windows" {
		path = strings.TrimPrefix(path, "/") // of file:///C:/folder
	}
	return filepath.FromSlash(path)
}
