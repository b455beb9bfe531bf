package cpu

import (
	"math"
	"unsafe"

	"alexnet/model"
	"alexnet/model/cpu/dnnl"
	"alexnet/model/cpu/half"
)

// A bfloat16 is the upper half of a float32. Buffers of them are memory of float32s
// of which each holds two, so that all that hands buffers on need not know. Package half
// has the kernels.

// halves returns the bfloat16s in a buffer.
func halves(buf []float32) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(buf))), 2*len(buf))
}

// halfDropout is dropoutKernel for bfloat16 in plain order.
type halfDropout struct{ dropoutMask }

// newHalfDropout returns nil for values in an order that it does not know.
func (m *machinery) newHalfDropout(l *model.Layer, index uint32, in layout) (*layerPlan, error) {
	if !in.half {
		return nil, nil
	}
	plain, err := m.halfMaps(in.shape)
	if err != nil || !m.lib.Same(in.native, plain) {
		return nil, err
	}
	k := &halfDropout{newDropoutMask(m, l, index, in.shape.Size())}
	return &layerPlan{kernel: k, in: in, out: in, inPlace: true}, nil
}

func (k *halfDropout) forward(c *call, t *buffers) {
	if k.m.train {
		k.draw(c)
		k.apply(c.n, t.y, t.x)
		return
	}
	scale := float32(1 - k.rate)
	k.each(c.n, t.y, t.x, func(_, image int, y, x []uint16) {
		for i, v := range x {
			y[i] = half.Round(half.Widen(v) * scale)
		}
	})
}

func (k *halfDropout) backward(c *call, t *buffers) {
	if t.dx != nil {
		k.apply(c.n, t.dx, t.dy)
	}
}

// apply sets dst to src where the mask is not 0, and to 0 elsewhere.
func (k *halfDropout) apply(n int, dst, src []float32) {
	clear(halves(dst)[n*k.size:]) // oneDNN computes whole batches
	k.each(n, dst, src, func(_, image int, d, s []uint16) {
		for i, v := range k.mask[image*k.size:][:len(s)] {
			d[i] = s[i] & uint16(-int32(math.Float32bits(v))>>31)
		}
	})
}

// each runs f on the values of each of the first n images.
func (k *halfDropout) each(n int, dst, src []float32, f func(worker, image int, dst, src []uint16)) {
	d, s := halves(dst), halves(src)
	k.m.each(n, func(worker, image int) {
		f(worker, image, d[image*k.size:][:k.size], s[image*k.size:][:k.size])
	})
}

// halfNorm is a normalisation of bfloat16 with the channels last. oneDNN's reads
// and writes several times as much memory.
type halfNorm struct {
	m      *machinery
	lrn    half.LRN
	values int // of an image
}

// newHalfNorm returns nil for what it cannot do.
func (m *machinery) newHalfNorm(l *model.Layer, in layout) (*layerPlan, error) {
	s := in.shape
	if !in.half || l.GroupCount() > 1 || !half.HasLRN(s.C, l.Size, l.Beta) {
		return nil, nil
	}
	last, err := m.lib.ChannelsLast(dnnl.BFloat16, m.batch, s.C, s.H, s.W)
	if err != nil || !m.lib.Same(in.native, last) {
		return nil, err
	}
	k := &halfNorm{m: m, values: s.Size(), lrn: half.LRN{Channels: s.C, Size: l.Size, Alpha: float32(l.Alpha), K: float32(l.K)}}
	return &layerPlan{kernel: k, in: in, out: in}, nil
}

func (k *halfNorm) forward(_ *call, t *buffers) {
	y, x := halves(t.y), halves(t.x)
	k.m.each(k.m.batch, func(_, image int) { // oneDNN computes whole batches
		at := image * k.values
		k.lrn.Forward(y[at:at+k.values], x[at:at+k.values])
	})
}

func (k *halfNorm) backward(_ *call, t *buffers) {
	if t.dx == nil {
		return
	}
	dx, x, dy := halves(t.dx), halves(t.x), halves(t.dy)
	k.m.each(k.m.batch, func(_, image int) {
		at := image * k.values
		k.lrn.Backward(dx[at:at+k.values], x[at:at+k.values], dy[at:at+k.values])
	})
}
