package gpu

import (
	"cmp"
	"errors"
	"fmt"

	"alexnet/model"
	"alexnet/model/gpu/device"
	"alexnet/model/gpu/kernels"
)

// program is a net, or its first layers, as a list of calls.
type program struct {
	e      *Engine
	train  bool
	nodes  []*node
	arena  arena
	graphs map[kernels.Source]device.Graph // by what the images come as
	warm   map[kernels.Source]bool         // it has run once
	swap   int                             // when compiling: which of the two buffers is next
	marks  *marks                          // nil but while Profile runs
}

// first describes how the first layer wants the images: with borders, in blocks and with
// channels of zeros behind theirs.
type first struct {
	block, pad int
	h, w       int // of the result, in blocks
	channels   int
}

// firstLayer returns it. A convolution with a stride, such as the paper's of 11 x 11 with
// a stride of 4, becomes one of 3 x 3 over blocks of 4 x 4 pixels, with 48 channels: what
// tensor cores can multiply.
func firstLayer(net *model.Net, shapes []model.Shape, a device.Arithmetic) first {
	l, in := &net.Layers[0], net.Input
	f := first{block: 1, h: in.H, w: in.W, channels: in.C}
	if l.Kind != model.Conv {
		return f
	}
	f.h, f.w = in.H+l.PadEnd, in.W+l.PadEnd
	if l.GroupCount() > 1 {
		return f // of which blocks would mix the groups
	}
	multiple := map[device.Arithmetic]int{device.Float32: 1, device.TensorFloat32: 4, device.BFloat16: 8}[a]
	const most = 8 // pixels along the side of a block
	if l.Stride > 1 && l.Stride <= most {
		f.block, f.pad = l.Stride, l.Pad
		side := (l.Kernel + l.Stride - 1) / l.Stride
		f.h, f.w = shapes[0].H-1+side, shapes[0].W-1+side
	}
	f.channels = (f.block*f.block*in.C + multiple - 1) / multiple * multiple
	return f
}

// rowMaps returns how the parameters lie in the device's memory.
func (e *Engine) rowMaps() []rowMap {
	shapes, _ := e.net.Shapes() // New has checked them
	var maps []rowMap
	in := e.net.Input
	for i := range e.net.Layers {
		l := &e.net.Layers[i]
		c, block := in.C, 1
		if i == 0 {
			c, block = e.first.channels, e.first.block
		}
		switch l.Kind {
		case model.Conv:
			own := c
			if i > 0 || l.GroupCount() > 1 {
				own = in.C / l.GroupCount()
			}
			rows := blockRows(l.Out, in.C/l.GroupCount(), l.Kernel, block, own)
			maps = append(maps, rows.dense(l.GroupCount()/e.groups(l), own), straight(1, l.Out))
		case model.FC:
			maps = append(maps, featureRows(l.Out, in, c), straight(1, l.Out))
		}
		in = shapes[i]
	}
	return maps
}

// compile plans the first layers of the net and allocates what they need. A dry one only
// adds up the memory.
func (e *Engine) compile(train bool, layers int, dry bool) (*program, error) {
	p := &program{e: e, train: train, arena: arena{dev: e.device, dry: dry},
		graphs: map[kernels.Source]device.Graph{}, warm: map[kernels.Source]bool{}}
	shapes, err := e.net.Shapes()
	if err != nil {
		return nil, err
	}
	at := value{at: e.input, m: kernels.Map{N: e.batch, H: e.first.h, W: e.first.w, C: e.first.channels}, t: e.kind}
	param := 0
	for i := 0; i < layers; i++ {
		n := &node{layer: &e.net.Layers[i], index: i, name: e.net.Layers[i].Name, in: at, param: param}
		n.act = activation(n.layer.Kind)
		if n.layer.Weighted() {
			param += 2
			if i+1 < layers && activation(e.net.Layers[i+1].Kind) != kernels.None {
				n.act, n.index = activation(e.net.Layers[i+1].Kind), i+1
				i++
			}
		}
		s := shapes[n.index]
		p.place(n, kernels.Map{N: e.batch, H: s.H, W: s.W, C: s.C})
		if err := p.prepare(n); err != nil {
			return nil, errors.Join(err, p.close())
		}
		at = n.out
		if last := len(p.nodes) - 1; last >= 0 {
			p.nodes[last].lend(n)
		}
		p.nodes = append(p.nodes, n)
	}
	if err := p.arena.err; err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// place decides where a layer's output goes: over its input for those that work in place,
// to memory of its own when training, since the backward pass needs it, and otherwise to
// one of two buffers in turn.
func (p *program) place(n *node, m kernels.Map) {
	e := p.e
	n.out = value{m: m, t: n.in.t, relu: n.act == kernels.ReLU}
	last := n.index+2 == len(e.net.Layers) && e.net.Layers[n.index+1].Kind == model.Softmax
	switch n.layer.Kind {
	case model.ReLU, model.Tanh, model.Dropout:
		n.out.at = n.in.at
		return
	case model.Softmax:
		n.out.t, n.out.at = kernels.Float32, e.probs
		return
	case model.FC:
		if last && n.act == kernels.None {
			n.out.t = kernels.Float32
		}
	}
	if p.train {
		n.out.at = p.arena.alloc(n.out.bytes())
		return
	}
	n.out.at = e.swap[p.swap]
	p.swap = 1 - p.swap
}

// prepare plans what a layer needs beside its input and output.
func (p *program) prepare(n *node) error {
	e, l := p.e, n.layer
	switch l.Kind {
	case model.Conv:
		if p.train && e.kind == kernels.BFloat16 {
			n.narrow = p.arena.alloc(2 * e.params.list[n.param].rows.size())
		}
		c, err := e.convolution(n, p.train)
		if err != nil {
			return err
		}
		if n.conv = c; !p.arena.dry {
			if n.convolve, err = e.library.Convolution(*c); err != nil {
				return fmt.Errorf("layer %q: %w", l.Name, err)
			}
		}
	case model.MaxPool:
		if p.train {
			n.places = p.arena.alloc(n.out.rows() * n.out.m.C)
		}
	case model.Softmax:
		if n.in.m.H*n.in.m.W > 1 {
			return unsupported(e.net, l, "a softmax over feature maps cannot be computed")
		}
		if n.in.t != kernels.Float32 {
			n.scratch = p.arena.alloc(4 * n.in.m.N * n.in.m.C)
		}
	}
	if p.train && l.Weighted() {
		n.scratch = p.arena.alloc(kernels.BiasScratch(n.out.rows(), n.out.m.C))
	}
	return nil
}

// convolution describes the convolution that the library is to compute.
func (e *Engine) convolution(n *node, train bool) (*device.Convolution, error) {
	l := n.layer
	c := &device.Convolution{Arithmetic: e.arithmetic, N: n.in.m.N, H: n.in.m.H, W: n.in.m.W, C: n.in.m.C,
		Out: l.Out, Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad, Groups: e.groups(l),
		NeedWeights: train, NeedData: train && n.param > 0, Workspace: e.options.Workspace, Repeatable: !e.options.AnyOrder}
	switch {
	case n.index > 0 && n.layer != &e.net.Layers[0]:
		if l.PadEnd > 0 {
			return nil, unsupported(e.net, l, "a convolution with more zeros at the end, other than the first layer, cannot be computed")
		}
	case e.first.block > 1:
		c.Kernel, c.Stride, c.Pad = (l.Kernel+l.Stride-1)/l.Stride, 1, 0
	}
	if c.OutH() != n.out.m.H || c.OutW() != n.out.m.W {
		return nil, fmt.Errorf("layer %q: planned as %dx%d, but the net has %dx%d", l.Name, c.OutH(), c.OutW(), n.out.m.H, n.out.m.W)
	}
	return c, nil
}

// queue queues the program for images that came as source.
func (p *program) queue(s device.Stream, source kernels.Source) error {
	if err := cmp.Or(p.note(s, "", PassImages), p.e.prepareImages(s, source)); err != nil {
		return err
	}
	for _, n := range p.nodes {
		if err := cmp.Or(p.note(s, n.name, PassForward), p.forward(s, n)); err != nil {
			return fmt.Errorf("layer %q: %w", n.name, err)
		}
	}
	if !p.train {
		return nil
	}
	firstTrained := 0
	for !p.nodes[firstTrained].layer.Weighted() {
		firstTrained++
	}
	masked, at := false, 0
	for i := len(p.nodes) - 1; i >= firstTrained; i-- {
		n := p.nodes[i]
		if err := p.note(s, n.name, PassBackward); err != nil {
			return err
		}
		inPlace, err := p.backward(s, n, p.e.swap[1-at], p.e.swap[at], i == firstTrained, masked)
		if err != nil {
			return fmt.Errorf("layer %q, backward: %w", n.name, err)
		}
		masked = n.layer.Kind == model.LRN && n.in.relu
		if !inPlace {
			at = 1 - at
		}
		if n.layer.Weighted() {
			if err := p.e.reduce(s, n.param); err != nil {
				return err
			}
		}
	}
	return nil
}

// run queues the program: the first time call by call, since libraries may load code
// then, and afterwards as a graph.
func (p *program) run(s device.Stream, source kernels.Source) error {
	if !p.warm[source] {
		p.warm[source] = true
		return p.queue(s, source)
	}
	if p.graphs[source] == nil {
		p.e.host.Lock() // a stream's goroutines may be about to give memory back
		g, err := s.Capture(func() error { return p.queue(s, source) })
		p.e.host.Unlock()
		if err != nil {
			return fmt.Errorf("capturing the step: %w", err)
		}
		p.graphs[source] = g
	}
	return s.Run(p.graphs[source])
}

// workspace returns the bytes that its convolutions need beside their operands.
func (p *program) workspace() int {
	bytes := 0
	for _, n := range p.nodes {
		if n.convolve != nil {
			bytes = max(bytes, n.convolve.Workspace())
		}
	}
	return bytes
}

// largest returns the bytes of its largest feature maps.
func (p *program) largest() int {
	bytes := 0
	for _, n := range p.nodes {
		bytes = max(bytes, n.in.bytes(), n.out.bytes())
	}
	return bytes
}

// dropGraphs frees the graphs, which hold addresses that are about to change.
func (p *program) dropGraphs() error {
	var errs []error
	for source, g := range p.graphs {
		errs = append(errs, g.Close())
		delete(p.graphs, source)
	}
	return errors.Join(errs...)
}

// close frees what the program holds.
func (p *program) close() error {
	errs := []error{p.dropGraphs()}
	for _, n := range p.nodes {
		if n.convolve != nil {
			errs = append(errs, n.convolve.Close())
		}
	}
	return errors.Join(append(errs, p.arena.release())...)
}
