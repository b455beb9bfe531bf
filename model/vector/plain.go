package vector

import "math"

// The loops that the assembly is the same as. The conversions of products forbid
// the compiler to contract them with sums, which it would do on some processors.

// magnitude returns the bits of a value without its sign, which are in the order of
// the magnitudes, infinities and NaNs above all.
func magnitude(v float32) uint32 { return math.Float32bits(v) &^ (1 << 31) }

func plainUpdate(w, v, g []float32, momentum, decay, rate float32) (largest uint32) {
	v, g = v[:len(w)], g[:len(w)]
	for i, x := range w {
		d := float32(momentum*v[i]) - float32(decay*x) - float32(rate*g[i])
		x += d
		v[i], w[i] = d, x
		largest = max(largest, magnitude(x))
	}
	return largest
}

func plainAddScaled(dst, src []float32, a float32) {
	src = src[:len(dst)]
	for i, v := range src {
		dst[i] += float32(a * v)
	}
}

func plainScale(dst, src []float32, a float32) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = a * v
	}
}

func plainFollow(dst, src []float32, share float32) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] += float32(share * (v - dst[i]))
	}
}

func plainMultiply(dst, a, b []float32) {
	dst, b = dst[:len(a)], b[:len(a)]
	for i, v := range a {
		dst[i] = v * b[i]
	}
}

func plainReLU(y, x []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = max(v, 0) // a NaN stays one
	}
}

func plainReLUBackward(dx, dy, y []float32) {
	dx, dy = dx[:len(y)], dy[:len(y)]
	for i, v := range y {
		// All ones where y is 0, else 0: a mask costs less than a branch that goes
		// either way.
		zero := uint32((int64(math.Float32bits(v)) - 1) >> 63)
		dx[i] = math.Float32frombits(math.Float32bits(dy[i]) &^ zero)
	}
}

func plainLargest(x []float32) (largest uint32) {
	for _, v := range x {
		largest = max(largest, magnitude(v))
	}
	return largest
}

func plainSquares(sums *squareSums, x []float32) {
	for len(x) >= len(sums) {
		for i := range sums {
			v := float64(x[i])
			sums[i] += float64(v * v)
		}
		x = x[len(sums):]
	}
	for i, v := range x {
		sums[i] += float64(float64(v) * float64(v))
	}
}

// philox is the generator Philox4x32-10: see model.Philox4x32.
type philox struct {
	counter [4]uint32
	keys    [10][2]uint64 // of each round; the upper halves are 0
}

// rounds sets the keys of the rounds.
func (p *philox) rounds(key [2]uint32) {
	for i := range p.keys {
		p.keys[i] = [2]uint64{uint64(key[0]), uint64(key[1])}
		key[0] += 0x9E3779B9
		key[1] += 0xBB67AE85
	}
}

// next returns four words and moves on to the next counter.
func (p *philox) next() [4]uint32 {
	c := p.counter
	p.counter[0]++
	for _, k := range p.keys {
		p0 := uint64(0xD2511F53) * uint64(c[0])
		p1 := uint64(0xCD9E8D57) * uint64(c[2])
		c = [4]uint32{uint32(p1>>32) ^ c[1] ^ uint32(k[0]), uint32(p1), uint32(p0>>32) ^ c[3] ^ uint32(k[1]), uint32(p0)}
	}
	return c
}

func plainMask(dst []float32, p *philox, threshold uint32) {
	for ; len(dst) > 0; dst = dst[min(4, len(dst)):] {
		words := p.next()
		for j, w := range words[:min(4, len(dst))] {
			keep := float32(1)
			if w < threshold {
				keep = 0
			}
			dst[j] = keep
		}
	}
}
