package cpu

import (
	"alexnet/model"
	"alexnet/model/vector"
)

// dropoutKernel is the dropout of the paper's section 4.2: when training, a value
// is zeroed with probability rate and kept as it is otherwise; when predicting,
// all values are multiplied by 1-rate.
type dropoutKernel struct {
	dropoutMask
	layout layout
}

func newDropoutKernel(m *machinery, l *model.Layer, index uint32, at layout) *dropoutKernel {
	return &dropoutKernel{newDropoutMask(m, l, index, at.shape.Size()), at}
}

// dropoutMask is what a layer of dropout zeroes and keeps in a step.
type dropoutMask struct {
	m     *machinery
	size  int // values of an image
	layer uint32
	rate  float64
	room  []float32
	mask  []float32 // of the last draw, in the usual order, whatever the layout
}

// maskGroup is the number of positions that one drawing of the generator decides.
const maskGroup = 4

func newDropoutMask(m *machinery, l *model.Layer, index uint32, size int) dropoutMask {
	d := dropoutMask{m: m, size: size, layer: index, rate: l.Rate}
	if m.train {
		d.room = m.arena.floats(m.batch*size + maskGroup - 1)
	}
	return d
}

// draw sets the mask of the call's images. Where the first of them does not begin with
// a group, the end of the image before it is drawn as well.
func (d *dropoutMask) draw(c *call) {
	mask := vector.Mask{Seed: d.m.seed, Step: c.step, Layer: d.layer, Rate: d.rate}
	first := uint64(c.first) * uint64(d.size)
	lead := int(first % maskGroup)
	size := lead + c.n*d.size
	d.m.each((size+elementBlock-1)/elementBlock, func(_, unit int) {
		i := unit * elementBlock
		mask.Write(d.room[i:min(i+elementBlock, size)], first-uint64(lead)+uint64(i))
	})
	d.mask = d.room[lead:size]
}

func (k *dropoutKernel) forward(c *call, t *buffers) {
	if !k.m.train {
		scale := float32(1 - k.rate)
		k.m.eachElement(c.n, k.layout, func(i, j int) {
			vector.Scale(t.y[i:j], t.x[i:j], scale)
		})
		return
	}
	k.draw(c)
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
