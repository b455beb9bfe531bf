package records

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"alexnet/records/atomicfile"
)

// WriterOptions say what a shard holds and how.
type WriterOptions struct {
	// Split is the name of the split, such as "train".
	Split string
	// Shape is the shape of every picture of the data set.
	Shape Shape
	// Pixels is the type of the stored values.
	Pixels PixelType
	// Compression is None, LZ4 or Zstd.
	Compression Compression
	// Baseline is subtracted from each picture when Pixels is Int16: planar,
	// of the pictures' shape. It must be nil when Pixels is Uint8. The writer
	// keeps it and only reads it; shards may share it.
	Baseline []uint8
}

// check says what is wrong with the options, or returns nil.
func (o *WriterOptions) check() error {
	if err := checkSplitName(o.Split); err != nil {
		return err
	}
	if err := o.Shape.check(); err != nil {
		return err
	}
	if err := checkEncoding(o.Pixels, o.Compression); err != nil {
		return err
	}
	switch {
	case o.Pixels == Int16 && len(o.Baseline) != o.Shape.Size():
		return fmt.Errorf("int16 pixels need a baseline of %d values, not of %d", o.Shape.Size(), len(o.Baseline))
	case o.Pixels == Uint8 && o.Baseline != nil:
		return errors.New("uint8 pixels are stored as they are: the baseline must be nil")
	}
	return nil
}

// checkEncoding returns an *UnsupportedError for an unknown pixel type or
// compression, and on machines whose byte order is not that of the files.
func checkEncoding(p PixelType, c Compression) error {
	switch {
	case p.Size() == 0:
		return &UnsupportedError{What: fmt.Sprintf("pixels %q; there are %q and %q", string(p), Int16, Uint8)}
	case !c.valid():
		return &UnsupportedError{What: fmt.Sprintf("compression %q; there are %q, %q and %q", string(c), None, LZ4, Zstd)}
	case binary.NativeEndian.Uint16([]byte{1, 0}) != 1:
		return &UnsupportedError{What: "big-endian machines; records are little-endian"}
	}
	return nil
}

// ShardInfo describes a finished shard, as the manifest lists it.
type ShardInfo struct {
	// File is the file's name, without a folder.
	File string `json:"file"`
	// Rows is the number of rows.
	Rows int `json:"rows"`
	// Bytes is the size of the file.
	Bytes int64 `json:"bytes"`
	// SHA256 is the file's digest, in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
}

// castagnoli is the table of CRC-32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pending is a file that is not there until Commit: an *atomicfile.File, or
// what a test puts in its place.
type pending interface {
	io.Writer
	Commit() error
	Abort() error
}

// ShardWriter writes one shard. It is for one goroutine; different shards may
// be written at the same time. The same rows and options give the same bytes.
type ShardWriter struct {
	path    string
	options WriterOptions
	file    pending
	out     *hashedWriter
	arrow   *ipc.FileWriter
	batch   batchBuilder
	rows    int
	done    error // what ended the writer: errCommitted, errAborted, or a failure
}

var (
	errCommitted = errors.New("the shard is committed already")
	errAborted   = errors.New("the shard was given up")
)

// CreateShard starts a shard that Commit will put at path. Until then only a
// temporary is there. End it with Commit or Abort.
func CreateShard(path string, o WriterOptions) (*ShardWriter, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("shard %s: %w", path, err)
	}
	file, err := atomicfile.Create(path)
	if err != nil {
		return nil, err
	}
	return newShardWriter(path, file, o)
}

// newShardWriter writes the shard to file; the options have been checked.
func newShardWriter(path string, file pending, o WriterOptions) (*ShardWriter, error) {
	schema := shardSchema(o)
	out := newHashedWriter(file)
	w := &ShardWriter{path: path, options: o, file: file, out: out}
	w.batch.init(schema, rowsPerBatch(o.Shape, o.Pixels, o.Compression), o.Shape.Size(), o.Pixels)
	options := []ipc.Option{ipc.WithSchema(schema)}
	switch o.Compression {
	case LZ4:
		options = append(options, ipc.WithLZ4(), ipc.WithMinSpaceSavings(0))
	case Zstd:
		options = append(options, ipc.WithZstd(), ipc.WithMinSpaceSavings(0))
	}
	fw, err := ipc.NewFileWriter(out, options...)
	if err != nil {
		return nil, w.fail(err)
	}
	w.arrow = fw
	return w, nil
}

// Write appends a row. A record that does not fit the shard is refused and
// changes nothing. When the disk fails, the temporary is removed at once, and
// this error is what all further calls return.
func (w *ShardWriter) Write(r Record) error {
	if w.done != nil {
		return fmt.Errorf("shard %s: writing %s: %w", w.path, r.Key, w.done)
	}
	if err := w.checkRecord(&r); err != nil {
		return fmt.Errorf("shard %s: row %d (%.200q): %w", w.path, w.rows, r.Key, err)
	}
	w.batch.add(&r, w.options.Baseline)
	w.rows++
	if w.batch.full() {
		return w.flush()
	}
	return nil
}

// maxKey bounds the length of a key, in bytes.
const maxKey = 4096

// checkRecord says why r cannot be a row of this shard, or returns nil.
func (w *ShardWriter) checkRecord(r *Record) error {
	switch {
	case r.Key == "" || len(r.Key) > maxKey || !utf8.ValidString(r.Key):
		return fmt.Errorf("a key must be 1 to %d bytes of UTF-8", maxKey)
	case len(r.Pixels) != w.options.Shape.Size():
		return fmt.Errorf("%d pixel values for the shape %v, which has %d", len(r.Pixels), w.options.Shape, w.options.Shape.Size())
	case r.Label < -1:
		return fmt.Errorf("label %d: labels count from 0, and -1 is for none", r.Label)
	case r.ILSVRCID < 0:
		return fmt.Errorf("ILSVRC id %d: ids count from 1, and 0 is for none", r.ILSVRCID)
	case w.rows >= math.MaxInt32:
		return errors.New("the shard is full")
	}
	return nil
}

// flush writes the rows gathered so far as a record batch.
func (w *ShardWriter) flush() error {
	rec := w.batch.record()
	defer rec.Release()
	if err := w.arrow.Write(rec); err != nil {
		return w.fail(err)
	}
	if w.out.err != nil { // arrow v15 drops the errors of its compressors' writes
		return w.fail(w.out.err)
	}
	w.batch.reset()
	return nil
}

// fail ends the writer, removes the temporary and returns the error.
func (w *ShardWriter) fail(err error) error {
	err = fmt.Errorf("shard %s: %w", w.path, err)
	if aerr := w.file.Abort(); aerr != nil {
		err = errors.Join(err, aerr)
	}
	w.done = err
	return err
}

// Commit writes what is left, flushes the file to the disk, gives it its name
// and returns its description. When it fails, nothing is left behind.
func (w *ShardWriter) Commit() (ShardInfo, error) {
	if w.done != nil {
		return ShardInfo{}, fmt.Errorf("shard %s: committing: %w", w.path, w.done)
	}
	if w.batch.rows > 0 {
		if err := w.flush(); err != nil {
			return ShardInfo{}, err
		}
	}
	if err := w.arrow.Close(); err != nil {
		return ShardInfo{}, w.fail(err)
	}
	if err := w.out.buffer.Flush(); err != nil {
		return ShardInfo{}, w.fail(err)
	}
	if err := w.file.Commit(); err != nil {
		return ShardInfo{}, w.fail(err)
	}
	w.done = errCommitted
	return ShardInfo{
		File:   filepath.Base(w.path),
		Rows:   w.rows,
		Bytes:  w.out.bytes,
		SHA256: w.out.digest(),
	}, nil
}

// Abort gives the shard up and removes its temporary. After Commit or a
// failure it does nothing, so it can be deferred.
func (w *ShardWriter) Abort() error {
	if w.done != nil {
		return nil
	}
	w.done = errAborted
	return w.file.Abort()
}

// batchBuilder gathers the rows of one record batch, column by column, in the
// layout of the file, so that Arrow writes its memory as it is.
type batchBuilder struct {
	schema           *arrow.Schema
	capacity, values int // rows in a batch, values in a row
	pixels           PixelType
	rows, nulls      int
	keys             []byte
	keyEnds          []int32 // rows+1 of them, the first 0
	labels, ids      []int32
	valid            []byte // bit i: ids[i] is not null
	widths, heights  []uint16
	crcs             []uint32
	u8               []uint8 // capacity*values, for Uint8
	i16              []int16 // capacity*values, for Int16
}

// init makes an empty builder for batches of up to capacity rows.
func (b *batchBuilder) init(schema *arrow.Schema, capacity, values int, p PixelType) {
	*b = batchBuilder{schema: schema, capacity: capacity, values: values, pixels: p}
	b.valid = make([]byte, (capacity+7)/8)
	b.reset()
}

// reset empties the builder and keeps its memory.
func (b *batchBuilder) reset() {
	b.rows, b.nulls = 0, 0
	b.keys = b.keys[:0]
	b.keyEnds = append(b.keyEnds[:0], 0)
	b.labels, b.ids = b.labels[:0], b.ids[:0]
	clear(b.valid)
	b.widths, b.heights = b.widths[:0], b.heights[:0]
	b.crcs = b.crcs[:0]
	b.u8, b.i16 = b.u8[:0], b.i16[:0]
}

// full says whether the batch has all the rows it may have.
func (b *batchBuilder) full() bool { return b.rows == b.capacity }

// add appends a row, which fits; baseline is nil for Uint8.
func (b *batchBuilder) add(r *Record, baseline []uint8) {
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
	var stored []byte
	if b.pixels == Int16 {
		n := len(b.i16)
		b.i16 = slices.Grow(b.i16, b.values)[:n+b.values]
		row := b.i16[n:]
		for k, v := range r.Pixels {
			row[k] = int16(v) - int16(baseline[k])
		}
		stored = arrow.Int16Traits.CastToBytes(row)
	} else {
		b.u8 = append(b.u8, r.Pixels...)
		stored = r.Pixels
	}
	b.crcs = append(b.crcs, crc32.Checksum(stored, castagnoli))
	b.rows++
}

// record returns the batch as an Arrow record over the builder's memory, which
// must not change until the record is released.
func (b *batchBuilder) record() arrow.Record {
	var valid *memory.Buffer
	if b.nulls > 0 {
		valid = memory.NewBufferBytes(b.valid)
	}
	column := func(dt arrow.DataType, nulls int, buffers ...*memory.Buffer) arrow.ArrayData {
		return array.NewData(dt, b.rows, buffers, nil, nulls, 0)
	}
	bytesOf := memory.NewBufferBytes
	fields := b.schema.Fields()
	pixels := arrow.Int16Traits.CastToBytes(b.i16)
	if b.pixels == Uint8 {
		pixels = b.u8
	}
	list := fields[colPixels].Type.(*arrow.FixedSizeListType)
	values := array.NewData(list.Elem(), b.rows*b.values, []*memory.Buffer{nil, bytesOf(pixels)}, nil, 0, 0)
	data := []arrow.ArrayData{
		colKey:      column(fields[colKey].Type, 0, nil, bytesOf(arrow.Int32Traits.CastToBytes(b.keyEnds)), bytesOf(b.keys)),
		colLabel:    column(fields[colLabel].Type, 0, nil, bytesOf(arrow.Int32Traits.CastToBytes(b.labels))),
		colILSVRCID: column(fields[colILSVRCID].Type, b.nulls, valid, bytesOf(arrow.Int32Traits.CastToBytes(b.ids))),
		colWidth:    column(fields[colWidth].Type, 0, nil, bytesOf(arrow.Uint16Traits.CastToBytes(b.widths))),
		colHeight:   column(fields[colHeight].Type, 0, nil, bytesOf(arrow.Uint16Traits.CastToBytes(b.heights))),
		colCRC32C:   column(fields[colCRC32C].Type, 0, nil, bytesOf(arrow.Uint32Traits.CastToBytes(b.crcs))),
		colPixels:   array.NewData(list, b.rows, []*memory.Buffer{nil}, []arrow.ArrayData{values}, 0, 0),
	}
	columns := make([]arrow.Array, len(data))
	for i, d := range data {
		columns[i] = array.MakeFromData(d)
		defer columns[i].Release()
		d.Release()
	}
	return array.NewRecord(b.schema, columns, int64(b.rows))
}

// hashedWriter buffers what is written to a file, and counts and digests it.
// It can tell Arrow's writer its position, but not change it.
type hashedWriter struct {
	buffer *bufio.Writer
	sum    hash.Hash
	bytes  int64
	err    error // the first failure
}

// newHashedWriter returns a writer of everything to w.
func newHashedWriter(w io.Writer) *hashedWriter {
	return &hashedWriter{buffer: bufio.NewWriterSize(w, 1<<16), sum: sha256.New()}
}

// Write takes p into account and passes it on.
func (h *hashedWriter) Write(p []byte) (int, error) {
	n, err := h.buffer.Write(p)
	if h.err == nil {
		h.err = err
	}
	h.sum.Write(p[:n])
	h.bytes += int64(n)
	return n, err
}

// Seek returns the position; to go elsewhere is an error.
func (h *hashedWriter) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, errors.New("a shard is written from its start to its end")
	}
	return h.bytes, nil
}

// digest returns the SHA-256 of all that was written, in hexadecimal.
func (h *hashedWriter) digest() string { return hex.EncodeToString(h.sum.Sum(nil)) }
