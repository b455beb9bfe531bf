package cpu

import "alexnet/model/vector"

// elementBlock is the number of values in a unit of element-wise work.
const elementBlock = vector.Block

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
		vector.ReLU(t.y[i:j], t.x[i:j])
	})
}

func (k *reluKernel) backward(c *call, t *buffers) {
	if t.dx == nil {
		return
	}
	k.m.eachElement(c.n, k.layout, func(i, j int) {
		vector.ReLUBackward(t.dx[i:j], t.dy[i:j], t.y[i:j])
	})
}
