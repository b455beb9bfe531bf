// Package filelock keeps two processes from working on the same thing: each takes a lock
// on a file of it, which ends with the process, however that ends.
package filelock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// ErrGone says that the file was removed, or its folder, before its lock was had.
var ErrGone = errors.New("the lock was removed")

// Open makes the file at path, if it is not there, and takes its lock until it is closed,
// as Take does. Whoever holds the lock may remove the file: for all who had opened it by
// then the error wraps ErrGone, and they may Open it anew.
func Open(path string, shared bool) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	if err != nil {
		return nil, err
	}
	if !lasting { // nobody could remove it as long as it is open
		return io.NopCloser(nil), f.Close()
	}
	if err := hold(f, path, shared); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// hold takes the lock of f, which must still be the file at path then: a lock that nobody
// else can see is none.
func hold(f *os.File, path string, shared bool) error {
	if err := Take(f, shared); err != nil {
		return err
	}
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(path); err != nil || !os.SameFile(mine, there) {
		return fmt.Errorf("%s: %w", path, ErrGone)
	}
	return nil
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
