package gpu

import (
	"cmp"

	"alexnet/model"
	"alexnet/model/gpu/device"
	"alexnet/model/gpu/kernels"
)

// value is what a layer hands to the next: feature maps in the device's memory.
type value struct {
	at   device.Ptr
	m    kernels.Map
	t    kernels.Type
	relu bool // they are the output of a ReLU
}

func (v *value) bytes() int { return v.m.N * v.m.H * v.m.W * v.m.C * v.t.Bytes() }
func (v *value) rows() int  { return v.m.N * v.m.H * v.m.W }

// node is a layer as it is computed, with an activation that follows it.
type node struct {
	layer *model.Layer
	index int // of the last layer that it comprises, in the net
	name  string
	in    value
	out   value
	act   kernels.Act
	param int // of conv and fc: the place of its weight in the parameters

	conv     *device.Convolution // of conv
	convolve device.Convolver
	places   device.Ptr // of maxpool, when training: where the maxima were
	scratch  device.Ptr // of conv and fc, for the sum of the bias's gradient; of softmax, for logits of float32
	narrow   device.Ptr // of conv in bfloat16: the gradient of its weights

	// A response normalisation adds the bias of the convolution before it and does its ReLU
	// itself, where it can: then what is in memory between the two is without them.
	bare bool  // of conv: it leaves them to the layer behind it
	adds *node // of lrn: the convolution whose bias it adds
}

// lend leaves bias and ReLU of a convolution to the normalisation behind it, if that is one
// which can take them.
func (n *node) lend(to *node) {
	if n.layer.Kind == model.Conv && n.act == kernels.ReLU && to.layer.Kind == model.LRN && lrn(to.layer, to.in.m.C).TakesBias(to.in.t) {
		n.bare, to.adds = true, n
	}
}

// lrn returns the kernels' description of the response normalisation that the node is.
func (p *program) lrn(n *node) kernels.LRN {
	l := lrn(n.layer, n.in.m.C)
	if n.adds != nil {
		l.Bias = p.e.params.weightAt(n.adds.param + 1)
	}
	return l
}

// lrn returns the kernels' description of a response normalisation.
func lrn(l *model.Layer, c int) kernels.LRN {
	return kernels.LRN{C: c, Groups: l.GroupCount(), Size: l.Size, Alpha: float32(l.Alpha), Beta: float32(l.Beta), K: float32(l.K)}
}

// activation returns the activation that a kind of layer is, None for others.
func activation(k model.Kind) kernels.Act {
	switch k {
	case model.ReLU:
		return kernels.ReLU
	case model.Tanh:
		return kernels.Tanh
	}
	return kernels.None
}

// forward queues the layer's forward pass.
func (p *program) forward(s device.Stream, n *node) error {
	k, e := p.e.kernels, p.e
	switch l := n.layer; l.Kind {
	case model.Conv:
		if err := n.convolve.Forward(s, n.out.at, n.in.at, e.working(n.param), e.workspace); err != nil {
			return err
		}
		if n.bare {
			return nil
		}
		return k.BiasAct(s, n.out.t, n.out.at, e.params.weightAt(n.param+1), n.out.rows(), n.out.m.C, n.act)
	case model.FC:
		product := device.Product{Arithmetic: e.arithmetic, M: n.out.m.N, N: n.out.m.C, K: n.in.m.H * n.in.m.W * n.in.m.C,
			TransB: true, Wide: n.out.t == kernels.Float32}
		if err := e.library.Product(s, product, n.out.at, n.in.at, e.working(n.param)); err != nil {
			return err
		}
		return k.BiasAct(s, n.out.t, n.out.at, e.params.weightAt(n.param+1), n.out.m.N, n.out.m.C, n.act)
	case model.ReLU, model.Tanh:
		return k.Activate(s, n.out.t, n.out.at, n.in.at, n.out.rows()*n.out.m.C, n.act)
	case model.LRN:
		return k.LRNForward(s, n.out.t, n.out.at, n.in.at, n.in.rows(), p.lrn(n))
	case model.LRNWithinChannel:
		return k.LRNWithinForward(s, n.out.t, n.out.at, n.in.at, n.in.m, lrn(l, n.in.m.C))
	case model.MaxPool:
		return k.MaxPoolForward(s, n.out.t, n.out.at, n.places, n.in.at, n.in.m, n.out.m, l.Kernel, l.Stride)
	case model.Dropout:
		if p.train {
			return k.Dropout(s, n.out.t, n.out.at, n.in.at, e.control, n.out.m, uint32(n.index), e.seed, l.Rate)
		}
		return k.Scale(s, n.out.t, n.out.at, n.in.at, n.out.rows()*n.out.m.C, float32(1-l.Rate))
	case model.Softmax:
		return p.loss(s, n)
	}
	return unsupported(e.net, n.layer, "cannot be computed")
}

// loss queues softmax and, when training, cross-entropy.
func (p *program) loss(s device.Stream, n *node) error {
	e := p.e
	logits := n.in.at
	if n.in.t != kernels.Float32 {
		logits = n.scratch
		if err := e.kernels.Widen(s, logits, n.in.at, n.in.rows()*n.in.m.C); err != nil {
			return err
		}
	}
	var d device.Ptr
	if p.train {
		d = e.swap[0]
	}
	return e.kernels.SoftmaxLoss(s, e.kind, d, n.out.at, e.losses, e.ranks, logits, e.control, n.in.m.N, n.in.m.C)
}

// backward queues the layer's backward pass. dy is the gradient of its output, in one of
// the engine's two buffers for that; the result is in dx, the other, or in dy where the
// layer works in place, which it reports. first says that nobody asks for dx, masked that
// dy is already that of the layer without its activation.
func (p *program) backward(s device.Stream, n *node, dx, dy device.Ptr, first, masked bool) (inPlace bool, err error) {
	k, e := p.e.kernels, p.e
	switch l := n.layer; l.Kind {
	case model.Conv, model.FC:
		act := n.act
		if masked {
			act = kernels.None
		}
		err := cmp.Or(p.note(s, n.name, PassBias),
			k.ActBackward(s, e.kind, dy, dy, n.out.at, e.params.gradientAt(n.param+1), n.scratch, n.out.rows(), n.out.m.C, act))
		if err != nil {
			return false, err
		}
		if l.Kind == model.FC {
			return false, p.backwardFC(s, n, dx, dy, first)
		}
		return false, p.backwardConv(s, n, dx, dy, first)
	case model.ReLU, model.Tanh:
		if masked {
			return true, nil
		}
		return true, k.ActBackward(s, e.kind, dy, dy, n.out.at, 0, 0, n.out.rows(), n.out.m.C, n.act)
	case model.LRN:
		return false, k.LRNBackward(s, e.kind, dx, dy, n.in.at, n.in.rows(), p.lrn(n), n.in.relu)
	case model.LRNWithinChannel:
		return false, k.LRNWithinBackward(s, e.kind, dx, dy, n.in.at, n.in.m, lrn(l, n.in.m.C))
	case model.MaxPool:
		return false, k.MaxPoolBackward(s, e.kind, dx, dy, n.places, n.in.m, n.out.m, l.Kernel, l.Stride)
	case model.Dropout:
		return true, k.Dropout(s, e.kind, dy, dy, e.control, n.out.m, uint32(n.index), e.seed, l.Rate)
	}
	return true, nil // softmax: its forward pass has written it
}

func (p *program) backwardFC(s device.Stream, n *node, dx, dy device.Ptr, first bool) error {
	e := p.e
	in, out := n.in.m.H*n.in.m.W*n.in.m.C, n.out.m.C
	weights := device.Product{Arithmetic: e.arithmetic, M: out, N: in, K: n.in.m.N, TransA: true, Wide: true}
	err := cmp.Or(p.note(s, n.name, PassWeights), e.library.Product(s, weights, e.params.gradientAt(n.param), dy, n.in.at), p.keep(s, n))
	if err != nil || first {
		return err
	}
	if err := p.note(s, n.name, PassData); err != nil {
		return err
	}
	data := device.Product{Arithmetic: e.arithmetic, M: n.in.m.N, N: in, K: out}
	return e.library.Product(s, data, dx, dy, e.working(n.param))
}

func (p *program) backwardConv(s device.Stream, n *node, dx, dy device.Ptr, first bool) error {
	e := p.e
	gradient := e.params.gradientAt(n.param)
	to := gradient
	if n.narrow != 0 {
		to = n.narrow
	}
	if err := cmp.Or(p.note(s, n.name, PassWeights), n.convolve.BackwardWeights(s, to, n.in.at, dy, e.workspace)); err != nil {
		return err
	}
	if n.narrow != 0 {
		if err := e.kernels.Widen(s, gradient, n.narrow, e.params.list[n.param].rows.size()); err != nil {
			return err
		}
	}
	if err := p.keep(s, n); err != nil || first {
		return err
	}
	if err := p.note(s, n.name, PassData); err != nil {
		return err
	}
	return n.convolve.BackwardData(s, dx, dy, e.working(n.param), e.workspace)
}

// keep clears the gradient of what are no weights but zeros between them.
func (p *program) keep(s device.Stream, n *node) error {
	q := &p.e.params.list[n.param]
	if q.keep == 0 {
		return nil
	}
	return p.e.kernels.Keep(s, p.e.params.gradientAt(n.param), q.keep, q.rows.size())
}
