package source

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"alexnet/ingest/internal/realdata"
)

// A matWriter writes elements of a MATLAB 5 file in either byte order.
type matWriter struct {
	bytes.Buffer
	order binary.AppendByteOrder
}

func (m *matWriter) element(kind uint32, data []byte) {
	m.Write(m.order.AppendUint32(nil, kind))
	m.Write(m.order.AppendUint32(nil, uint32(len(data))))
	m.Write(data)
	if kind != miCOMPRESSED {
		m.Write(make([]byte, -len(data)&7))
	}
}

// short writes an element of at most 4 bytes within its tag.
func (m *matWriter) short(kind uint32, data []byte) {
	m.Write(m.order.AppendUint32(nil, uint32(len(data))<<16|kind))
	m.Write(append(bytes.Clone(data), 0, 0, 0, 0)[:4])
}

func (m *matWriter) words(values ...uint32) (b []byte) {
	for _, v := range values {
		b = m.order.AppendUint32(b, v)
	}
	return b
}

func (m *matWriter) head(class uint32, rows, columns uint32, name string) {
	m.element(miUINT32, m.words(class, 0))
	m.element(miINT32, m.words(rows, columns))
	m.element(miINT8, []byte(name))
}

// nested makes an element with a matrix.
func (m *matWriter) nested(fill func(m *matWriter)) {
	inner := &matWriter{order: m.order}
	fill(inner)
	m.element(miMATRIX, inner.Bytes())
}

func (m *matWriter) fieldNames(names ...string) {
	m.short(miINT32, m.words(16))
	var b []byte
	for _, n := range names {
		b = append(b, append([]byte(n), make([]byte, 16-len(n))...)...)
	}
	m.element(miINT8, b)
}

// handMade is a small meta.mat in which every value has another type: two
// synsets, a field of no interest, and a variable before the one that is wanted.
func handMade(order binary.AppendByteOrder, mark string) []byte {
	m := &matWriter{order: order}
	m.WriteString(strings.Repeat(" ", 124))
	m.Write(order.AppendUint16(nil, 0x0100))
	m.WriteString(mark)
	m.element(miUINT8, []byte("passed over"))
	m.nested(func(m *matWriter) { m.head(mxDouble, 0, 0, "other") })
	m.nested(func(m *matWriter) {
		m.head(mxStruct, 1, 2, "synsets")
		m.fieldNames("words", "gloss", "ILSVRC2012_ID", "WNID")
		// The first: UTF-16 words, a gloss, id as double, 8-bit WNID.
		m.nested(func(m *matWriter) {
			m.head(mxChar, 1, 3, "")
			m.element(miUINT16, order.AppendUint16(order.AppendUint16(order.AppendUint16(nil, 'k'), 'i'), 't'))
		})
		m.nested(func(m *matWriter) {
			m.head(mxChar, 1, 1, "")
			m.short(miUTF8, []byte("x"))
		})
		m.nested(func(m *matWriter) {
			m.head(mxDouble, 1, 1, "")
			m.element(miDOUBLE, order.AppendUint64(nil, 0x3ff0000000000000)) // 1.0
		})
		m.nested(func(m *matWriter) {
			m.head(mxChar, 1, 9, "")
			m.element(miUTF8, []byte("n02119789"))
		})
		// The second: no words, an empty gloss, id as 16 bits, WNID as bytes.
		m.element(miMATRIX, nil)
		m.element(miMATRIX, nil)
		m.nested(func(m *matWriter) {
			m.head(mxDouble, 1, 1, "")
			m.short(miUINT16, order.AppendUint16(nil, 1860))
		})
		m.nested(func(m *matWriter) {
			m.head(mxChar, 1, 9, "")
			m.element(miINT8, []byte("n02100735"))
		})
	})
	return m.Bytes()
}

func TestMetaHandMade(t *testing.T) {
	want := []Synset{{"n02119789", 1, "kit"}, {"n02100735", 1860, ""}}
	for _, c := range []struct {
		order binary.AppendByteOrder
		mark  string
	}{{binary.LittleEndian, "IM"}, {binary.BigEndian, "MI"}} {
		got, err := ReadMeta(bytes.NewReader(handMade(c.order, c.mark)))
		if err != nil {
			t.Fatalf("%s: %v", c.mark, err)
		}
		if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%s: %+v, want %+v", c.mark, got, want)
		}
	}
}

// TestMetaNumbers reads an id in each type that MATLAB may choose.
func TestMetaNumbers(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		kind uint32
		data []byte
		want int32 // 0: refused
	}{
		{miINT8, []byte{7}, 7}, {miUINT8, []byte{200}, 200},
		{miINT16, le.AppendUint16(nil, 300), 300}, {miUINT16, le.AppendUint16(nil, 60000), 60000},
		{miINT32, le.AppendUint32(nil, 70000), 70000}, {miUINT32, le.AppendUint32(nil, 5), 5},
		{miSINGLE, le.AppendUint32(nil, 0x40400000), 3}, {miDOUBLE, le.AppendUint64(nil, 0x4008000000000000), 3},
		{miINT64, le.AppendUint64(nil, 9), 9}, {miUINT64, le.AppendUint64(nil, 10), 10},
		{miINT8, []byte{0xff}, 0},                               // -1
		{miUINT32, le.AppendUint32(nil, 0xffffffff), 0},         // too large
		{miSINGLE, le.AppendUint32(nil, 0x3fc00000), 0},         // 1.5
		{miDOUBLE, le.AppendUint64(nil, 0x7ff8000000000), 0},    // denormal
		{miDOUBLE, le.AppendUint64(nil, 0x7ff8000000000001), 0}, // not a number
		{miUTF8, []byte{1}, 0}, {miUINT16, []byte{1}, 0}, {miUINT8, []byte{1, 2}, 0},
	} {
		m := &matWriter{order: le}
		m.head(mxDouble, 1, 1, "")
		m.element(c.kind, c.data)
		got, err := (&matReader{data: m.Bytes(), order: le}).integer()
		if got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("type %d, % x: %d, %v; want %d", c.kind, c.data, got, err, c.want)
		}
	}
}

func TestMetaCorruptions(t *testing.T) {
	whole := handMade(binary.LittleEndian, "IM")
	put := func(offset int, b ...byte) []byte {
		c := bytes.Clone(whole)
		copy(c[offset:], b)
		return c
	}
	header := whole[:128]
	find := func(s string) int { return bytes.Index(whole, []byte(s)) }
	bomb := func(sizes ...int) []byte {
		m := &matWriter{order: binary.LittleEndian}
		m.Write(header)
		for _, n := range sizes {
			var b bytes.Buffer
			z := zlib.NewWriter(&b)
			z.Write(make([]byte, n))
			z.Close()
			m.element(miCOMPRESSED, b.Bytes())
		}
		return m.Bytes()
	}
	with := func(fill func(m *matWriter)) []byte {
		m := &matWriter{order: binary.LittleEndian}
		m.Write(header)
		m.nested(fill)
		return m.Bytes()
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":       {nil, "is no MATLAB file: 0 bytes, the header alone has 128"},
		"no mark":     {put(126, 'X', 'X'), "is no MATLAB 5 file: no byte order mark"},
		"version 7.3": {put(124, 0, 2), "is a MATLAB file of version 0x0200, only version 5 (0x0100) is read"},
		"nothing":     {header, "holds no variable named synsets"},
		"other name":  {put(find("synsets"), 'S'), "holds no variable named synsets"},
		"cut tag":     {whole[:132], "ends within the tag of an element"},
		"cut element": {whole[:len(whole)-8], "is truncated: an element of"},
		"no zlib":     {append(bytes.Clone(header), miCOMPRESSED, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4), "has a compressed element that does not inflate: zlib: invalid header"},
		"bombs":       {bomb(maxMatBytes/2, maxMatBytes/2+1), "has compressed elements of more than 16 MB"},
		"bomb":        {bomb(maxMatBytes + 8), "has compressed elements of more than 16 MB"},
		"no id field": {put(find("ILSVRC2012_ID"), 'X'), "has synsets without the field ILSVRC2012_ID: the devkit of another year?"},
		"no numbers":  {put(find("n02119789")-8, miDOUBLE), "synset 1: field WNID: characters of data type 9"},
		"not UTF-8":   {put(find("n02119789"), 0xff), "synset 1: field WNID: characters that are not UTF-8"},
		"long short":  {put(128+2, 9), "has a short element of 9 bytes, at most 4 fit"},
		"no struct":   {with(func(m *matWriter) { m.head(mxDouble, 1, 1, "synsets") }), "has a variable synsets of array type 6, want an array of structures (2)"},
		"huge array":  {with(func(m *matWriter) { m.head(mxStruct, 1<<20, 1<<20, "synsets") }), "has an array with a dimension of 1048576: too large"},
		"no dims":     {with(func(m *matWriter) { m.element(miUINT32, m.words(mxStruct, 0)); m.element(miINT8, nil) }), "has array dimensions of data type 1, want 5"},
		"short flags": {with(func(m *matWriter) { m.element(miUINT32, m.words(mxStruct)) }), "has array flags of 4 bytes, want 8"},
		"many structs": {with(func(m *matWriter) {
			m.head(mxStruct, 1, 1000, "synsets")
			m.fieldNames("ILSVRC2012_ID", "WNID", "words")
		}), "is truncated: 1000 structures of 3 fields in 0 bytes"},
		"no names": {with(func(m *matWriter) {
			m.head(mxStruct, 1, 1, "synsets")
			m.short(miINT32, m.words(0))
			m.element(miINT8, []byte("WNID"))
		}), "has 4 bytes of field names of 0 each"},
	} {
		got, err := ReadMeta(bytes.NewReader(c.data))
		if malformed, ok := errors.AsType[*MalformedError](err); !ok || !strings.HasPrefix(malformed.Cause.Error(), c.want) {
			t.Errorf("%s: %v, %v; want %q", name, got, err, c.want)
		}
	}
	for n := range whole { // every truncation fails
		if got, err := parseMeta(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes: %v, want an error", n, len(whole), got)
		}
	}
	failing := errors.New("disk on fire")
	if _, err := ReadMeta(&failingReader{failing}); !errors.Is(err, failing) {
		t.Errorf("error of the reader: %v, want it as it is", err)
	}
}

type failingReader struct{ err error }

func (r *failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestMetaReal(t *testing.T) {
	f, err := os.Open(realdata.Path(t, "ilsvrc-meta/meta.mat"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := ReadMeta(f)
	if err != nil {
		t.Fatal(err)
	}
	rows := lines(t, realdata.Path(t, "ilsvrc-meta/meta.tsv"))[1:]
	if len(got) != 1860 || len(rows) != 1860 {
		t.Fatalf("%d synsets and %d rows, want 1860", len(got), len(rows))
	}
	for i, row := range rows {
		fields := strings.Split(row, "\t")
		id, _ := strconv.Atoi(fields[0])
		if want := (Synset{fields[1], int32(id), fields[2]}); got[i] != want {
			t.Errorf("row %d: %+v, want %+v", i+1, got[i], want)
		}
	}
}
