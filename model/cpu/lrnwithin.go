package cpu

import (
	"math"

	"alexnet/model"
)

// lrnWithinKernel computes the response normalisation within channels (Caffe's
// WITHIN_CHANNEL, cuda-convnet's rnorm), which the program of 2012 had after the
// second normalisation across channels:
//
//	s[p] = k + alpha * sum of x[j]^2 over the n x n positions j around p
//	y[p] = x[p] * s[p]^-beta
//
// Beyond the edges there are zeros. As in lrnKernel q = s^(-1/4) is kept for the
// backward pass.
type lrnWithinKernel struct {
	m                  *machinery
	layout             layout
	half               int // rows and columns on either side
	alpha, beta, kappa float32
	cubed              bool // beta is 3/4
	q                  []float32
}

func newLRNWithinKernel(m *machinery, l *model.Layer, at layout) *lrnWithinKernel {
	k := &lrnWithinKernel{m: m, layout: at, half: l.Size / 2,
		alpha: float32(l.Alpha), beta: float32(l.Beta), kappa: float32(l.K), cubed: l.Beta == 0.75}
	if m.train {
		k.q = m.arena.floats(at.capacity(m.batch) * at.shape.Size())
	}
	m.scratch.reserve(3 * at.shape.H * at.shape.W)
	return k
}

// eachPlane calls f for each channel of each image, with the offset of its values
// and room for three planes.
func (k *lrnWithinKernel) eachPlane(n int, f func(at int, values, rows, sums []float32)) {
	const group = 16
	channels, hw := k.layout.shape.C, k.layout.shape.H*k.layout.shape.W
	perImage := (channels + group - 1) / group
	k.m.each(n*perImage, func(worker, unit int) {
		image, first := unit/perImage, unit%perImage*group
		room := k.m.scratch.get(worker, 3*hw)
		for c := first; c < min(first+group, channels); c++ {
			f(k.layout.plane(image, c), room[:hw], room[hw:2*hw], room[2*hw:])
		}
	})
}

// windowSums sets sums to the sum of values over the window around each position.
// The sums of rows, in the order of the columns, are added in the order of the rows.
func (k *lrnWithinKernel) windowSums(values, rows, sums []float32) {
	h, w := k.layout.shape.H, k.layout.shape.W
	clear(rows)
	for y := range h {
		src, dst := values[y*w:(y+1)*w], rows[y*w:(y+1)*w]
		for d := -min(k.half, w-1); d <= min(k.half, w-1); d++ {
			add(dst[max(-d, 0):w-max(d, 0)], src[max(d, 0):])
		}
	}
	clear(sums)
	for y := range h {
		for j := max(y-k.half, 0); j <= min(y+k.half, h-1); j++ {
			add(sums[y*w:(y+1)*w], rows[j*w:])
		}
	}
}

// add adds the beginning of src to dst.
func add(dst, src []float32) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] += src[i]
	}
}

func (k *lrnWithinKernel) forward(c *call, t *buffers) {
	k.m.blank(c.n, t.y, k.layout)
	k.eachPlane(c.n, func(at int, squares, rows, s []float32) {
		x, y := t.x[at:][:len(s)], t.y[at:][:len(s)]
		for i, v := range x {
			squares[i] = v * v
		}
		k.windowSums(squares, rows, s)
		q := s
		if k.q != nil {
			q = k.q[at:][:len(s)]
		}
		for i, v := range s {
			q[i] = 1 / sqrt(sqrt(k.kappa+k.alpha*v))
			y[i] = x[i] * k.power(q[i])
		}
	})
}

// power returns s^-beta.
func (k *lrnWithinKernel) power(q float32) float32 {
	if k.cubed {
		return q * q * q
	}
	return float32(math.Pow(float64(q), 4*float64(k.beta)))
}

// backward computes
//
//	dx[p] = dy[p]*s[p]^-beta - 2*alpha*beta * x[p] * sum of dy[j]*y[j]/s[j]
//
// with the sum over the positions j around p.
func (k *lrnWithinKernel) backward(c *call, t *buffers) {
	if t.dx == nil {
		return
	}
	k.m.blank(c.n, t.dx, k.layout)
	factor := 2 * k.alpha * k.beta
	k.eachPlane(c.n, func(at int, ratios, rows, s []float32) {
		q, x := k.q[at:][:len(s)], t.x[at:][:len(s)]
		dy, y, dx := t.dy[at:][:len(s)], t.y[at:][:len(s)], t.dx[at:][:len(s)]
		for i, v := range q {
			q2 := v * v
			ratios[i] = dy[i] * y[i] * (q2 * q2)
		}
		k.windowSums(ratios, rows, s)
		for i, v := range s {
			dx[i] = dy[i]*k.power(q[i]) - factor*x[i]*v
		}
	})
}
