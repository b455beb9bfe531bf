package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"alexnet/records/bucket"
)

// storeScanners is how many folders of a store, or tars in a tar of it, are
// listed at a time.
const storeScanners = 32

// A store is the tree of a bucket's objects. What the names of its objects have
// before a slash counts as a folder.
//
// Each question costs a round trip. So whether something is there is looked up
// in the listing of its folder, which is kept; the many folders of classes, which
// are listed once, are not.
type store struct {
	ctx    context.Context // of Open, whose the tree is
	folder bucket.Folder
	top    bucket.Info // what is opened; of the name "" the whole folder
	first  *failure

	mu     sync.Mutex // guards listed
	listed map[string][]fs.DirEntry
}

// A failure keeps the first of many.
type failure struct {
	mu  sync.Mutex
	err error
}

func (f *failure) note(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = cmp.Or(f.err, err)
	return err
}

// openStore looks at what lies under a name in a folder of a store.
func openStore(ctx context.Context, folder bucket.Folder, name string) (*store, error) {
	if name = path.Clean("/" + name)[1:]; !fs.ValidPath(cmp.Or(name, ".")) {
		return nil, &UnsupportedError{Path: folder.Name(), Reason: fmt.Sprintf("can have no object %q", name), Hint: "check the address"}
	}
	s := &store{ctx: ctx, folder: folder, top: bucket.Info{Name: name, Folder: true}, first: new(failure), listed: map[string][]fs.DirEntry{}}
	entries, err := s.kept(name)
	if err != nil || len(entries) > 0 {
		return s, err
	}
	at := s.address(name)
	if name == "" {
		return nil, notExist(at, fmt.Errorf("no object is there: %w", fs.ErrNotExist))
	}
	s.top, err = folder.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notExist(at, fmt.Errorf("no object has this name, or begins with it and a slash: %w", fs.ErrNotExist))
	}
	return s, storeFault(ctx, at, err)
}

// address is the path of an object.
func (s *store) address(name string) string { return s.join(s.folder.Name(), name) }

// name is what the folder calls the object of a path.
func (s *store) name(at string) string {
	return strings.TrimPrefix(strings.TrimPrefix(at, s.folder.Name()), "/")
}

func (s *store) join(dir string, names ...string) string {
	for _, name := range names {
		if name != "" {
			dir = strings.TrimSuffix(dir, "/") + "/" + name
		}
	}
	return dir
}

func (s *store) dir(at string) string { return s.address(parent(s.name(at))) }

func (s *store) absolute(at string) (string, error) { return at, nil }

// parent is the folder of a name, "" at last.
func parent(name string) string {
	return name[:max(strings.LastIndexByte(name, '/'), 0)]
}

// contains says whether a folder is around a name, or is that.
func contains(folder, name string) bool {
	return folder == "" || folder == name || strings.HasPrefix(name, folder+"/")
}

func (s *store) stat(at string) (entryKind, int64, error) {
	e, err := s.find(s.name(at))
	switch {
	case err != nil:
		return kindBroken, 0, err
	case e == nil:
		return kindBroken, 0, fs.ErrNotExist
	}
	return follow(s.dir(at), e)
}

// find looks a name up, and gives nil where there is nothing of it.
func (s *store) find(name string) (fs.DirEntry, error) {
	switch {
	case name == s.top.Name:
		return storeEntry{s.top}, nil
	case contains(name, s.top.Name):
		return storeEntry{bucket.Info{Name: name, Folder: true}}, nil
	}
	in := parent(name)
	if e, err := s.find(in); err != nil || e == nil || !e.IsDir() {
		return nil, err
	}
	entries, err := s.kept(in)
	if err != nil {
		return nil, err
	}
	i, found := slices.BinarySearchFunc(entries, path.Base(name), func(e fs.DirEntry, base string) int { return strings.Compare(e.Name(), base) })
	if !found {
		return nil, nil
	}
	return entries[i], nil
}

// kept lists a folder that will be asked for again.
func (s *store) kept(name string) ([]fs.DirEntry, error) {
	s.mu.Lock()
	entries, ok := s.listed[name]
	s.mu.Unlock()
	if ok {
		return entries, nil
	}
	entries, err := s.request(name)
	if err == nil {
		s.mu.Lock()
		s.listed[name] = entries
		s.mu.Unlock()
	}
	return entries, err
}

func (s *store) list(dir string) ([]fs.DirEntry, error) {
	name := s.name(dir)
	s.mu.Lock()
	entries, ok := s.listed[name]
	s.mu.Unlock()
	if ok {
		return entries, nil
	}
	return s.request(name)
}

// request asks for a listing. A name that an object and a folder have in common
// is given once for each, the folder first.
func (s *store) request(name string) ([]fs.DirEntry, error) {
	var entries []fs.DirEntry
	for info, err := range s.folder.List(s.ctx, name, false) {
		if err != nil {
			return nil, s.fail(s.address(name), err)
		}
		// Some tools make an object "train/" to stand for an empty folder.
		if info.Folder || !strings.HasSuffix(info.Name, "/") {
			entries = append(entries, storeEntry{info})
		}
	}
	slices.SortStableFunc(entries, func(a, b fs.DirEntry) int { // "a-b/" is listed before "a/"
		folderFirst := func(e fs.DirEntry) int {
			if e.IsDir() {
				return 0
			}
			return 1
		}
		return cmp.Or(strings.Compare(a.Name(), b.Name()), folderFirst(a)-folderFirst(b))
	})
	return entries, nil
}

func (s *store) open(at string) (*file, error) {
	info, err := s.folder.Stat(s.ctx, s.name(at))
	if err != nil {
		return nil, s.fail(at, err)
	}
	o := s.object(at)
	o.version, o.size = info.Version, info.Size
	id := archiveID{Name: path.Base(at), Size: info.Size, Version: info.Version}
	if id.Version == "" {
		id.Modified = info.Modified.UnixNano()
	}
	return &file{ReaderAt: o, path: at, id: id}, nil
}

func (s *store) stream(at string) (io.ReadCloser, int64, error) {
	if kind, _, err := s.stat(at); err != nil || kind != kindFile {
		return nil, 0, cmp.Or(err, fs.ErrNotExist)
	}
	body, info, err := s.object(at).stream()
	return body, info.Size, err
}

func (s *store) images(dir string) root { return storeRoot{s.folder, s.name(dir), dir} }

func (s *store) scanners() int { return storeScanners }

func (s *store) failed() error {
	s.first.mu.Lock()
	defer s.first.mu.Unlock()
	return s.first.err
}

// fail words a failure, and keeps the first.
func (s *store) fail(at string, err error) error {
	return s.first.note(storeFault(s.ctx, at, err))
}

// storeFault is the error of this package for one of a store, or the context's,
// or nil.
func storeFault(ctx context.Context, at string, err error) error {
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	hint := "check the network and the store"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = "check the address, and leave the source alone while it is read"
	case errors.Is(err, fs.ErrPermission):
		hint = "check that the credentials allow to list the folder and to read its objects"
	case errors.Is(err, bucket.ErrChanged):
		hint = "leave the source alone while it is read"
	case errors.Is(err, io.ErrUnexpectedEOF): // it ended too soon, or the connection did
		hint = "check the network, and leave the source alone while it is read"
	}
	if e, ok := errors.AsType[*bucket.Error](err); ok {
		err, hint = storeCause{e}, cmp.Or(e.Hint, hint)
	}
	return &IOError{File: at, Err: err, Hint: hint}
}

// storeCause words a failed request without the address and the hint, which an
// IOError has itself.
type storeCause struct{ of *bucket.Error }

func (c storeCause) Error() string {
	text := fmt.Sprintf("%s failed: %v", c.of.Op, c.of.Err)
	if c.of.Attempts > 1 {
		text += fmt.Sprintf(" (%d attempts)", c.of.Attempts)
	}
	return text
}

func (c storeCause) Unwrap() error { return c.of }

// A storeEntry is an object or a folder in a listing: its own fs.FileInfo.
type storeEntry struct{ of bucket.Info }

func (e storeEntry) Name() string               { return path.Base(e.of.Name) }
func (e storeEntry) IsDir() bool                { return e.of.Folder }
func (e storeEntry) Info() (fs.FileInfo, error) { return e, nil }
func (e storeEntry) Size() int64                { return e.of.Size }
func (e storeEntry) ModTime() time.Time         { return e.of.Modified }
func (e storeEntry) Sys() any                   { return nil }
func (e storeEntry) Type() fs.FileMode          { return e.Mode() }
func (e storeEntry) Mode() fs.FileMode {
	if e.of.Folder {
		return fs.ModeDir
	}
	return 0
}
