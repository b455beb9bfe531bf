package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"alexnet/records"
	"alexnet/records/bucket"
	"alexnet/tools/stores"
)

// verifyCommand checks every byte of a data set.
type verifyCommand struct {
	Dir   string `arg:"" help:"Folder that ingest wrote, or its URL (s3://bucket/out)."`
	Quiet bool   `short:"q" help:"Print faults and the last line only."`
}

// verifier returns what verifies the data set, and what is to be done after that. It
// fails where there is no data set, rather than a damaged one.
func (c *verifyCommand) verifier(ctx context.Context) (verify func(each func(file string, err error)) error, done func() error, err error) {
	if !stores.IsURL(c.Dir) {
		if _, err := records.ReadManifest(c.Dir); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		return func(each func(string, error)) error { return records.Verify(ctx, c.Dir, each) }, func() error { return nil }, nil
	}
	f, err := stores.Open(ctx, c.Dir)
	if err != nil {
		return nil, nil, err
	}
	if _, err := records.ReadFolderManifest(ctx, f); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errors.Join(err, f.Close())
	}
	return func(each func(string, error)) error { return records.VerifyFolder(ctx, f, each) }, f.Close, nil
}

// Help returns what --help shows besides the flags.
func (*verifyCommand) Help() string { return "Example:\n  inspect verify out/ --quiet" }

// Run prints a line a file, and fails if any is not as it was written.
func (c *verifyCommand) Run(ctx context.Context, out io.Writer) (err error) {
	verify, done, err := c.verifier(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	files, damaged := map[string]bool{}, map[string]bool{}
	err = verify(func(file string, err error) {
		files[file] = true
		switch {
		case records.IsDamage(err):
			damaged[file] = true
			fmt.Fprintf(out, "BAD  %s: %v\n", file, err)
		case err != nil: // which says nothing of what is in the file
			fmt.Fprintf(out, "?    %s: %v\n", file, err)
		case !c.Quiet:
			fmt.Fprintf(out, "ok   %s\n", file)
		}
	})
	var failed *bucket.Error
	if errors.As(err, &failed) && !records.IsDamage(err) {
		return err // which says nothing of the records
	}
	if len(damaged) > 0 {
		return fmt.Errorf("%s: %d of %d files are damaged: make the records again with ingest --restart and the same --src and options",
			c.Dir, len(damaged), len(files))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: all %d files are as they were written\n", c.Dir, len(files))
	return nil
}
