package cpu

import "alexnet/model"

// localKernel computes a locally connected layer: a product of matrices for each
// output position, of the patches that the images have there with the position's own
// weights. A unit of the work is a position; only the gradient of the input, to which
// overlapping patches add, is summed by image.
type localKernel struct {
	m                   *machinery
	in, out             layout
	kernel, stride, pad int
	patch               int       // values in a patch: channels * kernel * kernel
	patches             []float32 // [position][image][patch] of the last forward
	dpatches            []float32 // and their gradient
}

func newLocalKernel(m *machinery, l *model.Layer, in, out layout) *localKernel {
	k := &localKernel{m: m, in: in, out: out, kernel: l.Kernel, stride: l.Stride, pad: l.Pad, patch: in.shape.C * l.Kernel * l.Kernel}
	size := k.positions() * k.sheet()
	k.patches = m.arena.floats(size)
	if m.train {
		k.dpatches = m.arena.floats(size)
	}
	m.scratch.reserve(m.batch * out.shape.C)
	return k
}

func (k *localKernel) positions() int { return k.out.shape.H * k.out.shape.W }

// sheet is the room of a position's patches.
func (k *localKernel) sheet() int { return k.m.batch * k.patch }

func (k *localKernel) forward(c *call, t *buffers) {
	channels := k.out.shape.C
	k.m.each(k.positions(), func(worker, p int) {
		rows := k.patches[p*k.sheet():][:c.n*k.patch]
		k.gather(c.n, p, rows, t.x)
		y := k.m.scratch.get(worker, c.n*channels)
		for i := range c.n {
			copy(y[i*channels:(i+1)*channels], t.b[p*channels:])
		}
		addProductNT(c.n, channels, k.patch, rows, k.patch, t.w[p*channels*k.patch:], k.patch, y, channels)
		k.eachOutput(c.n, p, func(i, at int) { t.y[at] = y[i] })
	})
	k.m.blank(c.n, t.y, k.out)
}

func (k *localKernel) backward(c *call, t *buffers) {
	channels := k.out.shape.C
	k.m.each(k.positions(), func(worker, p int) {
		rows := k.patches[p*k.sheet():][:c.n*k.patch]
		dy := k.m.scratch.get(worker, c.n*channels)
		k.eachOutput(c.n, p, func(i, at int) { dy[i] = t.dy[at] })
		weights := channels * k.patch
		w, dw, db := t.w[p*weights:][:weights], t.dw[p*weights:][:weights], t.db[p*channels:][:channels]
		clear(dw)
		addProduct(channels, k.patch, c.n, dy, 1, channels, rows, k.patch, dw, k.patch)
		clear(db)
		for i := range c.n {
			for o, v := range dy[i*channels:][:channels] {
				db[o] += v
			}
		}
		if t.dx != nil {
			drows := k.dpatches[p*k.sheet():][:c.n*k.patch]
			clear(drows)
			addProduct(c.n, k.patch, channels, dy, channels, 1, w, k.patch, drows, k.patch)
		}
	})
	if t.dx != nil {
		k.m.each(c.n, func(_, image int) { k.scatter(image, t.dx) })
		k.m.blank(c.n, t.dx, k.in)
	}
}

// eachOutput calls f for the outputs of n images at a position: i is the index in
// [image][channel], at the offset in the feature maps.
func (k *localKernel) eachOutput(n, position int, f func(i, at int)) {
	channels, stride := k.out.shape.C, k.out.channelStride()
	for image := range n {
		at := k.out.plane(image, 0) + position
		for o := range channels {
			f(image*channels+o, at+o*stride)
		}
	}
}

// eachRow calls f for the kernel's rows over a position of an image: where the row
// begins in a patch, the offset in the feature maps of its first value inside of them,
// and which columns [from, to) of the kernel are inside; none in the padding.
func (k *localKernel) eachRow(image, position int, f func(patch, at, from, to int)) {
	s := k.in.shape
	top, left := position/k.out.shape.W*k.stride-k.pad, position%k.out.shape.W*k.stride-k.pad
	from, to := max(0, -left), min(k.kernel, s.W-left)
	for c := range s.C {
		plane := k.in.plane(image, c)
		for ky := range k.kernel {
			patch := (c*k.kernel + ky) * k.kernel
			if y := top + ky; y >= 0 && y < s.H && from < to {
				f(patch, plane+y*s.W+left+from, from, to)
			} else {
				f(patch, 0, 0, 0)
			}
		}
	}
}

// gather sets rows to the patches of n images at a position.
func (k *localKernel) gather(n, position int, rows, x []float32) {
	for image := range n {
		row := rows[image*k.patch:][:k.patch]
		k.eachRow(image, position, func(patch, at, from, to int) {
			dst := row[patch:][:k.kernel]
			clear(dst[:from])
			copy(dst[from:to], x[at:])
			clear(dst[to:])
		})
	}
}

// scatter sets an image's gradient to the sum of its patches' gradients.
func (k *localKernel) scatter(image int, dx []float32) {
	hw := k.in.shape.H * k.in.shape.W
	for c := range k.in.shape.C {
		clear(dx[k.in.plane(image, c):][:hw])
	}
	for p := range k.positions() {
		row := k.dpatches[p*k.sheet()+image*k.patch:][:k.patch]
		k.eachRow(image, p, func(patch, at, from, to int) {
			dst := dx[at:][:to-from]
			for i, v := range row[patch+from : patch+to] {
				dst[i] += v
			}
		})
	}
}
