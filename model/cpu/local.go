package cpu

import (
	"alexnet/model"
	"alexnet/model/cpu/gemm"
)

// localRows is about the number of rows of a unit of the input's gradient.
const localRows = 128

// localKernel computes a locally connected layer: for each output position a product
// of its own weights with the patches that the images have there. The images are
// innermost in its copies of the maps, [channel][row][column][image], padding
// included, so that the patches of a position are rows of images as they lie. Every
// element of a result is the work of one unit, in a fixed order.
type localKernel struct {
	m           *machinery
	in, out     layout
	stride, pad int
	width       int       // of the padded maps
	size        int       // values of an image's padded maps
	patch       int       // values in a patch: channels * kernel * kernel
	maps        []float32 // of the last forward
	area        int       // kernel * kernel

	taps     []int        // of each weight of a patch, in the maps
	ones     []int        // 0, 1, ...
	byPatch  []int        // output channels in the weights
	byBatch  []int        // output channels in rows of images
	images   []gemm.Strip // as columns
	features []gemm.Strip // the taps as columns
}

func newLocalKernel(m *machinery, l *model.Layer, in, out layout) *localKernel {
	k := &localKernel{m: m, in: in, out: out, stride: l.Stride, pad: l.Pad, area: l.Kernel * l.Kernel, width: in.shape.W + 2*l.Pad}
	height := in.shape.H + 2*l.Pad
	k.size = in.shape.C * height * k.width
	for c := range in.shape.C {
		for ky := range l.Kernel {
			for kx := range l.Kernel {
				k.taps = append(k.taps, ((c*height+ky)*k.width+kx)*m.batch)
			}
		}
	}
	k.patch = len(k.taps)
	k.maps = m.arena.floats(k.size * m.batch)
	k.ones = count(max(m.batch, k.patch), 1)
	k.byPatch, k.byBatch = count(out.shape.C, k.patch), count(out.shape.C, m.batch)
	k.images, k.features = m.gemm.CutColumns(k.ones[:m.batch]), m.gemm.CutColumns(k.taps)
	m.scratch.reserve(gemm.KC * (m.gemm.Rows(out.shape.C) + m.gemm.NR()))
	m.common.reserve(out.shape.Size() * m.batch)
	if m.train {
		rows := k.unitRows()
		m.scratch.reserve(gemm.KC*(m.gemm.Rows(rows)+m.gemm.NR()) + rows*m.batch)
		m.common.reserve((out.shape.Size() + k.size) * m.batch)
	}
	return k
}

// unitRows is the largest number of rows of a unit of the input's gradient: whole
// channels, so that no two units add to the same value.
func (k *localKernel) unitRows() int { return max(1, localRows/k.area) * k.area }

func (k *localKernel) positions() int { return k.out.shape.H * k.out.shape.W }

// sheet returns the offset of a position's outputs in rows of images.
func (k *localKernel) sheet(position int) int { return position * k.out.shape.C * k.m.batch }

// corner returns where a position's patches begin in the maps.
func (k *localKernel) corner(position int) int {
	y, x := position/k.out.shape.W, position%k.out.shape.W
	return (y*k.width + x) * k.stride * k.m.batch
}

func (k *localKernel) forward(c *call, t *buffers) {
	mul, channels, batch := k.m.gemm, k.out.shape.C, k.m.batch
	k.spread(c.n, t.x)
	sheets := k.m.common.get(0, k.out.shape.Size()*batch)
	k.m.each(k.positions(), func(worker, p int) {
		buf := k.m.scratch.get(worker, gemm.KC*(mul.Rows(channels)+mul.NR()))
		a, strip := buf[:gemm.KC*mul.Rows(channels)], buf[gemm.KC*mul.Rows(channels):]
		for l0 := 0; l0 < k.patch; l0 += gemm.KC {
			l1 := min(l0+gemm.KC, k.patch)
			mul.PackA(a, t.w[p*channels*k.patch:], k.ones[l0:l1], k.byPatch)
			for s := range k.images {
				mul.PackB(strip, k.maps[k.corner(p):], k.taps[l0:l1], &k.images[s])
				mul.Multiply(l1-l0, a, channels, strip, k.images[s].Columns(), sheets[k.sheet(p)+s*mul.NR():], batch, l0 > 0)
			}
		}
	})
	k.m.each(c.n, func(_, image int) {
		for o := range channels {
			y := t.y[k.out.plane(image, o):][:k.positions()]
			for p := range y {
				y[p] = t.b[p*channels+o] + sheets[k.sheet(p)+o*batch+image]
			}
		}
	})
	k.m.blank(c.n, t.y, k.out)
}

// spread sets the maps to those of n images, and leaves the padding at zero.
func (k *localKernel) spread(n int, x []float32) {
	s, batch := k.in.shape, k.m.batch
	k.m.each(s.C, func(_, ch int) {
		for image := range n {
			plane := x[k.in.plane(image, ch):]
			for row := range s.H {
				at := ((ch*(s.H+2*k.pad)+row+k.pad)*k.width+k.pad)*batch + image
				for i, v := range plane[row*s.W : (row+1)*s.W] {
					k.maps[at+i*batch] = v
				}
			}
		}
	})
}

func (k *localKernel) backward(c *call, t *buffers) {
	channels, batch := k.out.shape.C, k.m.batch
	buf := k.m.common.get(0, (k.out.shape.Size()+k.size)*batch)
	sheets, dmaps := buf[:k.out.shape.Size()*batch], buf[k.out.shape.Size()*batch:]
	k.m.each(k.positions(), func(worker, p int) {
		for o := range channels {
			row := sheets[k.sheet(p)+o*batch:][:batch]
			clear(row[c.n:])
			var sum float32
			for image := range c.n {
				row[image] = t.dy[k.out.plane(image, o)+p]
				sum += row[image]
			}
			t.db[p*channels+o] = sum
		}
		k.backwardWeights(c.n, worker, p, sheets, t.dw[p*channels*k.patch:])
	})
	if t.dx == nil {
		return
	}
	k.backwardData(t.w, sheets, dmaps)
	k.gather(c.n, dmaps, t.dx)
	k.m.blank(c.n, t.dx, k.in)
}

// backwardWeights sets dw to the gradient of a position's weights. The steps are the
// images.
func (k *localKernel) backwardWeights(n, worker, p int, sheets, dw []float32) {
	mul, channels := k.m.gemm, k.out.shape.C
	buf := k.m.scratch.get(worker, gemm.KC*(mul.Rows(channels)+mul.NR()))
	a, strip := buf[:gemm.KC*mul.Rows(channels)], buf[gemm.KC*mul.Rows(channels):]
	for l0 := 0; l0 < n; l0 += gemm.KC {
		steps := k.ones[l0:min(l0+gemm.KC, n)]
		mul.PackA(a, sheets[k.sheet(p):], steps, k.byBatch)
		for s := range k.features {
			mul.PackB(strip, k.maps[k.corner(p):], steps, &k.features[s])
			mul.Multiply(len(steps), a, channels, strip, k.features[s].Columns(), dw[s*mul.NR():], k.patch, l0 > 0)
		}
	}
}

// backwardData sets dmaps to the gradient of the padded maps: for each position the
// transposed weights times the outputs' gradient, added to its patches. The steps are
// the output channels.
func (k *localKernel) backwardData(w, sheets, dmaps []float32) {
	mul, channels, batch := k.m.gemm, k.out.shape.C, k.m.batch
	rows := k.unitRows()
	plane := k.size / k.in.shape.C * batch
	k.m.each((k.patch+rows-1)/rows, func(worker, unit int) {
		r0, r1 := unit*rows, min((unit+1)*rows, k.patch)
		buf := k.m.scratch.get(worker, gemm.KC*(mul.Rows(rows)+mul.NR())+rows*batch)
		a, buf := buf[:gemm.KC*mul.Rows(rows)], buf[gemm.KC*mul.Rows(rows):]
		strip, product := buf[:gemm.KC*mul.NR()], buf[gemm.KC*mul.NR():]
		clear(dmaps[r0/k.area*plane : r1/k.area*plane])
		for p := range k.positions() {
			for l0 := 0; l0 < channels; l0 += gemm.KC {
				l1 := min(l0+gemm.KC, channels)
				mul.PackA(a, w[p*channels*k.patch:], k.byPatch[l0:l1], k.ones[r0:r1])
				for s := range k.images {
					mul.PackB(strip, sheets[k.sheet(p):], k.byBatch[l0:l1], &k.images[s])
					mul.Multiply(l1-l0, a, r1-r0, strip, k.images[s].Columns(), product[s*mul.NR():], batch, l0 > 0)
				}
			}
			for r := r0; r < r1; r++ {
				to := dmaps[k.corner(p)+k.taps[r]:][:batch]
				for i, v := range product[(r-r0)*batch:][:batch] {
					to[i] += v
				}
			}
		}
	})
}

// gather sets dx to the gradient of n images, without that of the padding.
func (k *localKernel) gather(n int, dmaps, dx []float32) {
	s, batch := k.in.shape, k.m.batch
	k.m.each(n, func(_, image int) {
		for ch := range s.C {
			plane := dx[k.in.plane(image, ch):]
			for row := range s.H {
				at := ((ch*(s.H+2*k.pad)+row+k.pad)*k.width+k.pad)*batch + image
				to := plane[row*s.W : (row+1)*s.W]
				for i := range to {
					to[i] = dmaps[at+i*batch]
				}
			}
		}
	})
}
