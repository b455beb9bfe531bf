package records

import "errors"

// Dataset is a folder of records, with what its manifest and its mean picture
// say.
type Dataset struct {
	Dir      string
	Manifest *Manifest
	Mean     *Mean
}

// Open reads dir's manifest and mean picture and checks them. It opens no
// shard and holds no file open.
func Open(dir string) (*Dataset, error) { return nil, errors.ErrUnsupported }

// OpenSplit opens and maps all shards of a split, whose sizes and numbers of
// rows must be those of the manifest. Close it when no row of it is in use.
func (d *Dataset) OpenSplit(name string) (*Split, error) { return nil, errors.ErrUnsupported }

// Split is an open split: its rows, over all its shards, counted from 0. All
// methods but Close are safe for concurrent use.
type Split struct{}

// Name returns the split's name.
func (s *Split) Name() string { return "" }

// Len returns the number of rows.
func (s *Split) Len() int { return 0 }

// Close unmaps the shards. Rows that were handed out must not be touched any
// more. Closing twice is harmless.
func (s *Split) Close() error { return nil }

// Locate returns the file name of the shard that holds row i, and the number
// of the row within it. i must be in range, as for a slice.
func (s *Split) Locate(i int) (shard string, row int) { return "", 0 }

// Label returns the label of row i without touching its pixels.
func (s *Split) Label(i int) (int32, error) { return 0, errors.ErrUnsupported }

// Scratch is the memory that one goroutine needs to read rows of compressed
// shards. The zero value is ready. It may serve any number of splits, one Row
// call at a time.
type Scratch struct{}

// Row is a row as it is stored. Its key and its pixels are borrowed: from an
// uncompressed shard until the Split closes; from a compressed one until the
// Scratch is used again (or the Split closes). Nobody may write to them.
type Row struct {
	Key string
	// Label is the index of the class, or -1.
	Label int32
	// ILSVRCID is the development kit's number of the class, or 0 for none.
	ILSVRCID int32
	// Width and Height are the size of the original picture.
	Width, Height uint16
	// CRC32C is the checksum of the stored pixels.
	CRC32C uint32
	// U8 or I16 holds the pixels (C, H, W); the other is nil.
	U8  []uint8
	I16 []int16
}

// Row returns row i. It takes time that does not depend on i; for uncompressed
// shards it copies and allocates nothing, and sc may be nil.
//
// The first time that a row is read its checksum is verified; a mismatch is a
// *CorruptError, as is anything else that is not as it was written. A disk that
// fails under the mapping gives an error that wraps *fs.PathError.
func (s *Split) Row(i int, sc *Scratch) (Row, error) { return Row{}, errors.ErrUnsupported }
