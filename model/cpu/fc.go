package cpu

const (
	fcOutputs = 16  // outputs of a unit of forward and of the weights' gradient
	fcImages  = 32  // images of a unit of the input's gradient
	fcColumns = 256 // and its inputs
)

// fcKernel computes a fully connected layer, y = x*transpose(w) + b, over the
// whole batch, so that the weights are read from memory once. Every element of a
// result is the work of one unit, in an order that does not depend on the units.
type fcKernel struct {
	m       *machinery
	from    layout // of the input; x is gathered to rows unless it is in rows already
	in, out int    // features
	rows    []float32
	drows   []float32
}

func newFCKernel(m *machinery, from layout, out int) *fcKernel {
	k := &fcKernel{m: m, from: from, in: from.shape.Size(), out: out}
	if from.chunk != 1 {
		k.rows = m.arena.floats(m.batch * k.in)
		if m.train {
			k.drows = m.arena.floats(m.batch * k.in)
		}
	}
	return k
}

func (k *fcKernel) forward(c *call, t *buffers) {
	x := t.x
	if k.rows != nil {
		x = k.rows
		k.m.each(c.n, func(_, image int) {
			k.from.gather(x[image*k.in:(image+1)*k.in], t.x, image)
		})
	}
	k.m.each((k.out+fcOutputs-1)/fcOutputs, func(_, unit int) {
		o0, o1 := unit*fcOutputs, min((unit+1)*fcOutputs, k.out)
		for i := range c.n {
			copy(t.y[i*k.out+o0:i*k.out+o1], t.b[o0:o1])
		}
		for j := 0; j < k.in; j += columnBlock {
			n := min(columnBlock, k.in-j)
			for o := o0; o < o1; o++ {
				w := t.w[o*k.in+j:][:n]
				for i := range c.n {
					t.y[i*k.out+o] += dot(w, x[i*k.in+j:][:n])
				}
			}
		}
	})
}

func (k *fcKernel) backward(c *call, t *buffers) {
	x := t.x
	if k.rows != nil {
		x = k.rows
	}
	k.backwardWeights(c.n, x, t)
	if t.dx == nil {
		return
	}
	dx := t.dx
	if k.drows != nil {
		dx = k.drows
	}
	k.backwardData(c.n, dx, t)
	if k.drows != nil {
		k.m.each(c.n, func(_, image int) {
			k.from.scatter(t.dx, dx[image*k.in:(image+1)*k.in], image)
		})
	}
}

// backwardWeights sets dw = transpose(dy)*x and db to the sum of the rows of dy.
func (k *fcKernel) backwardWeights(n int, x []float32, t *buffers) {
	k.m.each((k.out+fcOutputs-1)/fcOutputs, func(_, unit int) {
		o0, o1 := unit*fcOutputs, min((unit+1)*fcOutputs, k.out)
		clear(t.dw[o0*k.in : o1*k.in])
		for j := 0; j < k.in; j += columnBlock {
			addProduct(o1-o0, min(columnBlock, k.in-j), n, t.dy[o0:], 1, k.out, x[j:], k.in, t.dw[o0*k.in+j:], k.in)
		}
		for o := o0; o < o1; o++ {
			t.db[o] = 0
			for i := range n {
				t.db[o] += t.dy[i*k.out+o]
			}
		}
	})
}

// backwardData sets dx = dy*w.
func (k *fcKernel) backwardData(n int, dx []float32, t *buffers) {
	blocks := (k.in + fcColumns - 1) / fcColumns
	groups := (n + fcImages - 1) / fcImages
	k.m.each(blocks*groups, func(_, unit int) {
		j, i0 := unit/groups*fcColumns, unit%groups*fcImages
		columns, images := min(fcColumns, k.in-j), min(fcImages, n-i0)
		for i := i0; i < i0+images; i++ {
			clear(dx[i*k.in+j:][:columns])
		}
		addProduct(images, columns, k.out, t.dy[i0*k.out:], k.out, 1, t.w[j:], k.in, dx[i0*k.in+j:], k.in)
	})
}
