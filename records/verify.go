package records

import (
	"context"
	"errors"
)

// Verify reads all of the data set in dir and checks it: the manifest, the
// SHA-256 of the mean picture and of every shard, and the checksum of every
// row. It calls each, from one goroutine at a time and in the manifest's
// order, for every file: with a nil error when it is whole, else once for each
// fault, which names the row where there is one.
//
// It returns nil when all is well, the first fault otherwise (saying how many
// there are), and the context's error when that ended the work.
func Verify(ctx context.Context, dir string, each func(file string, err error)) error {
	return errors.ErrUnsupported
}
