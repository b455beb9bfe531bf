package cloud

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"sync/atomic"

	"gocloud.dev/blob"

	"alexnet/records/bucket"
)

// contentType is what all objects are, so that no store or proxy on the way
// compresses them or looks into them.
const contentType = "application/octet-stream"

// pageSize is how many names a listing asks for at once: the most that stores give.
const pageSize = 1000

// errSource is the cause of an upload whose data could not be read.
var errSource = errors.New("reading what is to be put")

// folder is a bucket.Folder in a store.
type folder struct {
	store      *store
	name       string // for messages
	bucketName string
	prefix     string // of the objects' keys: "" or ends in a slash
	options    Options
	reached    atomic.Bool // it has answered, and so is there
}

var _ bucket.Folder = (*folder)(nil)

// Name implements bucket.Folder.
func (f *folder) Name() string { return f.name }

// Close implements bucket.Folder.
func (f *folder) Close() error {
	err := f.store.bucket.Close()
	if f.store.idle != nil {
		f.store.idle()
	}
	return err
}

// Stat implements bucket.Folder.
func (f *folder) Stat(ctx context.Context, name string) (bucket.Info, error) {
	if name == "" {
		return bucket.Info{}, f.invalid("stat", name)
	}
	stat := f.store.stat
	if stat == nil {
		stat = f.attributes
	}
	var info bucket.Info
	err := f.try(ctx, "stat", name, func(a *attempt) (err error) {
		info, err = stat(a.ctx, f.prefix+name)
		return err
	})
	info.Name = name
	return info, err
}

// attributes is store.stat for stores without one.
func (f *folder) attributes(ctx context.Context, key string) (bucket.Info, error) {
	a, err := f.store.bucket.Attributes(ctx, key)
	if err != nil {
		return bucket.Info{}, err
	}
	return bucket.Info{Size: a.Size, Version: f.store.stated(a), Modified: a.ModTime}, nil
}

// connect asks for length bytes of an object from off on (-1: to its end), of the
// version, "" for any; ranged: as a range also where that is all of it.
func (f *folder) connect(a *attempt, name, version string, off, length int64, ranged bool) (*blob.Reader, error) {
	r, err := f.store.bucket.NewRangeReader(a.ctx, f.prefix+name, off, length,
		&blob.ReaderOptions{BeforeRead: f.store.ask(f.prefix+name, version, ranged && off == 0 && length < 0)})
	if err != nil {
		return nil, err
	}
	if got, _ := f.store.answer(r); version != "" && got != version {
		r.Close()
		return nil, bucket.ErrChanged
	}
	if f.store.start != nil && f.store.start(r) != off {
		r.Close()
		return nil, errNoParts
	}
	return r, nil
}

// ReadAt implements bucket.Folder.
func (f *folder) ReadAt(ctx context.Context, name, version string, p []byte, off int64) error {
	switch {
	case name == "":
		return f.invalid("read", name)
	case off < 0:
		return f.fail("read", name, 1, verdict{err: fmt.Errorf("an offset of %d: %w", off, fs.ErrInvalid)})
	case len(p) == 0:
		return ctx.Err()
	}
	got := 0
	return f.try(ctx, "read", name, func(a *attempt) error {
		if version == "" {
			got = 0 // a piece of another version may have come
		}
		r, err := f.connect(a, name, version, off+int64(got), int64(len(p)-got), true)
		if err != nil {
			return err
		}
		defer r.Close()
		if _, size := f.store.answer(r); off > size-int64(len(p)) {
			return errBeyond
		}
		for got < len(p) {
			n, err := r.Read(p[got:])
			got += n
			a.alive()
			switch {
			case got == len(p):
				return nil
			case errors.Is(err, io.EOF):
				return broken{fmt.Errorf("%d bytes are missing: %w", len(p)-got, io.ErrUnexpectedEOF)}
			case err != nil:
				return broken{a.why(err)}
			}
		}
		return nil
	})
}

// List implements bucket.Folder.
func (f *folder) List(ctx context.Context, folder string, deep bool) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		options := &blob.ListOptions{Prefix: f.prefix}
		if folder != "" {
			options.Prefix += folder + "/"
		}
		if !deep {
			options.Delimiter = "/"
		}
		if f.store.list != nil {
			options.BeforeList = f.store.list(options.Prefix)
		}
		last := "" // folder: some stores name one that goes over two pages twice
		for token := blob.FirstPageToken; token != nil; {
			var page []*blob.ListObject
			var next []byte
			err := f.try(ctx, "list", folder, func(a *attempt) (err error) {
				page, next, err = f.store.bucket.ListPage(a.ctx, token, pageSize, options)
				return err
			})
			if err != nil {
				yield(bucket.Info{}, err)
				return
			}
			for _, o := range page {
				info, ok := f.listed(o)
				if !ok || info.Folder && info.Name == last {
					continue
				}
				if info.Folder {
					last = info.Name
				}
				if !yield(info, nil) {
					return
				}
			}
			if token = next; len(token) == 0 {
				return
			}
		}
	}
}

// listed describes what a listing has. Objects whose names end in a slash, with
// which some programs mark folders, are nothing.
func (f *folder) listed(o *blob.ListObject) (bucket.Info, bool) {
	key, version := f.store.listed(o)
	name := strings.TrimPrefix(key, f.prefix)
	if o.IsDir {
		name = strings.TrimSuffix(name, "/")
	}
	if name == "" || strings.HasSuffix(name, "/") {
		return bucket.Info{}, false
	}
	if o.IsDir {
		return bucket.Info{Name: name, Folder: true}, true
	}
	return bucket.Info{Name: name, Size: o.Size, Version: version, Modified: o.ModTime}, true
}

// Put implements bucket.Folder.
func (f *folder) Put(ctx context.Context, name string, data io.ReaderAt, size int64, how bucket.PutMode) error {
	if !validName(name) {
		return f.invalid("put", name)
	}
	create := how == bucket.Create
	if f.store.put != nil {
		return f.store.put(ctx, f, name, data, size, create)
	}
	sum, err := f.sum(ctx, data, 0, size)
	if err != nil {
		return f.putError(ctx, name, err)
	}
	return f.try(ctx, "put", name, func(a *attempt) error {
		w, err := f.store.bucket.NewWriter(a.ctx, f.prefix+name, &blob.WriterOptions{
			ContentType: contentType, ContentMD5: sum, IfNotExist: create, BufferSize: int(f.options.PartSize),
		})
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, f.source(a, data, 0, size)); err != nil {
			a.cancel(err) // nothing of it may appear
			_ = w.Close() // fails with err again
			return err
		}
		return w.Close()
	})
}

// putError makes an error of a put that was not begun.
func (f *folder) putError(ctx context.Context, name string, err error) error {
	if cerr := ctx.Err(); cerr != nil {
		return cerr
	}
	return f.fail("put", name, 1, f.judge("put", err))
}

// Remove implements bucket.Folder.
func (f *folder) Remove(ctx context.Context, name string) error {
	if name == "" {
		return f.invalid("remove", name)
	}
	remove := f.store.remove
	if remove == nil {
		remove = f.store.bucket.Delete
	}
	err := f.try(ctx, "remove", name, func(a *attempt) error { return remove(a.ctx, f.prefix+name) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sum is the MD5 of a piece of data, which stores compare with what arrives.
func (f *folder) sum(ctx context.Context, data io.ReaderAt, off, size int64) ([]byte, error) {
	a := f.begin(ctx)
	defer a.end()
	h := md5.New()
	if _, err := io.Copy(h, f.source(a, data, off, size)); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// source reads a piece of data for an attempt. It can be read again from its
// start, as signing wants.
func (f *folder) source(a *attempt, data io.ReaderAt, off, size int64) io.ReadSeeker {
	return &source{io.NewSectionReader(data, off, size), a, size}
}

type source struct {
	*io.SectionReader
	a    *attempt
	size int64
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if err := context.Cause(s.a.ctx); err != nil {
		return 0, err
	}
	n, err := s.SectionReader.Read(p)
	s.a.alive()
	if at, _ := s.Seek(0, io.SeekCurrent); errors.Is(err, io.EOF) && at < s.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errSource, err)
	}
	return n, err
}
