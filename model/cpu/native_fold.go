package cpu

import (
	"alexnet/model"
	"alexnet/model/cpu/dnnl"
	"alexnet/model/cpu/half"
)

// foldedConv is the first convolution of a net in bfloat16. The three channels of
// images leave most of a matrix multiplier idle. So blocks of stride x stride pixels
// are folded into channels: a convolution of 11x11 with a stride of 4 over 3 channels
// is one of 3x3 with a stride of 1 over 48, with weights of 0 where the blocks reach
// over the window. The sums are of the same products. The images must be rounded to
// bfloat16 anyway, and are folded as this is done.
type foldedConv struct {
	m      *machinery
	fold   fold
	images []float32 // bfloat16, channels last
	fwd    *dnnl.Primitive
	grad   *dnnl.Primitive // of the weights
	wide   []float32       // weights, folded
	dwide  []float32       // their gradient
	w      weights
	dw     copier
}

// fold says how images are folded.
type fold struct {
	in           model.Shape
	stride, pad  int
	kernel, out  int // of the convolution: side of the window, output channels
	blocks       int // side of the window in blocks
	rows, cols   int // blocks of an image
	channels     int // of a block
	outH, outWid int
}

// foldLimit is the most channels that a block may have.
const foldLimit = 64

// foldable reports whether a net's first convolution is computed so.
func foldable(l *model.Layer, in layout) bool {
	return in.native == nil && in.chunk == 1 && l.Stride > 1 && l.GroupCount() == 1 && in.shape.C*l.Stride*l.Stride <= foldLimit
}

func newFold(l *model.Layer, in, out model.Shape) fold {
	f := fold{in: in, stride: l.Stride, pad: l.Pad, kernel: l.Kernel, out: out.C, blocks: (l.Kernel + l.Stride - 1) / l.Stride,
		channels: in.C * l.Stride * l.Stride, outH: out.H, outWid: out.W}
	f.rows, f.cols = out.H+f.blocks-1, out.W+f.blocks-1
	return f
}

func (m *machinery) newFoldedConv(l *model.Layer, in layout, out model.Shape, relu bool) (*layerPlan, error) {
	f := newFold(l, in.shape, out)
	k := &foldedConv{m: m, fold: f, wide: m.arena.floats(f.out * f.channels * f.blocks * f.blocks)}
	from, err := m.lib.ChannelsLast(dnnl.BFloat16, m.batch, f.channels, f.rows, f.cols)
	if err != nil {
		return nil, err
	}
	k.images = m.arena.floats(from.Floats())
	v := dnnl.Conv{Batch: m.batch, In: f.channels, InH: f.rows, InW: f.cols, Out: out.C, OutH: out.H, OutW: out.W,
		Groups: 1, Kernel: f.blocks, Stride: 1, Type: dnnl.BFloat16, From: from}
	if k.fwd, err = m.lib.ConvForward(v, relu); err != nil {
		return nil, err
	}
	plain, err := m.lib.Plain(v.WeightDims()...)
	if err != nil {
		return nil, err
	}
	if k.w.copier, err = m.newCopier(plain, k.fwd.Desc(dnnl.Weights), false); err != nil {
		return nil, err
	}
	if m.train {
		k.dwide = m.arena.floats(len(k.wide))
		if k.grad, err = m.lib.ConvBackwardWeights(v, k.fwd); err != nil {
			return nil, err
		}
		if k.dw, err = m.newCopier(k.grad.Desc(dnnl.DiffWeights), plain, true); err != nil {
			return nil, err
		}
	}
	at, err := m.layoutOf(dnnl.BFloat16, k.fwd.Desc(dnnl.Dst), out)
	return &layerPlan{kernel: k, in: in, out: at}, err
}

func (k *foldedConv) forward(c *call, t *buffers) {
	x, size := halves(k.images), k.fold.rows*k.fold.cols*k.fold.channels
	k.m.each(c.n, func(_, image int) {
		k.fold.image(x[image*size:][:size], t.x[image*k.fold.in.Size():][:k.fold.in.Size()])
	})
	clear(x[c.n*size:])
	k.fold.each(func(folded, plain int) { k.wide[folded] = t.w[plain] })
	k.m.run(c, k.fwd, dnnl.Buffer{Arg: dnnl.Src, Data: k.images}, dnnl.Buffer{Arg: dnnl.Weights, Data: k.w.in(c, k.wide)},
		dnnl.Buffer{Arg: dnnl.Bias, Data: t.b}, dnnl.Buffer{Arg: dnnl.Dst, Data: t.y})
}

func (k *foldedConv) backward(c *call, t *buffers) {
	k.m.run(c, k.grad, dnnl.Buffer{Arg: dnnl.Src, Data: k.images}, dnnl.Buffer{Arg: dnnl.DiffDst, Data: t.dy},
		dnnl.Buffer{Arg: dnnl.DiffWeights, Data: k.dw.room(k.dwide)}, dnnl.Buffer{Arg: dnnl.DiffBias, Data: t.db})
	k.dw.out(c, k.dwide)
	k.fold.each(func(folded, plain int) { t.dw[plain] = k.dwide[folded] })
}

// each calls f for every weight with its place in the folded order [out][channel]
// [row][column] and in the usual one.
func (f *fold) each(do func(folded, plain int)) {
	plain := 0
	for o := range f.out {
		for c := range f.in.C {
			for y := range f.kernel {
				for x := range f.kernel {
					channel := (c*f.stride+y%f.stride)*f.stride + x%f.stride
					do(((o*f.channels+channel)*f.blocks+y/f.stride)*f.blocks+x/f.stride, plain)
					plain++
				}
			}
		}
	}
}

// image folds an image: dst, [row][column][channel of a block], gets the pixels, and
// 0 where there is none.
func (f *fold) image(dst []uint16, src []float32) {
	for by := range f.rows {
		for c := range f.in.C {
			for dy := range f.stride {
				y := by*f.stride + dy - f.pad
				var row []float32 // stays empty outside of the image
				if y >= 0 && y < f.in.H {
					row = src[(c*f.in.H+y)*f.in.W:][:f.in.W]
				}
				half.FoldRow(dst[by*f.cols*f.channels+(c*f.stride+dy)*f.stride:], row, f.pad, f.stride, f.channels, f.cols)
			}
		}
	}
}
