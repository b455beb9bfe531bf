//go:build amd64 && !noasm && !purego

package vector

import "golang.org/x/sys/cpu"

//go:generate sh -c "cd _gen && go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg vector"

// instructions are what the processor has. The methods do a beginning of the work and
// return its length; the rest is for the plain loops.
type instructions int

const (
	none instructions = iota // the plain kernels
	avx2
	avx512
)

// kernels are those that the processor can run.
var kernels = processor() //nolint:gochecknoglobals // read only

func processor() instructions {
	switch {
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX2:
		return avx512
	case cpu.X86.HasAVX2:
		return avx2
	}
	return none
}

// block is the number of values of which the kernels take multiples.
const block = 32

// whole returns how many of n values the kernels can do.
func (in instructions) whole(n int) int {
	if in == none {
		return 0
	}
	return n / block * block
}

func (in instructions) update(w, v, g []float32, momentum, decay, rate float32) (n int, largest uint32) {
	if n = in.whole(len(w)); n > 0 {
		_, _ = v[n-1], g[n-1]
		largest = updateAVX2(&w[0], &v[0], &g[0], n, momentum, decay, rate)
	}
	return n, largest
}

func (in instructions) addScaled(dst, src []float32, a float32) int {
	n := in.whole(len(dst))
	if n > 0 {
		_ = src[n-1]
		addScaledAVX2(&dst[0], &src[0], n, a)
	}
	return n
}

func (in instructions) scale(dst, src []float32, a float32) int {
	n := in.whole(len(dst))
	if n > 0 {
		_ = src[n-1]
		scaleAVX2(&dst[0], &src[0], n, a)
	}
	return n
}

func (in instructions) follow(dst, src []float32, share float32) int {
	n := in.whole(len(dst))
	if n > 0 {
		_ = src[n-1]
		followAVX2(&dst[0], &src[0], n, share)
	}
	return n
}

func (in instructions) multiply(dst, a, b []float32) int {
	n := in.whole(len(dst))
	if n > 0 {
		_, _ = a[n-1], b[n-1]
		multiplyAVX2(&dst[0], &a[0], &b[0], n)
	}
	return n
}

func (in instructions) relu(y, x []float32) int {
	n := in.whole(len(y))
	if n > 0 {
		_ = x[n-1]
		reluAVX2(&y[0], &x[0], n)
	}
	return n
}

func (in instructions) reluBackward(dx, dy, y []float32) int {
	n := in.whole(len(dx))
	if n > 0 {
		_, _ = dy[n-1], y[n-1]
		reluBackwardAVX2(&dx[0], &dy[0], &y[0], n)
	}
	return n
}

func (in instructions) largest(x []float32) (n int, largest uint32) {
	if n = in.whole(len(x)); n > 0 {
		largest = largestAVX2(&x[0], n)
	}
	return n, largest
}

func (in instructions) squares(sums *squareSums, x []float32) int {
	n := in.whole(len(x))
	if n > 0 {
		squaresAVX2(&sums[0], &x[0], n)
	}
	return n
}

func (in instructions) mask(dst []float32, p *philox, threshold uint32) int {
	n := in.whole(len(dst))
	switch {
	case n == 0:
	case in == avx512:
		maskAVX512(&dst[0], n, p.counter[0], p.counter[1], p.counter[2], p.counter[3], &p.keys[0][0], threshold)
	default:
		maskAVX2(&dst[0], n, p.counter[0], p.counter[1], p.counter[2], p.counter[3], &p.keys[0][0], threshold)
	}
	return n
}
