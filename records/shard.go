package records

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/edsrzf/mmap-go"
	"github.com/zeebo/xxh3"
)

// A shard's flattened columns (the list and its items are two) and buffers, in
// the order in which a record batch lists them: of each column its validity
// bitmap, of the keys then their offsets and their bytes, of the others their
// values; the list has a bitmap only.
const (
	nodeValues = shardColumns
	shardNodes = shardColumns + 1

	bufKeyEnds    = 1
	bufKeyBytes   = 2
	bufLabel      = 4
	bufIDValid    = 5
	bufID         = 6
	bufWidth      = 8
	bufHeight     = 10
	bufSourceXXH3 = 12
	bufCRC32C     = 14
	bufPixels     = 17
	shardBufs     = 18
)

// shardSpec is what a shard says of itself.
type shardSpec struct {
	split        string
	shape        Shape
	pixels       PixelType
	rowsPerBatch int
}

// shard is an open shard. Its rows may be read by several goroutines at once.
type shard struct {
	file    string // path or address, for errors
	mapping mmap.MMap
	remote  *remote // where it is in place of a mapping; nil: it is mapped
	arrow   *arrowFile
	spec    shardSpec
	rows    int
	packed  bool                       // its batches are compressed
	whole   atomic.Bool                // see Split.KeepWhole
	checked []atomic.Uint64            // bit i: row i's checksum was found right
	heads   atomic.Pointer[heads]      // of rows that were read
	cached  atomic.Pointer[shardCache] // nil without
	lost    error                      // why it could not be opened; then it has only file and rows
}

// openShard maps the shard at path. Errors are *CorruptError, *VersionError,
// *UnsupportedError, or wrap *fs.PathError.
func openShard(path string) (*shard, error) {
	mapping, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	s, err := parseShard(path, mapping)
	if err != nil {
		return nil, errors.Join(err, mapping.Unmap())
	}
	s.mapping = mapping
	return s, nil
}

// mapFile maps a file, which must not be empty, read-only.
func mapFile(path string) (mmap.MMap, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &CorruptError{File: path, Row: -1, Cause: errors.New("it is not a regular file")}
	}
	if info.Size() == 0 {
		return nil, &CorruptError{File: path, Row: -1, Cause: errors.New("it is empty")}
	}
	m, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "mmap", Path: path, Err: err}
	}
	return m, nil
}

// close unmaps the shard.
func (s *shard) close() error {
	if s.mapping == nil {
		return nil
	}
	if err := s.mapping.Unmap(); err != nil {
		return &fs.PathError{Op: "munmap", Path: s.file, Err: err}
	}
	return nil
}

// fault turns what went wrong in the shard into the package's errors.
func (s *shard) fault(row int, key string, cause error) error {
	return faultOf(s.file, row, key, cause)
}

// lostRow is the error for row i of a shard that could not be opened.
func (s *shard) lostRow(i int) error {
	var corrupt *CorruptError
	if errors.As(s.lost, &corrupt) {
		return &CorruptError{File: s.file, Row: i, Cause: corrupt.Cause}
	}
	return fmt.Errorf("%s: row %d: %w", s.file, i, s.lost)
}

// faultOf makes a cause an error of the package: an error that wraps
// *fs.PathError for a mapping that failed, unsupported and version errors as
// they are, those of storeFault, and a *CorruptError for all else.
func faultOf(file string, row int, key string, cause error) error {
	var fault *mapFault
	var unsupported *UnsupportedError
	var version *VersionError
	if err := storeFault(file, row, cause); err != nil {
		return err
	}
	switch {
	case errors.As(cause, &fault):
		if row < 0 {
			return &fs.PathError{Op: "read", Path: file, Err: fault}
		}
		return &fs.PathError{Op: "read", Path: file, Err: fmt.Errorf("row %d: %w", row, fault)}
	case errors.As(cause, &unsupported), errors.As(cause, &version):
		return cause
	}
	return &CorruptError{File: file, Row: row, Key: key, Cause: cause}
}

// parseShard reads what data, a shard, says of itself.
func parseShard(file string, data []byte) (*shard, error) {
	s := &shard{file: file}
	if err := s.parse(data); err != nil {
		return nil, s.fault(-1, "", err)
	}
	s.checked = make([]atomic.Uint64, (s.rows+63)/64)
	return s, nil
}

// parse does the work of parseShard.
func (s *shard) parse(data []byte) (err error) {
	defer caught(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if s.arrow, err = parseArrowFile(data); err != nil {
		return err
	}
	if err := s.parseSchema(); err != nil {
		return err
	}
	n := s.arrow.batches()
	if n == 0 {
		return nil
	}
	last, err := s.arrow.batch(n - 1)
	if err != nil {
		return err
	}
	if last.rows < 1 || last.rows > int64(s.spec.rowsPerBatch) {
		return fmt.Errorf("its last batch has %d rows, and should have 1 to %d", last.rows, s.spec.rowsPerBatch)
	}
	s.rows = (n-1)*s.spec.rowsPerBatch + int(last.rows)
	s.packed = last.codec != None
	return nil
}

// parseSchema reads what the shard's schema says.
func (s *shard) parseSchema() (err error) {
	if err := checkVersion(s.file, s.arrow.meta); err != nil {
		return err
	}
	s.spec, err = readSpec(s.arrow)
	return err
}

// checkVersion checks a file's format and version.
func checkVersion(file string, meta map[string]string) error {
	if got := meta[metaFormat]; got != FormatName {
		return &UnsupportedError{File: file, What: fmt.Sprintf("its schema's %s is %.40q, not %q: it is an Arrow file, but not one of this program's records", metaFormat, got, FormatName)}
	}
	version, err := strconv.Atoi(meta[metaVersion])
	if err != nil {
		return fmt.Errorf("its schema's %s is %.40q, not a number", metaVersion, meta[metaVersion])
	}
	if version != FormatVersion {
		return &VersionError{File: file, Got: version, Want: FormatVersion}
	}
	return nil
}

// readSpec checks the columns of a shard and reads its parameters.
func readSpec(f *arrowFile) (spec shardSpec, err error) {
	want := [shardColumns]arrowField{
		colKey:        {name: "key", typ: "utf8"},
		colLabel:      {name: "label", typ: "int32"},
		colILSVRCID:   {name: "ilsvrc_id", typ: "int32"},
		colWidth:      {name: "width", typ: "uint16"},
		colHeight:     {name: "height", typ: "uint16"},
		colSourceXXH3: {name: "source_xxh3", typ: "uint64"},
		colCRC32C:     {name: "crc32c", typ: "uint32"},
		colPixels:     {name: "pixels", typ: fixedSizeList},
	}
	if len(f.fields) != len(want) {
		return spec, fmt.Errorf("it has %d columns, not %d", len(f.fields), len(want))
	}
	for i, field := range f.fields {
		if field.name != want[i].name || field.typ != want[i].typ {
			return spec, fmt.Errorf("column %d is %.40q of type %s, not %q of type %s", i, field.name, field.typ, want[i].name, want[i].typ)
		}
	}
	pixels := f.fields[colPixels]
	if spec.shape, err = checkTensor(pixels); err != nil {
		return spec, err
	}
	spec.pixels = PixelType(pixels.item)
	if err := checkEncoding(spec.pixels, None); err != nil {
		return spec, err
	}
	spec.split = f.meta[metaSplit]
	n, err := strconv.ParseInt(f.meta[metaRowsPerBatch], 10, 32)
	if err != nil || n < 1 {
		return spec, fmt.Errorf("its schema's %s is %.40q, not a positive number", metaRowsPerBatch, f.meta[metaRowsPerBatch])
	}
	spec.rowsPerBatch = int(n)
	if int64(f.batches())*n > 1<<31 {
		return spec, fmt.Errorf("%d batches of %d rows are too many", f.batches(), n)
	}
	return spec, nil
}

// checkTensor checks that a column is a tensor and returns its shape.
func checkTensor(field arrowField) (Shape, error) {
	if field.extension != tensorExtension {
		return Shape{}, fmt.Errorf("column %q is no tensor: its %s is %.40q, not %q", field.name, extensionNameKey, field.extension, tensorExtension)
	}
	shape, err := tensorShape(field.extensionParam)
	if err != nil {
		return Shape{}, fmt.Errorf("column %q: %w", field.name, err)
	}
	if int64(field.listSize) != int64(shape.Size()) {
		return Shape{}, fmt.Errorf("column %q has lists of %d values for the shape %v", field.name, field.listSize, shape)
	}
	return shape, nil
}

// rowBatch finds row i: its batch, checked, and its place in it.
func (s *shard) rowBatch(i int) (b arrowBatch, at int, err error) {
	n := i / s.spec.rowsPerBatch
	at = i % s.spec.rowsPerBatch
	if b, err = s.arrow.batch(n); err != nil {
		return b, at, err
	}
	return b, at, s.checkBatch(n, &b)
}

// rowsOf returns how many rows batch n should have.
func (s *shard) rowsOf(n int) int {
	return min(s.spec.rowsPerBatch, s.rows-n*s.spec.rowsPerBatch)
}

// checkBatch checks that the header of batch n is that of a shard.
func (s *shard) checkBatch(n int, b *arrowBatch) error {
	want := int64(s.rowsOf(n))
	if b.rows != want {
		return fmt.Errorf("batch %d has %d rows, and should have %d", n, b.rows, want)
	}
	if len(b.nodes) != shardNodes*nodeSize || len(b.buffers) != shardBufs*bufferSize {
		return fmt.Errorf("batch %d has %d columns and %d buffers, and should have %d and %d",
			n, len(b.nodes)/nodeSize, len(b.buffers)/bufferSize, shardNodes, shardBufs)
	}
	if b.codec != None && s.spec.rowsPerBatch != 1 {
		return &UnsupportedError{File: s.file, What: "compressed record batches of more than one row"}
	}
	for c := range shardNodes {
		length, nulls := b.node(c)
		rows := want
		if c == nodeValues {
			rows *= int64(s.spec.shape.Size())
		}
		if length != rows || nulls != 0 && c != colILSVRCID {
			return fmt.Errorf("batch %d: column %d has %d values, %d of them null, and should have %d", n, c, length, nulls, rows)
		}
	}
	return nil
}

// label returns the label of row i.
func (s *shard) label(i int) (int32, error) {
	if s.lost != nil {
		return 0, s.lostRow(i)
	}
	read := s.readLabel
	if s.remote != nil {
		read = s.remoteLabel
	}
	label, err := read(i)
	if err != nil {
		return 0, s.fault(i, "", err)
	}
	return label, nil
}

// readLabel does the work of label.
func (s *shard) readLabel(i int) (label int32, err error) {
	defer caught(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	b, at, err := s.rowBatch(i)
	if err != nil {
		return 0, err
	}
	r := bufferReader{batch: b}
	return int32(r.uint32At(bufLabel, at)), r.err
}

// key returns the key of row i: in the mapping, or in memory of its own where
// it is compressed or remote.
func (s *shard) key(i int) (string, error) {
	if s.lost != nil {
		return "", s.lostRow(i)
	}
	read := s.readKey
	if s.remote != nil {
		read = s.remoteKey
	}
	key, err := read(i)
	if err != nil {
		return "", s.fault(i, "", err)
	}
	return key, nil
}

// readKey does the work of key.
func (s *shard) readKey(i int) (key string, err error) {
	defer caught(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	b, at, err := s.rowBatch(i)
	if err != nil {
		return "", err
	}
	r := bufferReader{batch: b}
	return r.key(at), r.err
}

// head returns row i without its pixels.
func (s *shard) head(i int) (Row, error) {
	if s.lost != nil {
		return Row{}, s.lostRow(i)
	}
	read := s.readHead
	if s.remote != nil {
		read = s.remoteHead
	}
	row, err := read(i)
	if err != nil {
		return Row{}, s.fault(i, copyKey(row.Key), err)
	}
	return row, nil
}

// readHead does the work of head.
func (s *shard) readHead(i int) (row Row, err error) {
	defer caught(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	b, at, err := s.rowBatch(i)
	if err != nil {
		return row, err
	}
	r := bufferReader{batch: b}
	row = r.head(at)
	return row, r.err
}

// row returns row i, which must be in range.
func (s *shard) row(i int, sc *Scratch) (Row, error) {
	switch {
	case s.lost != nil:
		return Row{}, s.lostRow(i)
	case s.remote != nil:
		return s.remoteRow(i, sc)
	}
	if row, ok := s.keptRow(i); ok {
		return row, nil
	}
	if row := s.cachedRow(i); row != nil {
		return *row, nil
	}
	row, err := s.readRow(i, sc)
	if err != nil {
		return Row{}, s.lose(i, row.Key, sc, err)
	}
	return row, nil
}

// lose returns the error for row i, which could not be read.
func (s *shard) lose(i int, key string, sc *Scratch, err error) error {
	if sc != nil {
		sc.zstd, sc.lz4 = nil, nil // a fault may have stopped them half-way
	}
	return s.fault(i, copyKey(key), err)
}

// copyKey copies a key out of the mapping, for an error to keep; when the
// mapping fails it is lost.
func copyKey(key string) (c string) {
	var lost error
	defer caught(&lost)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return strings.Clone(key)
}

// readRow does the work of row. When it fails, the row has its key if that
// could be read.
func (s *shard) readRow(i int, sc *Scratch) (row Row, err error) {
	defer caught(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	b, at, err := s.rowBatch(i)
	if err != nil {
		return row, err
	}
	return s.rowOf(i, at, b, sc)
}

// rowOf reads row i, which is row at of batch b. The caller must have deferred
// caught.
func (s *shard) rowOf(i, at int, b arrowBatch, sc *Scratch) (row Row, err error) {
	if sc != nil {
		sc.used = 0
	}
	r := bufferReader{batch: b, scratch: sc}
	row = r.head(at)
	size := s.rowBytes()
	pixels := r.bytes(bufPixels, (at+1)*size)
	if r.err != nil {
		return row, r.err
	}
	pixels = pixels[at*size:]
	if bit := uint64(1) << (i % 64); s.remote != nil || s.checked[i/64].Load()&bit == 0 {
		if err := checkPixels(pixels, row.CRC32C); err != nil {
			return row, err
		}
		s.checked[i/64].Or(bit)
	}
	s.setPixels(&row, pixels)
	if b.codec == None && s.remote == nil {
		s.keep(i, &row)
	} else {
		s.cacheRow(i, row) // here, where a fault of the file's is caught
	}
	return row, nil
}

// checkPixels checks the checksum of a row's stored pixels.
func checkPixels(pixels []byte, want uint32) error {
	if sum := crc32.Checksum(pixels, crcTable); sum != want {
		return fmt.Errorf("the CRC-32C of its pixels is %08x, and should be %08x", sum, want)
	}
	return nil
}

// head returns row at of the batch without its pixels.
func (r *bufferReader) head(at int) (row Row) {
	row.Key = r.key(at)
	row.KeyXXH3 = xxh3.HashString(row.Key)
	row.Label = int32(r.uint32At(bufLabel, at))
	row.Width = r.uint16At(bufWidth, at)
	row.Height = r.uint16At(bufHeight, at)
	row.SourceXXH3 = r.uint64At(bufSourceXXH3, at)
	row.CRC32C = r.uint32At(bufCRC32C, at)
	if !r.null(colILSVRCID, bufIDValid, at) {
		row.ILSVRCID = int32(r.uint32At(bufID, at))
	}
	return row
}
