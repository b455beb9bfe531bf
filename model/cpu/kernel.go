package cpu

import (
	"fmt"
	"time"

	"alexnet/model"
	"alexnet/model/cpu/dnnl"
	"alexnet/model/cpu/gemm"
)

// call is what differs from one run of a program to the next.
type call struct {
	images  []float32 // of the batch
	n       int       // how many; the rest of the buffers is left alone
	labels  []int32   // n labels when training
	step    uint64
	first   int    // the place of the first image in the batch of all ranks
	divisor int    // of the loss: images with a label, of all ranks
	weights uint64 // changes when they do
	err     error  // of a kernel that has failed

	profile   *profiler  // nil: nobody wants to know
	between   time.Time  // see split
	reduction *reduction // nil: there are no other ranks
	at        int        // the place of the layer in hand in the gradient of all
}

// buffers are the values that a kernel works on, in the layouts that it was made
// for. Those that a layer does not have are nil.
type buffers struct {
	x, w, b, y     []float32 // input, weights, biases, output
	dx, dw, db, dy []float32 // the loss's gradients with respect to them
}

// A kernel computes one layer, forwards and backwards. forward sets y. backward
// sets dw, db, and dx unless it is nil because nobody needs it, from dy and from
// what the last forward left. This is the seam at which another library can take
// over a layer.
type kernel interface {
	forward(c *call, t *buffers)
	backward(c *call, t *buffers)
}

// layerPlan is a kernel and what the graph must know to wire it.
type layerPlan struct {
	kernel      kernel
	in, out     layout
	inPlace     bool // forward may have y = x, backward dx = dy
	readsOutput bool // backward reads y, so that no later layer may overwrite it
}

// machinery is what the kernels of a program share.
type machinery struct {
	*workers
	arena   *arena
	scratch *scratch
	common  *scratch // of one "worker": what all workers of a layer read
	batch   int
	train   bool
	seed    uint64
	lib     *dnnl.Context // nil: plain Go
	gemm    gemm.Kernel   // of plain Go
	half    bool          // what oneDNN computes is bfloat16
}

// plan makes the kernel for layer number index of a valid net, for input in the
// layout in.
func (m *machinery) plan(net *model.Net, index int, in layout, out model.Shape) (*layerPlan, error) {
	if m.lib != nil {
		return m.planNative(net, index, in, out)
	}
	return m.planPlain(net, index, in, out)
}

// planPlain is plan for the kernels of this package, which know layouts of chunks.
func (m *machinery) planPlain(net *model.Net, index int, in layout, out model.Shape) (*layerPlan, error) {
	l := &net.Layers[index]
	same := layout{shape: out, chunk: in.chunk}
	p := &layerPlan{in: in, out: same}
	switch l.Kind {
	case model.Conv:
		p.out.chunk = min(chunkImages, m.batch)
		if m.lib != nil {
			p.out.chunk = 1 // the order that oneDNN knows
		}
		p.kernel = newConvKernel(m, l, in, p.out)
	case model.Local:
		p.out.chunk = 1
		p.kernel = newLocalKernel(m, l, in, p.out)
	case model.FC:
		p.out.chunk = 1
		p.kernel = newFCKernel(m, in, l.Out)
	case model.ReLU:
		p.kernel = &reluKernel{m: m, layout: same}
		p.inPlace, p.readsOutput = true, true
	case model.Tanh:
		p.kernel, p.inPlace, p.readsOutput = &tanhKernel{m: m, layout: same}, true, true
	case model.LRN:
		p.kernel = newLRNKernel(m, l, same)
		p.readsOutput = true
	case model.LRNWithinChannel:
		p.kernel = newLRNWithinKernel(m, l, same)
		p.readsOutput = true
	case model.MaxPool:
		p.kernel = newPoolKernel(m, l, in, p.out)
	case model.Dropout:
		p.kernel = newDropoutKernel(m, l, uint32(index), same)
		p.inPlace = true
	case model.Softmax:
		p.out = layout{shape: model.Shape{C: net.Classes, H: 1, W: 1}, chunk: 1}
		p.kernel = newLossKernel(m, in, net.Classes)
	default:
		return nil, fmt.Errorf("layer %s: this engine has no layer of kind %q", l.Name, l.Kind)
	}
	return p, nil
}
