// Package cloud opens object stores: s3:// by name or at an endpoint, and folders
// of this machine as file://; gs:// and azblob:// are in builds with the tags gcs
// and azblob.
//
// The requests themselves are gocloud.dev/blob's and the AWS SDK's. What this
// package adds is what a run of days needs of them: attempts that are counted,
// timed and paused between in one place (the SDK's own are off, for attempts of
// attempts multiply), connections that are given up when nothing comes, bodies
// whose length is checked and which go on where they broke off, versions that are
// asked for and compared, uploads that a store refuses when they arrive changed,
// and errors that say what to do.
//
// Put with Create is the store's conditional write (If-None-Match). Amazon's,
// Google's and Azure's stores and most others have it; one that ignores the header
// lets the later of two win, which a client cannot see.
//
// It carries the SDK (16 MB of a program), so only commands import it, through package
// tools/stores; libraries take a bucket.Folder.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"alexnet/records/bucket"
	"alexnet/records/bucket/disk"
)

// Options says how patient a Folder is. Zero fields have defaults.
type Options struct {
	Attempts int           // how often a request is tried; 8
	Limit    time.Duration // so long after the first failure no further attempt is begun; 5 minutes
	Stall    time.Duration // a connection that brings nothing for so long is broken; 30 s
	PartSize int64         // bytes of a part of a large upload; 16 MiB, S3 wants 5 MiB or more

	// Pause waits between attempts, or returns the context's error; by default
	// for as long as it is told. Tests do not wait.
	Pause func(ctx context.Context, d time.Duration) error
}

// defaults fills in what is not set.
func (o Options) defaults() Options {
	if o.Attempts <= 0 {
		o.Attempts = 8
	}
	if o.Limit <= 0 {
		o.Limit = 5 * time.Minute
	}
	if o.Stall <= 0 {
		o.Stall = 30 * time.Second
	}
	if o.PartSize <= 0 {
		o.PartSize = 16 << 20
	}
	if o.Pause == nil {
		o.Pause = pause
	}
	return o
}

// urlStartTable is a scheme of two letters or more (a drive of Windows has one) before
// two slashes, or one of ours: by s3:/bucket nobody means a folder of this machine.
var urlStartTable = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]+://|(?i:s3|gs|azblob|file):)`)

// IsURL says whether s is meant as a URL, of whatever scheme and perhaps malformed, and
// not as a path.
func IsURL(s string) bool { return urlStartTable.MatchString(s) }

// Open opens a folder of a store:
//
//	s3://bucket/prefix?region=…&endpoint=…&use_path_style=true&anonymous=true&profile=…
//	file:///absolute/path
//	gs://bucket/prefix       (build tag gcs)
//	azblob://container/prefix (build tag azblob)
//
// Parameters are those of gocloud.dev's openers. With an endpoint (here or in
// AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL), s3 takes path style, the region
// us-east-1 and no checksums but those that every store knows, where nothing else
// is said. Credentials come from where the AWS tools have them: the environment,
// ~/.aws, or the machine's role; they are looked for here, but neither the bucket
// nor the folder is: a folder need not exist.
func Open(ctx context.Context, address string, options Options) (bucket.Folder, error) {
	u, err := parse(address)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "file" {
		return openDisk(u)
	}
	prefix := strings.Trim(u.Path, "/")
	name := u.Scheme + "://" + u.Host
	if prefix != "" {
		name += "/" + prefix
		if !validName(prefix) {
			return nil, &bucket.Error{Op: "open", Object: name, Attempts: 1, Err: fs.ErrInvalid, Hint: "a prefix has " + nameRule}
		}
		prefix += "/"
	}
	s, hint, err := openStore(ctx, u)
	if err != nil {
		return nil, &bucket.Error{Op: "open", Object: name, Attempts: 1, Err: err, Hint: hint}
	}
	return &folder{store: s, name: name, bucketName: u.Host, prefix: prefix, options: options.defaults()}, nil
}

// parse checks what all URLs have in common. Its errors never show the URL's
// query or user.
func parse(address string) (*url.URL, error) {
	if !IsURL(address) {
		return nil, fmt.Errorf("%q is a path and no URL (s3://bucket/prefix, file:///folder)", address)
	}
	u, err := url.Parse(address)
	if err != nil {
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err
		}
		scheme, _, _ := strings.Cut(address, ":")
		return nil, fmt.Errorf("the %s URL is malformed: %w", scheme, err)
	}
	u.Scheme = strings.ToLower(u.Scheme)
	switch {
	case u.User != nil || strings.Contains(u.Opaque, "@"):
		return nil, fmt.Errorf("%s://%s: a URL is no place for credentials; they belong into the environment or a file (AWS_ACCESS_KEY_ID, AWS_PROFILE)", u.Scheme, u.Host)
	case strings.Contains(address, "#"):
		return nil, fmt.Errorf("%s://%s%s#…: write %%23 for a # in a URL, which would end there", u.Scheme, u.Host, u.Path)
	case u.Scheme == "file":
		return u, nil
	case u.Host == "":
		return nil, fmt.Errorf("%s:%s%s: the bucket's name is missing behind two slashes: %s://bucket/prefix", u.Scheme, u.Opaque, u.Path, u.Scheme)
	case u.Port() != "":
		return nil, fmt.Errorf("%s://%s%s: no bucket's name has a port; a store that is not Amazon's is named so: s3://bucket/prefix?endpoint=http://%s", u.Scheme, u.Host, u.Path, u.Host)
	}
	return u, nil
}

// openStore opens the store of a URL's scheme.
func openStore(ctx context.Context, u *url.URL) (s *store, hint string, err error) {
	switch u.Scheme {
	case "s3":
		return openS3(ctx, u)
	case "gs":
		return openGS(ctx, u)
	case "azblob":
		return openAzure(ctx, u)
	}
	return nil, "", fmt.Errorf("no store has the scheme %q: there are s3, file, gs (build tag gcs) and azblob (build tag azblob)", u.Scheme)
}

// openDisk opens the folder of a file URL.
func openDisk(u *url.URL) (bucket.Folder, error) {
	if u.Host != "" && u.Host != "localhost" {
		return nil, fmt.Errorf("file://%s%s: the folder of another machine (%s); this machine's have three slashes, file:///folder", u.Host, u.Path, u.Host)
	}
	if u.RawQuery != "" || u.ForceQuery {
		return nil, fmt.Errorf("file://%s?…: a file URL has no parameters; write %%3F for a ? in a path", u.Path)
	}
	path := u.Path
	if runtime.GOOS == "windows" {
		path = strings.TrimPrefix(path, "/") // of file:///C:/folder
	}
	if path == "" {
		return nil, errors.New("file://: the folder's path is missing: file:///folder")
	}
	return disk.New(filepath.FromSlash(path)), nil
}
