package weights

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"alexnet/model"
)

const caffeFormat = "caffemodel"

// The fields of Caffe's messages (caffe.proto) that hold weights.
const (
	netLayersV1 = 2   // NetParameter: V1LayerParameter, of files until 2014
	netLayer    = 100 // NetParameter: LayerParameter

	v1LayerV0, v1Name, v1Blobs = 1, 4, 6 // V1LayerParameter
	layerName, layerBlobs      = 1, 7    // LayerParameter

	blobNum, blobWidth               = 1, 4 // BlobProto: num, channels, height, width
	blobData, blobShape, blobDoubles = 5, 7, 8
	shapeDim                         = 1 // BlobShape
)

const (
	maxCaffeName   = 1 << 10
	maxCaffeLayers = 1 << 12
	maxCaffeBlobs  = 16
)

// ReadCaffe reads the weights in a .caffemodel, a NetParameter message of protocol
// buffers, in the order of the file. The blobs of layer L are returned as L.weight,
// L.bias and, should there be more, L.blob2 and so on, in the shape that the file
// has: for files until 2014 always four dimensions. Layers without blobs are passed
// over. It reads the stream once, and its memory grows only with what comes in. It
// returns a *FormatError, an *UnsupportedError, or what the reader returned.
func ReadCaffe(r io.Reader) ([]model.Tensor, error) {
	c := &caffeReader{r: bufio.NewReaderSize(r, 1<<16)}
	var ts []model.Tensor
	layers := 0
	seen := make(map[string]bool)
	err := c.message(math.MaxInt64, func(field protowire.Number, kind protowire.Type) error {
		if field != netLayersV1 && field != netLayer || kind != protowire.BytesType {
			return c.skip(kind)
		}
		if layers++; layers > maxCaffeLayers {
			return c.no("more than %d layers", maxCaffeLayers)
		}
		c.where = fmt.Sprintf("layer number %d", layers)
		own, err := c.layer(field == netLayersV1)
		if err == nil && len(own) > 0 && seen[own[0].Name] {
			err = c.bad(nil, "another layer has the same name")
		}
		if err != nil {
			return err
		}
		if len(own) > 0 {
			seen[own[0].Name] = true
		}
		ts = append(ts, own...)
		c.where = ""
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(ts) == 0:
		return nil, c.bad(nil, "it has no layer with weights (is it a prototxt or another program's file?)")
	}
	return ts, nil
}

// caffeReader reads protocol buffers from a stream. Of a message it knows where it
// ends, and nothing in it may reach further.
type caffeReader struct {
	r     *bufio.Reader
	pos   int64
	end   int64  // of the message being read
	where string // the layer being read
}

func (c *caffeReader) bad(err error, format string, a ...any) error {
	return &FormatError{Format: caffeFormat, Where: c.where, Problem: fmt.Sprintf(format, a...), Err: err}
}

func (c *caffeReader) no(format string, a ...any) error {
	return &UnsupportedError{Format: caffeFormat, Where: c.where, Problem: fmt.Sprintf(format, a...)}
}

// failed tells an early end, which is the file's fault, from a failing reader.
func (c *caffeReader) failed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return c.bad(io.ErrUnexpectedEOF, "the file is cut short after byte %d", c.pos)
	}
	return fmt.Errorf("read caffemodel: %w", err)
}

// fill reads len(buf) bytes of the message.
func (c *caffeReader) fill(buf []byte) error {
	if int64(len(buf)) > c.end-c.pos {
		return c.bad(nil, "a value at byte %d reaches over the end of its message", c.pos)
	}
	n, err := io.ReadFull(c.r, buf)
	c.pos += int64(n)
	if err != nil {
		return c.failed(err)
	}
	return nil
}

// varint reads a varint of the message.
func (c *caffeReader) varint() (uint64, error) {
	buf, err := c.r.Peek(binary.MaxVarintLen64)
	if err != nil && err != io.EOF { // at the end of the file fewer bytes may do
		return 0, c.failed(err)
	}
	v, n := protowire.ConsumeVarint(buf)
	if n < 0 {
		if len(buf) < binary.MaxVarintLen64 {
			return 0, c.failed(io.EOF)
		}
		return 0, c.bad(protowire.ParseError(n), "a number at byte %d", c.pos)
	}
	return v, c.discard(int64(n))
}

// discard passes over n bytes of the message.
func (c *caffeReader) discard(n int64) error {
	if n > c.end-c.pos {
		return c.bad(nil, "a value at byte %d reaches over the end of its message", c.pos)
	}
	for n > 0 {
		part, err := c.r.Discard(int(min(n, 1<<20)))
		c.pos += int64(part)
		n -= int64(part)
		if err != nil {
			return c.failed(err)
		}
	}
	return nil
}

// length reads the length of a field and returns where the field ends.
func (c *caffeReader) length() (int64, error) {
	n, err := c.varint()
	if err != nil {
		return 0, err
	}
	if n > math.MaxInt32 || int64(n) > c.end-c.pos {
		return 0, c.bad(nil, "a field of %d bytes at byte %d does not fit in its message", n, c.pos)
	}
	return c.pos + int64(n), nil
}

// message calls field for each field up to end; field reads its value. At the top
// level the message ends with the file.
func (c *caffeReader) message(end int64, field func(protowire.Number, protowire.Type) error) error {
	outer := c.end
	c.end = end
	for c.pos < end {
		if end == math.MaxInt64 {
			if _, err := c.r.Peek(1); err == io.EOF {
				break
			}
		}
		start := c.pos
		tag, err := c.varint()
		if err != nil {
			return err
		}
		number, kind := protowire.DecodeTag(tag)
		if number < protowire.MinValidNumber {
			return c.bad(nil, "byte %d does not begin a field of a protocol buffer", start)
		}
		if err := field(number, kind); err != nil {
			return err
		}
	}
	c.end = outer
	return nil
}

// inner is message for a field that is itself a message.
func (c *caffeReader) inner(field func(protowire.Number, protowire.Type) error) error {
	end, err := c.length()
	if err != nil {
		return err
	}
	return c.message(end, field)
}

// skip passes over a value.
func (c *caffeReader) skip(kind protowire.Type) error {
	switch kind {
	case protowire.VarintType:
		_, err := c.varint()
		return err
	case protowire.Fixed32Type:
		return c.discard(4)
	case protowire.Fixed64Type:
		return c.discard(8)
	case protowire.BytesType:
		end, err := c.length()
		if err != nil {
			return err
		}
		return c.discard(end - c.pos)
	}
	return c.bad(nil, "a field of wire type %d before byte %d, which Caffe does not write", kind, c.pos)
}

// layer reads a layer and returns its blobs as tensors.
func (c *caffeReader) layer(v1 bool) ([]model.Tensor, error) {
	nameField, blobsField := protowire.Number(layerName), protowire.Number(layerBlobs)
	if v1 {
		nameField, blobsField = v1Name, v1Blobs
	}
	name := ""
	var blobs []model.Tensor
	err := c.inner(func(field protowire.Number, kind protowire.Type) error {
		switch {
		case kind != protowire.BytesType:
			return c.skip(kind)
		case field == nameField:
			end, err := c.length()
			if err != nil {
				return err
			}
			if end-c.pos > maxCaffeName {
				return c.bad(nil, "a name of %d bytes", end-c.pos)
			}
			text := make([]byte, end-c.pos)
			if err := c.fill(text); err != nil {
				return err
			}
			name = string(text)
			c.where = fmt.Sprintf("layer %q", name)
			return nil
		case field == blobsField:
			if len(blobs) == maxCaffeBlobs {
				return c.no("more than %d blobs", maxCaffeBlobs)
			}
			b, err := c.blob()
			blobs = append(blobs, b)
			return err
		case v1 && field == v1LayerV0:
			return c.no("the file has the format of 2013; bring it up to date with Caffe's upgrade_net_proto_binary")
		}
		return c.skip(kind)
	})
	if err == nil && len(blobs) > 0 && name == "" {
		err = c.bad(nil, "it has weights but no name")
	}
	for i := range blobs {
		blobs[i].Name = name + [2]string{".weight", ".bias"}[min(i, 1)]
		if i > 1 {
			blobs[i].Name = fmt.Sprintf("%s.blob%d", name, i)
		}
	}
	return blobs, err
}

// blob reads a tensor: its values as floats or doubles, packed or not, and its
// shape in the old form or the new, in any order.
func (c *caffeReader) blob() (model.Tensor, error) {
	var data, doubles []float32
	var shape, old []int64
	err := c.inner(func(field protowire.Number, kind protowire.Type) (err error) {
		switch {
		case field == blobData && (kind == protowire.BytesType || kind == protowire.Fixed32Type):
			data, err = c.values(data, kind, 4)
		case field == blobDoubles && (kind == protowire.BytesType || kind == protowire.Fixed64Type):
			doubles, err = c.values(doubles, kind, 8)
		case field == blobShape && kind == protowire.BytesType:
			shape, err = c.shape()
		case field >= blobNum && field <= blobWidth && kind == protowire.VarintType:
			var v uint64
			if v, err = c.varint(); old == nil {
				old = make([]int64, 4) // what is not said is 0
			}
			old[field-blobNum] = int64(v)
		default:
			err = c.skip(kind)
		}
		return err
	})
	if err != nil {
		return model.Tensor{}, err
	}
	if len(data) == 0 {
		data = doubles
	}
	if shape == nil {
		shape = old
	}
	if n, ok := volume(shape); !ok || shape == nil || n != len(data) {
		return model.Tensor{}, c.bad(nil, "a blob of shape %v has %d values", shape, len(data))
	}
	return model.Tensor{Shape: ints(shape), Data: data}, nil
}

// shape reads a BlobShape.
func (c *caffeReader) shape() ([]int64, error) {
	shape := []int64{}
	dim := func() error {
		v, err := c.varint()
		if shape = append(shape, int64(v)); err == nil && len(shape) > 8 {
			err = c.no("a blob of more than 8 dimensions")
		}
		return err
	}
	err := c.inner(func(field protowire.Number, kind protowire.Type) error {
		switch {
		case field == shapeDim && kind == protowire.VarintType:
			return dim()
		case field == shapeDim && kind == protowire.BytesType:
			end, err := c.length()
			for err == nil && c.pos < end {
				err = dim()
			}
			if err == nil && c.pos > end {
				err = c.bad(nil, "a dimension reaches over the end of its list")
			}
			return err
		}
		return c.skip(kind)
	})
	return shape, err
}

// values appends one value, or a packed list of them, of size bytes each.
func (c *caffeReader) values(dst []float32, kind protowire.Type, size int64) ([]float32, error) {
	bytes := size
	if kind == protowire.BytesType {
		end, err := c.length()
		if err != nil {
			return nil, err
		}
		if bytes = end - c.pos; bytes%size != 0 {
			return nil, c.bad(nil, "%d bytes of values of %d bytes each", bytes, size)
		}
	}
	if int64(len(dst))+bytes/size > maxValues {
		return nil, c.no("a blob of more than %d values", maxValues)
	}
	var buf [1 << 13]byte
	for bytes > 0 {
		part := buf[:min(bytes, int64(len(buf)))]
		if err := c.fill(part); err != nil {
			return nil, err
		}
		bytes -= int64(len(part))
		dst = slices.Grow(dst, len(part)/int(size))
		for ; len(part) > 0; part = part[size:] {
			if size == 8 {
				dst = append(dst, float32(math.Float64frombits(binary.LittleEndian.Uint64(part))))
			} else {
				dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(part)))
			}
		}
	}
	return dst, nil
}
