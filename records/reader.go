package records

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"alexnet/records/bucket"
)

// Dataset is a folder of records, with what its manifest and its mean picture
// say.
type Dataset struct {
	// Dir is the folder, or the address of one in an object store.
	Dir      string
	Manifest *Manifest
	Mean     *Mean

	folder bucket.Folder   // nil: Dir is of the file system
	ctx    context.Context // of requests to the store for which there is no other
}

// Open reads dir's manifest and mean picture and checks them. It opens no
// shard and holds no file open.
func Open(dir string) (*Dataset, error) {
	return openDataset(context.Background(), home{dir: dir})
}

// openDataset is Open for files wherever they lie.
func openDataset(ctx context.Context, h home) (*Dataset, error) {
	m, err := readManifest(ctx, h)
	if err != nil {
		return nil, err
	}
	mean, err := openMean(ctx, h, m)
	if err != nil {
		return nil, err
	}
	return &Dataset{Dir: h.dir, Manifest: m, Mean: mean, folder: h.folder, ctx: ctx}, nil
}

// Remote says whether the data set lies in an object store: then Dir is an address.
func (d *Dataset) Remote() bool { return d.folder != nil }

// home returns where the files are, and the context for requests there.
func (d *Dataset) home() (context.Context, home) {
	if d.folder == nil {
		return context.Background(), home{dir: d.Dir}
	}
	return d.ctx, home{d.Dir, d.folder}
}

// openMean reads the mean picture that the manifest lists.
func openMean(ctx context.Context, h home, m *Manifest) (*Mean, error) {
	path := h.path(m.Mean.File)
	mean, sum, err := readMean(ctx, h, m.Mean.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, missing(path, err)
	case sum != "" && sum != m.Mean.SHA256:
		return nil, &CorruptError{File: path, Row: -1, Cause: errors.Join(digestError(sum, m.Mean.SHA256), err)}
	case err != nil:
		return nil, err
	case mean.Shape != m.Shape:
		return nil, &CorruptError{File: path, Row: -1, Cause: fmt.Errorf("its shape is %v, the manifest's %v", mean.Shape, m.Shape)}
	}
	if m.Pixels == Uint8 {
		for _, b := range mean.Baseline {
			if b != 0 {
				return nil, &CorruptError{File: path, Row: -1, Cause: errors.New("it has a baseline, and pixels are uint8")}
			}
		}
	}
	return mean, nil
}

// missing is the error for a file that the manifest lists and that is not there.
func missing(path string, err error) error {
	return fmt.Errorf("%s is listed in %s and is not there: copy it here from where it is whole, or make the records again with ingest: %w", filepath.Base(path), ManifestName, err)
}

// digestError is the cause of a CorruptError for a digest that is not the manifest's.
func digestError(got, want string) error {
	return fmt.Errorf("its SHA-256 is %s, the manifest's %s", got, want)
}

// OpenSplit opens and maps all shards of a split, whose sizes and numbers of
// rows must be those of the manifest. Close it when no row of it is in use.
func (d *Dataset) OpenSplit(name string) (*Split, error) {
	return d.openSplit(name, func(error) bool { return false })
}

// OpenSplitLenient is OpenSplit for those who would rather lose some rows than
// all: a shard that is missing, cut short, damaged in its structure or on a
// part of a disk that fails (see IsDamage) does not fail the opening.
// Split.Broken lists such shards; their rows keep their numbers, and to ask for
// one is an error.
func (d *Dataset) OpenSplitLenient(name string) (*Split, error) {
	return d.openSplit(name, IsDamage)
}

// openSplit opens a split. A shard whose error the caller tolerates takes part
// with the number of rows that the manifest gives it.
func (d *Dataset) openSplit(name string, tolerate func(error) bool) (*Split, error) {
	info, ok := d.Manifest.Splits[name]
	if !ok {
		return nil, fmt.Errorf("%s has no split %q; it has %s", d.Dir, name, splitNames(d.Manifest))
	}
	s := &Split{
		name:     name,
		starts:   make([]int, 1, len(info.Shards)+1),
		rowBytes: d.Manifest.Shape.Size() * d.Manifest.Pixels.Size(),
		packed:   d.Manifest.Compression != None,
		remote:   d.folder != nil,
	}
	ctx, h := d.home()
	shards, err := h.openShards(ctx, d.Manifest, name, tolerate)
	if err != nil {
		return nil, err
	}
	for k, si := range info.Shards {
		sh := shards[k]
		s.shards = append(s.shards, sh)
		s.files = append(s.files, si.File)
		s.starts = append(s.starts, s.Len()+sh.rows)
		s.packed = s.packed || sh.packed
	}
	return s, nil
}

// splitNames lists the splits for an error message.
func splitNames(m *Manifest) string {
	if len(m.Splits) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(m.Splits)), ", ")
}

// CheckShard checks, at the cost of a few pages, that the shard of dir that
// info describes is there and has the size, the ends, the schema and the number
// of rows that it and the manifest's head say. It does not read the rows:
// Verify does. Errors are those of Dataset.OpenSplit.
func CheckShard(dir string, m *Manifest, split string, info ShardInfo) error {
	s, err := home{dir: dir}.openListed(context.Background(), m, split, info)
	if err != nil {
		return err
	}
	return s.close()
}

// checkSize compares a shard's size with what the manifest says.
func checkSize(path string, size int64, info ShardInfo) error {
	if size != info.Bytes {
		return &CorruptError{File: path, Row: -1, Cause: fmt.Errorf("it has %d bytes, the manifest says %d", size, info.Bytes)}
	}
	return nil
}

// openListed opens a shard and compares it with what the manifest says of it.
func (h home) openListed(ctx context.Context, m *Manifest, split string, info ShardInfo) (*shard, error) {
	path := h.path(info.File)
	s, err := h.open(ctx, m, info)
	if err != nil {
		return nil, err
	}
	want := shardSpec{split: split, shape: m.Shape, pixels: m.Pixels, rowsPerBatch: s.spec.rowsPerBatch}
	switch {
	case s.spec != want:
		err = fmt.Errorf("it holds %s pictures of %v of split %q; the manifest says %s, %v, %q",
			s.spec.pixels, s.spec.shape, s.spec.split, want.pixels, want.shape, want.split)
	case s.rows != info.Rows:
		err = fmt.Errorf("it has %d rows, the manifest says %d", s.rows, info.Rows)
	default:
		return s, nil
	}
	return nil, errors.Join(&CorruptError{File: path, Row: -1, Cause: err}, s.close())
}

// Split is an open split: its rows, over all its shards, counted from 0. All
// methods but Close are safe for concurrent use.
type Split struct {
	name   string
	files  []string
	shards []*shard
	starts []int // starts[k]: number of shard k's first row; one more for the end

	rowBytes  int
	packed    bool
	remote    bool
	wholeOnce sync.Once
	cacheOnce sync.Once
	cache     *Cache // nil without
}

// Name returns the split's name.
func (s *Split) Name() string { return s.name }

// Len returns the number of rows.
func (s *Split) Len() int { return s.starts[len(s.starts)-1] }

// RowBytes returns how many bytes the pixels of a row take, decompressed: those
// of Row.U8 or Row.I16.
func (s *Split) RowBytes() int { return s.rowBytes }

// Packed says whether rows have to be decompressed: the manifest says so, or
// the shards themselves do. Row copies such rows into a Scratch, as it does those
// of an object store (see Remote).
func (s *Split) Packed() bool { return s.packed }

// BrokenShard is a shard that OpenSplitLenient could not open.
type BrokenShard struct {
	// File is the shard's file name.
	File string
	// First is the number of its first row in the split, Rows how many there
	// are according to the manifest.
	First, Rows int
	// Err is what OpenSplit would have returned.
	Err error
}

// Broken returns the shards that could not be opened, in their order; none
// unless the split was opened with OpenSplitLenient.
func (s *Split) Broken() []BrokenShard {
	var list []BrokenShard
	for k, sh := range s.shards {
		if sh.lost != nil {
			list = append(list, BrokenShard{File: s.files[k], First: s.starts[k], Rows: sh.rows, Err: sh.lost})
		}
	}
	return list
}

// Close unmaps the shards and lets go of the cache. Rows that were handed out
// must not be touched any more. Closing twice is harmless.
func (s *Split) Close() error {
	var errs []error
	for _, sh := range s.shards {
		errs = append(errs, sh.close())
	}
	s.shards, s.files, s.starts = nil, nil, []int{0}
	if s.cache != nil {
		errs = append(errs, s.cache.release())
		s.cache = nil
	}
	return errors.Join(errs...)
}

// shardOf returns which shard holds row i, by bisection.
func (s *Split) shardOf(i int) int {
	lo, hi := 0, len(s.shards)
	for hi-lo > 1 {
		if mid := int(uint(lo+hi) / 2); s.starts[mid] <= i {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// check returns an error for a row number that is out of range.
func (s *Split) check(i int) error {
	if i < 0 || i >= s.Len() {
		return fmt.Errorf("split %q has no row %d: it has %d, counted from 0", s.name, i, s.Len())
	}
	return nil
}

// Locate returns the file name of the shard that holds row i, and the number
// of the row within it.
func (s *Split) Locate(i int) (shard string, row int, err error) {
	if err := s.check(i); err != nil {
		return "", 0, err
	}
	k := s.shardOf(i)
	return s.files[k], i - s.starts[k], nil
}

// Label returns the label of row i without touching its pixels.
func (s *Split) Label(i int) (int32, error) {
	if err := s.check(i); err != nil {
		return 0, err
	}
	k := s.shardOf(i)
	return s.shards[k].label(i - s.starts[k])
}

// Key returns the key of row i without touching its pixels. It is borrowed
// until the Split closes.
func (s *Split) Key(i int) (string, error) {
	if err := s.check(i); err != nil {
		return "", err
	}
	k := s.shardOf(i)
	return s.shards[k].key(i - s.starts[k])
}

// Head returns row i without its pixels, which are neither read nor verified. Its
// key is borrowed until the Split closes.
func (s *Split) Head(i int) (Row, error) {
	if err := s.check(i); err != nil {
		return Row{}, err
	}
	k := s.shardOf(i)
	return s.shards[k].head(i - s.starts[k])
}

// Row is a row as it is stored. Its key and its pixels are borrowed: from an
// uncompressed shard until the Split closes; from a compressed one, and from one
// in an object store, until the Scratch is used again or the Split closes, whether
// or not there is a Cache.
// Nobody may write to them.
type Row struct {
	Key string
	// Label is the index of the class, or -1.
	Label int32
	// ILSVRCID is the development kit's number of the class, or 0 for none.
	ILSVRCID int32
	// Width and Height are the size of the original picture.
	Width, Height uint16
	// KeyXXH3 is the XXH3-64 of Key.
	KeyXXH3 uint64
	// SourceXXH3 is the XXH3-64 of the file that the picture was decoded from.
	SourceXXH3 uint64
	// CRC32C is the checksum of the stored pixels.
	CRC32C uint32
	// U8 or I16 holds the pixels (C, H, W); the other is nil.
	U8  []uint8
	I16 []int16
}

// Row returns row i. It takes time that does not depend on i; for uncompressed
// shards it copies and allocates nothing, and sc may be nil. (Of the others, too,
// a row that is read without a Scratch has memory of its own.) From an object
// store it takes as long as the store takes to answer once or twice: see Load.
//
// The first time that a row is read its checksum is verified, and every time that
// it comes from an object store; a mismatch is a
// *CorruptError, as is anything else that is not as it was written. A disk that
// fails under the mapping gives an error that wraps *fs.PathError. A row of a
// shard that could not be opened (see OpenSplitLenient) gives what the opening
// gave. All of these name the file and the row within it.
func (s *Split) Row(i int, sc *Scratch) (Row, error) {
	if err := s.check(i); err != nil {
		return Row{}, err
	}
	k := s.shardOf(i)
	return s.shards[k].row(i-s.starts[k], sc)
}
