package cpu

import "math"

// elementBlock is the number of values in a unit of element-wise work.
const elementBlock = 1 << 14

// eachElement runs f on blocks [i, j) of the first n images' values. Whole chunks
// are covered: what lies behind the last image in its chunk is changed, but never
// read.
func (m *machinery) eachElement(n int, l layout, f func(i, j int)) {
	size := l.capacity(n) * l.shape.Size()
	m.each((size+elementBlock-1)/elementBlock, func(_, unit int) {
		f(unit*elementBlock, min((unit+1)*elementBlock, size))
	})
}

// reluKernel computes max(0, x). Its derivative at 0 is 0.
type reluKernel struct {
	m      *machinery
	layout layout
}

func (k *reluKernel) forward(c *call, t *buffers) {
	k.m.eachElement(c.n, k.layout, func(i, j int) {
		y := t.y[i:j]
		for p, v := range t.x[i:j] {
			y[p] = max(v, 0) // a NaN stays one
		}
	})
}

func (k *reluKernel) backward(c *call, t *buffers) {
	if t.dx == nil {
		return
	}
	k.m.eachElement(c.n, k.layout, func(i, j int) {
		y := t.y[i:j]
		dy, dx := t.dy[i:j][:len(y)], t.dx[i:j][:len(y)]
		for p, v := range y {
			// All ones where y is 0, else 0: a mask costs less than a branch that
			// goes either way.
			zero := uint32(int32(math.Float32bits(v)-1) >> 31)
			dx[p] = math.Float32frombits(math.Float32bits(dy[p]) &^ zero)
		}
	})
}
