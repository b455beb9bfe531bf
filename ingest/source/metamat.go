package source

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The devkit's table of synsets, data/meta.mat, is a MATLAB 5 file: a header of
// 128 bytes and data elements, each a tag (type, length) and its data, possibly
// zlib-compressed. The format is The MathWorks' "MAT-File Format", chapter
// "Level 5 MAT-File Format". Only what the devkit uses is read here: one array
// of structures with numeric and character fields.

// maxMatBytes bounds a meta.mat and what it inflates to. The devkit's has 177
// kB, and inflates to 2 MB.
const maxMatBytes = 16 << 20

// Data types of elements (table 1-1 of the format) and array types (table 1-3).
const (
	miINT8       = 1
	miUINT8      = 2
	miINT16      = 3
	miUINT16     = 4
	miINT32      = 5
	miUINT32     = 6
	miSINGLE     = 7
	miDOUBLE     = 9
	miINT64      = 12
	miUINT64     = 13
	miMATRIX     = 14
	miCOMPRESSED = 15
	miUTF8       = 16
	miUTF16      = 17

	mxStruct = 2
	mxChar   = 4
	mxDouble = 6  // the first numeric array type
	mxUint64 = 15 // the last
)

// ReadMeta reads the synsets of a devkit's meta.mat, all of them and in the
// file's order: 1,860 in 2012, of which those with ids 1 to 1000 are the
// classes. A file that is not understood gives a *MalformedError; errors of r
// are returned as they are.
func ReadMeta(r io.Reader) ([]Synset, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxMatBytes+1))
	if err != nil {
		return nil, err
	}
	synsets, err := parseMeta(data)
	if err != nil {
		return nil, &MalformedError{File: "meta.mat", Cause: err}
	}
	return synsets, nil
}

// parseMeta finds the variable "synsets" in a MATLAB 5 file.
func parseMeta(data []byte) ([]Synset, error) {
	if len(data) > maxMatBytes {
		return nil, fmt.Errorf("is larger than %d MB", maxMatBytes>>20)
	}
	elements, err := openMat(data)
	if err != nil {
		return nil, err
	}
	for len(elements.data) > 0 {
		kind, body, err := elements.next()
		if err != nil {
			return nil, err
		}
		if kind == miCOMPRESSED {
			if kind, body, err = elements.inflate(body); err != nil {
				return nil, err
			}
		}
		if kind != miMATRIX {
			continue
		}
		array, err := (&matReader{data: body, order: elements.order}).array()
		if err != nil {
			return nil, err
		}
		if array.name == "synsets" {
			return array.synsets()
		}
	}
	return nil, errors.New("holds no variable named synsets")
}

// openMat checks the header and returns a reader of the elements after it.
func openMat(data []byte) (*matReader, error) {
	const headerBytes = 128
	if len(data) < headerBytes {
		return nil, fmt.Errorf("is no MATLAB file: %d bytes, the header alone has %d", len(data), headerBytes)
	}
	m := &matReader{data: data[headerBytes:]}
	switch string(data[126:128]) {
	case "IM":
		m.order = binary.LittleEndian
	case "MI":
		m.order = binary.BigEndian
	default:
		return nil, errors.New("is no MATLAB 5 file: no byte order mark")
	}
	if v := m.order.Uint16(data[124:]); v != 0x0100 {
		return nil, fmt.Errorf("is a MATLAB file of version %#04x, only version 5 (0x0100) is read", v)
	}
	return m, nil
}

// A matReader takes data elements off the front of its data.
type matReader struct {
	data     []byte
	order    binary.ByteOrder
	inflated int // bytes that compressed elements had so far, all together
}

// next takes one element: an 8-byte tag, then the data padded to 8 bytes, or
// everything in 8 bytes where the data has at most 4.
func (m *matReader) next() (kind uint32, body []byte, err error) {
	if len(m.data) < 8 {
		return 0, nil, errors.New("ends within the tag of an element")
	}
	kind, size := m.order.Uint32(m.data), m.order.Uint32(m.data[4:])
	if short := kind >> 16; short != 0 {
		if short > 4 {
			return 0, nil, fmt.Errorf("has a short element of %d bytes, at most 4 fit", short)
		}
		body, m.data = m.data[4:4+short], m.data[8:]
		return kind & 0xffff, body, nil
	}
	if uint64(size) > uint64(len(m.data)-8) {
		return 0, nil, fmt.Errorf("is truncated: an element of %d bytes where %d are left", size, len(m.data)-8)
	}
	body, m.data = m.data[8:8+size], m.data[8+size:]
	if kind != miCOMPRESSED {
		m.data = m.data[min(len(m.data), int(-size&7)):]
	}
	return kind, body, nil
}

// want takes one element that must be of a kind.
func (m *matReader) want(kind uint32, what string) ([]byte, error) {
	got, body, err := m.next()
	if err != nil {
		return nil, err
	}
	if got != kind {
		return nil, fmt.Errorf("has %s of data type %d, want %d", what, got, kind)
	}
	return body, nil
}

// inflate decompresses an element and returns the one that it holds.
func (m *matReader) inflate(body []byte) (uint32, []byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("has a compressed element that does not inflate: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(z, int64(maxMatBytes-m.inflated+1)))
	if err != nil {
		return 0, nil, fmt.Errorf("has a compressed element that does not inflate: %w", err)
	}
	if m.inflated += len(data); m.inflated > maxMatBytes {
		return 0, nil, fmt.Errorf("has compressed elements of more than %d MB", maxMatBytes>>20)
	}
	return (&matReader{data: data, order: m.order}).next()
}

// A matArray is the head of an array; its contents are still to be read.
type matArray struct {
	class byte
	count uint64 // product of the dimensions
	name  string
	rest  *matReader
}

// array reads the flags, dimensions and name at the front of a matrix element.
// An element without data is an empty array.
func (m *matReader) array() (*matArray, error) {
	if len(m.data) == 0 {
		return &matArray{rest: m}, nil
	}
	flags, err := m.want(miUINT32, "array flags")
	if err != nil {
		return nil, err
	}
	if len(flags) != 8 {
		return nil, fmt.Errorf("has array flags of %d bytes, want 8", len(flags))
	}
	dims, err := m.want(miINT32, "array dimensions")
	if err != nil {
		return nil, err
	}
	a := &matArray{class: byte(m.order.Uint32(flags)), count: 1, rest: m}
	for ; len(dims) >= 4; dims = dims[4:] {
		d := uint64(m.order.Uint32(dims))
		if d > maxMatBytes || a.count*d > maxMatBytes {
			return nil, fmt.Errorf("has an array with a dimension of %d: too large", d)
		}
		a.count *= d
	}
	name, err := m.want(miINT8, "an array name")
	if err != nil {
		return nil, err
	}
	a.name = string(name)
	return a, nil
}

// synsets reads an array of structures, of which it needs three fields.
func (a *matArray) synsets() ([]Synset, error) {
	if a.class != mxStruct {
		return nil, fmt.Errorf("has a variable synsets of array type %d, want an array of structures (%d)", a.class, mxStruct)
	}
	fields, err := a.fields()
	if err != nil {
		return nil, err
	}
	if uint64(len(a.rest.data))/8/uint64(len(fields)) < a.count {
		return nil, fmt.Errorf("is truncated: %d structures of %d fields in %d bytes", a.count, len(fields), len(a.rest.data))
	}
	synsets := make([]Synset, a.count)
	for i := range synsets {
		for _, field := range fields {
			body, err := a.rest.want(miMATRIX, "a field")
			if err != nil {
				return nil, fmt.Errorf("synset %d: field %s: %w", i+1, field, err)
			}
			if err := synsets[i].set(field, &matReader{data: body, order: a.rest.order}); err != nil {
				return nil, fmt.Errorf("synset %d: field %s: %w", i+1, field, err)
			}
		}
	}
	return synsets, nil
}

// fields reads the names of the structures' fields.
func (a *matArray) fields() ([]string, error) {
	length, err := a.rest.want(miINT32, "a length of field names")
	if err != nil {
		return nil, err
	}
	if len(length) != 4 {
		return nil, fmt.Errorf("has a length of field names of %d bytes, want 4", len(length))
	}
	names, err := a.rest.want(miINT8, "field names")
	if err != nil {
		return nil, err
	}
	n := int(int32(a.rest.order.Uint32(length)))
	if n <= 0 || len(names) < n || len(names)%n != 0 {
		return nil, fmt.Errorf("has %d bytes of field names of %d each", len(names), n)
	}
	var fields []string
	seen := map[string]bool{}
	for ; len(names) > 0; names = names[n:] {
		name, _, _ := strings.Cut(string(names[:n]), "\x00")
		fields = append(fields, name)
		seen[name] = true
	}
	for _, need := range []string{"ILSVRC2012_ID", "WNID", "words"} {
		if !seen[need] {
			return nil, fmt.Errorf("has synsets without the field %s: the devkit of another year?", need)
		}
	}
	return fields, nil
}

// set reads one field of a structure; those of no interest it passes over.
func (s *Synset) set(field string, m *matReader) (err error) {
	switch field {
	case "ILSVRC2012_ID":
		s.ID, err = m.integer()
	case "WNID":
		s.WNID, err = m.text()
	case "words":
		s.Words, err = m.text()
	}
	return err
}

// integer reads a 1x1 numeric array that holds a positive integer.
func (m *matReader) integer() (int32, error) {
	a, err := m.array()
	if err != nil {
		return 0, err
	}
	if a.class < mxDouble || a.class > mxUint64 || a.count != 1 {
		return 0, fmt.Errorf("an array of type %d with %d elements, want one number", a.class, a.count)
	}
	kind, b, err := m.next()
	if err != nil {
		return 0, err
	}
	widths := map[uint32]int{miINT8: 1, miUINT8: 1, miINT16: 2, miUINT16: 2, miINT32: 4, miUINT32: 4,
		miSINGLE: 4, miDOUBLE: 8, miINT64: 8, miUINT64: 8}
	if w := widths[kind]; w == 0 || len(b) != w {
		return 0, fmt.Errorf("a number of data type %d in %d bytes", kind, len(b))
	}
	var v float64
	switch kind {
	case miINT8:
		v = float64(int8(b[0]))
	case miUINT8:
		v = float64(b[0])
	case miINT16:
		v = float64(int16(m.order.Uint16(b)))
	case miUINT16:
		v = float64(m.order.Uint16(b))
	case miINT32:
		v = float64(int32(m.order.Uint32(b)))
	case miUINT32:
		v = float64(m.order.Uint32(b))
	case miSINGLE:
		v = float64(math.Float32frombits(m.order.Uint32(b)))
	case miDOUBLE:
		v = math.Float64frombits(m.order.Uint64(b))
	case miINT64:
		v = float64(int64(m.order.Uint64(b)))
	case miUINT64:
		v = float64(m.order.Uint64(b))
	}
	if !(v >= 1 && v <= math.MaxInt32) || v != math.Trunc(v) {
		return 0, fmt.Errorf("the number %v, want a positive integer", v)
	}
	return int32(v), nil
}

// text reads a character array.
func (m *matReader) text() (string, error) {
	a, err := m.array()
	if err != nil {
		return "", err
	}
	if a.count == 0 {
		return "", nil
	}
	if a.class != mxChar {
		return "", fmt.Errorf("an array of type %d, want characters (%d)", a.class, mxChar)
	}
	kind, b, err := m.next()
	if err != nil {
		return "", err
	}
	switch kind {
	case miINT8, miUINT8, miUTF8:
		if !utf8.Valid(b) {
			return "", errors.New("characters that are not UTF-8")
		}
		return string(b), nil
	case miUINT16, miUTF16:
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = m.order.Uint16(b[2*i:])
		}
		return string(utf16.Decode(units)), nil
	}
	return "", fmt.Errorf("characters of data type %d", kind)
}
