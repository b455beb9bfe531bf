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
// with the columns key (utf8), label (int32) and features (fixed_size_list of
// float32), record batches of 256 rows, and in the schema's metadata what the features
// are of (Source). A file appears whole or not at all, so that a store that was
// interrupted goes on at the first row that is in no file.
package features

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

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
		r.close()
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

// reader reads a file.
type reader struct {
	path   string
	source Source
	file   *os.File
	arrow  *ipc.FileReader
	rows   int
}

// openPart opens the file that begins at a row, and checks that it is of the source.
func (s Source) openPart(dir string, first int) (r *reader, err error) {
	path := s.part(dir, first)
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("features: %w", err)
	}
	r = &reader{path: path, source: s, file: file, rows: s.partLen(first)}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	if r.arrow, err = guard(path, func() (*ipc.FileReader, error) { return ipc.NewFileReader(file) }); err != nil {
		return nil, err
	}
	schema := r.arrow.Schema()
	meta, want := schema.Metadata().ToMap(), s.metadata()
	for _, key := range []string{"format", "version", "records", "split", "net", "layer", "precision", "rows"} {
		if meta[key] != want[key] {
			return nil, &OtherError{path, key, meta[key], want[key]}
		}
	}
	if expected := s.schema(first); !schema.Equal(expected) || meta["first"] != strconv.Itoa(first) {
		return nil, &DamagedError{path, fmt.Errorf("its columns are %v, from row %s", schema.Fields(), meta["first"])}
	}
	if batches := (r.rows + batchRows - 1) / batchRows; r.arrow.NumRecords() != batches {
		return nil, &DamagedError{path, fmt.Errorf("it has %d record batches, not %d", r.arrow.NumRecords(), batches)}
	}
	return r, nil
}

// guard calls what reads an Arrow file, whose library panics on some damages.
func guard[T any](path string, read func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &DamagedError{path, fmt.Errorf("%v", p)}
		}
	}()
	v, err = read()
	var failed *fs.PathError
	if err != nil && !errors.As(err, &failed) {
		err = &DamagedError{path, err}
	}
	return v, err
}

func (r *reader) close() { r.file.Close() }

// block is some rows of a store.
type block struct {
	keys     *array.String
	labels   []int32
	features []float32
	record   arrow.Record
}

// batch reads record batch k. The caller releases its record.
func (r *reader) batch(k int) (b block, err error) {
	want := min(batchRows, r.rows-k*batchRows)
	return guard(r.path, func() (block, error) {
		record, err := r.arrow.RecordAt(k)
		if err != nil {
			return block{}, err
		}
		list := record.Column(2).(*array.FixedSizeList)
		values := list.ListValues().(*array.Float32)
		b := block{record.Column(0).(*array.String), record.Column(1).(*array.Int32).Int32Values(), values.Float32Values(), record}
		if int(record.NumRows()) != want || len(b.features) != want*r.source.Size || len(b.labels) != want || record.Column(0).NullN()+record.Column(1).NullN()+list.NullN()+values.NullN() > 0 {
			return block{}, fmt.Errorf("record batch %d has %d rows and %d values, not %d of %d", k, record.NumRows(), len(b.features), want, r.source.Size)
		}
		return b, nil
	})
}
