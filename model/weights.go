package model

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// A safetensors file is: the header's length, 8 bytes little-endian; the header, a
// JSON object that maps each tensor's name to its type, shape and byte range in
// the data, and "__metadata__" to an object of strings; the data, without holes.
// https://github.com/huggingface/safetensors

const (
	maxHeader   = 16 << 20 // bytes; the specification allows 100 MB, a net needs a few KB
	maxTensors  = 1 << 16
	dataStep    = 1 << 18 // values read at once: an announced size is believed only as the data comes in
	metadataKey = "__metadata__"
)

// tensorHeader is a tensor's entry in the header.
type tensorHeader struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// WriteTensors writes tensors and metadata as a safetensors file of type F32. The
// bytes are a function of the arguments: tensors keep their order, keys of the
// metadata are sorted. It returns an error before writing anything if a name is
// missing or used twice or a shape does not fit its data.
func WriteTensors(w io.Writer, meta map[string]string, ts []Tensor) error {
	header, err := encodeHeader(meta, ts)
	if err != nil {
		return err
	}
	bw := bufio.NewWriterSize(w, 4*dataStep)
	if _, err := bw.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)); err != nil {
		return fmt.Errorf("write the header of tensors: %w", err)
	}
	buf := make([]byte, 0, 1<<16)
	for _, t := range ts {
		for data := t.Data; len(data) > 0; {
			n := min(len(data), cap(buf)/4)
			buf = buf[:0]
			for _, v := range data[:n] {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
			}
			if _, err := bw.Write(buf); err != nil {
				return fmt.Errorf("write tensor %s: %w", t.Name, err)
			}
			data = data[n:]
		}
	}
	if err := bw.Flush(); err != nil {
		return fmt.Errorf("write tensors: %w", err)
	}
	return nil
}

// encodeHeader returns the JSON header, padded with spaces so that the data start
// at a multiple of eight bytes.
func encodeHeader(meta map[string]string, ts []Tensor) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	if len(meta) > 0 {
		m, err := json.Marshal(meta) // sorts the keys
		if err != nil {
			return nil, fmt.Errorf("write tensors: %w", err)
		}
		fmt.Fprintf(&b, "%q:%s", metadataKey, m)
	}
	seen := make(map[string]bool, len(ts))
	var offset int64
	for _, t := range ts {
		h := tensorHeader{DType: "F32", Shape: make([]int64, len(t.Shape))}
		size := 1
		for i, d := range t.Shape {
			h.Shape[i] = int64(d)
			size *= d
		}
		switch {
		case t.Name == "" || t.Name == metadataKey || seen[t.Name]:
			return nil, fmt.Errorf("write tensors: the name %q is empty, reserved or used twice", t.Name)
		case size != len(t.Data) || slices.Min(append([]int{0}, t.Shape...)) < 0:
			return nil, fmt.Errorf("write tensor %s: shape %v does not fit %d values", t.Name, t.Shape, len(t.Data))
		}
		seen[t.Name] = true
		h.Offsets = [2]int64{offset, offset + 4*int64(size)}
		offset = h.Offsets[1]
		name, err := json.Marshal(t.Name)
		if err != nil {
			return nil, fmt.Errorf("write tensors: %w", err)
		}
		entry, err := json.Marshal(h)
		if err != nil {
			return nil, fmt.Errorf("write tensors: %w", err)
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(entry)
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len() > maxHeader || len(ts) > maxTensors {
		return nil, fmt.Errorf("write tensors: a header of %d bytes for %d tensors is too large to be read again (at most %d and %d)",
			b.Len(), len(ts), maxHeader, maxTensors)
	}
	return b.Bytes(), nil
}

// ReadTensors reads a safetensors file to its end and returns its metadata and its
// tensors in the order of their data. Numbers of type F16 and BF16 become float32,
// which has them all. It returns a *FormatError
// for a file that is not sound, a *UnsupportedError for other types of numbers,
// and what the reader returned if reading fails. Memory grows only as data comes
// in, whatever the header promises.
func ReadTensors(r io.Reader) (map[string]string, []Tensor, error) {
	br := bufio.NewReaderSize(r, 1<<16)
	header, err := readHeader(br)
	if err != nil {
		return nil, nil, err
	}
	meta, entries, err := decodeHeader(header)
	if err != nil {
		return nil, nil, err
	}
	ts := make([]Tensor, len(entries))
	for i, e := range entries {
		if ts[i], err = e.read(br); err != nil {
			return nil, nil, err
		}
	}
	if _, err := br.ReadByte(); err == nil {
		return nil, nil, &FormatError{Problem: "there are bytes after the last tensor"}
	} else if err != io.EOF {
		return nil, nil, fmt.Errorf("read safetensors: %w", err)
	}
	return meta, ts, nil
}

// readError tells an early end, which is the file's fault, from a failing reader.
func readError(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &FormatError{Problem: "the file ends within " + what, Err: io.ErrUnexpectedEOF}
	}
	return fmt.Errorf("read %s of safetensors: %w", what, err)
}

func readHeader(r io.Reader) ([]byte, error) {
	var length [8]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, readError("the header's length", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n < 2 || n > maxHeader {
		return nil, &FormatError{Problem: fmt.Sprintf("a header of %d bytes (2..%d are allowed)", n, maxHeader)}
	}
	header, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return nil, readError("the header", err)
	}
	if uint64(len(header)) < n {
		return nil, readError("the header", io.ErrUnexpectedEOF)
	}
	if header[0] != '{' {
		return nil, &FormatError{Problem: "the header is not a JSON object"}
	}
	return header, nil
}

// entry is a tensor of the header, without its data, and its range of bytes.
type entry struct {
	tensor  Tensor
	numbers numbers
	offsets [2]int64
}

// numbers is a type of numbers in a file.
type numbers struct {
	size   int                           // bytes
	decode func(dst []float32, b []byte) // as many as dst has room for
}

// numbersOf returns a type by its name in the header.
func numbersOf(dtype string) (numbers, bool) {
	switch dtype {
	case "F32":
		return numbers{4, func(dst []float32, b []byte) {
			for i := range dst {
				dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
			}
		}}, true
	case "F16":
		return numbers{2, func(dst []float32, b []byte) {
			for i := range dst {
				dst[i] = FromHalf(binary.LittleEndian.Uint16(b[2*i:]))
			}
		}}, true
	case "BF16": // the upper half of a float32
		return numbers{2, func(dst []float32, b []byte) {
			for i := range dst {
				dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
			}
		}}, true
	}
	return numbers{}, false
}

// FromHalf returns a number of IEEE 754 binary16 (one bit of sign, 5 of exponent, 10
// of fraction), exactly. The bits of a NaN's fraction stay the upper ones.
func FromHalf(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch exponent {
	case 0: // zeros and numbers below the smallest normal one
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)*0x1p-24))
	case 0x1f: // infinities and NaNs
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// decodeHeader returns the metadata and the tensors' entries, in the order of their
// data, which must follow each other from 0.
func decodeHeader(header []byte) (map[string]string, []entry, error) {
	bad := func(err error) error { return &FormatError{Problem: "the header is not valid JSON", Err: err} }
	dec := json.NewDecoder(bytes.NewReader(header))
	if _, err := dec.Token(); err != nil {
		return nil, nil, bad(err)
	}
	var entries []entry
	var meta map[string]string
	seen := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, nil, bad(err)
		}
		name, ok := token.(string)
		if !ok || seen[name] {
			return nil, nil, &FormatError{Problem: fmt.Sprintf("the name %q stands twice in the header", name)}
		}
		seen[name] = true
		if name == metadataKey {
			if err := dec.Decode(&meta); err != nil {
				return nil, nil, &FormatError{Problem: "the metadata are not an object of strings", Err: err}
			}
			continue
		}
		var h tensorHeader
		if err := dec.Decode(&h); err != nil {
			return nil, nil, &FormatError{Problem: fmt.Sprintf("the entry of tensor %q", name), Err: err}
		}
		e, err := h.entry(name)
		if err != nil {
			return nil, nil, err
		}
		if entries = append(entries, e); len(entries) > maxTensors {
			return nil, nil, &UnsupportedError{Problem: fmt.Sprintf("more than %d tensors", maxTensors)}
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, bad(err)
	}
	if rest := bytes.TrimRight(header[dec.InputOffset():], " "); len(rest) > 0 {
		return nil, nil, &FormatError{Problem: "the header goes on after its JSON object"}
	}
	return meta, entries, inOrder(entries)
}

// inOrder puts the entries in the order of their data, if these leave no hole and do
// not overlap.
func inOrder(entries []entry) error {
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.offsets[0], b.offsets[0]), cmp.Compare(a.offsets[1], b.offsets[1]))
	})
	var next int64
	for _, e := range entries {
		if e.offsets[0] != next {
			return &FormatError{Problem: fmt.Sprintf("tensor %q begins at byte %d where byte %d is next: tensors overlap or leave a hole",
				e.tensor.Name, e.offsets[0], next)}
		}
		next = e.offsets[1]
	}
	return nil
}

// entry checks an entry by itself.
func (h *tensorHeader) entry(name string) (entry, error) {
	if name == "" {
		return entry{}, &FormatError{Problem: "a tensor has no name"}
	}
	if len(h.Shape) > 8 {
		return entry{}, &UnsupportedError{Problem: fmt.Sprintf("tensor %q has %d dimensions; at most 8 are read", name, len(h.Shape))}
	}
	n, ok := numbersOf(h.DType)
	if !ok {
		return entry{}, &UnsupportedError{Problem: fmt.Sprintf("tensor %q is of type %q; F32, F16 and BF16 are read", name, h.DType)}
	}
	shape := make([]int, len(h.Shape))
	size := int64(1)
	for i, d := range h.Shape {
		if d < 0 || d > math.MaxInt32 || (d > 0 && size > math.MaxInt32/d) {
			return entry{}, &FormatError{Problem: fmt.Sprintf("tensor %q has the shape %v: negative or too large", name, h.Shape)}
		}
		shape[i] = int(d)
		size *= d
	}
	bytes := int64(n.size) * size
	if h.Offsets[0] < 0 || h.Offsets[1] < h.Offsets[0] || h.Offsets[1]-h.Offsets[0] != bytes {
		return entry{}, &FormatError{Problem: fmt.Sprintf("tensor %q of shape %v lies at bytes %d to %d, not %d bytes apart",
			name, h.Shape, h.Offsets[0], h.Offsets[1], bytes)}
	}
	return entry{Tensor{Name: name, Shape: shape}, n, h.Offsets}, nil
}

// read reads the entry's data, as many values as its shape has.
func (e *entry) read(r io.Reader) (Tensor, error) {
	size, width := 1, e.numbers.size
	for _, d := range e.tensor.Shape {
		size *= d
	}
	data := make([]float32, 0, min(size, dataStep))
	buf := make([]byte, width*min(size, dataStep))
	for len(data) < size {
		n := min(size-len(data), dataStep)
		if _, err := io.ReadFull(r, buf[:width*n]); err != nil {
			return Tensor{}, readError(fmt.Sprintf("tensor %q", e.tensor.Name), err)
		}
		data = slices.Grow(data, n)[:len(data)+n]
		e.numbers.decode(data[len(data)-n:], buf)
	}
	e.tensor.Data = data
	return e.tensor, nil
}

// CheckTensors returns a *MismatchError unless ts are the parameters of the net:
// the same names in the same order, the same shapes. The net must be valid.
func (n *Net) CheckTensors(ts []Tensor) error {
	mismatch := func(format string, a ...any) error {
		return &MismatchError{Net: n.Name, Problem: fmt.Sprintf(format, a...)}
	}
	specs := n.Params()
	for i, p := range specs {
		if i >= len(ts) {
			return mismatch("%s is missing", p.Name)
		}
		t := ts[i]
		switch {
		case t.Name != p.Name:
			return mismatch("%s stands where %s is expected", t.Name, p.Name)
		case !slices.Equal(t.Shape, p.Shape):
			return mismatch("%s is %v, the net needs %v", t.Name, t.Shape, p.Shape)
		case len(t.Data) != p.Len():
			return mismatch("%s has %d values for its shape %v", t.Name, len(t.Data), t.Shape)
		}
	}
	if len(ts) > len(specs) {
		return mismatch("%s is not a parameter of the net", ts[len(specs)].Name)
	}
	return nil
}
