package stores

import (
	"context"
	"errors"
	"fmt"
	"io"

	"alexnet/records"
	"alexnet/records/bucket/cache"
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
	if !IsURL(where) {
		if c.CacheDir != "" {
			return nil, none, cli.Usagef("--cache-dir %s is for records at a URL, and %s is a folder of this machine", c.CacheDir, where)
		}
		ds, err = records.Open(where)
		return ds, none, err
	}
	if err := Local("--cache-dir", c.CacheDir); err != nil {
		return nil, none, err
	}
	f, err := Open(ctx, where)
	if err != nil {
		return nil, none, err
	}
	done = f.Close
	if c.CacheDir != "" {
		cached, err := cache.New(f, cache.Options{Dir: c.CacheDir, Bytes: int64(c.CacheSize)})
		if err != nil {
			return nil, none, errors.Join(fmt.Errorf("--cache-dir %s: %w", c.CacheDir, err), f.Close())
		}
		f, done = cached, func() error {
			err := cached.Close()
			fmt.Fprintf(tell, "cache:   %s, %s\n", c.CacheDir, told(cached.Stats()))
			return err
		}
	}
	if ds, err = records.OpenFolder(ctx, f); err != nil {
		return nil, none, errors.Join(err, f.Close())
	}
	if c.CacheDir == "" && often {
		fmt.Fprintf(tell, "%s: every epoch reads all of it again but for what memory holds; --cache-dir DIR keeps it on a disk\n", ds.Dir)
	}
	return ds, done, nil
}

// none ends the use of nothing.
func none() error { return nil }

// told says what a cache has done.
func told(s cache.Stats) string {
	text := cli.FormatBytes(s.Kept) + " kept; "
	if reads := s.Hits + s.Misses + s.Passed; reads == 0 {
		text += "nothing was read"
	} else {
		text += fmt.Sprintf("%.1f %% of %d reads were there, %s were fetched", 100*float64(s.Hits)/float64(reads), reads, cli.FormatBytes(s.Fetched))
	}
	for _, part := range []struct {
		count int64
		what  string
	}{
		{s.Passed, "reads went past it, for it is full"},
		{s.Evictions, "blocks of other records made room"},
		{s.Damaged, "blocks were damaged and fetched again"},
		{s.Failures, "blocks could not be kept: the disk is full, or fails"},
	} {
		if part.count > 0 {
			text += fmt.Sprintf("; %d %s", part.count, part.what)
		}
	}
	return text
}
