// Package atomicfile makes files appear whole or not at all.
//
// A file is written under a temporary name in its own folder, flushed to the
// disk, and renamed; then the folder is flushed. Whoever opens the final name
// sees the old content or all of the new, also after a crash or a power cut.
// A process that is killed leaves at most a temporary behind, which IsTemp
// recognises and everybody ignores.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// tempMark stands between a file's name and what makes its temporary unique.
const tempMark = ".tmp-"

// maxTemps bounds the search for a free temporary name.
const maxTemps = 100

// IsTemp says whether name, a path or a file name, is one that this package
// gives to temporaries.
func IsTemp(name string) bool {
	_, suffix, found := strings.Cut(filepath.Base(name), tempMark)
	return found && suffix != "" && strings.Trim(suffix, "0123456789-") == ""
}

// File is a file in the making. Exactly one of Commit and Abort ends it; Abort
// after either does nothing, so it can be deferred. A File is for one
// goroutine.
type File struct {
	path string
	f    *os.File // nil once ended
}

// Create starts a file that Commit will put at path, replacing what is there.
// The folder must exist. Errors wrap *fs.PathError.
func Create(path string) (*File, error) {
	for range maxTemps {
		// Tasks on several machines may write to one folder, and in containers all
		// have the same process number: the random one keeps them apart even where
		// O_EXCL does not hold across machines.
		temp := fmt.Sprintf("%s%s%d-%d", path, tempMark, os.Getpid(), rand.Uint64())
		f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("creating %s: %w", path, err)
		}
		return &File{path: path, f: f}, nil
	}
	return nil, fmt.Errorf("creating %s: %d names for its temporary are taken: %w",
		path, maxTemps, &fs.PathError{Op: "open", Path: path, Err: fs.ErrExist})
}

// Write appends p to the file.
func (a *File) Write(p []byte) (int, error) {
	if a.f == nil {
		return 0, fmt.Errorf("writing %s: %w", a.path, fs.ErrClosed)
	}
	n, err := a.f.Write(p)
	if err != nil {
		err = fmt.Errorf("writing %s: %w", a.path, err)
	}
	return n, err
}

// BlockSize is what the addresses, the places in the file and the lengths of
// direct writes must be multiples of.
const BlockSize = 4096

// Direct says how Write works from now on: through the operating system's cache,
// as at first, or straight to the disk, which spares the processor a copy of
// every byte and leaves the cache to others, but waits for the disk and wants memory,
// places and lengths that are multiples of BlockSize. Not every file system can
// do that: on an error nothing has changed.
func (a *File) Direct(on bool) error {
	if a.f == nil {
		return fmt.Errorf("writing %s: %w", a.path, fs.ErrClosed)
	}
	return setDirect(a.f, on)
}

// Commit flushes the file to the disk and gives it its name. When it fails,
// the temporary is removed and what was at the path before is untouched,
// unless only the last step failed, the flush of the folder: then the new file
// is there, and whether it survives a power cut is not known.
func (a *File) Commit() error { return a.commit(os.Rename) }

// CommitNew is Commit for a file that must be the first of its name: where one
// is there already, also one that came a moment ago, that stays, and the error
// wraps fs.ErrExist. File systems without hard links cannot tell two that come
// in the same moment; the later one stays there.
func (a *File) CommitNew() error {
	return a.commit(func(temp, path string) error {
		err := os.Link(temp, path)
		switch {
		case err == nil:
			return os.Remove(temp)
		case errors.Is(err, fs.ErrExist):
			return err
		}
		if _, err := os.Lstat(path); err == nil {
			return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
		}
		return os.Rename(temp, path)
	})
}

// commit flushes the file and has place put it at its path.
func (a *File) commit(place func(temp, path string) error) error {
	if a.f == nil {
		return fmt.Errorf("finishing %s: %w", a.path, fs.ErrClosed)
	}
	f := a.f
	a.f = nil
	err := f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = place(f.Name(), a.path)
	}
	if err != nil {
		return fmt.Errorf("finishing %s: %w", a.path, errors.Join(err, os.Remove(f.Name())))
	}
	if err := syncDir(filepath.Dir(a.path)); err != nil {
		return fmt.Errorf("finishing %s: flushing its folder: %w", a.path, err)
	}
	return nil
}

// Abort removes the temporary.
func (a *File) Abort() error {
	if a.f == nil {
		return nil
	}
	f := a.f
	a.f = nil
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("giving up %s: %w", a.path, err)
	}
	return nil
}

// Possible tries whether Write could make a file at path, and changes nothing there: for
// whoever has much to do before there is something to write. Errors are those of Create,
// and one that wraps fs.ErrExist where a folder has the name.
func Possible(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("creating %s: %w", path, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist})
	}
	a, err := Create(path)
	if err != nil {
		return err
	}
	return a.Abort()
}

// Write puts at path what fill writes. When fill or the disk fails, nothing
// changes at path and no temporary is left. The writer that fill gets is
// buffered and must not be used after fill returns.
func Write(path string, fill func(io.Writer) error) (err error) {
	a, err := Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Abort()) }()
	w := bufio.NewWriterSize(a, 1<<16)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return a.Commit()
}
