package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"alexnet/records"
)

// verifyCommand checks every byte of a data set.
type verifyCommand struct {
	Dir   string `arg:"" help:"Folder that ingest wrote."`
	Quiet bool   `short:"q" help:"Print faults and the last line only."`
}

// Run prints a line a file, and fails if any is not as it was written.
func (c *verifyCommand) Run(ctx context.Context, out io.Writer) error {
	if _, err := records.ReadManifest(c.Dir); errors.Is(err, fs.ErrNotExist) {
		return err // no data set, rather than a damaged one
	}
	files, damaged := 0, map[string]bool{}
	err := records.Verify(ctx, c.Dir, func(file string, err error) {
		switch {
		case err != nil:
			damaged[file] = true
			fmt.Fprintf(out, "BAD  %s: %v\n", file, err)
			return
		case !c.Quiet:
			fmt.Fprintf(out, "ok   %s\n", file)
		}
		files++
	})
	if len(damaged) > 0 {
		return fmt.Errorf("%s: %d of %d files are damaged: make the records again with ingest --restart and the same --src and options",
			c.Dir, len(damaged), files+len(damaged))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: all %d files are as they were written\n", c.Dir, files)
	return nil
}
