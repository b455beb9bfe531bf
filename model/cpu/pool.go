package cpu

import (
	"math"

	"alexnet/model"
)

// poolKernel computes max-pooling. Of equal values the first in reading order
// counts, and alone gets the gradient. A NaN is taken for the largest.
type poolKernel struct {
	m              *machinery
	in, out        layout
	kernel, stride int
	argmax         []int32    // for each output, the position of its maximum in the input's plane
	keys           [][]uint64 // of each worker: a plane's keys, then the maxima along rows
}

func newPoolKernel(m *machinery, l *model.Layer, in, out layout) *poolKernel {
	k := &poolKernel{m: m, in: in, out: out, kernel: l.Kernel, stride: l.Stride}
	if m.train {
		n := out.capacity(m.batch) * out.shape.Size()
		m.arena.claim(n, 4)
		k.argmax = make([]int32, n)
	}
	keys := in.shape.H * (in.shape.W + out.shape.W)
	m.arena.claim(keys*m.threads, 8)
	for range m.threads {
		k.keys = append(k.keys, make([]uint64, keys))
	}
	return k
}

// eachPlane calls f with the offsets of input and output of every channel of every
// image.
func (k *poolKernel) eachPlane(n int, f func(worker, in, out int)) {
	const group = 16
	channels := k.in.shape.C
	perImage := (channels + group - 1) / group
	k.m.each(n*perImage, func(worker, unit int) {
		image, first := unit/perImage, unit%perImage*group
		for c := first; c < min(first+group, channels); c++ {
			f(worker, k.in.plane(image, c), k.out.plane(image, c))
		}
	})
}

// key packs a value and its position: the order of keys is that of the values, with
// NaNs above all, and of equal values the earlier position is greater. To compare
// integers takes no branch; one that compares the values would go either way, and
// a processor predicts it wrongly two or three times in a window.
func key(v float32, position int) uint64 {
	const lowest = 0x807fffff // what the line below makes of -Inf; under it are NaNs only
	b := int32(math.Float32bits(v))
	order := uint32(b^int32(uint32(b>>31)>>1)) - lowest
	return uint64(order)<<32 | uint64(^uint32(position))
}

// position returns the position in a key.
func position(key uint64) int32 { return int32(^uint32(key)) }

func (k *poolKernel) forward(c *call, t *buffers) {
	hw, size := k.in.shape.H*k.in.shape.W, k.out.shape.H*k.out.shape.W
	k.eachPlane(c.n, func(worker, in, out int) {
		x, y := t.x[in:in+hw], t.y[out:out+size]
		keys, rows := k.keys[worker][:hw], k.keys[worker][hw:]
		for i, v := range x {
			keys[i] = key(v, i)
		}
		k.alongRows(rows, keys)
		k.downColumns(keys, rows)
		for i, best := range keys[:size] {
			y[i] = x[position(best)]
		}
		if k.argmax != nil {
			argmax := k.argmax[out : out+size]
			for i, best := range keys[:size] {
				argmax[i] = position(best)
			}
		}
	})
}

// alongRows sets rows to the maxima of every input row's windows.
func (k *poolKernel) alongRows(rows, keys []uint64) {
	w, outW := k.in.shape.W, k.out.shape.W
	for iy := range k.in.shape.H {
		src, dst := keys[iy*w:(iy+1)*w], rows[iy*outW:(iy+1)*outW]
		if k.kernel == 3 && (outW-1)*k.stride+3 <= w {
			for ox := range dst {
				s := src[:3]
				dst[ox] = max(s[0], s[1], s[2])
				src = src[min(k.stride, len(src)):]
			}
			continue
		}
		for ox := range dst {
			x0 := ox * k.stride
			best := src[x0]
			for _, v := range src[x0+1 : min(x0+k.kernel, w)] {
				best = max(best, v)
			}
			dst[ox] = best
		}
	}
}

// downColumns sets the beginning of dst to the outputs' maxima, from those of rows.
func (k *poolKernel) downColumns(dst, rows []uint64) {
	outW := k.out.shape.W
	for oy := range k.out.shape.H {
		y0 := oy * k.stride
		d := dst[oy*outW : (oy+1)*outW]
		copy(d, rows[y0*outW:])
		for iy := y0 + 1; iy < min(y0+k.kernel, k.in.shape.H); iy++ {
			r := rows[iy*outW:][:len(d)]
			for i, v := range r {
				d[i] = max(d[i], v)
			}
		}
	}
}

func (k *poolKernel) backward(c *call, t *buffers) {
	if t.dx == nil {
		return
	}
	hw, size := k.in.shape.H*k.in.shape.W, k.out.shape.H*k.out.shape.W
	k.eachPlane(c.n, func(_, in, out int) {
		dx := t.dx[in : in+hw]
		clear(dx)
		dy := t.dy[out : out+size]
		for i, at := range k.argmax[out : out+size] {
			dx[at] += dy[i]
		}
	})
}
