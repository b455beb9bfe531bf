package records

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"

	"github.com/edsrzf/mmap-go"
)

// ColumnFile is an Arrow IPC file of other columns than those of records, mapped into
// memory: flat ones and fixed-size lists, without nulls and not compressed. Unlike the
// Arrow library's reader this one stands all damage: it neither panics nor makes buffers
// of sizes that a damaged file gives.
type ColumnFile struct {
	path    string
	mapping mmap.MMap
	arrow   *arrowFile
}

// OpenColumns opens a file. Errors are *CorruptError, or wrap *fs.PathError.
func OpenColumns(path string) (*ColumnFile, error) {
	mapping, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	c := &ColumnFile{path: path, mapping: mapping}
	if err := c.parse(); err != nil {
		return nil, errors.Join(faultOf(path, -1, "", err), mapping.Unmap())
	}
	return c, nil
}

func (c *ColumnFile) parse() (err error) {
	defer caught(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	c.arrow, err = parseArrowFile(c.mapping)
	return err
}

// Metadata returns the metadata of the schema.
func (c *ColumnFile) Metadata() map[string]string { return c.arrow.meta }

// Columns describes the columns: "key utf8", "features fixed_size_list[4096] float32".
func (c *ColumnFile) Columns() []string {
	var list []string
	for _, f := range c.arrow.fields {
		text := f.name + " " + string(f.typ)
		if f.typ == fixedSizeList {
			text += fmt.Sprintf("[%d] %s", f.listSize, f.item)
		}
		list = append(list, text)
	}
	return list
}

// Batches returns the number of record batches.
func (c *ColumnFile) Batches() int { return c.arrow.batches() }

// ColumnBatch is a record batch.
type ColumnBatch struct {
	Rows int64
	// Lengths are those of the columns; a list and its items are two.
	Lengths []int64
	// Buffers are those of the columns, in Arrow's order: bitmap (empty) and values; of
	// text bitmap, offsets and bytes; of a list its bitmap only.
	Buffers [][]byte
}

// Batch hands a record batch, which must exist, to use. Its buffers are mapped: they are
// borrowed until use returns. Errors are those of use, *CorruptError for damage, or wrap
// *fs.PathError where the disk fails, also while use reads the buffers.
func (c *ColumnFile) Batch(i int, use func(ColumnBatch) error) error {
	used, err := c.batch(i, use)
	if used != nil {
		return used
	}
	if err != nil {
		return faultOf(c.path, -1, "", err)
	}
	return nil
}

func (c *ColumnFile) batch(i int, use func(ColumnBatch) error) (used, err error) {
	defer caught(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	b, err := c.arrow.batch(i)
	if err != nil {
		return nil, err
	}
	if b.codec != None {
		return nil, fmt.Errorf("batch %d is compressed (%s)", i, b.codec)
	}
	out := ColumnBatch{Rows: b.rows}
	for n := range len(b.nodes) / nodeSize {
		length, nulls := b.node(n)
		if nulls != 0 {
			return nil, fmt.Errorf("batch %d has %d nulls", i, nulls)
		}
		out.Lengths = append(out.Lengths, length)
	}
	for n := range len(b.buffers) / bufferSize {
		buffer, err := b.buffer(n)
		if err != nil {
			return nil, err
		}
		out.Buffers = append(out.Buffers, buffer)
	}
	return use(out), nil
}

// Close unmaps the file.
func (c *ColumnFile) Close() error {
	if err := c.mapping.Unmap(); err != nil {
		return &fs.PathError{Op: "munmap", Path: c.path, Err: err}
	}
	return nil
}
