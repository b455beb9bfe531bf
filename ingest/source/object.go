package source

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/zeebo/xxh3"

	"alexnet/records/bucket"
)

// An object is an io.ReaderAt of one of a store. It is a value, so that reading
// can give it another context.
type object struct {
	ctx     context.Context
	folder  bucket.Folder
	name    string
	path    string // its address, for messages
	version string // "" for any
	size    int64
	first   *failure // of the tree
}

// object names an object of the tree. Its version and size are not known.
func (s *store) object(path string) object {
	return object{ctx: s.ctx, folder: s.folder, name: s.name(path), path: path, first: s.first}
}

// fault words a failure, and keeps the first.
func (o object) fault(err error) error { return o.first.note(storeFault(o.ctx, o.path, err)) }

// ReadAt is one request.
func (o object) ReadAt(p []byte, off int64) (int, error) {
	if off >= o.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), o.size-off))
	if err := o.folder.ReadAt(o.ctx, o.name, o.version, p[:n], off); err != nil {
		return 0, o.fault(err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// stream reads the object from its start.
func (o object) stream() (io.ReadCloser, bucket.Info, error) {
	body, info, err := o.folder.Open(o.ctx, o.name)
	if err != nil {
		return nil, info, o.fault(err)
	}
	if o.version != "" && info.Version != "" && o.version != info.Version {
		release(body)
		return nil, info, o.fault(bucket.ErrChanged)
	}
	return storeBody{body, o}, info, nil
}

// A storeBody is an object that is streamed.
type storeBody struct {
	io.ReadCloser
	of object
}

// Read words failures.
func (b storeBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // one that wraps it is a failure
		err = b.of.fault(err)
	}
	return n, err
}

// A storeRoot reads the objects below a folder of a store, each in one request;
// an item's key is its name there. An item's offset, for which an object has no
// use, is the stamp of its version.
type storeRoot struct {
	folder bucket.Folder
	name   string // of the folder
	path   string // its address
}

func (r storeRoot) close() error { return nil } // the folder is the caller's
func (r storeRoot) remote() bool { return true }

func (r storeRoot) read(ctx context.Context, it *Item, buf []byte) ([]byte, error) {
	name, at := it.Key, r.path+"/"+it.Key
	if r.name != "" {
		name = r.name + "/" + name
	}
	body, info, err := object{ctx: ctx, folder: r.folder, name: name, path: at, first: new(failure)}.stream()
	if err != nil {
		return nil, err
	}
	defer release(body)
	changed := func(format string, args ...any) error {
		return &IOError{File: at, Err: fmt.Errorf(format, args...), Hint: "leave the source alone while it is read"}
	}
	listed, now := it.at.offset(), stamp(info.Version)
	switch {
	case info.Size != it.Size:
		return nil, changed("has %d bytes, %d when listed", info.Size, it.Size)
	case listed != 0 && now != 0 && listed != now:
		return nil, changed("is another object than when it was listed: %w", bucket.ErrChanged)
	}
	buf = slices.Grow(buf[:0], int(it.Size)+1)[:it.Size+1]
	n, err := io.ReadFull(body, buf) // to its end, so that the connection can be used again
	switch {
	case err == nil:
		return nil, changed("has more than the %d bytes that it is to have", it.Size)
	case !ended(err):
		return nil, err
	case int64(n) < it.Size:
		return nil, changed("has %d bytes, %d when listed", n, it.Size)
	}
	return buf[:n], nil
}

// stamp makes a version short enough for a place: 0 where there is none.
func stamp(version string) int64 {
	if version == "" {
		return 0
	}
	return max(int64(xxh3.HashString(version)&(1<<56-1)), 1)
}

// entryStamp is that of an entry in a listing; files have none.
func entryStamp(e fs.DirEntry) int64 {
	if o, ok := e.(storeEntry); ok {
		return stamp(o.of.Version)
	}
	return 0
}
