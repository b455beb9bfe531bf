package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A place says where an item's bytes lie: the number of its root (a folder or
// an open tar) in the upper 8 bits, the offset within a tar in the lower 56. For
// an object in a folder of a store these are the stamp of its version.
type place uint64

func at(root int, offset int64) place { return place(root)<<56 | place(offset)&(1<<56-1) }

func (p place) root() int     { return int(p >> 56) }
func (p place) offset() int64 { return int64(p & (1<<56 - 1)) }

// A root is a folder or a tar that holds the items of one split.
type root interface {
	// read returns the bytes of an item, in buf if they fit.
	read(ctx context.Context, it *Item, buf []byte) ([]byte, error)
	// remote says whether read waits for a network.
	remote() bool
	// close releases the open file.
	close() error
}

// A folderRoot reads the files below a folder; an item's key is its path there.
type folderRoot struct{ dir string }

func (r folderRoot) close() error { return nil }
func (r folderRoot) remote() bool { return false }

func (r folderRoot) read(_ context.Context, it *Item, buf []byte) ([]byte, error) {
	name := filepath.Join(r.dir, filepath.FromSlash(it.Key))
	f, err := os.Open(name)
	if err != nil {
		return nil, &IOError{File: name, Err: cause(err), Hint: "check that the file is there and may be read"}
	}
	defer f.Close()
	buf = slices.Grow(buf[:0], int(it.Size)+1)[:it.Size+1]
	n, err := io.ReadFull(f, buf)
	switch {
	case err == nil:
		return nil, &IOError{File: name, Err: fmt.Errorf("has more than the %d bytes it had when listed", it.Size), Hint: "leave the source alone while it is read"}
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &IOError{File: name, Err: cause(err), Hint: "check the disk"}
	case int64(n) < it.Size:
		return nil, &IOError{File: name, Err: fmt.Errorf("has %d bytes, %d when listed", n, it.Size), Hint: "leave the source alone while it is read"}
	}
	return buf[:n], nil
}

// A tarRoot reads members of an open tar, or of tars in it, by position.
type tarRoot struct{ f *file }

func (r tarRoot) close() error { return r.f.Close() }
func (r tarRoot) remote() bool { return isRemote(r.f.ReaderAt) }

func (r tarRoot) read(ctx context.Context, it *Item, buf []byte) ([]byte, error) {
	buf = slices.Grow(buf[:0], int(it.Size))[:it.Size]
	if _, err := reading(ctx, r.f.ReaderAt).ReadAt(buf, it.at.offset()); err != nil {
		if ended(err) {
			err = errors.New("is shorter than when it was listed")
		}
		return nil, ioError(r.f.path+": "+it.Key, err, "check that the archive is complete and was not changed")
	}
	return buf, nil
}

// cause strips the operation and path of an operating system's error, which the
// errors of this package name themselves.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// ioError says that a file could not be read. An error of a store says it all
// already, and the context's is no fault of the file.
func ioError(file string, err error, hint string) error {
	if e, ok := errors.AsType[*IOError](err); ok {
		return e
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &IOError{File: file, Err: cause(err), Hint: hint}
}

// ended says whether a read met the end of what it reads. A failure of a store
// may wrap the end of a connection, which is another matter.
func ended(err error) bool {
	if _, ok := errors.AsType[*IOError](err); ok {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isNotDir says whether a path leads through a file as if it were a folder.
func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// hasImageName says whether a file counts as an image by its extension, in any
// case. What is in it, the decoder finds out.
func hasImageName(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpeg", ".jpg", ".png":
		return true
	}
	return false
}
