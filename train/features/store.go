// Package features keeps what a layer of a net computes of the images of a split, and
// finds those whose features are nearest to a query's by Euclidean distance: section
// 6.1 and Figure 4 (right) of Krizhevsky, Sutskever and Hinton (2012).
//
// A store is a folder of Arrow IPC files, each of which holds some of the rows of a
// split, in their order:
//
//	train-00000000.arrow    from row 0
//	train-00016384.arrow    from row 16384
//	...
//
// with the columns key (utf8), label (int32), features (fixed_size_list of float32) and
// crc32c (uint32, of the bytes of the other three, little-endian), record batches of 256
// rows, and in the schema's metadata what the features are of (Source). A file appears whole or not at all, so that a store that was
// interrupted goes on at the first row that is in no file.
package features

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/zeebo/xxh3"

	"alexnet/records"
	"alexnet/records/atomicfile"
)

const (
	batchRows = 256      // of a record batch: 4 MiB of the paper's features
	partRows  = 64 * 256 // of a file: 256 MiB of them
	format    = "alexnet-features"
	version   = "1"
)

// Source is what features are of. Features of different sources do not belong
// together.
type Source struct {
	Records string // digest of the records' manifest
	Split   string
	Net     string // digest of the net and its weights
	Layer   string
	// Precision is that of the arithmetic, such as "fp32". The last bits depend on more
	// than that (model.ArithmeticEngine), but no store is of no use for them.
	Precision string
	Size      int // values of an image
	Rows      int // of the split

	perFile int // rows of a file, for tests; 0 means partRows
}

// Folder returns a name for a store of this source where there may be those of others:
// "fc7-1f2e3d4c".
func (s Source) Folder() string {
	return fmt.Sprintf("%s-%08x", s.Layer, uint32(xxh3.HashString(fmt.Sprintf("%q", []string{s.Records, s.Split, s.Net, s.Layer, s.Precision}))))
}

// metadata returns the source as a schema has it.
func (s Source) metadata() map[string]string {
	return map[string]string{"format": format, "version": version, "records": s.Records, "split": s.Split, "net": s.Net,
		"layer": s.Layer, "precision": s.Precision, "rows": strconv.Itoa(s.Rows)}
}

// schema returns the schema of a file.
func (s Source) schema(first int) *arrow.Schema {
	m := s.metadata()
	m["first"] = strconv.Itoa(first)
	meta := arrow.MetadataFrom(m)
	return arrow.NewSchema([]arrow.Field{
		{Name: "key", Type: arrow.BinaryTypes.String},
		{Name: "label", Type: arrow.PrimitiveTypes.Int32},
		{Name: "features", Type: arrow.FixedSizeListOf(int32(s.Size), arrow.PrimitiveTypes.Float32)},
		{Name: "crc32c", Type: arrow.PrimitiveTypes.Uint32},
	}, &meta)
}

// DamagedError says that a file of a store is not as it was written.
type DamagedError struct {
	File string
	Err  error
}

// Error names the file, the cause and what to do.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged: %v; remove it, and it will be made again", e.File, e.Err)
}

// Unwrap returns the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// OtherError says that a store holds features of something else.
type OtherError struct {
	File, What, Have, Want string
}

// Error says what is different and what to do.
func (e *OtherError) Error() string {
	return fmt.Sprintf("%s has features of another source: its %s is %q and not %q; name another folder, or remove it", e.File, e.What, e.Have, e.Want)
}

// part is the name of the file that begins at a row.
func (s Source) part(dir string, first int) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%08d.arrow", s.Split, first))
}

// step is the number of rows from the beginning of a file to that of the next.
func (s Source) step() int { return cmp.Or(s.perFile, partRows) }

// partLen returns the number of rows of the file that begins at a row.
func (s Source) partLen(first int) int { return min(s.step(), s.Rows-first) }

// Missing returns the first row from which on there is no file, Rows if there is none.
// Files of another source are an *OtherError.
func (s Source) Missing(dir string) (int, error) {
	for first := 0; first < s.Rows; first += s.step() {
		r, err := s.openPart(dir, first)
		if errors.Is(err, fs.ErrNotExist) {
			return first, nil
		}
		if err != nil {
			return 0, err
		}
		if err := r.close(); err != nil {
			return 0, err
		}
	}
	return s.Rows, nil
}

// writer writes the files of a store.
type writer struct {
	source Source
	dir    string
	next   int // row
	file   *atomicfile.File
	buffer *bufio.Writer
	arrow  *ipc.FileWriter
	build  *array.RecordBuilder
}

// newWriter begins at a row, that of a file.
func newWriter(s Source, dir string, first int) *writer {
	return &writer{source: s, dir: dir, next: first}
}

// add appends a row.
func (w *writer) add(key string, label int32, features []float32) error {
	if w.file == nil {
		if err := w.begin(); err != nil {
			return err
		}
	}
	w.build.Field(0).(*array.StringBuilder).Append(key)
	w.build.Field(1).(*array.Int32Builder).Append(label)
	list := w.build.Field(2).(*array.FixedSizeListBuilder)
	list.Append(true)
	list.ValueBuilder().(*array.Float32Builder).AppendValues(features, nil)
	w.build.Field(3).(*array.Uint32Builder).Append(checksum(key, label, features))
	w.next++
	last := w.next%w.source.step() == 0 || w.next == w.source.Rows
	if w.next%batchRows == 0 || last {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if last {
		return w.commit()
	}
	return nil
}

// begin starts a file.
func (w *writer) begin() (err error) {
	schema := w.source.schema(w.next)
	if w.file, err = atomicfile.Create(w.source.part(w.dir, w.next)); err != nil {
		return err
	}
	w.buffer = bufio.NewWriterSize(w.file, 1<<20)
	if w.arrow, err = ipc.NewFileWriter(&counted{w: w.buffer}, ipc.WithSchema(schema)); err != nil {
		return err
	}
	w.build = array.NewRecordBuilder(memory.DefaultAllocator, schema)
	return nil
}

// checksum returns the CRC-32C of a row.
func checksum(key string, label int32, features []float32) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Checksum([]byte(key), table), table, binary.LittleEndian.AppendUint32(nil, uint32(label)))
	return crc32.Update(sum, table, arrow.Float32Traits.CastToBytes(features))
}

// counted is an io.WriteSeeker that tells where it is, all that the Arrow library asks.
type counted struct {
	w     *bufio.Writer
	bytes int64
}

// Write implements io.Writer.
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.bytes += int64(n)
	return n, err
}

// Seek returns the position; to go elsewhere is an error.
func (c *counted) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, errors.New("features are written from the start to the end")
	}
	return c.bytes, nil
}

// flush writes a record batch.
func (w *writer) flush() error {
	batch := w.build.NewRecord()
	defer batch.Release()
	return w.arrow.Write(batch)
}

// commit ends a file.
func (w *writer) commit() error {
	w.release()
	if err := w.arrow.Close(); err != nil {
		return err
	}
	if err := w.buffer.Flush(); err != nil {
		return err
	}
	file := w.file
	w.file = nil
	return file.Commit()
}

// abort gives up the file in hand.
func (w *writer) abort() error {
	if w.file == nil {
		return nil
	}
	w.release()
	return w.file.Abort()
}

func (w *writer) release() {
	if w.build != nil {
		w.build.Release()
		w.build = nil
	}
}

// columns describes the columns of a file, as records.ColumnFile does.
func (s Source) columns() []string {
	return []string{"key utf8", "label int32", fmt.Sprintf("features fixed_size_list[%d] float32", s.Size), "crc32c uint32"}
}

// reader reads a file.
type reader struct {
	path     string
	source   Source
	file     *records.ColumnFile
	rows     int
	features []float32 // of the block in hand
}

// openPart opens the file that begins at a row, and checks that it is of the source.
func (s Source) openPart(dir string, first int) (r *reader, err error) {
	path := s.part(dir, first)
	r = &reader{path: path, source: s, rows: s.partLen(first)}
	file, err := records.OpenColumns(path)
	if err != nil {
		return nil, r.fault(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	r.file = file
	meta, want := r.file.Metadata(), s.metadata()
	for _, key := range []string{"format", "version", "records", "split", "net", "layer", "precision", "rows"} {
		if meta[key] != want[key] {
			return nil, &OtherError{path, key, meta[key], want[key]}
		}
	}
	if columns := r.file.Columns(); !slices.Equal(columns, s.columns()) || meta["first"] != strconv.Itoa(first) {
		return nil, &DamagedError{path, fmt.Errorf("its columns are %q, from row %.20q", columns, meta["first"])}
	}
	if batches := r.file.Batches(); batches != r.batches() {
		return nil, &DamagedError{path, fmt.Errorf("it has %d record batches, not %d", batches, r.batches())}
	}
	return r, nil
}

// fault makes damage a *DamagedError.
func (r *reader) fault(err error) error {
	var corrupt *records.CorruptError
	if errors.As(err, &corrupt) {
		return &DamagedError{r.path, corrupt.Cause}
	}
	return fmt.Errorf("features: %w", err)
}

// close closes the file.
func (r *reader) close() error { return r.file.Close() }

// batches returns the number of record batches.
func (r *reader) batches() int { return (r.rows + batchRows - 1) / batchRows }

// block is some rows of a store.
type block struct {
	keys     []string
	labels   []int32
	features []float32 // borrowed until the next block
}

// batch reads record batch k.
func (r *reader) batch(k int) (b block, err error) {
	n := min(batchRows, r.rows-k*batchRows)
	err = r.file.Batch(k, func(in records.ColumnBatch) error {
		if err := r.copy(&b, n, in); err != nil {
			return &DamagedError{r.path, fmt.Errorf("record batch %d: %w", k, err)}
		}
		return nil
	})
	var damaged *DamagedError
	if err != nil && !errors.As(err, &damaged) {
		err = r.fault(err)
	}
	return b, err
}

// The buffers and the columns of a file, as Arrow counts them.
const (
	bufEnds, bufBytes, bufLabel, bufFeatures, bufSum = 1, 2, 4, 7, 9
	buffers                                          = 10
)

// copy sets a block to n rows of a record batch, and checks them.
func (r *reader) copy(b *block, n int, in records.ColumnBatch) error {
	rows, size := int64(n), r.source.Size
	if in.Rows != rows || !slices.Equal(in.Lengths, []int64{rows, rows, rows, rows * int64(size), rows}) || len(in.Buffers) != buffers {
		return fmt.Errorf("it has %d rows, and columns of %d", in.Rows, in.Lengths)
	}
	if len(in.Buffers[bufEnds]) < 4*(n+1) || len(in.Buffers[bufLabel]) < 4*n || len(in.Buffers[bufFeatures]) < 4*n*size || len(in.Buffers[bufSum]) < 4*n {
		return errors.New("a column is cut off")
	}
	if cap(r.features) < n*size {
		r.features = make([]float32, n*size)
	}
	b.features = r.features[:n*size]
	copy(arrow.Float32Traits.CastToBytes(b.features), in.Buffers[bufFeatures])
	number := func(buffer, i int) uint32 { return binary.LittleEndian.Uint32(in.Buffers[buffer][4*i:]) }
	text := in.Buffers[bufBytes]
	for i := range n {
		from, to := number(bufEnds, i), number(bufEnds, i+1)
		if from > to || int64(to) > int64(len(text)) {
			return fmt.Errorf("the key of row %d lies from %d to %d of %d bytes", i, from, to, len(text))
		}
		b.keys = append(b.keys, string(text[from:to]))
		b.labels = append(b.labels, int32(number(bufLabel, i)))
		if checksum(b.keys[i], b.labels[i], b.features[i*size:][:size]) != number(bufSum, i) {
			return fmt.Errorf("the checksum of row %d is not that of its contents", i)
		}
	}
	return nil
}
