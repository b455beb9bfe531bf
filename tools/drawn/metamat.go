package drawn

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"

	"alexnet/ingest/source"
)

// Data types and array types of MATLAB 5 files, as in The MathWorks' "MAT-File
// Format", tables 1-1 and 1-3.
const (
	miINT8       = 1
	miUINT16     = 4
	miINT32      = 5
	miUINT32     = 6
	miMATRIX     = 14
	miCOMPRESSED = 15

	mxStruct = 2
	mxChar   = 4
	mxDouble = 6
)

// metaFields are the fields of a devkit's synsets that are written.
var metaFields = [...]string{"ILSVRC2012_ID", "WNID", "words"} //nolint:gochecknoglobals // read only

// Meta writes a devkit's meta.mat: a MATLAB 5 file with one compressed variable,
// an array of structures named synsets. Words must be ASCII.
func Meta(synsets []source.Synset) ([]byte, error) {
	const nameBytes = 32
	var names bytes.Buffer
	for _, f := range metaFields {
		name := make([]byte, nameBytes)
		copy(name, f)
		names.Write(name)
	}
	var b bytes.Buffer
	arrayHead(&b, mxStruct, len(synsets), 1, "synsets")
	element(&b, miINT32, binary.LittleEndian.AppendUint32(nil, nameBytes))
	element(&b, miINT8, names.Bytes())
	for _, s := range synsets {
		element(&b, miMATRIX, number(s.ID))
		element(&b, miMATRIX, text(s.WNID))
		element(&b, miMATRIX, text(s.Words))
	}
	var matrix, packed bytes.Buffer
	element(&matrix, miMATRIX, b.Bytes())
	z := zlib.NewWriter(&packed)
	if _, err := z.Write(matrix.Bytes()); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	header := append(bytes.Repeat([]byte{' '}, 116), 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x01, 'I', 'M')
	copy(header, "MATLAB 5.0 MAT-file, drawn pictures")
	var out bytes.Buffer
	out.Write(header)
	element(&out, miCOMPRESSED, packed.Bytes())
	return out.Bytes(), nil
}

// element writes a tag and data, padded to 8 bytes unless it is compressed; what
// fits into the tag goes there.
func element(b *bytes.Buffer, kind uint32, data []byte) {
	if n := len(data); n > 0 && n <= 4 {
		b.Write(binary.LittleEndian.AppendUint32(nil, kind|uint32(n)<<16))
		b.Write(append(data[:n:n], 0, 0, 0, 0)[:4])
		return
	}
	b.Write(binary.LittleEndian.AppendUint32(nil, kind))
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(data))))
	b.Write(data)
	if kind != miCOMPRESSED {
		b.Write(make([]byte, -len(data)&7))
	}
}

// arrayHead writes the flags, dimensions and name of an array.
func arrayHead(b *bytes.Buffer, class uint32, rows, columns int, name string) {
	element(b, miUINT32, binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, class), 0))
	element(b, miINT32, binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(rows)), uint32(columns)))
	element(b, miINT8, []byte(name))
}

// number is a 1x1 array.
func number(v int32) []byte {
	var b bytes.Buffer
	arrayHead(&b, mxDouble, 1, 1, "")
	// Whole numbers that are small are stored in the smallest type that holds
	// them, whatever the array's type is.
	element(&b, miUINT16, binary.LittleEndian.AppendUint16(nil, uint16(v)))
	return b.Bytes()
}

// text is a 1xn array of characters.
func text(s string) []byte {
	var b bytes.Buffer
	arrayHead(&b, mxChar, 1, len(s), "")
	var units []byte
	for i := range len(s) {
		units = binary.LittleEndian.AppendUint16(units, uint16(s[i]))
	}
	element(&b, miUINT16, units)
	return b.Bytes()
}
