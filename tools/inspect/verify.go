package main

import (
	"context"
	"fmt"

	"alexnet/records"
)

// verifyCommand checks every byte of a data set.
type verifyCommand struct {
	Dir   string `arg:"" help:"Folder that ingest wrote."`
	Quiet bool   `short:"q" help:"Print faults and the last line only."`
}

// Run prints a line a file, and fails if any is not as it was written.
func (c *verifyCommand) Run(ctx context.Context) error {
	files, faults := 0, 0
	err := records.Verify(ctx, c.Dir, func(file string, err error) {
		files++
		switch {
		case err != nil:
			faults++
			printf("BAD  %s: %v\n", file, err)
		case !c.Quiet:
			printf("ok   %s\n", file)
		}
	})
	if faults > 0 {
		return fmt.Errorf("%s: %d of %d files are damaged: remove them and run ingest again with the same --src, --out and options", c.Dir, faults, files)
	}
	if err != nil {
		return err
	}
	printf("%s: all %d files are as they were written\n", c.Dir, files)
	return nil
}
