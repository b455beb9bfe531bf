package cpu

import "alexnet/model"

// poolKernel computes max-pooling. Of equal values the first in reading order
// counts, and alone gets the gradient. A NaN is taken for the largest.
type poolKernel struct {
	m              *machinery
	in, out        layout
	kernel, stride int
	argmax         []int32 // for each output, the position of its maximum in the input's plane
}

func newPoolKernel(m *machinery, l *model.Layer, in, out layout) *poolKernel {
	k := &poolKernel{m: m, in: in, out: out, kernel: l.Kernel, stride: l.Stride}
	size := out.capacity(m.batch) * out.shape.Size()
	k.argmax = make([]int32, size)
	m.arena.bytes += 4 * int64(size)
	return k
}

// eachPlane calls f with the offsets of input and output of every channel of every
// image.
func (k *poolKernel) eachPlane(n int, f func(in, out int)) {
	const group = 16
	channels := k.in.shape.C
	perImage := (channels + group - 1) / group
	k.m.each(n*perImage, func(_, unit int) {
		image, first := unit/perImage, unit%perImage*group
		for c := first; c < min(first+group, channels); c++ {
			f(k.in.plane(image, c), k.out.plane(image, c))
		}
	})
}

func (k *poolKernel) forward(c *call, t *buffers) {
	hw := k.in.shape.H * k.in.shape.W
	k.eachPlane(c.n, func(in, out int) {
		k.forwardPlane(t.x[in:in+hw], t.y[out:], k.argmax[out:])
	})
}

func (k *poolKernel) forwardPlane(x, y []float32, argmax []int32) {
	h, w := k.in.shape.H, k.in.shape.W
	i := 0
	for oy := range k.out.shape.H {
		y0 := oy * k.stride
		y1 := min(y0+k.kernel, h)
		for ox := range k.out.shape.W {
			x0 := ox * k.stride
			x1 := min(x0+k.kernel, w)
			at := y0*w + x0
			best := x[at]
			for iy := y0; iy < y1; iy++ {
				for p, v := range x[iy*w+x0 : iy*w+x1] {
					if v > best || v != v {
						best, at = v, iy*w+x0+p
					}
				}
			}
			y[i], argmax[i] = best, int32(at)
			i++
		}
	}
}

func (k *poolKernel) backward(c *call, t *buffers) {
	if t.dx == nil {
		return
	}
	hw, size := k.in.shape.H*k.in.shape.W, k.out.shape.H*k.out.shape.W
	k.eachPlane(c.n, func(in, out int) {
		dx := t.dx[in : in+hw]
		clear(dx)
		dy := t.dy[out : out+size]
		for i, at := range k.argmax[out : out+size] {
			dx[at] += dy[i]
		}
	})
}
