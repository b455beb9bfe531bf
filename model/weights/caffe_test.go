package weights

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/encoding/protowire"

	"alexnet/model"
)

// field returns a field that holds bytes: text or a message.
func field(n protowire.Number, value ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), bytes.Join(value, nil))
}

// varint returns a field that holds a number.
func varint(n protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), uint64(v))
}

// oldShape returns num, channels, height, width.
func oldShape(dims ...int64) []byte {
	var b []byte
	for i, d := range dims {
		b = append(b, varint(protowire.Number(i+1), d)...)
	}
	return b
}

// newShape returns a BlobShape.
func newShape(dims ...int64) []byte {
	var b []byte
	for _, d := range dims {
		b = protowire.AppendVarint(b, uint64(d))
	}
	return field(blobShape, field(shapeDim, b))
}

func packed(vs ...float32) []byte { return field(blobData, []byte(floats(vs...))) }

func unpacked(vs ...float32) []byte {
	var b []byte
	for _, v := range vs {
		b = protowire.AppendFixed32(protowire.AppendTag(b, blobData, protowire.Fixed32Type), math.Float32bits(v))
	}
	return b
}

func doubles(vs ...float32) []byte {
	var b []byte
	for _, v := range vs {
		b = protowire.AppendFixed64(b, math.Float64bits(float64(v)))
	}
	return field(blobDoubles, b)
}

// v1Layer and newLayer return a layer in the form of 2014 and today's.
func v1Layer(name string, blobs ...[]byte) []byte {
	b := slices.Concat(field(2, []byte("data")), field(3, []byte(name)), field(v1Name, []byte(name)), varint(5, 4))
	for _, blob := range blobs {
		b = append(b, field(v1Blobs, blob)...)
	}
	return field(netLayersV1, b)
}

func newLayer(name string, blobs ...[]byte) []byte {
	b := slices.Concat(field(layerName, []byte(name)), field(2, []byte("Convolution")), field(3, []byte("data")), varint(10, 1))
	for _, blob := range blobs {
		b = append(b, field(layerBlobs, blob)...)
	}
	return field(netLayer, b)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestCaffeForms(t *testing.T) {
	name := field(1, []byte("CaffeNet"))
	values := []float32{1, 2, 3, 4, 5, 6}
	for form, file := range map[string][]byte{
		"2014":               join(name, v1Layer("data"), v1Layer("fc", join(oldShape(1, 1, 2, 3), packed(values...)), join(oldShape(1, 1, 1, 2), packed(7, 8)))),
		"today":              join(name, newLayer("data"), newLayer("fc", join(packed(values...), newShape(2, 3)), join(packed(7, 8), newShape(2)))),
		"unpacked":           join(name, newLayer("fc", join(newShape(2, 3), unpacked(values...)), join(unpacked(7, 8), newShape(2)))),
		"doubles":            join(name, newLayer("fc", join(newShape(2, 3), doubles(values...)), join(doubles(7, 8), newShape(2)))),
		"with gradients":     join(name, newLayer("fc", join(field(6, []byte(floats(9, 9, 9, 9, 9, 9))), newShape(2, 3), packed(values...)), join(packed(7, 8), field(9, make([]byte, 16)), newShape(2)))),
		"shape unpacked":     join(newLayer("fc", join(field(blobShape, varint(shapeDim, 2), varint(shapeDim, 3)), packed(values...)), join(packed(7, 8), newShape(2)))),
		"data in two pieces": join(newLayer("fc", join(packed(values[:4]...), packed(values[4:]...), newShape(2, 3)), join(packed(7, 8), newShape(2)))),
		"fields of every type": join(protowire.AppendFixed64(protowire.AppendTag(nil, 77, protowire.Fixed64Type), 5), protowire.AppendFixed32(protowire.AppendTag(nil, 78, protowire.Fixed32Type), 5), varint(5, -1),
			newLayer("fc", join(newShape(2, 3), packed(values...)), join(packed(7, 8), newShape(2)))),
	} {
		ts, err := ReadCaffe(iotest.OneByteReader(bytes.NewReader(file)))
		if err != nil {
			t.Errorf("%s: %v", form, err)
			continue
		}
		if len(ts) != 2 || ts[0].Name != "fc.weight" || ts[1].Name != "fc.bias" || !slices.Equal(squeezed(ts[0].Shape), []int{2, 3}) ||
			!slices.Equal(squeezed(ts[1].Shape), []int{2}) || !slices.Equal(ts[0].Data, values) || !slices.Equal(ts[1].Data, []float32{7, 8}) {
			t.Errorf("%s: %+v", form, ts)
		}
	}
}

func TestCaffeCorruptions(t *testing.T) {
	good := join(newShape(2), packed(1, 2))
	layer := newLayer("fc", good)
	overlong := slices.Clone(layer)
	overlong[2]++ // the layer's length: one byte more than there is
	inner := slices.Clone(layer)
	inner[bytes.Index(inner, []byte("fc"))-1] = 100 // the name's length
	for _, c := range []struct {
		name        string
		data        []byte
		unsupported bool
		want        string
	}{
		{"empty", nil, false, "no layer with weights"},
		{"prototxt", []byte("name: \"AlexNet\"\nlayer {\n"), false, ""},
		{"no weights", newLayer("data"), false, "no layer with weights"},
		{"cut in the data", layer[:len(layer)-3], false, `layer "fc": the file is cut short`},
		{"cut in a tag", layer[:1], false, "cut short"},
		{"layer too long", overlong, false, "cut short"},
		{"name too long", inner, false, "layer number 1: a field of 100 bytes"},
		{"long name", newLayer(strings.Repeat("x", maxCaffeName+1), good), false, "a name of 1025 bytes"},
		{"values too many", newLayer("fc", join(newShape(2), packed(1, 2, 3))), false, `layer "fc": a blob of shape [2] has 3 values`},
		{"values missing", newLayer("fc", newShape(2)), false, "has 0 values"},
		{"no shape", newLayer("fc", packed(1, 2)), false, "shape [] has 2 values"},
		{"shape negative", newLayer("fc", join(newShape(-2, -1), packed(1, 2))), false, "shape [-2 -1]"},
		{"shape overflows", newLayer("fc", join(newShape(1<<32, 1<<32), packed(1, 2))), false, "shape [4294967296 4294967296]"},
		{"nine dimensions", newLayer("fc", join(newShape(1, 1, 1, 1, 1, 1, 1, 1, 2), packed(1, 2))), true, "more than 8 dimensions"},
		{"half a value", newLayer("fc", join(newShape(2), field(blobData, []byte("1234567")))), false, "7 bytes of values of 4"},
		{"half a double", newLayer("fc", join(newShape(2), field(blobDoubles, []byte("1234567")))), false, "7 bytes of values of 8"},
		{"dimension over the end", newLayer("fc", join(field(blobShape, field(shapeDim, []byte{0x80})), packed(1, 2))), false, ""},
		{"blob huge", newLayer("fc", protowire.AppendVarint(protowire.AppendTag(nil, blobData, protowire.BytesType), 1<<31)), false, "does not fit"},
		{"length overflows", newLayer("fc", protowire.AppendVarint(protowire.AppendTag(nil, blobData, protowire.BytesType), math.MaxUint64)), false, "does not fit"},
		{"number without end", bytes.Repeat([]byte{0xff}, 20), false, "a number at byte 0"},
		{"field 0", []byte{0x02, 0x00}, false, "does not begin a field"},
		{"group", protowire.AppendTag(nil, 9, protowire.StartGroupType), false, "wire type 3"},
		{"no name", field(netLayer, field(layerBlobs, good)), false, "layer number 1: it has weights but no name"},
		{"name twice", join(layer, layer), false, `layer "fc": another layer`},
		{"2013", field(netLayersV1, field(v1LayerV0, []byte("x"))), true, "upgrade_net_proto_binary"},
		{"many blobs", newLayer("fc", slices.Repeat([][]byte{good}, 17)...), true, "more than 16 blobs"},
		{"many layers", bytes.Repeat(newLayer("a"), maxCaffeLayers+1), true, "more than 4096 layers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts, err := ReadCaffe(bytes.NewReader(c.data))
			var bad *FormatError
			var no *UnsupportedError
			if err == nil || errors.As(err, &bad) == c.unsupported || errors.As(err, &no) != c.unsupported || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, %d tensors; want one with %q, unsupported: %v", err, len(ts), c.want, c.unsupported)
			}
		})
	}
	for i := range layer {
		if _, err := ReadCaffe(bytes.NewReader(layer[:i])); err == nil {
			t.Errorf("the first %d of %d bytes are read as if whole", i, len(layer))
		}
	}
	broken := errors.New("the disk is gone")
	if _, err := ReadCaffe(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

func FuzzReadCaffe(f *testing.F) {
	blob := join(oldShape(1, 1, 1, 2), packed(1, 2))
	f.Add(join(field(1, []byte("net")), v1Layer("conv1", blob, blob), newLayer("fc", join(doubles(3, 4), newShape(2)), unpacked(1))))
	f.Add(newLayer("conv1", blob))
	f.Fuzz(func(t *testing.T, data []byte) {
		ts, err := ReadCaffe(bytes.NewReader(data))
		total := 0
		for _, s := range ts {
			total += len(s.Data)
		}
		if err == nil && (len(ts) == 0 || total*4 > len(data)) {
			t.Errorf("%d tensors of %d values out of %d bytes", len(ts), total, len(data))
		}
	})
}

// tinyNet is a net with all that the readers change: a first convolution with
// padding and a rest, groups, pooling, dropout before fully connected layers.
func tinyNet() *model.Net {
	return &model.Net{Name: "tiny", Input: model.Shape{C: 3, H: 7, W: 9}, Classes: 3, Layers: []model.Layer{
		{Name: "conv1", Kind: model.Conv, Out: 4, Kernel: 3, Stride: 2, Pad: 1},
		{Name: "relu1", Kind: model.ReLU},
		{Name: "conv2", Kind: model.Conv, Out: 6, Kernel: 2, Stride: 1, Groups: 2},
		{Name: "relu2", Kind: model.ReLU},
		{Name: "drop2", Kind: model.Dropout, Rate: 0.5},
		{Name: "pool2", Kind: model.MaxPool, Kernel: 2, Stride: 1},
		{Name: "fc6", Kind: model.FC, Out: 5},
		{Name: "relu6", Kind: model.ReLU},
		{Name: "drop6", Kind: model.Dropout, Rate: 0.25},
		{Name: "fc8", Kind: model.FC, Out: 3},
		{Name: "prob", Kind: model.Softmax},
	}}
}
