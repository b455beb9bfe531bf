package convert

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"

	"alexnet/records"
	"alexnet/records/bucket"
)

// store is an output in an object store. What it relies on is what S3 promises
// since the end of 2020, and others did before: an object that was made, replaced
// or removed is seen so by every read and listing that begins afterwards.
//
// Shards are written to a folder of this machine, because an object's size and
// its bytes have to be there before it can be sent, and again when sending is
// tried again.
type store struct {
	in      bucket.Folder
	scratch string // where to make a folder for the shards, "" for the system's

	mu  sync.Mutex
	dir string // that folder, "" until it is made
}

func (s *store) path(name string) string { return s.in.Name() + "/" + name }

func (s *store) read(ctx context.Context, name string) ([]byte, error) {
	r, info, err := s.in.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	data := bytes.NewBuffer(make([]byte, 0, min(info.Size, maxStateFile)+bytes.MinRead))
	n, err := data.ReadFrom(io.LimitReader(r, maxStateFile+1))
	if err == nil && n > maxStateFile {
		err = fmt.Errorf("%s has more than %d bytes, and is none of ours", s.path(name), maxStateFile)
	}
	return data.Bytes(), errors.Join(err, r.Close())
}

// maxStateFile bounds what is read into memory: no file of a job but its shards
// comes near it.
const maxStateFile = 1 << 30

func (s *store) write(ctx context.Context, name string, data []byte) error {
	return s.in.Put(ctx, name, bytes.NewReader(data), int64(len(data)), bucket.Replace)
}

func (s *store) create(ctx context.Context, name string, data []byte) error {
	return s.in.Put(ctx, name, bytes.NewReader(data), int64(len(data)), bucket.Create)
}

func (s *store) list(ctx context.Context, dir string) ([]string, error) {
	var names []string
	for info, err := range s.in.List(ctx, dir, false) {
		if err != nil {
			return nil, err
		}
		if !info.Folder {
			names = append(names, path.Base(info.Name))
		}
	}
	return names, nil
}

func (s *store) remove(ctx context.Context, names ...string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readAhead)
	for _, name := range names {
		group.Go(func() error { return s.in.Remove(ctx, name) })
	}
	return group.Wait()
}

// shard makes the scratch folder when it is first needed. Every process has its
// own, so that twins do not write to the same file.
func (s *store) shard(create createShard, name string, o records.WriterOptions) (shardWriter, error) {
	dir, err := s.scratchDir()
	if err != nil {
		return nil, err
	}
	w, err := create(filepath.Join(dir, name), o)
	if err != nil {
		return nil, s.fault(err)
	}
	return &scratchShard{w, s}, nil
}

func (s *store) scratchDir() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		dir, err := os.MkdirTemp(s.scratch, "ingest-")
		if err != nil {
			return "", s.fault(err)
		}
		s.dir = dir
	}
	return s.dir, nil
}

// fault turns errors of this machine's disk into a *ScratchError.
func (s *store) fault(err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return &ScratchError{Dir: cmp.Or(s.scratch, os.TempDir()), Err: err}
	}
	return err
}

// scratchShard is a shard on this machine's disk.
type scratchShard struct {
	shardWriter
	store *store
}

func (w *scratchShard) Write(r records.Record) error { return w.store.fault(w.shardWriter.Write(r)) }

func (w *scratchShard) Commit() (records.ShardInfo, error) {
	info, err := w.shardWriter.Commit()
	return info, w.store.fault(err)
}

// publish sends a shard and removes its file. A shard that was sent before, by an
// earlier run that was killed or by a twin, has the same bytes and is replaced.
func (s *store) publish(ctx context.Context, name string) (err error) {
	file, err := os.Open(filepath.Join(s.dir, name))
	if err != nil {
		return s.fault(err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	info, err := file.Stat()
	if err != nil {
		return s.fault(err)
	}
	return s.in.Put(ctx, name, file, info.Size(), bucket.Replace)
}

// checker looks at the sizes only, of all shards in one listing: objects appear
// whole, so that one that is there is not cut short. Its bytes are for inspect
// verify.
func (s *store) checker(ctx context.Context, _ *records.Manifest) (func(string, records.ShardInfo) error, error) {
	sizes := map[string]int64{}
	for info, err := range s.in.List(ctx, "", false) {
		if err != nil {
			return nil, err
		}
		if !info.Folder {
			sizes[info.Name] = info.Size
		}
	}
	return func(_ string, info records.ShardInfo) error {
		switch size, there := sizes[info.File]; {
		case !there:
			return fmt.Errorf("%s is not there: %w", s.path(info.File), fs.ErrNotExist)
		case size != info.Bytes:
			return &records.CorruptError{File: s.path(info.File), Row: -1, Cause: fmt.Errorf("it has %d bytes, the manifest says %d", size, info.Bytes)}
		}
		return nil
	}, nil
}

func (s *store) begun(ctx context.Context) (bool, error) {
	for _, err := range s.in.List(ctx, stateName, false) {
		return err == nil, err
	}
	return false, nil
}

func (s *store) lock(bool) (io.Closer, error) { return nil, nil }

func (s *store) removeTemps(...string) error { return nil }

func (s *store) removeLock() error { return nil }

func (s *store) forget() error { return nil }

func (s *store) close() error {
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}
