package cpu

import (
	"fmt"
	"sync"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"alexnet/model"
	"alexnet/model/cpu/dnnl"
	"alexnet/model/cpu/gemm"
)

// buildLock serialises the building of graphs: gorgonia keeps pools and constants
// that all graphs of a process share.
var buildLock sync.Mutex //nolint:gochecknoglobals // guards what is global there

// program is a net compiled to a gorgonia graph and a tape machine, for training
// or for prediction. Nothing that the graph holds may point back to it: the machine
// has a finalizer, and with it in a cycle none of the buffers would ever be freed.
type program struct {
	call    *call
	machine G.VM
	layers  []*layerNodes
	loss    *lossKernel // nil where the program ends before it
	probs   []float32   // the output, batch x classes, or x features
	grads   G.Nodes     // when training, in the order of the parameters
	arena   *arena
	profile *profiler

	reduction *reduction // nil: this is no rank of several
}

// shared is what the two programs of an engine have in common.
type shared struct {
	net     *model.Net
	images  *tensor.Dense   // batch x C x H x W: for the graph; its first layer reads call.images
	weights []*tensor.Dense // in the order of net.Params
	batch   int
	threads int
	seed    uint64
	lib     *dnnl.Context // nil: plain Go
	profile *profiler     // nil: without
	half    bool          // BF16
	version uint64        // of the weights
	memory  uint64        // see limitOf

	reducer  model.Reducer // nil: this is no rank of several
	leastSum int           // see reduction
}

// builder compiles a program.
type builder struct {
	*shared
	p      *program
	m      *machinery
	layers int // of the net that are wanted
	shapes []model.Shape
	plans  []*layerPlan
}

// compile makes the program for training, or for prediction.
func compile(s *shared, train bool) (*program, error) {
	return compileLayers(s, train, len(s.net.Layers))
}

// compileLayers makes the program for the first so many layers of the net. Unless they
// are all, it is one for prediction, and its output is that of the last of them. gorgonia
// panics on some faults; they come out as errors.
func compileLayers(s *shared, train bool, layers int) (p *program, err error) {
	buildLock.Lock()
	defer buildLock.Unlock()
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("compile net %s: %v", s.net.Name, r)
			if large := tooLarge(r, s.batch); large != nil {
				err = large
			}
		}
	}()
	shapes, err := s.net.Shapes()
	if err != nil {
		return nil, err
	}
	p = &program{call: &call{}, arena: &arena{limit: limitOf(s.memory)}, profile: s.profile}
	b := &builder{shared: s, p: p, layers: layers, shapes: shapes, m: &machinery{workers: &workers{s.threads}, arena: p.arena,
		scratch: &scratch{}, common: &scratch{}, batch: s.batch, train: train, seed: s.seed, lib: s.lib, gemm: gemm.Best(), half: s.half}}
	if err := b.planLayers(); err != nil {
		return nil, err
	}
	b.m.scratch.alloc(b.m.arena, s.threads)
	b.m.common.alloc(b.m.arena, 1)
	b.allocOutputs()
	if train {
		b.allocGradients()
	}
	if err := b.wire(); err != nil {
		return nil, fmt.Errorf("compile net %s: %w", s.net.Name, err)
	}
	return p, nil
}

// planLayers makes the kernels.
func (b *builder) planLayers() error {
	at := layout{shape: b.net.Input, chunk: 1}
	trained := false
	for i := range b.layers {
		l := &b.net.Layers[i]
		plan, err := b.m.plan(b.net, i, at, b.shapes[i])
		if err != nil {
			return err
		}
		n := &layerNodes{name: l.Name, plan: plan, call: b.p.call, first: i == 0, needDX: trained,
			trained: l.Weighted()}
		trained = trained || n.trained
		b.plans, b.p.layers = append(b.plans, plan), append(b.p.layers, n)
		at = plan.out
	}
	if b.layers < len(b.net.Layers) {
		return b.planRows(at)
	}
	loss := b.p.layers[len(b.p.layers)-1]
	b.p.loss = loss.plan.kernel.(*lossKernel)
	if b.m.train {
		loss.scalar = new(G.F32)
	}
	return nil
}

// dense wraps the beginning of a buffer as a tensor.
func dense(buf []float32, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(buf[:tensor.Shape(shape).TotalSize()]))
}

// tensorShape returns the shape of a batch in a layout. A fully connected layer's
// has two dimensions, and the batch is rounded up to whole chunks.
func (b *builder) tensorShape(l layout) []int {
	if l.native != nil {
		return []int{1, l.native.Floats()}
	}
	n := l.capacity(b.batch)
	if l.chunk == 1 && l.shape.H == 1 && l.shape.W == 1 {
		return []int{n, l.shape.C}
	}
	return []int{n, l.shape.C, l.shape.H, l.shape.W}
}

// allocOutputs gives every layer its output. A layer that can works in place,
// unless the layer before still needs its own output for the backward pass. In a
// program for prediction two buffers take turns.
func (b *builder) allocOutputs() {
	size := func(l layout) int { return l.size(b.batch) }
	var turns [2][]float32
	if !b.m.train {
		largest := 0
		for _, p := range b.plans {
			largest = max(largest, size(p.out))
		}
		turns = [2][]float32{b.m.arena.floats(largest), b.m.arena.floats(largest)}
	}
	var last []float32 // the previous layer's output, nil for the image
	for i, p := range b.plans {
		free := !b.m.train || i > 0 && !b.plans[i-1].readsOutput
		switch {
		case p.inPlace && last != nil && free:
		case b.m.train:
			last = b.m.arena.floats(size(p.out))
		default:
			last = turns[0]
			turns[0], turns[1] = turns[1], turns[0]
		}
		b.p.layers[i].y = dense(last, b.tensorShape(p.out)...)
	}
	b.p.probs = last
}

// allocGradients gives every layer its gradients. Those of the feature maps are
// needed by one layer only, so that two buffers take turns.
func (b *builder) allocGradients() {
	largest, param := 0, 0
	for _, p := range b.plans[1:] {
		largest = max(largest, p.in.size(b.batch))
	}
	turns := [2][]float32{b.m.arena.floats(largest), b.m.arena.floats(largest)}
	for i := len(b.p.layers) - 1; i >= 0; i-- {
		n := b.p.layers[i]
		if n.needDX {
			if !n.plan.inPlace {
				turns[0], turns[1] = turns[1], turns[0]
			}
			n.dx = dense(turns[0], b.tensorShape(n.plan.in)...)
		}
	}
	// Those of parameters lie one after the other, for a reduction, with the alignment of
	// large buffers.
	total := 0
	room := func(t *tensor.Dense) int {
		return (t.Shape().TotalSize() + alignedFloats - 1) / alignedFloats * alignedFloats
	}
	for _, w := range b.weights {
		total += room(w)
	}
	gradient, at := b.m.arena.floats(total), 0
	next := func(like *tensor.Dense) *tensor.Dense {
		d := dense(gradient[at:], like.Shape()...)
		at += room(like)
		return d
	}
	for _, n := range b.p.layers {
		if n.trained {
			n.at = at
			n.dw, n.db = next(b.weights[param]), next(b.weights[param+1])
			param += 2
		}
	}
	if b.reducer != nil {
		b.p.reduction = &reduction{reducer: b.reducer, least: b.leastSum, gradient: gradient}
	}
}

// alignedFloats are the float32s of a line of a cache.
const alignedFloats = 64 / 4

// wire builds the graph and its machine.
func (b *builder) wire() error {
	g := G.NewGraph(G.WithGraphName(b.net.Name))
	input := func(name string, t *tensor.Dense) *G.Node {
		return G.NewTensor(g, tensor.Float32, t.Dims(), G.WithShape(t.Shape()...), G.WithName(name), G.WithValue(t))
	}
	node := input("images", b.images)
	var params G.Nodes
	for _, n := range b.p.layers {
		inputs := G.Nodes{node}
		if n.trained {
			i := len(params)
			params = append(params, input(n.name+".weight", b.weights[i]), input(n.name+".bias", b.weights[i+1]))
			inputs = append(inputs, params[i:]...)
		}
		var err error
		if node, err = n.apply(forwardPart, inputs...); err != nil {
			return err
		}
	}
	if b.m.train && len(params) > 0 {
		var err error
		if b.p.grads, err = G.Grad(node, params...); err != nil {
			return err
		}
	}
	seen := make(map[uint32]*G.Node)
	for _, n := range g.AllNodes() {
		if other := seen[n.Hashcode()]; other != nil {
			return fmt.Errorf("nodes %v and %v have the same hash and would be merged: rename a layer", other, n)
		}
		seen[n.Hashcode()] = n
	}
	b.p.machine = G.NewTapeMachine(g)
	return nil
}

// run executes the program for the images of the call, which it only reads.
func (p *program) run(c call) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("run the graph: %v", r)
		}
	}()
	c.profile, c.reduction = p.profile, p.reduction
	c.reduction.begin()
	*p.call = c
	defer func() { p.call.images, p.call.labels = nil, nil }()
	p.machine.Reset()
	return p.machine.RunAll()
}
