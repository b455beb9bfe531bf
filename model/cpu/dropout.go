package cpu

import "alexnet/model"

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
			y := t.y[i:j]
			for p, v := range t.x[i:j] {
				y[p] = v * scale
			}
		})
		return
	}
	// Four images at once, so that a unit's positions start at a multiple of four.
	const group = 4
	size := k.layout.shape.Size()
	k.m.each((c.n+group-1)/group, func(_, unit int) {
		i, j := unit*group*size, min((unit+1)*group, c.n)*size
		model.DropoutMask(k.mask[i:j], k.m.seed, c.step, k.layer, uint64(i), k.rate)
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
	k.m.each(n, func(_, image int) {
		for c := range k.layout.shape.C {
			p := k.layout.plane(image, c)
			mask := k.mask[image*size+c*hw:][:hw]
			d, s := dst[p:p+hw], src[p:p+hw]
			for i, v := range mask {
				d[i] = s[i] * v
			}
		}
	})
}
