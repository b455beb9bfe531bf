// Package disk is a folder of this machine, or of a file system that it has
// mounted, as a bucket.Folder: what file:// names, and the simplest store there is.
//
// It keeps a store's promises: an object appears whole (package atomicfile writes
// it), the first who makes one wins, and a reader that finds another file under
// the name says so. Names are paths as they are. What the file system fails at is
// final: nothing is tried again.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"alexnet/records/atomicfile"
	"alexnet/records/bucket"
)

// copyBuffer is how much Put copies at a time.
const copyBuffer = 1 << 20

// Folder is a folder of the file system. It need not exist until Put makes it.
type Folder struct{ root string }

var _ bucket.Folder = (*Folder)(nil)

// New returns the folder at path.
func New(path string) *Folder { return &Folder{filepath.Clean(path)} }

// Name implements bucket.Folder.
func (d *Folder) Name() string {
	path := filepath.ToSlash(d.root)
	if !strings.HasPrefix(path, "/") && filepath.IsAbs(d.root) {
		path = "/" + path // C:/folder
	}
	return "file://" + path
}

// Close implements bucket.Folder.
func (d *Folder) Close() error { return nil }

// fail makes an error of the interface's kind.
func (d *Folder) fail(op, name string, err error) error {
	hint := ""
	if errors.Is(err, fs.ErrPermission) {
		hint = "the user of this process may not do that there"
	}
	object := d.Name()
	if name != "" {
		object += "/" + name
	}
	return &bucket.Error{Op: op, Object: object, Attempts: 1, Err: err, Hint: hint}
}

// path returns where an object lies.
func (d *Folder) path(ctx context.Context, op, name string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	local := filepath.FromSlash(name)
	if !fs.ValidPath(name) || name == "." || !filepath.IsLocal(local) || atomicfile.IsTemp(local) {
		return "", d.fail(op, name, fmt.Errorf("%q is no name for an object: %w", name, fs.ErrInvalid))
	}
	return filepath.Join(d.root, local), nil
}

// describe describes a file. Every change of its content that is made as this
// package makes it gives another file; size and time catch most of the others.
func describe(name string, info fs.FileInfo) bucket.Info {
	return bucket.Info{
		Name: name, Size: info.Size(), Modified: info.ModTime(),
		Version: fmt.Sprintf("%x-%x-%x", info.Size(), info.ModTime().UnixNano(), number(info)),
	}
}

// Stat implements bucket.Folder.
func (d *Folder) Stat(ctx context.Context, name string) (bucket.Info, error) {
	path, err := d.path(ctx, "stat", name)
	if err != nil {
		return bucket.Info{}, err
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist} // folders are no objects
	}
	if err != nil {
		return bucket.Info{}, d.fail("stat", name, absent(err))
	}
	return describe(name, info), nil
}

// absent is err, which is one that says that there is no file where a file lies
// in the place of a folder.
func absent(err error) error {
	if isNotFolder(err) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// open opens a file for reading.
func (d *Folder) open(ctx context.Context, op, name string) (*os.File, bucket.Info, error) {
	path, err := d.path(ctx, op, name)
	if err != nil {
		return nil, bucket.Info{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, bucket.Info{}, d.fail(op, name, absent(err))
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	if err != nil {
		f.Close()
		return nil, bucket.Info{}, d.fail(op, name, err)
	}
	return f, describe(name, info), nil
}

// Open implements bucket.Folder. A file that is replaced is read to its end; one
// that is written to in place is found out where its length changes.
func (d *Folder) Open(ctx context.Context, name string) (io.ReadCloser, bucket.Info, error) {
	f, info, err := d.open(ctx, "open", name)
	if err != nil {
		return nil, bucket.Info{}, err
	}
	return &reader{ctx: ctx, d: d, f: f, name: name, left: info.Size}, info, nil
}

// reader reads a file to the end that it had.
type reader struct {
	ctx  context.Context
	d    *Folder
	f    *os.File
	name string
	left int64
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.f.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && r.left > 0:
		return n, r.d.fail("read", r.name, fmt.Errorf("it is %d bytes shorter than it was: %w", r.left, bucket.ErrChanged))
	case err != nil && !errors.Is(err, io.EOF):
		return n, r.d.fail("read", r.name, err)
	}
	return n, nil
}

// Close implements io.Closer.
func (r *reader) Close() error { return r.f.Close() }

// ReadAt implements bucket.Folder.
func (d *Folder) ReadAt(ctx context.Context, name, version string, p []byte, off int64) error {
	f, info, err := d.open(ctx, "read", name)
	if err != nil {
		return err
	}
	defer f.Close()
	switch {
	case version != "" && version != info.Version:
		return d.fail("read", name, bucket.ErrChanged)
	case off < 0 || off > info.Size-int64(len(p)):
		return d.fail("read", name, fmt.Errorf("bytes %d to %d of %d: %w", off, off+int64(len(p)), info.Size, io.ErrUnexpectedEOF))
	}
	n, err := f.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return d.fail("read", name, err)
}

// List implements bucket.Folder. Temporaries of writers are not listed; links are
// followed.
func (d *Folder) List(ctx context.Context, folder string, deep bool) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		if folder != "" {
			if _, err := d.path(ctx, "list", folder); err != nil {
				yield(bucket.Info{}, err)
				return
			}
		}
		d.walk(ctx, folder, deep, yield)
	}
}

// entry is a file, or a folder, in the order that a store lists them in: a
// folder's name counts with its slash.
type entry struct {
	key  string
	info fs.FileInfo
}

// entries reads a folder.
func (d *Folder) entries(ctx context.Context, folder string) ([]entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path := filepath.Join(d.root, filepath.FromSlash(folder))
	list, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) || isNotFolder(err) {
		return nil, nil
	}
	if err != nil {
		return nil, d.fail("list", folder, err)
	}
	var found []entry
	for _, e := range list {
		info, err := os.Stat(filepath.Join(path, e.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist) || atomicfile.IsTemp(e.Name()):
			continue // gone since, a link to nowhere, or not finished
		case err != nil:
			return nil, d.fail("list", joined(folder, e.Name()), err)
		case info.IsDir():
			found = append(found, entry{e.Name() + "/", info})
		case info.Mode().IsRegular():
			found = append(found, entry{e.Name(), info})
		}
	}
	slices.SortFunc(found, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	return found, nil
}

// joined is a name in a folder of this Folder.
func joined(folder, name string) string {
	if folder == "" {
		return name
	}
	return folder + "/" + name
}

// walk yields what lies in a folder and says whether to go on.
func (d *Folder) walk(ctx context.Context, folder string, deep bool, yield func(bucket.Info, error) bool) bool {
	found, err := d.entries(ctx, folder)
	if err != nil {
		yield(bucket.Info{}, err)
		return false
	}
	for _, e := range found {
		name := joined(folder, strings.TrimSuffix(e.key, "/"))
		switch {
		case !e.info.IsDir():
			if !yield(describe(name, e.info), nil) {
				return false
			}
		case deep:
			if !d.walk(ctx, name, true, yield) {
				return false
			}
		default:
			// A store has no empty folders: the first object below is enough.
			some, failed := false, false
			d.walk(ctx, name, true, func(_ bucket.Info, err error) bool {
				if some = err == nil; !some {
					failed = true
					yield(bucket.Info{}, err)
				}
				return false
			})
			if failed || some && !yield(bucket.Info{Name: name, Folder: true}, nil) {
				return false
			}
		}
	}
	return true
}

// Put implements bucket.Folder.
func (d *Folder) Put(ctx context.Context, name string, data io.ReaderAt, size int64, how bucket.PutMode) error {
	path, err := d.path(ctx, "put", name)
	if err != nil {
		return err
	}
	if how == bucket.Create {
		if _, err := os.Lstat(path); err == nil { // spares writing it in vain
			return d.fail("put", name, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist})
		}
	}
	err = d.write(ctx, path, data, size, how)
	if cerr := ctx.Err(); err != nil && cerr != nil {
		return cerr
	}
	if err != nil {
		return d.fail("put", name, err)
	}
	return nil
}

// write writes a file that appears at the end.
func (d *Folder) write(ctx context.Context, path string, data io.ReaderAt, size int64, how bucket.PutMode) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	a, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Abort()) }()
	buffer := make([]byte, min(size, copyBuffer))
	for off := int64(0); off < size; off += int64(len(buffer)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		buffer = buffer[:min(size-off, int64(len(buffer)))]
		if n, err := data.ReadAt(buffer, off); n < len(buffer) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading what is to be put: %w", err)
		}
		if _, err := a.Write(buffer); err != nil {
			return err
		}
	}
	if how == bucket.Create {
		return a.CommitNew()
	}
	return a.Commit()
}

// Remove implements bucket.Folder. Folders that become empty stay; they are not
// listed.
func (d *Folder) Remove(ctx context.Context, name string) error {
	path, err := d.path(ctx, "remove", name)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return nil // no object
	}
	if err := os.Remove(path); err != nil && !errors.Is(absent(err), fs.ErrNotExist) {
		return d.fail("remove", name, err)
	}
	return nil
}
