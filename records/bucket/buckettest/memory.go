// Package buckettest has object stores for tests.
package buckettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"alexnet/records/bucket"
)

// Memory is a Folder in memory, whose objects are seen at once. Its zero value is
// empty. What a real store does besides, tests of package cloud show.
type Memory struct {
	// Before, if not nil, is called before each request, with its Op and the
	// object's name; an error of it is the request's.
	Before func(op, name string) error

	mu      sync.Mutex
	objects map[string]object
	puts    int
}

type object struct {
	data    []byte
	version string
}

var _ bucket.Folder = (*Memory)(nil)

// Name implements bucket.Folder.
func (m *Memory) Name() string { return "mem://test" }

// Close implements bucket.Folder.
func (m *Memory) Close() error { return nil }

// find looks an object up.
func (m *Memory) find(ctx context.Context, op, name string) (object, error) {
	if err := m.begin(ctx, op, name); err != nil {
		return object{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[name]
	if !ok {
		return o, m.fail(op, name, fs.ErrNotExist)
	}
	return o, nil
}

// begin has the test look at a request.
func (m *Memory) begin(ctx context.Context, op, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.Before == nil {
		return nil
	}
	if err := m.Before(op, name); err != nil {
		return m.fail(op, name, err)
	}
	return nil
}

func (m *Memory) fail(op, name string, err error) error {
	return &bucket.Error{Op: op, Object: m.Name() + "/" + name, Attempts: 1, Err: err}
}

// Stat implements bucket.Folder.
func (m *Memory) Stat(ctx context.Context, name string) (bucket.Info, error) {
	o, err := m.find(ctx, "stat", name)
	return bucket.Info{Name: name, Size: int64(len(o.data)), Version: o.version}, err
}

// Open implements bucket.Folder.
func (m *Memory) Open(ctx context.Context, name string) (io.ReadCloser, bucket.Info, error) {
	o, err := m.find(ctx, "open", name)
	if err != nil {
		return nil, bucket.Info{}, err
	}
	return io.NopCloser(bytes.NewReader(o.data)), bucket.Info{Name: name, Size: int64(len(o.data)), Version: o.version}, nil
}

// ReadAt implements bucket.Folder.
func (m *Memory) ReadAt(ctx context.Context, name, version string, p []byte, off int64) error {
	o, err := m.find(ctx, "read", name)
	switch {
	case err != nil:
		return err
	case version != "" && version != o.version:
		return m.fail("read", name, bucket.ErrChanged)
	case off < 0 || off > int64(len(o.data)) || copy(p, o.data[off:]) < len(p):
		return m.fail("read", name, io.ErrUnexpectedEOF)
	}
	return nil
}

// List implements bucket.Folder.
func (m *Memory) List(ctx context.Context, folder string, deep bool) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		if err := m.begin(ctx, "list", folder); err != nil {
			yield(bucket.Info{}, err)
			return
		}
		m.mu.Lock()
		objects := maps.Clone(m.objects)
		m.mu.Unlock()
		prefix, last := "", ""
		if folder != "" {
			prefix = folder + "/"
		}
		for _, name := range slices.Sorted(maps.Keys(objects)) {
			rest, ok := strings.CutPrefix(name, prefix)
			if !ok {
				continue
			}
			info := bucket.Info{Name: name, Size: int64(len(objects[name].data)), Version: objects[name].version}
			if first, _, nested := strings.Cut(rest, "/"); nested && !deep {
				info = bucket.Info{Name: prefix + first, Folder: true}
			}
			if info.Name != last && !yield(info, nil) {
				return
			}
			last = info.Name
		}
	}
}

// Put implements bucket.Folder.
func (m *Memory) Put(ctx context.Context, name string, data io.ReaderAt, size int64, how bucket.PutMode) error {
	if err := m.begin(ctx, "put", name); err != nil {
		return err
	}
	content := make([]byte, size)
	if n, err := data.ReadAt(content, 0); n < len(content) {
		return m.fail("put", name, errors.Join(io.ErrUnexpectedEOF, err))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.objects[name]; there && how == bucket.Create {
		return m.fail("put", name, fs.ErrExist)
	}
	if m.objects == nil {
		m.objects = map[string]object{}
	}
	m.puts++
	m.objects[name] = object{content, fmt.Sprint(m.puts)}
	return nil
}

// Remove implements bucket.Folder.
func (m *Memory) Remove(ctx context.Context, name string) error {
	if err := m.begin(ctx, "remove", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}
