package records

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"alexnet/records/bucket"
)

// OpenFolder is Open for records in an object store: it reads the manifest and the
// mean picture of f, two requests. Dataset.Dir is f's name.
//
// To open a split then takes two requests a shard, many shards at a time, and to
// read a row one or two (see Split.Load); labels and keys are read without pixels.
// What is read is of the objects as they were when the split was opened: one that
// is replaced later is a *CorruptError, one that is gone is an error that wraps
// fs.ErrNotExist. When requests fail for good, the error is a *bucket.Error, which
// is no damage (see IsDamage).
//
// ctx is also that of later requests for which there is no other: it must last for
// as long as the data set is used. f stays the caller's, to be closed after that.
func OpenFolder(ctx context.Context, f bucket.Folder) (*Dataset, error) {
	return openDataset(ctx, homeOf(f))
}

// ReadFolderManifest is ReadManifest for a folder of an object store.
func ReadFolderManifest(ctx context.Context, f bucket.Folder) (*Manifest, error) {
	return readManifest(ctx, homeOf(f))
}

// home is where the files of a data set lie.
type home struct {
	dir    string        // or address
	folder bucket.Folder // nil: dir is of the file system
}

// homeOf returns the home of files in an object store.
func homeOf(f bucket.Folder) home { return home{f.Name(), f} }

// path returns a file's path or address.
func (h home) path(file string) string {
	if h.folder != nil {
		return h.dir + "/" + file
	}
	return filepath.Join(h.dir, file)
}

// read reads a file, which is a *CorruptError if it is larger than most.
func (h home) read(ctx context.Context, file string, most int64) ([]byte, error) {
	f, err := h.reader(ctx, file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	var content bytes.Buffer
	if _, err := content.ReadFrom(io.LimitReader(f, most+1)); err != nil {
		return nil, err
	}
	if int64(content.Len()) > most {
		return nil, &CorruptError{File: h.path(file), Row: -1, Cause: fmt.Errorf("it has more than %d bytes", most)}
	}
	return content.Bytes(), nil
}

// reader opens a file to be read from its start to its end.
func (h home) reader(ctx context.Context, file string) (io.ReadCloser, error) {
	if h.folder != nil {
		r, _, err := h.folder.Open(ctx, file)
		return r, err
	}
	return os.Open(h.path(file))
}

// open opens a shard that is of the size that the manifest gives it.
func (h home) open(ctx context.Context, m *Manifest, info ShardInfo) (*shard, error) {
	path := h.path(info.File)
	if h.folder != nil {
		return h.openObject(ctx, m, info)
	}
	stat, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, missing(path, err)
	case err != nil:
		return nil, fmt.Errorf("opening a shard: %w", err)
	}
	if err := checkSize(path, stat.Size(), info); err != nil {
		return nil, err
	}
	return openShard(path)
}

// openShards opens the shards of a split. One whose error is tolerated takes part
// with the number of rows that the manifest gives it.
func (h home) openShards(ctx context.Context, m *Manifest, split string, tolerate func(error) bool) ([]*shard, error) {
	list := m.Splits[split].Shards
	shards, errs := make([]*shard, len(list)), make([]error, len(list))
	var failed atomic.Bool
	openers, opening := errgroup.WithContext(ctx)
	openers.SetLimit(h.openers())
	for k, info := range list {
		if failed.Load() {
			break // in order: the first that fails is the one to be named
		}
		openers.Go(func() error {
			s, err := h.openListed(opening, m, split, info)
			switch {
			case err == nil && s.remote != nil:
				s.remote.ctx = ctx
			case err != nil && tolerate(err):
				s, err = &shard{file: h.path(info.File), rows: info.Rows, lost: err}, nil
			}
			shards[k], errs[k] = s, err
			if err != nil {
				failed.Store(true)
			}
			return err
		})
	}
	err := openers.Wait()
	if err == nil {
		return shards, nil
	}
	for _, e := range errs { // what is not there for the end of the others
		if e != nil && !errors.Is(e, context.Canceled) {
			err = e
			break
		}
	}
	for _, s := range shards {
		if s != nil {
			err = errors.Join(err, s.close())
		}
	}
	return nil, err
}

// openers returns how many shards are opened at a time: of files one, as that
// waits for little.
func (h home) openers() int {
	if h.folder == nil {
		return 1
	}
	return storeRequests
}

// schemaBytes is the most that a shard's footer takes besides its list of batches:
// some 2 KB, as the schema has no other size.
const schemaBytes = 16 << 10

// openObject opens a shard in an object store.
func (h home) openObject(ctx context.Context, m *Manifest, info ShardInfo) (*shard, error) {
	path := h.path(info.File)
	stat, err := h.folder.Stat(ctx, info.File)
	if err != nil {
		return nil, faultOf(path, -1, "", err)
	}
	if err := checkSize(path, stat.Size, info); err != nil {
		return nil, err
	}
	s := &shard{file: path, rows: info.Rows, packed: m.Compression != None, checked: make([]atomic.Uint64, (info.Rows+63)/64)}
	s.remote = &remote{
		folder: h.folder, name: info.File, version: stat.Version,
		loading: map[int]chan struct{}{}, group: 2,
	}
	batches := int64(info.Rows/rowsPerBatch(m.Shape, m.Pixels, m.Compression) + 1)
	if err := s.readFooter(ctx, info.Bytes, batches*blockSize+schemaBytes); err != nil {
		return nil, faultOf(path, -1, "", err)
	}
	s.remote.batches = make([]atomic.Pointer[batchHeads], s.arrow.batches())
	return s, nil
}

// readFooter reads the end of an object of size bytes, of which the footer is
// guessed to take so many.
func (s *shard) readFooter(ctx context.Context, size, guess int64) (err error) {
	defer caught(&err)
	if size < int64(leaderSize+trailerSize) {
		return fmt.Errorf("it has %d bytes, too few for an Arrow file", size)
	}
	end := span{max(0, size-guess-int64(trailerSize)), size}
	// Of any version, which a cache of whole blocks lets pass: for so little it would
	// fetch megabytes. An object that was replaced meanwhile is found out with its
	// first row.
	var l Loaded
	if err := s.remote.readVersion(ctx, &l, "", end); err != nil {
		return err
	}
	start, err := footerAt(l.content(span{size - int64(trailerSize), size}), size)
	if err != nil {
		return err
	}
	if end.lo = start; !l.holds(end) {
		if err := s.remote.readVersion(ctx, &l, "", end); err != nil {
			return err
		}
	}
	if s.arrow, err = parseFooter(l.content(span{start, size - int64(trailerSize)}), start); err != nil {
		return err
	}
	s.arrow.blocks = bytes.Clone(s.arrow.blocks) // and let go of the rest
	if err := s.parseSchema(); err != nil {
		return err
	}
	// How many rows the last batch has is checked when it is first read.
	if n, per := s.arrow.batches(), s.spec.rowsPerBatch; n != (s.rows+per-1)/per {
		return fmt.Errorf("it has %d batches of %d rows, the manifest says %d rows", n, per, s.rows)
	}
	return nil
}
