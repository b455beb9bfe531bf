package cpu

import (
	"fmt"

	"alexnet/model"
	"alexnet/model/cpu/dnnl"
)

// Kernels of oneDNN compute whole batches, whatever the number of images: the rest
// of the input is zero, and so is the rest of the loss's gradient, which therefore
// adds nothing to the others.

// blank zeroes what lies behind the first n images of a layout of plain order, in
// a program whose next layers may compute whole batches.
func (m *machinery) blank(n int, buf []float32, l layout) {
	if m.lib != nil && l.native == nil && l.chunk == 1 {
		clear(buf[n*l.shape.Size():])
	}
}

// planNative is plan where oneDNN computes what it can.
func (m *machinery) planNative(net *model.Net, index int, in layout, out model.Shape) (*layerPlan, error) {
	p, err := m.nativeLayer(net, index, in, out)
	if err == nil && p != nil {
		return p, nil
	}
	if err != nil && !dnnl.Unimplemented(err) {
		return nil, fmt.Errorf("layer %s: %w", net.Layers[index].Name, err)
	}
	plain := layout{shape: in.shape, chunk: 1}
	if p, err = m.planPlain(net, index, plain, out); err != nil || in.native == nil {
		return p, err
	}
	b, err := m.newBorder(in)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", net.Layers[index].Name, err)
	}
	p.kernel, p.in, p.inPlace = &borderKernel{m: m, inner: p.kernel, border: b}, in, false
	return p, nil
}

// nativeLayer makes oneDNN's kernel for a layer. It returns nil where there is
// none.
func (m *machinery) nativeLayer(net *model.Net, index int, in layout, out model.Shape) (*layerPlan, error) {
	l := &net.Layers[index]
	relu := index+1 < len(net.Layers) && net.Layers[index+1].Kind == model.ReLU
	switch l.Kind {
	case model.Conv:
		if m.half && !hasWeights(net.Layers[:index]) && foldable(l, in) {
			return m.newFoldedConv(l, in, out, relu)
		}
		return m.newNativeConv(l, in, out, relu, m.train && hasWeights(net.Layers[:index]))
	case model.FC:
		loss := index+1 < len(net.Layers) && net.Layers[index+1].Kind == model.Softmax
		return m.newNativeFC(in, l.Out, relu, loss, m.train && hasWeights(net.Layers[:index]))
	case model.ReLU:
		fused := index > 0 && (net.Layers[index-1].Kind == model.Conv || net.Layers[index-1].Kind == model.FC)
		return m.newNativeReLU(in, fused)
	case model.Tanh:
		if in.half {
			return m.newNativeTanh(in)
		}
	case model.Dropout:
		return m.newHalfDropout(l, uint32(index), in)
	case model.LRN:
		if l.GroupCount() > 1 {
			// oneDNN has no groups. In plain order those of an image lie as images would,
			// but there it takes twice the time of the kernel of this package.
			return nil, nil
		}
		if p, err := m.newHalfNorm(l, in); p != nil || err != nil {
			return p, err
		}
		return m.newNativeNorm(l, in)
	case model.LRNWithinChannel:
		if in.native == nil {
			return nil, nil // in plain order oneDNN is many times as slow
		}
		return m.newNativeNorm(l, in)
	case model.MaxPool:
		return m.newNativePool(l, in, out)
	}
	return nil, nil
}

// hasWeights reports whether one of the layers is trained.
func hasWeights(layers []model.Layer) bool {
	for i := range layers {
		if layers[i].Weighted() {
			return true
		}
	}
	return false
}

// run executes a primitive. After an error nothing more is done in this call.
func (m *machinery) run(c *call, p *dnnl.Primitive, buffers ...dnnl.Buffer) {
	if c.err == nil {
		c.err = m.lib.Run(p, buffers...)
	}
}

// maps returns the plain order of a batch of feature maps.
func (m *machinery) maps(s model.Shape) (*dnnl.Desc, error) {
	return m.lib.Plain(m.batch, s.C, s.H, s.W)
}

// halfMaps is maps for bfloat16.
func (m *machinery) halfMaps(s model.Shape) (*dnnl.Desc, error) {
	return m.lib.PlainOf(dnnl.BFloat16, m.batch, s.C, s.H, s.W)
}

// typ returns the type that convolutions and products compute with.
func (m *machinery) typ() dnnl.Type { return layout{half: m.half}.typ() }

// descOf returns a layout as oneDNN knows it.
func (m *machinery) descOf(l layout) (*dnnl.Desc, error) {
	if l.native != nil {
		return l.native, nil
	}
	return m.maps(l.shape)
}

// layoutOf returns the layout of feature maps of a type in an order of oneDNN's.
func (m *machinery) layoutOf(t dnnl.Type, d *dnnl.Desc, s model.Shape) (layout, error) {
	if t == dnnl.BFloat16 {
		return layout{shape: s, chunk: 1, native: d, half: true}, nil
	}
	plain, err := m.maps(s)
	if err != nil {
		return layout{}, err
	}
	if m.lib.Same(d, plain) {
		return layout{shape: s, chunk: 1}, nil
	}
	return layout{shape: s, chunk: 1, native: d}, nil
}

// copier keeps a copy of values in another order, or of another type. With no
// primitive there is no difference, and no copy.
type copier struct {
	m         *machinery
	primitive *dnnl.Primitive
	buf       []float32
}

// newCopier converts from one order to another. The buffer is of the order to, or,
// with back, of the order from.
func (m *machinery) newCopier(from, to *dnnl.Desc, back bool) (k copier, err error) {
	k.m = m
	if m.lib.Same(from, to) {
		return k, nil
	}
	if k.primitive, err = m.lib.Reorder(from, to); err != nil {
		return k, err
	}
	size := to.Floats()
	if back {
		size = from.Floats()
	}
	k.buf = m.arena.floats(size)
	return k, nil
}

// in returns src in the other order.
func (k *copier) in(c *call, src []float32) []float32 {
	if k.primitive == nil {
		return src
	}
	k.m.run(c, k.primitive, dnnl.Buffer{Arg: dnnl.Src, Data: src}, dnnl.Buffer{Arg: dnnl.Dst, Data: k.buf})
	return k.buf
}

// room returns the memory in the other order for what out will copy to dst.
func (k *copier) room(dst []float32) []float32 {
	if k.primitive == nil {
		return dst
	}
	return k.buf
}

// out copies what is in the room to dst.
func (k *copier) out(c *call, dst []float32) {
	if k.primitive != nil {
		k.m.run(c, k.primitive, dnnl.Buffer{Arg: dnnl.Src, Data: k.buf}, dnnl.Buffer{Arg: dnnl.Dst, Data: dst})
	}
}

// weights is a copier for weights, which prediction finds unchanged most of the time.
type weights struct {
	copier
	version uint64
}

// in returns w in the other order.
func (k *weights) in(c *call, w []float32) []float32 {
	if k.primitive == nil || !k.m.train && k.version == c.weights {
		return k.room(w)
	}
	w = k.copier.in(c, w)
	if c.err == nil {
		k.version = c.weights
	}
	return w
}

// border converts feature maps to the plain order and their gradient back.
type border struct{ x, dx copier }

func (m *machinery) newBorder(in layout) (b border, err error) {
	plain, err := m.maps(in.shape)
	if err != nil {
		return b, err
	}
	return m.newBorderTo(in.native, plain)
}

// newBorderTo converts to any order and type. What is not needed is not made.
func (m *machinery) newBorderTo(from, to *dnnl.Desc) (b border, err error) {
	if b.x, err = m.newCopier(from, to, false); err == nil && m.train {
		b.dx, err = m.newCopier(to, from, true)
	}
	return b, err
}

// borderKernel has a kernel of this package compute a layer whose input is in an
// order of oneDNN's, or bfloat16.
type borderKernel struct {
	m      *machinery
	inner  kernel
	border border
}

func (k *borderKernel) forward(c *call, t *buffers) {
	u := *t
	u.x = k.border.x.in(c, t.x)
	if c.err == nil {
		k.inner.forward(c, &u)
	}
}

func (k *borderKernel) backward(c *call, t *buffers) {
	u := *t
	u.x = k.border.x.room(t.x)
	if t.dx != nil {
		u.dx = k.border.dx.room(t.dx)
		k.m.blank(c.n, u.dx, layout{shape: model.Shape{C: len(u.dx) / k.m.batch, H: 1, W: 1}, chunk: 1})
	}
	k.inner.backward(c, &u)
	if t.dx != nil {
		k.border.dx.out(c, t.dx)
	}
}
