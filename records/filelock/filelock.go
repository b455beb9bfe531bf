// Package filelock keeps two processes from working on the same thing: each takes a lock
// on a file of it, which ends with the process, however that ends.
package filelock

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// Open makes the file at path, if it is not there, and takes its lock until it is closed.
// Errors are those of Take.
func Open(path string, shared bool) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := Take(f, shared); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Take takes the lock of a file that is open for reading and writing, until it is closed:
// alone, or together with all others that share it. It does not wait: the error wraps
// ErrLocked where another process holds it. Systems and file systems without locks that end
// with the process are used without.
func Take(f *os.File, shared bool) error {
	if !take(f, shared) {
		return fmt.Errorf("%s: %w", f.Name(), ErrLocked)
	}
	return nil
}
