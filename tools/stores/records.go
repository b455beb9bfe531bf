package stores

import (
	"context"
	"fmt"
	"io"

	"alexnet/records"
	"alexnet/tools/cli"
)

// Cache is the flags of commands that read records, about those that lie in an
// object store.
type Cache struct {
	CacheDir  string `placeholder:"DIR" help:"Records at a URL: keep what was read of them in DIR, on a disk, for later epochs and runs."`
	CacheSize Size   `default:"100GB" placeholder:"SIZE" help:"The most that --cache-dir may hold (${default})."`
}

// Size is a flag for a number of bytes, such as 100GB.
type Size int64

// UnmarshalText reads it.
func (s *Size) UnmarshalText(text []byte) error {
	bytes, err := cli.ParseBytes(string(text))
	*s = Size(bytes)
	return err
}

// Records opens the records in a folder of this machine or at a URL, such as
// s3://bucket/out, from there through the cache. ctx must last for as long as they
// are used. done, which is never nil, ends that use; it says in a line to tell what
// the cache has done. A URL without a cache is remarked upon, too, for those who read
// records more than once, if often is set.
func Records(ctx context.Context, where string, c Cache, often bool, tell io.Writer) (ds *records.Dataset, done func() error, err error) {
	done = func() error { return nil }
	if !IsURL(where) {
		if c.CacheDir != "" {
			return nil, done, cli.Usagef("--cache-dir %s is for records at a URL, and %s is a folder of this machine", c.CacheDir, where)
		}
		ds, err = records.Open(where)
		return ds, done, err
	}
	f, err := Open(ctx, where)
	if err != nil {
		return nil, done, err
	}
	if c.CacheDir == "" && often {
		fmt.Fprintf(tell, "%s: every epoch reads all of it again but for what memory holds; --cache-dir DIR keeps it on a disk\n", f.Name())
	}
	if ds, err = records.OpenFolder(ctx, f); err != nil {
		_ = f.Close() // after a failure
		return nil, done, err
	}
	return ds, f.Close, nil
}
