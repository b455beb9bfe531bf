package cpu

import "math"

// tanhKernel computes the hyperbolic tangent. Its derivative is 1 - y*y.
type tanhKernel struct {
	m      *machinery
	layout layout
}

func (k *tanhKernel) forward(c *call, t *buffers) {
	k.m.eachElement(c.n, k.layout, func(i, j int) {
		y := t.y[i:j]
		for p, v := range t.x[i:j] {
			y[p] = float32(math.Tanh(float64(v)))
		}
	})
}

func (k *tanhKernel) backward(c *call, t *buffers) {
	if t.dx == nil {
		return
	}
	k.m.eachElement(c.n, k.layout, func(i, j int) {
		y := t.y[i:j]
		dy, dx := t.dy[i:j][:len(y)], t.dx[i:j][:len(y)]
		for p, v := range y {
			dx[p] = dy[p] * (1 - v*v)
		}
	})
}
