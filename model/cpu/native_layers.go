package cpu

import (
	"alexnet/model"
	"alexnet/model/cpu/dnnl"
)

// nativeConv computes a convolution with oneDNN, which has its own order for the
// weights in each direction; the engine's are converted in each step, which is
// nothing beside the work of a batch.
type nativeConv struct {
	m                  *machinery
	input              border
	fwd, data, weights *dnnl.Primitive // data is nil where no gradient of the input is needed
	wFwd, wData        weights
	wWeights           copier
}

func (m *machinery) newNativeConv(l *model.Layer, in layout, out model.Shape, relu, needDX bool) (*layerPlan, error) {
	v := dnnl.Conv{Batch: m.batch, In: in.shape.C, InH: in.shape.H, InW: in.shape.W, Out: out.C, OutH: out.H, OutW: out.W,
		Groups: l.GroupCount(), Kernel: l.Kernel, Stride: l.Stride, Pad: l.Pad, Type: m.typ()}
	k := &nativeConv{m: m}
	from, err := m.descOf(in)
	if err != nil {
		return nil, err
	}
	if k.fwd, err = m.lib.ConvForward(v, relu); err != nil {
		return nil, err
	}
	if k.input, err = m.newBorderTo(from, k.fwd.Desc(dnnl.Src)); err != nil {
		return nil, err
	}
	plain, err := m.lib.Plain(v.WeightDims()...)
	if err != nil {
		return nil, err
	}
	if k.wFwd.copier, err = m.newCopier(plain, k.fwd.Desc(dnnl.Weights), false); err != nil {
		return nil, err
	}
	if m.train {
		if k.weights, err = m.lib.ConvBackwardWeights(v, k.fwd); err != nil {
			return nil, err
		}
		if k.wWeights, err = m.newCopier(k.weights.Desc(dnnl.DiffWeights), plain, true); err != nil {
			return nil, err
		}
	}
	if needDX {
		if k.data, err = m.lib.ConvBackwardData(v, k.fwd); err != nil {
			return nil, err
		}
		if k.wData.copier, err = m.newCopier(plain, k.data.Desc(dnnl.Weights), false); err != nil {
			return nil, err
		}
	}
	at, err := m.layoutOf(m.typ(), k.fwd.Desc(dnnl.Dst), out)
	return &layerPlan{kernel: k, in: in, out: at}, err
}

func (k *nativeConv) forward(c *call, t *buffers) {
	k.m.run(c, k.fwd, dnnl.Buffer{Arg: dnnl.Src, Data: k.input.x.in(c, t.x)}, dnnl.Buffer{Arg: dnnl.Weights, Data: k.wFwd.in(c, t.w)},
		dnnl.Buffer{Arg: dnnl.Bias, Data: t.b}, dnnl.Buffer{Arg: dnnl.Dst, Data: t.y})
}

func (k *nativeConv) backward(c *call, t *buffers) {
	k.m.run(c, k.weights, dnnl.Buffer{Arg: dnnl.Src, Data: k.input.x.room(t.x)}, dnnl.Buffer{Arg: dnnl.DiffDst, Data: t.dy},
		dnnl.Buffer{Arg: dnnl.DiffWeights, Data: k.wWeights.room(t.dw)}, dnnl.Buffer{Arg: dnnl.DiffBias, Data: t.db})
	k.wWeights.out(c, t.dw)
	if t.dx != nil {
		c.split()
		k.m.run(c, k.data, dnnl.Buffer{Arg: dnnl.DiffSrc, Data: k.input.dx.room(t.dx)}, dnnl.Buffer{Arg: dnnl.Weights, Data: k.wData.in(c, t.w)},
			dnnl.Buffer{Arg: dnnl.DiffDst, Data: t.dy})
		k.input.dx.out(c, t.dx)
	}
}

// nativeFC computes a fully connected layer with oneDNN. Maps are in plain order, and
// so are float32 weights. Those of bfloat16 are a copy, made in the forward pass, which
// is the only one that has the time; the output is float32 where the loss follows.
type nativeFC struct {
	m                  *machinery
	input              border
	fwd, data, weights *dnnl.Primitive
	w                  weights
	dy                 copier
}

func (m *machinery) newNativeFC(in layout, out int, relu, loss, needDX bool) (*layerPlan, error) {
	k := &nativeFC{m: m, input: border{x: copier{m: m}, dx: copier{m: m}}}
	v := dnnl.Product{Batch: m.batch, In: in.shape.Size(), Out: out, Type: m.typ(), Wide: loss && !relu}
	at := layout{shape: model.Shape{C: out, H: 1, W: 1}, chunk: 1}
	err := k.makeInput(in)
	if err == nil {
		k.fwd, err = m.lib.ProductForward(v, relu)
	}
	if err == nil && m.half {
		err = k.makeHalf(&v, &at)
	}
	if err == nil && m.train {
		k.weights, err = m.lib.ProductBackwardWeights(v, k.fwd)
	}
	if err == nil && needDX {
		k.data, err = m.lib.ProductBackwardData(v, k.fwd)
	}
	return &layerPlan{kernel: k, in: in, out: at}, err
}

// makeInput makes what brings the input to plain order.
func (k *nativeFC) makeInput(in layout) error {
	if in.native == nil && !k.m.half {
		return nil
	}
	from, err := k.m.descOf(in)
	if err != nil {
		return err
	}
	plain, err := k.m.maps(in.shape)
	if k.m.half {
		plain, err = k.m.halfMaps(in.shape)
	}
	if err == nil {
		k.input, err = k.m.newBorderTo(from, plain)
	}
	return err
}

// makeHalf makes what only bfloat16 needs, and the output's layout.
func (k *nativeFC) makeHalf(v *dnnl.Product, at *layout) error {
	plain, err := k.m.lib.Plain(v.Out, v.In)
	if err != nil {
		return err
	}
	if k.w.copier, err = k.m.newCopier(plain, k.fwd.Desc(dnnl.Weights), false); err != nil {
		return err
	}
	narrow, err := k.m.halfMaps(at.shape)
	if err != nil {
		return err
	}
	if !v.Wide {
		*at, err = k.m.layoutOf(dnnl.BFloat16, narrow, at.shape)
		return err
	}
	wide, err := k.m.maps(at.shape)
	if err == nil && k.m.train {
		k.dy, err = k.m.newCopier(wide, narrow, false)
	}
	return err
}

func (k *nativeFC) forward(c *call, t *buffers) {
	k.m.run(c, k.fwd, dnnl.Buffer{Arg: dnnl.Src, Data: k.input.x.in(c, t.x)}, dnnl.Buffer{Arg: dnnl.Weights, Data: k.w.in(c, t.w)},
		dnnl.Buffer{Arg: dnnl.Bias, Data: t.b}, dnnl.Buffer{Arg: dnnl.Dst, Data: t.y})
}

func (k *nativeFC) backward(c *call, t *buffers) {
	dy := k.dy.in(c, t.dy)
	k.m.run(c, k.weights, dnnl.Buffer{Arg: dnnl.Src, Data: k.input.x.room(t.x)}, dnnl.Buffer{Arg: dnnl.DiffDst, Data: dy},
		dnnl.Buffer{Arg: dnnl.DiffWeights, Data: t.dw}, dnnl.Buffer{Arg: dnnl.DiffBias, Data: t.db})
	if t.dx != nil {
		c.split()
		k.m.run(c, k.data, dnnl.Buffer{Arg: dnnl.DiffSrc, Data: k.input.dx.room(t.dx)}, dnnl.Buffer{Arg: dnnl.Weights, Data: k.w.room(t.w)},
			dnnl.Buffer{Arg: dnnl.DiffDst, Data: dy})
		k.input.dx.out(c, t.dx)
	}
}

// nativeTanh is a tanh of bfloat16 in any order.
type nativeTanh struct {
	m        *machinery
	fwd, bwd *dnnl.Primitive
}

func (m *machinery) newNativeTanh(in layout) (*layerPlan, error) {
	k := &nativeTanh{m: m}
	var err error
	if k.fwd, err = m.lib.TanhForward(in.native); err == nil && m.train {
		k.bwd, err = m.lib.TanhBackward(k.fwd)
	}
	return &layerPlan{kernel: k, in: in, out: in, inPlace: true, readsOutput: true}, err
}

func (k *nativeTanh) forward(c *call, t *buffers) {
	k.m.run(c, k.fwd, dnnl.Buffer{Arg: dnnl.Src, Data: t.x}, dnnl.Buffer{Arg: dnnl.Dst, Data: t.y})
}

func (k *nativeTanh) backward(c *call, t *buffers) {
	if t.dx != nil {
		k.m.run(c, k.bwd, dnnl.Buffer{Arg: dnnl.Dst, Data: t.y}, dnnl.Buffer{Arg: dnnl.DiffSrc, Data: t.dx}, dnnl.Buffer{Arg: dnnl.DiffDst, Data: t.dy})
	}
}

// nativeReLU is a ReLU in any order. Forwards there is nothing to do where the
// layer before has done it already.
type nativeReLU struct {
	m        *machinery
	fused    bool
	fwd, bwd *dnnl.Primitive
}

func (m *machinery) newNativeReLU(in layout, fused bool) (*layerPlan, error) {
	at, err := m.descOf(in)
	if err != nil {
		return nil, err
	}
	k := &nativeReLU{m: m, fused: fused}
	if k.fwd, err = m.lib.ReLUForward(at); err != nil {
		return nil, err
	}
	if m.train {
		if k.bwd, err = m.lib.ReLUBackward(k.fwd); err != nil {
			return nil, err
		}
	}
	return &layerPlan{kernel: k, in: in, out: in, inPlace: true, readsOutput: true}, nil
}

func (k *nativeReLU) forward(c *call, t *buffers) {
	if k.fused && &t.x[0] == &t.y[0] {
		return
	}
	k.m.run(c, k.fwd, dnnl.Buffer{Arg: dnnl.Src, Data: t.x}, dnnl.Buffer{Arg: dnnl.Dst, Data: t.y})
}

func (k *nativeReLU) backward(c *call, t *buffers) {
	if t.dx != nil {
		// The output is positive where the input is.
		k.m.run(c, k.bwd, dnnl.Buffer{Arg: dnnl.Src, Data: t.y}, dnnl.Buffer{Arg: dnnl.DiffSrc, Data: t.dx}, dnnl.Buffer{Arg: dnnl.DiffDst, Data: t.dy})
	}
}

// nativeWindow is a normalisation or a pooling of oneDNN.
type nativeWindow struct {
	m         *machinery
	fwd, bwd  *dnnl.Primitive
	workspace []float32 // what backward must know of forward, nil if nothing
	readsX    bool      // backward needs the input
}

// plan makes what both have in common.
func (k *nativeWindow) plan(in layout, out model.Shape) (*layerPlan, error) {
	if d := k.fwd.Desc(dnnl.Workspace); d != nil {
		k.workspace = k.m.arena.floats(d.Floats())
	}
	at, err := k.m.layoutOf(in.typ(), k.fwd.Desc(dnnl.Dst), out)
	return &layerPlan{kernel: k, in: in, out: at}, err
}

// newNativeNorm makes a normalisation. oneDNN divides alpha by the size of the window,
// the layer's is taken as it is.
func (m *machinery) newNativeNorm(l *model.Layer, in layout) (*layerPlan, error) {
	at, err := m.descOf(in)
	if err != nil {
		return nil, err
	}
	v := normOf(l, m.train)
	k := &nativeWindow{m: m, readsX: true}
	if k.fwd, err = m.lib.NormForward(v, at); err != nil {
		return nil, err
	}
	if m.train {
		if k.bwd, err = m.lib.NormBackward(v, k.fwd); err != nil {
			return nil, err
		}
	}
	return k.plan(in, in.shape)
}

func normOf(l *model.Layer, training bool) dnnl.Norm {
	v := dnnl.Norm{Size: l.Size, Beta: float32(l.Beta), K: float32(l.K), Within: l.Kind == model.LRNWithinChannel, Training: training}
	window := l.Size
	if v.Within {
		window *= l.Size
	}
	v.Alpha = float32(l.Alpha * float64(window))
	return v
}

func (m *machinery) newNativePool(l *model.Layer, in layout, out model.Shape) (*layerPlan, error) {
	at, err := m.descOf(in)
	if err != nil {
		return nil, err
	}
	v := dnnl.Pool{Batch: m.batch, Channels: in.shape.C, InH: in.shape.H, InW: in.shape.W, OutH: out.H, OutW: out.W,
		Kernel: l.Kernel, Stride: l.Stride, Type: in.typ(), Training: m.train}
	k := &nativeWindow{m: m}
	if k.fwd, err = m.lib.PoolForward(v, at); err != nil {
		return nil, err
	}
	if m.train {
		if k.bwd, err = m.lib.PoolBackward(v, k.fwd); err != nil {
			return nil, err
		}
	}
	return k.plan(in, out)
}

func (k *nativeWindow) forward(c *call, t *buffers) {
	buffers := []dnnl.Buffer{{Arg: dnnl.Src, Data: t.x}, {Arg: dnnl.Dst, Data: t.y}}
	if k.workspace != nil {
		buffers = append(buffers, dnnl.Buffer{Arg: dnnl.Workspace, Data: k.workspace})
	}
	k.m.run(c, k.fwd, buffers...)
}

func (k *nativeWindow) backward(c *call, t *buffers) {
	if t.dx == nil {
		return
	}
	buffers := []dnnl.Buffer{{Arg: dnnl.DiffSrc, Data: t.dx}, {Arg: dnnl.DiffDst, Data: t.dy}}
	if k.readsX {
		buffers = append(buffers, dnnl.Buffer{Arg: dnnl.Src, Data: t.x})
	}
	if k.workspace != nil && k.bwd.Desc(dnnl.Workspace) != nil { // a backward pass may have no use for it
		buffers = append(buffers, dnnl.Buffer{Arg: dnnl.Workspace, Data: k.workspace})
	}
	k.m.run(c, k.bwd, buffers...)
}
