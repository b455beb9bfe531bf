package cpu

import (
	"fmt"
	"hash"
	"hash/fnv"
	"runtime/debug"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A layer of the net becomes up to four nodes of the gorgonia graph, which share a
// layerNodes:
//
//	forward   (x, w, b)         -> y
//	backward  (x, w, b, y, dy)  -> dx, or dw if nobody needs dx
//	gradient  (backward)        -> dw, db
//
// The outputs of all are tensors that the layer owns and that every run
// overwrites: for that, gorgonia must see ops that return pointers, call nothing
// external and overwrite no input. backward computes all gradients at once; the
// gradient nodes depend on it and hand out one of them each.

// layerNodes is a layer in a graph.
type layerNodes struct {
	name    string
	plan    *layerPlan
	call    *call
	first   bool // reads the images
	trained bool // has weights
	needDX  bool // something before the layer has weights
	at      int  // the place of its gradient in that of all layers

	y, dx, dw, db *tensor.Dense
	scalar        *G.F32 // the loss layer's output is this instead of y
}

// part says which of a layer's nodes an op is.
type part string

const (
	forwardPart  part = "forward"
	backwardPart part = "backward"
	weightsPart  part = "weights gradient"
	biasesPart   part = "biases gradient"
)

// op is a node's operation.
type op struct {
	*layerNodes
	part part
}

var _ G.SDOp = (*op)(nil)

// output returns the tensor that the op returns.
func (o *op) output() G.Value {
	switch {
	case o.part == weightsPart, o.part == backwardPart && !o.needDX:
		return o.dw
	case o.part == biasesPart:
		return o.db
	case o.part == backwardPart:
		return o.dx
	case o.scalar != nil:
		return o.scalar
	}
	return o.y
}

// inputs returns the number of inputs of the forward op.
func (l *layerNodes) inputs() int {
	if l.trained {
		return 3
	}
	return 1
}

// Arity implements gorgonia.Op.
func (o *op) Arity() int {
	switch o.part {
	case forwardPart:
		return o.inputs()
	case backwardPart:
		return o.inputs() + 2
	}
	return 1
}

// typeOf returns gorgonia's type of a float32 value with the given shape.
func typeOf(s tensor.Shape) hm.Type {
	if s.Dims() == 0 {
		return tensor.Float32
	}
	return G.TensorType{Dims: s.Dims(), Of: tensor.Float32}
}

// Type implements gorgonia.Op. The inputs may be of any type: the wiring is right
// by construction, and the shapes were checked with the net.
func (o *op) Type() hm.Type {
	ts := make([]hm.Type, 0, o.Arity()+1)
	for i := range o.Arity() {
		ts = append(ts, hm.TypeVariable('c'+rune(i)))
	}
	return hm.NewFnType(append(ts, typeOf(o.output().Shape()))...)
}

// InferShape implements gorgonia.Op.
func (o *op) InferShape(...G.DimSizer) (tensor.Shape, error) {
	return o.output().Shape().Clone(), nil
}

// ReturnsPtr implements gorgonia.Op.
func (o *op) ReturnsPtr() bool { return true }

// CallsExtern implements gorgonia.Op.
func (o *op) CallsExtern() bool { return false }

// OverwritesInput implements gorgonia.Op.
func (o *op) OverwritesInput() int { return -1 }

// WriteHash implements gorgonia.Op. Nodes with the same hash and the same inputs
// would be merged into one; a layer's name is unique in its net.
func (o *op) WriteHash(h hash.Hash) { h.Write([]byte(o.String())) }

// Hashcode implements gorgonia.Op.
func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// String implements fmt.Stringer.
func (o *op) String() string { return o.name + " " + string(o.part) }

// Do implements gorgonia.Op. gorgonia calls it in a goroutine of its own, where a
// panic would end the process: it comes out as an error.
func (o *op) Do(inputs ...G.Value) (out G.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			if p, ok := r.(*workerPanic); ok {
				err = fmt.Errorf("%s: %v", o, p)
			} else {
				err = fmt.Errorf("%s: %v\n%s", o, r, debug.Stack())
			}
		}
	}()
	if len(inputs) != o.Arity() {
		return nil, fmt.Errorf("%s: %d inputs instead of %d", o, len(inputs), o.Arity())
	}
	if o.part != forwardPart && o.part != backwardPart {
		return o.output(), nil
	}
	t := buffers{x: o.call.images}
	if !o.first {
		t.x = floats(inputs[0])
	}
	if o.trained {
		t.w, t.b = floats(inputs[1]), floats(inputs[2])
	}
	if o.part == forwardPart {
		t.y = o.y.Data().([]float32)
		o.timed(&t)
		if o.call.err != nil {
			return nil, fmt.Errorf("%s: %w", o, o.call.err)
		}
		if loss, ok := o.plan.kernel.(*lossKernel); ok && o.scalar != nil {
			*o.scalar = G.F32(loss.score.Loss / float64(max(loss.score.N, 1)))
		}
		return o.output(), nil
	}
	t.y, t.dy = o.y.Data().([]float32), floats(inputs[len(inputs)-1])
	if o.trained {
		t.dw, t.db = o.dw.Data().([]float32), o.db.Data().([]float32)
		o.call.at = o.at
	}
	if o.needDX {
		t.dx = o.dx.Data().([]float32)
	}
	o.timed(&t)
	if o.call.err != nil {
		return nil, fmt.Errorf("%s: %w", o, o.call.err)
	}
	if o.trained {
		o.call.graded()
	}
	return o.output(), nil
}

// floats returns the memory of a value.
func floats(v G.Value) []float32 {
	switch v := v.(type) {
	case *tensor.Dense:
		return v.Data().([]float32)
	case *G.F32:
		return []float32{float32(*v)}
	}
	panic(fmt.Sprintf("a value of type %T in a graph of float32", v))
}

// DiffWRT implements gorgonia.SDOp. The gradient with respect to the image is
// never asked for, so that the first convolution does not compute it.
func (o *op) DiffWRT(inputs int) []bool {
	d := make([]bool, inputs)
	if o.part == forwardPart {
		d[0] = o.needDX
		for i := 1; i < inputs; i++ {
			d[i] = true
		}
	}
	return d
}

// SymDiff implements gorgonia.SDOp: it adds the nodes of the backward pass.
func (o *op) SymDiff(inputs G.Nodes, output, grad *G.Node) (G.Nodes, error) {
	if o.part != forwardPart {
		return nil, fmt.Errorf("%s cannot be differentiated", o)
	}
	children := append(append(G.Nodes{}, inputs...), output, grad)
	back, err := o.apply(backwardPart, children...)
	if err != nil {
		return nil, err
	}
	grads := make(G.Nodes, len(inputs))
	if o.needDX {
		grads[0] = back
	}
	if o.trained {
		if grads[1], err = o.apply(weightsPart, back); err != nil {
			return nil, err
		}
		if grads[2], err = o.apply(biasesPart, back); err != nil {
			return nil, err
		}
	}
	return grads, nil
}

// apply adds one of the layer's nodes to the graph of its inputs.
func (l *layerNodes) apply(p part, inputs ...*G.Node) (*G.Node, error) {
	o := &op{l, p}
	n, err := G.ApplyOp(o, inputs...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o, err)
	}
	if n.Op() != G.Op(o) {
		return nil, fmt.Errorf("%s: gorgonia merged it with %v", o, n.Op())
	}
	return n, nil
}
