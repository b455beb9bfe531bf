package source

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A tree is where a source lies: folders of the operating system, or objects of
// a store. Its paths are what messages show: as the user typed them, or
// addresses of objects. It is looked at while a source is opened, and belongs to
// that; what is read later are its files and roots.
type tree interface {
	// join and dir do what those of package filepath do; names have slashes.
	join(dir string, names ...string) string
	dir(path string) string
	// absolute is the path with all folders above it that there are.
	absolute(path string) (string, error)
	// stat says what lies at a path, through links, and a file's size.
	stat(path string) (entryKind, int64, error)
	// list gives what lies in a folder, sorted by name.
	list(dir string) ([]fs.DirEntry, error)
	// open opens a file for positioned reads. Its errors are complete.
	open(path string) (*file, error)
	// stream opens a file to be read from start to end, and tells its size.
	stream(path string) (io.ReadCloser, int64, error)
	// images reads the files below a folder.
	images(dir string) root
	// scanners is how many folders, or tars in a tar, are scanned at a time. A scan
	// waits for most of its time, above all where there is a network in between.
	scanners() int
	// failed is the first failure of a store: what was found since then may lack
	// something, as whoever asks whether a file is there hears only yes or no.
	failed() error
}

// A file of a tree, open for positioned reads.
type file struct {
	io.ReaderAt
	path   string
	id     archiveID
	closer io.Closer // nil where there is nothing to close
}

// Close closes what was opened.
func (f *file) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// reading gives r with reads that end with ctx, where they take long enough for
// it to matter.
func reading(ctx context.Context, r io.ReaderAt) io.ReaderAt {
	if o, ok := r.(object); ok {
		o.ctx = ctx
		return o
	}
	return r
}

// isRemote says whether each read of r costs a round trip.
func isRemote(r io.ReaderAt) bool {
	_, ok := r.(object)
	return ok
}

// fromStart reads all size bytes of r, in one request where r is an object.
func fromStart(r io.ReaderAt, size int64) (io.ReadCloser, error) {
	if o, ok := r.(object); ok {
		body, _, err := o.stream()
		return body, err
	}
	return io.NopCloser(io.NewSectionReader(r, 0, size)), nil
}

// disk is the tree of the operating system's folders.
type disk struct{}

func (disk) join(dir string, names ...string) string {
	for _, name := range names {
		dir = filepath.Join(dir, filepath.FromSlash(name))
	}
	return dir
}

func (disk) dir(path string) string { return filepath.Dir(path) }

func (disk) absolute(path string) (string, error) { return filepath.Abs(path) }

func (disk) stat(path string) (entryKind, int64, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return kindBroken, 0, err
	case info.IsDir():
		return kindFolder, 0, nil
	case info.Mode().IsRegular():
		return kindFile, info.Size(), nil
	}
	return kindOther, 0, nil
}

func (disk) list(dir string) ([]fs.DirEntry, error) { return os.ReadDir(dir) }

func (disk) open(path string) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &IOError{File: path, Err: cause(err), Hint: "check that the file is there and may be read"}
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, &IOError{File: path, Err: cause(err), Hint: "check the disk"}
	}
	id := archiveID{Name: filepath.Base(path), Size: info.Size(), Modified: info.ModTime().UnixNano()}
	return &file{ReaderAt: f, path: path, id: id, closer: f}, nil
}

func (disk) stream(path string) (io.ReadCloser, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

func (disk) images(dir string) root { return folderRoot{dir} }

func (disk) scanners() int { return 16 }

func (disk) failed() error { return nil }

// isFile says whether path is a regular file, or a link to one.
func isFile(t tree, path string) bool {
	kind, _, err := t.stat(path)
	return err == nil && kind == kindFile
}

// isFolder says whether path is a folder, or a link to one.
func isFolder(t tree, path string) bool {
	kind, _, err := t.stat(path)
	return err == nil && kind == kindFolder
}
