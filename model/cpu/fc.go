package cpu

import "alexnet/model/cpu/gemm"

const (
	fcRows    = 96  // outputs of a unit of forward and of the weights' gradient: a multiple of every kernel's MR
	fcColumns = 256 // inputs of a unit of the input's gradient: a multiple of every kernel's NR
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

	features []int        // 0, 1, ...: of inputs or outputs that lie side by side
	byInput  []int        // the same for those that lie a row of inputs apart
	byOutput []int        // or a row of outputs
	images   []gemm.Strip // the images in x, as columns
	inputs   []gemm.Strip // the inputs, as columns
}

func newFCKernel(m *machinery, from layout, out int) *fcKernel {
	k := &fcKernel{m: m, from: from, in: from.shape.Size(), out: out}
	if from.chunk != 1 {
		k.rows = m.arena.floats(m.batch * k.in)
		if m.train {
			k.drows = m.arena.floats(m.batch * k.in)
		}
	}
	k.features = count(max(k.in, out), 1)
	k.byInput, k.byOutput = count(max(out, m.batch), k.in), count(m.batch, out)
	k.images = m.gemm.CutColumns(count(m.batch, k.in))
	k.inputs = m.gemm.CutColumns(count(k.in, 1))
	columns, nr := len(k.images)*m.gemm.NR(), m.gemm.NR()
	m.scratch.reserve(fcRows * (gemm.KC + columns))
	m.common.reserve(k.in * columns)
	if m.train {
		m.scratch.reserve(gemm.KC * nr)
		m.common.reserve(m.gemm.Rows(out)*m.batch + len(k.inputs)*nr*m.batch)
		m.common.reserve(m.gemm.Rows(m.batch) * out)
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
	mul := k.m.gemm
	nr := mul.NR()
	columns := mul.Strips(c.n) * nr
	b := k.m.common.get(0, k.in*columns)
	k.m.each((k.in+gemm.KC-1)/gemm.KC, func(_, unit int) {
		l0 := unit * gemm.KC
		l1 := min(l0+gemm.KC, k.in)
		for s := range mul.Strips(c.n) {
			mul.PackB(b[l0*columns+s*(l1-l0)*nr:], x[:c.n*k.in], k.features[l0:l1], k.strip(s, c.n))
		}
	})
	k.m.each((k.out+fcRows-1)/fcRows, func(worker, unit int) {
		o0, o1 := unit*fcRows, min((unit+1)*fcRows, k.out)
		buf := k.m.scratch.get(worker, fcRows*(gemm.KC+columns))
		a, product := buf[:fcRows*gemm.KC], buf[fcRows*gemm.KC:]
		for l0 := 0; l0 < k.in; l0 += gemm.KC {
			l1 := min(l0+gemm.KC, k.in)
			mul.PackA(a, t.w[o0*k.in:], k.features[l0:l1], k.byInput[:o1-o0])
			for s := range mul.Strips(c.n) {
				mul.Multiply(l1-l0, a, o1-o0, b[l0*columns+s*(l1-l0)*nr:], min(nr, c.n-s*nr), product[s*nr:], columns, l0 > 0)
			}
		}
		for i := range c.n {
			for o := o0; o < o1; o++ {
				t.y[i*k.out+o] = t.b[o] + product[(o-o0)*columns+i]
			}
		}
	})
}

// strip returns a strip of the first n images.
func (k *fcKernel) strip(s, n int) *gemm.Strip {
	nr := k.m.gemm.NR()
	if whole := &k.images[s]; whole.Columns() <= n-s*nr {
		return whole
	}
	return &k.m.gemm.CutColumns(k.byInput[s*nr : n])[0]
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
	c.split()
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

// backwardWeights sets dw = transpose(dy)*x and db to the sum of the rows of dy. The
// steps are the images.
func (k *fcKernel) backwardWeights(n int, x []float32, t *buffers) {
	mul := k.m.gemm
	rows, nr := mul.Rows(k.out), mul.NR()
	buf := k.m.common.get(0, rows*n+len(k.inputs)*nr*n)
	a, b := buf[:rows*n], buf[rows*n:]
	k.m.each(len(k.inputs), func(_, s int) {
		for l0 := 0; l0 < n; l0 += gemm.KC {
			mul.PackB(b[(s*n+l0)*nr:], x, k.byInput[l0:min(l0+gemm.KC, n)], &k.inputs[s])
		}
	})
	k.m.each((k.out+fcRows-1)/fcRows, func(_, unit int) {
		o0, o1 := unit*fcRows, min((unit+1)*fcRows, k.out)
		height := mul.Rows(o1 - o0)
		a := a[o0*n:]
		for l0 := 0; l0 < n; l0 += gemm.KC {
			mul.PackA(a[l0*height:], t.dy, k.byOutput[l0:min(l0+gemm.KC, n)], k.features[o0:o1])
		}
		for s := range k.inputs {
			for l0 := 0; l0 < n; l0 += gemm.KC {
				mul.Multiply(min(gemm.KC, n-l0), a[l0*height:], o1-o0, b[(s*n+l0)*nr:], k.inputs[s].Columns(), t.dw[o0*k.in+s*nr:], k.in, l0 > 0)
			}
		}
		for o := o0; o < o1; o++ {
			t.db[o] = 0
			for i := range n {
				t.db[o] += t.dy[i*k.out+o]
			}
		}
	})
}

// backwardData sets dx = dy*w. The steps are the outputs.
func (k *fcKernel) backwardData(n int, dx []float32, t *buffers) {
	mul := k.m.gemm
	rows, nr := mul.Rows(n), mul.NR()
	a := k.m.common.get(0, rows*k.out)
	k.m.each((k.out+gemm.KC-1)/gemm.KC, func(_, unit int) {
		l0 := unit * gemm.KC
		mul.PackA(a[l0*rows:], t.dy, k.features[l0:min(l0+gemm.KC, k.out)], k.byOutput[:n])
	})
	k.m.each((k.in+fcColumns-1)/fcColumns, func(worker, unit int) {
		strip := k.m.scratch.get(worker, gemm.KC*nr)
		for l0 := 0; l0 < k.out; l0 += gemm.KC {
			l1 := min(l0+gemm.KC, k.out)
			for s := unit * fcColumns / nr; s < min((unit+1)*fcColumns/nr, len(k.inputs)); s++ {
				mul.PackB(strip, t.w, k.byInput[l0:l1], &k.inputs[s])
				mul.Multiply(l1-l0, a[l0*rows:], n, strip, k.inputs[s].Columns(), dx[s*nr:], k.in, l0 > 0)
			}
		}
	})
}
