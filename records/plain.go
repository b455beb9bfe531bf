package records

import (
	"hash/crc32"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// crcTable is the table of CRC-32C.
var crcTable = crc32.MakeTable(crc32.Castagnoli)

// appendStored appends pixels to dst as they are stored: as they are without a
// baseline, else the differences from it, as 16-bit integers.
func appendStored(dst []byte, pixels, baseline []uint8) []byte {
	if baseline == nil {
		return append(dst, pixels...)
	}
	n := len(dst)
	dst = slices.Grow(dst, 2*len(pixels))[:n+2*len(pixels)]
	subtract(dst[n:], pixels, baseline)
	return dst
}

// plainBatches writes the record batches of an uncompressed shard. It gathers
// rows column by column, in the layout of the file, so that Arrow's writer
// writes its memory as it is.
type plainBatches struct {
	out              *hashedWriter
	schema           *arrow.Schema
	writer           *ipc.FileWriter
	started          bool // a batch is written, and before it the schema
	capacity, values int  // rows in a batch, values in a row

	rows, nulls     int
	keys            []byte
	keyEnds         []int32 // rows+1 of them, the first 0
	labels, ids     []int32
	valid           []byte // bit i: ids[i] is not null
	widths, heights []uint16
	sources         []uint64
	crcs            []uint32
	pixels          []byte
}

// newPlainBatches starts the file.
func newPlainBatches(out *hashedWriter, o WriterOptions) (*plainBatches, error) {
	schema := shardSchema(o)
	w, err := ipc.NewFileWriter(out, ipc.WithSchema(schema))
	if err != nil {
		return nil, err
	}
	capacity := rowsPerBatch(o.Shape, o.Pixels, o.Compression)
	b := &plainBatches{out: out, schema: schema, writer: w, capacity: capacity, values: o.Shape.Size()}
	b.valid = make([]byte, (capacity+7)/8)
	b.reset()
	return b, nil
}

// reset empties the batch and keeps its memory.
func (b *plainBatches) reset() {
	b.rows, b.nulls = 0, 0
	b.keys = b.keys[:0]
	b.keyEnds = append(b.keyEnds[:0], 0)
	b.labels, b.ids = b.labels[:0], b.ids[:0]
	clear(b.valid)
	b.widths, b.heights = b.widths[:0], b.heights[:0]
	b.sources, b.crcs = b.sources[:0], b.crcs[:0]
	b.pixels = b.pixels[:0]
}

// add gathers a row and writes the batch when it is full.
func (b *plainBatches) add(r *Record, baseline []uint8) error {
	b.keys = append(b.keys, r.Key...)
	b.keyEnds = append(b.keyEnds, int32(len(b.keys)))
	b.labels = append(b.labels, r.Label)
	b.ids = append(b.ids, r.ILSVRCID)
	if r.ILSVRCID == 0 {
		b.nulls++
	} else {
		b.valid[b.rows/8] |= 1 << (b.rows % 8)
	}
	b.widths = append(b.widths, r.Width)
	b.heights = append(b.heights, r.Height)
	b.sources = append(b.sources, r.SourceXXH3)
	n := len(b.pixels)
	b.pixels = appendStored(b.pixels, r.Pixels, baseline)
	b.crcs = append(b.crcs, crc32.Checksum(b.pixels[n:], crcTable))
	if b.rows++; b.rows == b.capacity {
		return b.flush()
	}
	return nil
}

// flush writes the rows gathered so far as a record batch.
func (b *plainBatches) flush() error {
	record := b.record()
	defer record.Release()
	if err := b.writer.Write(record); err != nil {
		return err
	}
	b.started = true
	b.reset()
	return nil
}

// close writes the last batch, the end of the messages, which Arrow's writer
// leaves out, and the footer.
func (b *plainBatches) close() error {
	if b.rows > 0 {
		if err := b.flush(); err != nil {
			return err
		}
	}
	if !b.started {
		leader, err := schemaLeader(b.schema)
		if err != nil {
			return err
		}
		if _, err := b.out.Write(leader); err != nil {
			return err
		}
		return writeEnd(b.out, leader, nil)
	}
	if _, err := b.out.Write([]byte(endOfStream)); err != nil {
		return err
	}
	return b.writer.Close()
}

// stop does nothing: nothing was started.
func (b *plainBatches) stop() {}

// record returns the batch as an Arrow record over the gathered memory, which
// must not change until the record is released.
func (b *plainBatches) record() arrow.Record {
	buffer := memory.NewBufferBytes
	var valid *memory.Buffer
	if b.nulls > 0 {
		valid = buffer(b.valid)
	}
	fields := b.schema.Fields()
	column := func(i, nulls int, buffers ...*memory.Buffer) arrow.ArrayData {
		return array.NewData(fields[i].Type, b.rows, buffers, nil, nulls, 0)
	}
	list := fields[colPixels].Type.(*arrow.FixedSizeListType)
	values := array.NewData(list.Elem(), b.rows*b.values, []*memory.Buffer{nil, buffer(b.pixels)}, nil, 0, 0)
	defer values.Release()
	data := []arrow.ArrayData{
		colKey:        column(colKey, 0, nil, buffer(arrow.Int32Traits.CastToBytes(b.keyEnds)), buffer(b.keys)),
		colLabel:      column(colLabel, 0, nil, buffer(arrow.Int32Traits.CastToBytes(b.labels))),
		colILSVRCID:   column(colILSVRCID, b.nulls, valid, buffer(arrow.Int32Traits.CastToBytes(b.ids))),
		colWidth:      column(colWidth, 0, nil, buffer(arrow.Uint16Traits.CastToBytes(b.widths))),
		colHeight:     column(colHeight, 0, nil, buffer(arrow.Uint16Traits.CastToBytes(b.heights))),
		colSourceXXH3: column(colSourceXXH3, 0, nil, buffer(arrow.Uint64Traits.CastToBytes(b.sources))),
		colCRC32C:     column(colCRC32C, 0, nil, buffer(arrow.Uint32Traits.CastToBytes(b.crcs))),
		colPixels:     array.NewData(list, b.rows, []*memory.Buffer{nil}, []arrow.ArrayData{values}, 0, 0),
	}
	columns := make([]arrow.Array, len(data))
	for i, d := range data {
		columns[i] = array.MakeFromData(d)
		defer columns[i].Release()
		d.Release()
	}
	return array.NewRecord(b.schema, columns, int64(b.rows))
}
