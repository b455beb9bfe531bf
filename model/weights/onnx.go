package weights

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"alexnet/model"
)

const onnxFormat = "ONNX"

// Versions of what WriteONNX writes: the file format (IR) of ONNX 1.8 and the
// operators of opset 13, the first whose Softmax has no reshaping of its own.
const (
	onnxIR    = 7
	onnxOpset = 13
)

// The numbers of the fields in onnx.proto, and of the enumerations.
const (
	modelIR, modelProducer, modelDoc, modelGraph, modelOpset = 1, 2, 6, 7, 8
	opsetVersion                                             = 2

	graphNode, graphName, graphInitializer, graphDoc, graphInput, graphOutput = 1, 2, 5, 10, 11, 12

	nodeInput, nodeOutput, nodeName, nodeOp, nodeAttribute = 1, 2, 3, 4, 5

	attrName, attrFloat, attrInt, attrInts, attrType = 1, 2, 3, 8, 20
	attrTypeFloat, attrTypeInt, attrTypeInts         = 1, 2, 7

	tensorDims, tensorType, tensorName, tensorRaw = 1, 2, 8, 9
	onnxFloat                                     = 1

	valueName, valueType          = 1, 2
	typeTensor                    = 1
	tensorElem, tensorShape       = 1, 2
	shapeDimension                = 1
	dimValue, dimParam            = 1, 2
	onnxMaxSize             int64 = math.MaxInt32 // protocol buffers allow no larger message
)

// The names of the graph's input and outputs.
const (
	ONNXInput  = "images"
	ONNXLogits = "logits"
	ONNXProbs  = "probabilities"
)

// WriteONNX writes a net and its weights as an ONNX model of opset 13: the input
// "images", float32 N x C x H x W with any N, channels R, G, B, pixels from 0 to 255
// less their mean; the outputs "logits" and "probabilities", N x Classes. The graph
// computes what [model.Engine]'s Predict does: dropout is a multiplication by
// 1 - rate, alpha of local response normalisation is written times n, by which ONNX
// divides it, its groups are images of their own in between, normalisation within
// channels is made of what ONNX has, and windows of pooling that hang over the end
// become padding there, which ONNX does not count. It returns a *model.MismatchError for weights of another
// net, an *UnsupportedError for a net that it cannot write, and what w returned.
func WriteONNX(w io.Writer, net *model.Net, weights []model.Tensor) error {
	if err := net.Validate(); err != nil {
		return err
	}
	if err := net.CheckTensors(weights); err != nil {
		return err
	}
	g := &onnxGraph{net: net, value: ONNXInput}
	if err := g.layers(); err != nil {
		return err
	}
	tensors := append(g.constants, weights...)
	head, tail := g.frame()
	size := int64(len(head) + len(tail))
	for _, t := range tensors {
		size += int64(protowire.SizeTag(graphInitializer)) + sizeBytes(tensorSize(t))
	}
	if size > onnxMaxSize {
		return &UnsupportedError{Format: onnxFormat, Where: "net " + net.Name, Problem: fmt.Sprintf("%d bytes are more than an ONNX file can have", size)}
	}
	bw := bufio.NewWriterSize(w, 1<<20)
	write := func(b []byte) { _, _ = bw.Write(b) } // an error stays until Flush
	write(onnxHeader(net))
	write(protowire.AppendVarint(protowire.AppendTag(nil, modelGraph, protowire.BytesType), uint64(size)))
	write(head)
	for _, t := range tensors {
		writeInitializer(write, t)
	}
	write(tail)
	if err := bw.Flush(); err != nil {
		return fmt.Errorf("write ONNX: %w", err)
	}
	return nil
}

// The pieces of a message.

func pbBytes(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func pbString(b []byte, n protowire.Number, v string) []byte { return pbBytes(b, n, []byte(v)) }

func pbInt(b []byte, n protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
}

func sizeBytes(n int64) int64 { return int64(protowire.SizeVarint(uint64(n))) + n }

// onnxHeader is the ModelProto before its graph.
func onnxHeader(net *model.Net) []byte {
	b := pbInt(nil, modelIR, onnxIR)
	b = pbString(b, modelProducer, "alexnet")
	b = pbString(b, modelDoc, "The net "+net.Name+" with its weights.")
	return pbBytes(b, modelOpset, pbInt(nil, opsetVersion, onnxOpset))
}

// onnxGraph collects the nodes of a graph.
type onnxGraph struct {
	net       *model.Net
	nodes     []byte         // the fields of GraphProto
	constants []model.Tensor // beside the weights
	value     string         // the last node's output
	flat      bool           // it is N x C, not N x C x H x W
}

// node adds a node that takes the last one's output, and more, to a new value.
func (g *onnxGraph) node(op, output string, attributes [][]byte, more ...string) {
	var b []byte
	for _, in := range append([]string{g.value}, more...) {
		b = pbString(b, nodeInput, in)
	}
	b = pbString(b, nodeOutput, output)
	b = pbString(b, nodeName, output)
	b = pbString(b, nodeOp, op)
	for _, a := range attributes {
		b = pbBytes(b, nodeAttribute, a)
	}
	g.nodes = pbBytes(g.nodes, graphNode, b)
	g.value = output
}

// constant adds a number and returns its name.
func (g *onnxGraph) constant(name string, v float64) string {
	g.constants = append(g.constants, model.Tensor{Name: name, Data: []float32{float32(v)}})
	return name
}

// reshape gives the last value another shape. The list is a node of its own, whose
// numbers are integers.
func (g *onnxGraph) reshape(name string, dims ...int) {
	list := pbString(nil, nodeOutput, name+":shape")
	list = pbString(list, nodeName, name+":shape")
	list = pbString(list, nodeOp, "Constant")
	list = pbBytes(list, nodeAttribute, intsAttr("value_ints", dims...))
	g.nodes = pbBytes(g.nodes, graphNode, list)
	g.node("Reshape", name, nil, name+":shape")
}

// norm adds a normalisation across channels. ONNX has no groups, so that each group
// becomes an image in between.
func (g *onnxGraph) norm(l *model.Layer, in model.Shape) {
	attributes := [][]byte{
		intAttr("size", l.Size), floatAttr("alpha", l.Alpha*float64(l.Size)), floatAttr("beta", l.Beta), floatAttr("bias", l.K),
	}
	if l.GroupCount() == 1 {
		g.node("LRN", l.Name+":0", attributes)
		return
	}
	g.reshape(l.Name+":groups", -1, in.C/l.GroupCount(), in.H, in.W)
	g.node("LRN", l.Name+":normalised", attributes)
	g.reshape(l.Name+":0", -1, in.C, in.H, in.W)
}

// normWithin adds a normalisation within channels: the mean of the squares, with
// zeros around the map, is their sum divided by the window's area.
func (g *onnxGraph) normWithin(l *model.Layer) {
	x, half := g.value, l.Size/2
	g.node("Mul", l.Name+":squares", nil, x)
	g.node("AveragePool", l.Name+":mean", [][]byte{
		intsAttr("kernel_shape", l.Size, l.Size), intsAttr("strides", 1, 1),
		intsAttr("pads", half, half, half, half), intAttr("count_include_pad", 1),
	})
	g.node("Mul", l.Name+":scaled", nil, g.constant(l.Name+":alpha", l.Alpha*float64(l.Size*l.Size)))
	g.node("Add", l.Name+":sum", nil, g.constant(l.Name+":k", l.K))
	g.node("Pow", l.Name+":power", nil, g.constant(l.Name+":exponent", -l.Beta))
	g.node("Mul", l.Name+":0", nil, x)
}

func intAttr(name string, v int) []byte {
	b := pbInt(pbString(nil, attrName, name), attrInt, int64(v))
	return pbInt(b, attrType, attrTypeInt)
}

func intsAttr(name string, vs ...int) []byte {
	b := pbString(nil, attrName, name)
	for _, v := range vs {
		b = pbInt(b, attrInts, int64(v))
	}
	return pbInt(b, attrType, attrTypeInts)
}

func floatAttr(name string, v float64) []byte {
	b := protowire.AppendTag(pbString(nil, attrName, name), attrFloat, protowire.Fixed32Type)
	return pbInt(protowire.AppendFixed32(b, math.Float32bits(float32(v))), attrType, attrTypeFloat)
}

// layers adds the nodes of all layers. The output of a layer has its name and
// ":0", which no parameter has; those of the last two are the graph's.
func (g *onnxGraph) layers() error {
	shapes, err := g.net.Shapes()
	if err != nil {
		return err
	}
	in := g.net.Input
	for i := range g.net.Layers {
		l := &g.net.Layers[i]
		if g.flat && (l.Kind == model.Conv || l.Kind == model.MaxPool || l.Kind == model.LRN || l.Kind == model.LRNWithinChannel) {
			return &UnsupportedError{Format: onnxFormat, Where: "layer " + l.Name, Problem: fmt.Sprintf("a %s after a fully connected layer", l.Kind)}
		}
		if (l.Kind == model.FC || l.Kind == model.Softmax) && !g.flat {
			g.node("Flatten", l.Name+":flat", [][]byte{intAttr("axis", 1)})
			g.flat = true
		}
		if l.Kind == model.Softmax { // the last layer: what goes in are the logits
			g.node("Identity", ONNXLogits, nil)
			g.node("Softmax", ONNXProbs, [][]byte{intAttr("axis", 1)})
			return nil
		}
		if err := g.layer(l, in, shapes[i]); err != nil {
			return err
		}
		in = shapes[i]
	}
	return nil
}

// layer adds a layer that is not the softmax.
func (g *onnxGraph) layer(l *model.Layer, in, out model.Shape) error {
	name := l.Name + ":0"
	switch l.Kind {
	case model.Conv:
		end := l.Pad + l.PadEnd
		g.node("Conv", name, [][]byte{
			intsAttr("kernel_shape", l.Kernel, l.Kernel), intsAttr("strides", l.Stride, l.Stride),
			intsAttr("pads", l.Pad, l.Pad, end, end), intAttr("group", l.GroupCount()),
		}, l.Name+".weight", l.Name+".bias")
	case model.ReLU:
		g.node("Relu", name, nil)
	case model.Tanh:
		g.node("Tanh", name, nil)
	case model.LRN:
		g.norm(l, in)
	case model.LRNWithinChannel:
		g.normWithin(l)
	case model.MaxPool:
		hang := func(in, out int) int { return max(0, (out-1)*l.Stride+l.Kernel-in) }
		g.node("MaxPool", name, [][]byte{
			intsAttr("kernel_shape", l.Kernel, l.Kernel), intsAttr("strides", l.Stride, l.Stride),
			intsAttr("pads", 0, 0, hang(in.H, out.H), hang(in.W, out.W)),
		})
	case model.Dropout:
		if l.Rate == 0 {
			return nil
		}
		g.node("Mul", name, nil, g.constant(l.Name+":scale", 1-l.Rate))
	case model.FC:
		g.node("Gemm", name, [][]byte{intAttr("transB", 1)}, l.Name+".weight", l.Name+".bias")
	case model.Local:
		return &UnsupportedError{Format: onnxFormat, Where: "layer " + l.Name, Problem: "it has no operator for a locally connected layer"}
	default:
		return &UnsupportedError{Format: onnxFormat, Where: "layer " + l.Name, Problem: fmt.Sprintf("the kind %q cannot be written", l.Kind)}
	}
	return nil
}

// frame returns the graph before and after its initializers.
func (g *onnxGraph) frame() (head, tail []byte) {
	in := g.net.Input
	head = pbString(g.nodes, graphName, g.net.Name)
	tail = pbString(nil, graphDoc, fmt.Sprintf("Input %q: float32, N x %d x %d x %d, channels R, G, B, pixels from 0 to 255 less their mean "+
		"(the mean image of the training set, cropped like the picture). Outputs: %q, N x %d, before the softmax, and %q after it.",
		ONNXInput, in.C, in.H, in.W, ONNXLogits, g.net.Classes, ONNXProbs))
	tail = pbBytes(tail, graphInput, valueInfo(ONNXInput, in.C, in.H, in.W))
	tail = pbBytes(tail, graphOutput, valueInfo(ONNXLogits, g.net.Classes))
	tail = pbBytes(tail, graphOutput, valueInfo(ONNXProbs, g.net.Classes))
	return head, tail
}

// valueInfo describes a value of N times the dimensions.
func valueInfo(name string, dims ...int) []byte {
	shape := pbBytes(nil, shapeDimension, pbString(nil, dimParam, "N"))
	for _, d := range dims {
		shape = pbBytes(shape, shapeDimension, pbInt(nil, dimValue, int64(d)))
	}
	tensor := pbBytes(pbInt(nil, tensorElem, onnxFloat), tensorShape, shape)
	return pbBytes(pbString(nil, valueName, name), valueType, pbBytes(nil, typeTensor, tensor))
}

// tensorHead is a TensorProto up to its data.
func tensorHead(t model.Tensor) []byte {
	var b []byte
	for _, d := range t.Shape {
		b = pbInt(b, tensorDims, int64(d))
	}
	b = pbString(pbInt(b, tensorType, onnxFloat), tensorName, t.Name)
	b = protowire.AppendTag(b, tensorRaw, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(4*len(t.Data)))
}

func tensorSize(t model.Tensor) int64 { return int64(len(tensorHead(t)) + 4*len(t.Data)) }

// writeInitializer writes a tensor as a field of the graph, a part at a time.
func writeInitializer(write func([]byte), t model.Tensor) {
	write(protowire.AppendVarint(protowire.AppendTag(nil, graphInitializer, protowire.BytesType), uint64(tensorSize(t))))
	write(tensorHead(t))
	buf := make([]byte, 0, 1<<14)
	for data := t.Data; len(data) > 0; {
		n := min(len(data), cap(buf)/4)
		buf = buf[:0]
		for _, v := range data[:n] {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		write(buf)
		data = data[n:]
	}
}
