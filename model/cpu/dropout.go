package cpu

import (
	"alexnet/model"
	"alexnet/model/vector"
)

// dropoutKernel is the dropout of the paper's section 4.2: when training, a value
// is zeroed with probability rate and kept as it is otherwise; when predicting,
// all values are multiplied by 1-rate.
type dropoutKernel struct {
	m      *machinery
	layout layout
	layer  uint32
	rate   float64
	mask   []float32 // in the usual order, whatever the layout
}

func newDropoutKernel(m *machinery, l *model.Layer, index uint32, at layout) *dropoutKernel {
	k := &dropoutKernel{m: m, layout: at, layer: index, rate: l.Rate}
	if m.train {
		k.mask = m.arena.floats(m.batch * at.shape.Size())
	}
	return k
}

func (k *dropoutKernel) forward(c *call, t *buffers) {
	if !k.m.train {
		scale := float32(1 - k.rate)
		k.m.eachElement(c.n, k.layout, func(i, j int) {
			vector.Scale(t.y[i:j], t.x[i:j], scale)
		})
		return
	}
	mask := vector.Mask{Seed: k.m.seed, Step: c.step, Layer: k.layer, Rate: k.rate}
	size := c.n * k.layout.shape.Size()
	k.m.each((size+elementBlock-1)/elementBlock, func(_, unit int) {
		i := unit * elementBlock
		mask.Write(k.mask[i:min(i+elementBlock, size)], uint64(i))
	})
	k.apply(c.n, t.y, t.x)
}

func (k *dropoutKernel) backward(c *call, t *buffers) {
	if t.dx != nil {
		k.apply(c.n, t.dx, t.dy)
	}
}

// apply sets dst to src times the mask.
func (k *dropoutKernel) apply(n int, dst, src []float32) {
	size, hw := k.layout.shape.Size(), k.layout.shape.H*k.layout.shape.W
	k.m.blank(n, dst, k.layout)
	if k.layout.chunk == 1 { // the mask's own order
		k.m.eachElement(n, k.layout, func(i, j int) { vector.Multiply(dst[i:j], src[i:j], k.mask[i:j]) })
		return
	}
	k.m.each(n, func(_, image int) {
		for c := range k.layout.shape.C {
			p := k.layout.plane(image, c)
			mask := k.mask[image*size+c*hw:][:hw]
			vector.Multiply(dst[p:p+hw], src[p:p+hw], mask)
		}
	})
}
