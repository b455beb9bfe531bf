// Package vector has the elementwise work of a training step, as loops over slices of
// float32: the update rule, masks of dropout, ReLU, sums of gradients, averages of
// weights, and the search for values that are not finite. Most of it is limited by
// memory, so that what counts is to read each value once and to use all processors:
// see Each.
//
// On amd64 with AVX2 or AVX-512 the loops are assembly. Their results are those of
// the loops in plain.go, bit for bit, which run elsewhere: products and sums are
// rounded one by one everywhere, and sums over a slice have a fixed order.
//
// The package imports nothing of the project, so that engines and what drives them
// can both use it.
package vector

import "math"

// infinity is the bits of +Inf: magnitudes of numbers are less, of NaNs more.
const infinity = 0x7f800000

// Update applies the update rule of the paper's section 5 to values of a parameter:
//
//	v <- momentum*v - decay*w - rate*g
//	w <- w + v
//
// decay has the learning rate in it. It reports whether all new w are finite. They
// are not wherever w, v or g were not, so that this is the place to find a run that
// breaks down. v and g are at least as long as w.
func Update(w, v, g []float32, momentum, decay, rate float32) (finite bool) {
	v, g = v[:len(w)], g[:len(w)]
	n, top := kernels.update(w, v, g, momentum, decay, rate)
	return max(top, plainUpdate(w[n:], v[n:], g[n:], momentum, decay, rate)) < infinity
}

// AddScaled adds a*src to dst. src is at least as long as dst.
func AddScaled(dst, src []float32, a float32) {
	src = src[:len(dst)]
	n := kernels.addScaled(dst, src, a)
	plainAddScaled(dst[n:], src[n:], a)
}

// Scale sets dst to a*src, which may be dst, and is at least as long.
func Scale(dst, src []float32, a float32) {
	src = src[:len(dst)]
	n := kernels.scale(dst, src, a)
	plainScale(dst[n:], src[n:], a)
}

// Follow adds share*(src-dst) to dst: it moves an average. src is at least as long as
// dst.
func Follow(dst, src []float32, share float32) {
	src = src[:len(dst)]
	n := kernels.follow(dst, src, share)
	plainFollow(dst[n:], src[n:], share)
}

// Multiply sets dst to a*b, each of which may be dst, and is at least as long.
func Multiply(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	n := kernels.multiply(dst, a, b)
	plainMultiply(dst[n:], a[n:], b[n:])
}

// ReLU sets y to x, and to 0 where x is not more than 0. A NaN stays one. x may be y,
// and is at least as long.
func ReLU(y, x []float32) {
	x = x[:len(y)]
	n := kernels.relu(y, x)
	plainReLU(y[n:], x[n:])
}

// ReLUBackward sets dx to dy, and to 0 where y, which ReLU made, is 0. dy may be dx;
// dy and y are at least as long.
func ReLUBackward(dx, dy, y []float32) {
	dy, y = dy[:len(dx)], y[:len(dx)]
	n := kernels.reluBackward(dx, dy, y)
	plainReLUBackward(dx[n:], dy[n:], y[n:])
}

// Finite reports whether all values are numbers and finite.
func Finite(x []float32) bool {
	n, top := kernels.largest(x)
	return max(top, plainLargest(x[n:])) < infinity
}

// SumSquares returns the sum of the squares. It is not finite where a value is not.
func SumSquares(x []float32) float64 {
	var sums squareSums
	n := kernels.squares(&sums, x)
	plainSquares(&sums, x[n:])
	for width := len(sums) / 2; width > 0; width /= 2 {
		for i := range width {
			sums[i] += sums[i+width]
		}
	}
	return sums[0]
}

// squareSums are the partial sums of SumSquares: value i goes to sum i%16.
type squareSums [16]float64

// Mask is dropout's choice for a layer and a step: see model.DropoutMask, whose masks
// it makes.
type Mask struct {
	Seed, Step uint64
	Layer      uint32
	Rate       float64 // in [0, 1)
}

// Write writes 0 to the positions that dropout zeroes and 1 to those that it keeps,
// from position first on, which must be a multiple of four. dst must not reach past
// position 2^34.
func (m Mask) Write(dst []float32, first uint64) {
	threshold := uint64(math.Round(m.Rate * (1 << 32)))
	if threshold > math.MaxUint32 {
		clear(dst)
		return
	}
	p := philox{counter: [4]uint32{uint32(first / 4), m.Layer, uint32(m.Step), uint32(m.Step >> 32)}}
	p.rounds([2]uint32{uint32(m.Seed), uint32(m.Seed >> 32)})
	n := kernels.mask(dst, &p, uint32(threshold))
	p.counter[0] += uint32(n / 4)
	plainMask(dst[n:], &p, uint32(threshold))
}
