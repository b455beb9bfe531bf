package records

import (
	"encoding/binary"
	"errors"
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"
)

// An arrowFile is an Arrow IPC file in memory (usually mapped), read in place:
// arrow/go's own reader copies every batch, and trusts what it reads. Of one in
// an object store only the footer is in memory. Only
// what the project's files use is understood: no dictionaries, no endianness
// but little, flat columns and fixed-size lists.
//
// The numbers that pick fields of tables below are flatbuffers' virtual table
// offsets, 4 + 2 x the field's number in Arrow's Schema.fbs, Message.fbs and
// File.fbs. The flatbuffers runtime checks no offsets beyond Go's own bounds
// checks, so damaged metadata makes it panic; caught turns that into an error.
type arrowFile struct {
	data   []byte // nil: in an object store
	footer int64  // where the footer starts: record batches end before it
	fields []arrowField
	meta   map[string]string
	blocks []byte // the footer's vector of 24-byte blocks
}

// arrowField describes a column.
type arrowField struct {
	name           string
	typ            arrowType
	listSize       int32     // of a fixed-size list
	item           arrowType // of a fixed-size list
	extension      string    // name of an extension type
	extensionParam string    // its metadata
}

// arrowType is a type without parameters that matter here, such as "int32".
type arrowType string

const fixedSizeList arrowType = "fixed_size_list"

// Sizes of the file format's parts, in bytes.
const (
	arrowMagic   = "ARROW1"
	trailerSize  = 4 + len(arrowMagic) // the footer's length, the magic
	leaderSize   = 8                   // the magic, padded
	blockSize    = 24                  // struct Block: int64 offset, int32 metadata length, 4 unused, int64 body length
	nodeSize     = 16                  // struct FieldNode: int64 length, int64 null count
	bufferSize   = 16                  // struct Buffer: int64 offset, int64 length
	prefixSize   = 8                   // a message's continuation mark and length; a compressed buffer's length
	continuation = 0xFFFFFFFF
)

// Bounds on what a file of ours can hold, against damaged counts.
const (
	maxFields   = 64
	maxKeyValue = 64
)

var errBounds = errors.New("its metadata points outside of itself")

// caught turns a panic out of the flatbuffers runtime into errBounds. A fault
// of the memory itself, which a mapped file gives when the disk fails or the
// file is cut while it is open, becomes a *mapFault. Any other panic goes on.
//
//	defer caught(&err)
func caught(err *error) {
	switch r := recover().(type) {
	case nil:
	case interface {
		error
		RuntimeError()
		Addr() uintptr
	}:
		*err = &mapFault{cause: r}
	case interface {
		error
		RuntimeError()
	}:
		*err = errBounds
	default:
		panic(r)
	}
}

// mapFault is a failure to bring in a page of a mapped file.
type mapFault struct{ cause error }

// Error says what failed.
func (f *mapFault) Error() string {
	return "reading the mapped file failed: the disk failed, or the file was cut while it was open: " + f.cause.Error()
}

// parseArrowFile reads the footer of data, an Arrow IPC file.
func parseArrowFile(data []byte) (f *arrowFile, err error) {
	defer caught(&err)
	if len(data) < leaderSize+trailerSize {
		return nil, fmt.Errorf("it has %d bytes, too few for an Arrow file", len(data))
	}
	if string(data[:len(arrowMagic)]) != arrowMagic {
		return nil, errors.New("it is not an Arrow file: it does not start with " + arrowMagic)
	}
	start, err := footerAt(data[len(data)-trailerSize:], int64(len(data)))
	if err != nil {
		return nil, err
	}
	f, err = parseFooter(data[start:len(data)-trailerSize], start)
	if err != nil {
		return nil, err
	}
	f.data = data
	return f, nil
}

// footerAt returns where the footer of a file starts, that has so many bytes
// and ends with trailer.
func footerAt(trailer []byte, fileSize int64) (int64, error) {
	if string(trailer[4:]) != arrowMagic {
		return 0, errors.New("it does not end with " + arrowMagic + ": it was cut short or added to")
	}
	size := int64(binary.LittleEndian.Uint32(trailer))
	start := fileSize - int64(trailerSize) - size
	if size < 8 || start < leaderSize {
		return 0, fmt.Errorf("it gives its footer a length of %d bytes, and has %d in all", size, fileSize)
	}
	return start, nil
}

// parseFooter reads the footer of a file, content, which starts at start. The
// file keeps a part of it.
func parseFooter(content []byte, start int64) (f *arrowFile, err error) {
	defer caught(&err)
	f = &arrowFile{footer: start}
	footer := rootTable(content)
	if n := vectorLen(&footer, 8); n > 0 {
		return nil, fmt.Errorf("it has %d dictionaries; records have none", n)
	}
	if f.blocks, err = structs(&footer, 10, blockSize); err != nil {
		return nil, err
	}
	var schema flatbuffers.Table
	if !childTable(&footer, 6, &schema) {
		return nil, errors.New("its footer has no schema")
	}
	return f, f.readSchema(&schema)
}

// readSchema fills in the fields and the metadata.
func (f *arrowFile) readSchema(schema *flatbuffers.Table) (err error) {
	if e := schema.GetInt16Slot(4, 0); e != 0 {
		return errors.New("it is big-endian; records are little-endian")
	}
	if f.meta, err = keyValues(schema, 8); err != nil {
		return err
	}
	n := vectorLen(schema, 6)
	if n > maxFields {
		return fmt.Errorf("it has %d columns; %d are the most", n, maxFields)
	}
	for i := range n {
		t := tableAt(schema, 6, i)
		field, err := readField(&t)
		if err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
		f.fields = append(f.fields, field)
	}
	return nil
}

// readField reads a Field table.
func readField(t *flatbuffers.Table) (field arrowField, err error) {
	if o := t.Offset(4); o != 0 {
		field.name = string(t.ByteVector(flatbuffers.UOffsetT(o) + t.Pos))
	}
	if field.typ, field.listSize, err = readType(t); err != nil {
		return field, fmt.Errorf("%.80q: %w", field.name, err)
	}
	meta, err := keyValues(t, 16)
	if err != nil {
		return field, err
	}
	field.extension, field.extensionParam = meta[extensionNameKey], meta[extensionMetadataKey]
	if field.typ == fixedSizeList {
		if n := vectorLen(t, 14); n != 1 {
			return field, fmt.Errorf("%.80q: a list with %d kinds of items", field.name, n)
		}
		child := tableAt(t, 14, 0)
		if field.item, _, err = readType(&child); err != nil {
			return field, fmt.Errorf("%.80q: %w", field.name, err)
		}
	}
	return field, nil
}

// readType reads the type union of a Field table.
func readType(t *flatbuffers.Table) (typ arrowType, listSize int32, err error) {
	const typeInt, typeFloat, typeUtf8, typeFixedSizeList = 2, 3, 5, 16
	id := t.GetByteSlot(8, 0)
	var u flatbuffers.Table
	o := t.Offset(10)
	if o == 0 {
		return "", 0, errors.New("a column without a type")
	}
	t.Union(&u, flatbuffers.UOffsetT(o))
	switch id {
	case typeInt:
		sign := "uint"
		if u.GetBoolSlot(6, false) {
			sign = "int"
		}
		return arrowType(fmt.Sprint(sign, u.GetInt32Slot(4, 0))), 0, nil
	case typeFloat:
		return arrowType(fmt.Sprint("float", 16<<uint16(u.GetInt16Slot(4, 0)))), 0, nil
	case typeUtf8:
		return "utf8", 0, nil
	case typeFixedSizeList:
		return fixedSizeList, u.GetInt32Slot(4, 0), nil
	}
	return arrowType(fmt.Sprint("type ", id)), 0, nil
}

// batches returns the number of record batches.
func (f *arrowFile) batches() int { return len(f.blocks) / blockSize }

// arrowBatch is the header of a record batch.
type arrowBatch struct {
	rows    int64
	nodes   []byte // FieldNode structs
	buffers []byte // Buffer structs
	body    []byte // all of it, or its beginning
	size    int64  // bytes of all of it
	codec   Compression
}

// batch reads the header of batch i, which must exist. It allocates nothing
// unless it fails; the caller must have deferred caught.
func (f *arrowFile) batch(i int) (b arrowBatch, err error) {
	at, err := f.block(i)
	if err != nil {
		return b, err
	}
	return at.parse(i, f.data[at.offset:at.end()])
}

// block returns where batch i is, which must exist.
func (f *arrowFile) block(i int) (arrowBlock, error) {
	entry := f.blocks[i*blockSize:][:blockSize]
	at := arrowBlock{
		offset:   int64(binary.LittleEndian.Uint64(entry)),
		metaSize: int32(binary.LittleEndian.Uint32(entry[8:])),
		bodySize: int64(binary.LittleEndian.Uint64(entry[16:])),
	}
	meta, end := int64(at.metaSize), f.footer
	if at.offset < leaderSize || at.offset > end || meta < prefixSize || meta > end-at.offset ||
		at.bodySize < 0 || at.bodySize > end-at.offset-meta {
		return at, fmt.Errorf("the footer places batch %d at %d, %d + %d bytes, and the batches end at %d", i, at.offset, meta, at.bodySize, end)
	}
	if at.offset%8 != 0 || meta%8 != 0 {
		return at, fmt.Errorf("batch %d is at %d, its body at %d, not at multiples of 8", i, at.offset, at.offset+meta)
	}
	return at, nil
}

// end returns where the batch ends.
func (at *arrowBlock) end() int64 { return at.offset + int64(at.metaSize) + at.bodySize }

// parse reads the header of batch i, which is there, out of stored: the batch, or
// its beginning with the metadata at least. The caller must have deferred caught.
func (at *arrowBlock) parse(i int, stored []byte) (b arrowBatch, err error) {
	offset, metaLen, bodyLen := at.offset, int64(at.metaSize), at.bodySize
	meta := stored[:metaLen]
	size := int64(binary.LittleEndian.Uint32(meta[4:]))
	if binary.LittleEndian.Uint32(meta) != continuation || size < 8 || size > metaLen-prefixSize {
		return b, fmt.Errorf("batch %d, at %d, does not start with a message", i, offset)
	}
	message := rootTable(meta[prefixSize : prefixSize+size])
	const headerRecordBatch = 3
	var batch flatbuffers.Table
	if message.GetByteSlot(6, 0) != headerRecordBatch || message.GetInt64Slot(10, 0) != bodyLen || message.Offset(8) == 0 {
		return b, fmt.Errorf("the message at %d is not record batch %d with a body of %d bytes", offset, i, bodyLen)
	}
	message.Union(&batch, flatbuffers.UOffsetT(message.Offset(8)))
	b.rows = batch.GetInt64Slot(4, 0)
	b.body, b.size = stored[metaLen:], bodyLen
	if b.nodes, err = structs(&batch, 6, nodeSize); err != nil {
		return b, err
	}
	if b.buffers, err = structs(&batch, 8, bufferSize); err != nil {
		return b, err
	}
	b.codec, err = batchCodec(&batch)
	return b, err
}

// batchCodec reads a record batch's compression.
func batchCodec(batch *flatbuffers.Table) (Compression, error) {
	var c flatbuffers.Table
	if !childTable(batch, 10, &c) {
		return None, nil
	}
	codec, method := c.GetInt8Slot(4, 0), c.GetInt8Slot(6, 0)
	switch {
	case method == 0 && codec == 0:
		return LZ4, nil
	case method == 0 && codec == 1:
		return Zstd, nil
	}
	return "", fmt.Errorf("a batch is compressed with codec %d, method %d; known are LZ4_FRAME (0) and ZSTD (1) by buffer (0)", codec, method)
}

// node returns the length and the number of nulls of flattened column i.
func (b *arrowBatch) node(i int) (length, nulls int64) {
	n := b.nodes[i*nodeSize:][:nodeSize]
	return int64(binary.LittleEndian.Uint64(n)), int64(binary.LittleEndian.Uint64(n[8:]))
}

// place returns where buffer i is in the body.
func (b *arrowBatch) place(i int) (span, error) {
	p := b.buffers[i*bufferSize:][:bufferSize]
	offset, length := int64(binary.LittleEndian.Uint64(p)), int64(binary.LittleEndian.Uint64(p[8:]))
	if offset < 0 || offset > b.size || length < 0 || length > b.size-offset {
		return span{}, fmt.Errorf("buffer %d is placed at %d, %d bytes, in a body of %d", i, offset, length, b.size)
	}
	if offset%8 != 0 {
		return span{}, fmt.Errorf("buffer %d is at %d, not at a multiple of 8", i, offset)
	}
	return span{offset, offset + length}, nil
}

// buffer returns buffer i of the body as it is stored. It must be in memory.
func (b *arrowBatch) buffer(i int) ([]byte, error) {
	at, err := b.place(i)
	if err != nil {
		return nil, err
	}
	return b.body[at.lo:at.hi], nil
}

// rootTable returns the root table of a flatbuffer.
func rootTable(buf []byte) flatbuffers.Table {
	return flatbuffers.Table{Bytes: buf, Pos: flatbuffers.GetUOffsetT(buf)}
}

// childTable sets child to the table in a slot of t and says whether there is one.
func childTable(t *flatbuffers.Table, slot flatbuffers.VOffsetT, child *flatbuffers.Table) bool {
	o := t.Offset(slot)
	if o == 0 {
		return false
	}
	child.Bytes, child.Pos = t.Bytes, t.Indirect(t.Pos+flatbuffers.UOffsetT(o))
	return true
}

// vectorLen returns the length of the vector in a slot of t, 0 without one.
func vectorLen(t *flatbuffers.Table, slot flatbuffers.VOffsetT) int {
	o := t.Offset(slot)
	if o == 0 {
		return 0
	}
	return t.VectorLen(flatbuffers.UOffsetT(o))
}

// tableAt returns table i of the vector of tables in a slot of t.
func tableAt(t *flatbuffers.Table, slot flatbuffers.VOffsetT, i int) flatbuffers.Table {
	at := t.Vector(flatbuffers.UOffsetT(t.Offset(slot))) + flatbuffers.UOffsetT(i)*4
	return flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(at)}
}

// structs returns the bytes of the vector of structs in a slot of t.
func structs(t *flatbuffers.Table, slot flatbuffers.VOffsetT, size int) ([]byte, error) {
	o := t.Offset(slot)
	if o == 0 {
		return nil, nil
	}
	start := int64(t.Vector(flatbuffers.UOffsetT(o)))
	bytes := int64(t.VectorLen(flatbuffers.UOffsetT(o))) * int64(size)
	if bytes < 0 || bytes > int64(len(t.Bytes))-start {
		return nil, errBounds
	}
	return t.Bytes[start : start+bytes], nil
}

// keyValues reads the vector of KeyValue tables in a slot of t.
func keyValues(t *flatbuffers.Table, slot flatbuffers.VOffsetT) (map[string]string, error) {
	n := vectorLen(t, slot)
	if n > maxKeyValue {
		return nil, fmt.Errorf("%d pieces of metadata; %d are the most", n, maxKeyValue)
	}
	m := make(map[string]string, n)
	for i := range n {
		kv := tableAt(t, slot, i)
		text := func(slot flatbuffers.VOffsetT) string {
			o := kv.Offset(slot)
			if o == 0 {
				return ""
			}
			return string(kv.ByteVector(kv.Pos + flatbuffers.UOffsetT(o)))
		}
		m[text(4)] = text(6)
	}
	return m, nil
}
