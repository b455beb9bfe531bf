package cpu

import (
	"alexnet/model"
	"alexnet/model/cpu/gemm"
)

// unitColumns bounds the output positions of a unit of a convolution: several
// images where their maps are small, so that few strips are not full.
const unitColumns = 1536

// correlation is the product that both the forward pass and, for a stride of 1, the
// gradient of the input come down to: the weights of a group times the patches of
// some maps. Patches are packed straight from the padded maps, a strip of positions
// at a time.
type correlation struct {
	m        *machinery
	from, to layout
	groups   int
	in, out  int // channels of one group
	images   int // of a unit
	planes   planes
	taps     []int        // of each step, in planes
	strips   []gemm.Strip // the positions of a unit, in planes
	// The weights of a step and of an output channel, from the group's first on.
	steps, channels []int
}

func newCorrelation(m *machinery, from, to layout, groups int, p planes) *correlation {
	c := &correlation{m: m, from: from, to: to, groups: groups, in: from.shape.C / groups, out: to.shape.C / groups, planes: p}
	h, w := to.shape.H, to.shape.W
	c.images = 1
	for c.images < to.chunk && 2*c.images*h*w <= unitColumns {
		c.images *= 2
	}
	var cols []int
	for i := range c.images {
		for y := range h {
			for x := range w {
				cols = append(cols, i*p.size()+y*p.w+x)
			}
		}
	}
	c.strips = m.gemm.CutColumns(cols)
	return c
}

// reserve asks for the memory, when the taps are known.
func (c *correlation) reserve() {
	c.m.scratch.reserve(c.images*c.planes.size() + gemm.KC*c.m.gemm.NR())
	c.m.common.reserve(c.groups * c.packed())
}

// packed is the size of a group's packed weights.
func (c *correlation) packed() int { return c.m.gemm.Rows(c.out) * len(c.taps) }

// run computes the product for n images of x. bias may be nil.
func (c *correlation) run(n int, x, w, bias, y []float32) {
	k, rows, depth := c.m.gemm, c.m.gemm.Rows(c.out), len(c.taps)
	a := c.m.common.get(0, c.groups*c.packed())
	blocks := (depth + gemm.KC - 1) / gemm.KC
	c.m.each(c.groups*blocks, func(_, unit int) {
		g, l0 := unit/blocks, unit%blocks*gemm.KC
		l1 := min(l0+gemm.KC, depth)
		k.PackA(a[g*c.packed()+l0*rows:], w[g*c.in*c.out*c.kernelSize():], c.steps[l0:l1], c.channels)
	})
	c.m.each(c.units(n), func(worker, unit int) {
		first, images := c.unit(n, unit)
		size := c.planes.size()
		buf := c.m.scratch.get(worker, c.images*size+gemm.KC*k.NR())
		padded, strip := buf[:c.images*size], buf[c.images*size:]
		for g := range c.groups {
			for i := range images {
				for ch := range c.in {
					at := c.from.plane(first+i, g*c.in+ch)
					c.planes.fill(padded[i*size:], ch, x[at:at+c.from.shape.H*c.from.shape.W])
				}
			}
			c.multiply(a[g*c.packed():], padded, strip, first, images, g, bias, y)
		}
	})
}

// kernelSize is the number of weights of a pair of channels.
func (c *correlation) kernelSize() int { return len(c.taps) / c.in }

// multiply computes the outputs of a unit and a group.
func (c *correlation) multiply(a, padded, strip []float32, first, images, g int, bias, y []float32) {
	k, rows, depth := c.m.gemm, c.m.gemm.Rows(c.out), len(c.taps)
	n, stride := images*c.to.shape.H*c.to.shape.W, c.to.channelStride()
	y = y[c.to.plane(first, g*c.out):]
	if bias != nil {
		for o, b := range bias[g*c.out : (g+1)*c.out] {
			row := y[o*stride : o*stride+n]
			for i := range row {
				row[i] = b
			}
		}
	}
	for l0 := 0; l0 < depth; l0 += gemm.KC {
		l1 := min(l0+gemm.KC, depth)
		for s, j := 0, 0; j < n; s, j = s+1, j+k.NR() {
			k.PackB(strip, padded, c.taps[l0:l1], &c.strips[s])
			k.Multiply(l1-l0, a[l0*rows:], c.out, strip, min(k.NR(), n-j), y[j:], stride, bias != nil || l0 > 0)
		}
	}
}

// units returns the number of units for n images. A unit lies in one chunk.
func (c *correlation) units(n int) int {
	perChunk := (c.to.chunk + c.images - 1) / c.images
	full, rest := n/c.to.chunk, n%c.to.chunk
	return full*perChunk + (rest+c.images-1)/c.images
}

// unit returns the first image of a unit and their number.
func (c *correlation) unit(n, unit int) (first, images int) {
	perChunk := (c.to.chunk + c.images - 1) / c.images
	chunk := unit / perChunk * c.to.chunk
	first = chunk + unit%perChunk*c.images
	return first, min(first+c.images, chunk+c.to.chunk, n) - first
}

// convKernel computes a convolution, in groups.
type convKernel struct {
	forwards *correlation
	weights  *weightsGradient // nil when predicting
	data     *correlation     // the input's gradient with stride 1
	scatter  *scatter         // the input's gradient otherwise
}

func newConvKernel(m *machinery, l *model.Layer, in, out layout) *convKernel {
	groups := l.GroupCount()
	cin, cout := in.shape.C/groups, out.shape.C/groups
	size := l.Kernel * l.Kernel
	h, w := out.shape.H, out.shape.W
	p := newPlanes(cin, in.shape.H, in.shape.W, l.Stride, l.Pad, l.Kernel, h, w)
	c := newCorrelation(m, in, out, groups, p)
	for ch := range cin {
		for t := range size {
			c.taps = append(c.taps, p.at(ch, t/l.Kernel, t%l.Kernel))
		}
	}
	c.steps, c.channels = count(cin*size, 1), count(cout, cin*size)
	c.reserve()
	k := &convKernel{forwards: c}
	if !m.train {
		return k
	}
	k.weights = newWeightsGradient(m, l, in, out)
	if l.Stride != 1 {
		k.scatter = newScatter(c)
		return k
	}
	// What an input value gets is a convolution of the outputs' gradients with the
	// kernels turned by half, of all output channels.
	p = newPlanes(cout, h, w, 1, l.Kernel-1-l.Pad, l.Kernel, in.shape.H, in.shape.W)
	d := newCorrelation(m, out, in, groups, p)
	for ch := range cout {
		for t := range size {
			d.taps = append(d.taps, p.at(ch, l.Kernel-1-t/l.Kernel, l.Kernel-1-t%l.Kernel))
			d.steps = append(d.steps, ch*cin*size+t)
		}
	}
	d.channels = count(cin, size)
	d.reserve()
	k.data = d
	return k
}

func (k *convKernel) forward(c *call, t *buffers) { k.forwards.run(c.n, t.x, t.w, t.b, t.y) }

func (k *convKernel) backward(c *call, t *buffers) {
	k.weights.run(c.n, t)
	if t.dx == nil {
		return
	}
	c.split()
	if k.data != nil {
		k.data.run(c.n, t.dy, t.w, nil, t.dx)
	} else {
		k.scatter.run(c.n, t)
	}
}

// scatter computes the input's gradient of a convolution with a stride: the
// gradients of patches, as a product, are added to the padded maps (col2im).
type scatter struct {
	*correlation
	positions []gemm.Strip // of an image's outputs, in a map
	outputs   []int        // of each step, in dy
	taken     []int        // the weights of a step
}

// scatterColumns is how many output positions are multiplied before they are added,
// a multiple of every kernel's NR: the order of the sums must not depend on the kernel.
const scatterColumns = 32

func newScatter(c *correlation) *scatter {
	hw := c.to.shape.H * c.to.shape.W
	s := &scatter{correlation: c, positions: c.m.gemm.CutColumns(count(hw, 1)),
		outputs: count(c.out, c.to.channelStride()), taken: count(c.out, len(c.taps))}
	c.m.scratch.reserve(c.planes.size() + min(gemm.KC, c.out)*c.m.gemm.NR() + len(c.taps)*scatterColumns)
	c.m.common.reserve(c.groups * c.m.gemm.Rows(len(c.taps)) * c.out)
	return s
}

func (s *scatter) run(n int, t *buffers) {
	k, patch := s.m.gemm, len(s.taps)
	rows := k.Rows(patch)
	a := s.m.common.get(0, s.groups*rows*s.out)
	s.m.each(s.groups, func(_, g int) {
		for l := 0; l < s.out; l += gemm.KC {
			k.PackA(a[(g*s.out+l)*rows:], t.w[g*s.out*patch:], s.taken[l:min(l+gemm.KC, s.out)], s.steps)
		}
	})
	s.m.each(n, func(worker, image int) {
		padded := s.m.scratch.get(worker, s.m.scratch.size)[:s.planes.size()]
		for g := range s.groups {
			clear(padded)
			s.group(a[g*s.out*rows:], worker, t.dy[s.to.plane(image, g*s.out):])
			hw := s.from.shape.H * s.from.shape.W
			for ch := range s.in {
				at := s.from.plane(image, g*s.in+ch)
				s.planes.unfill(t.dx[at:at+hw], padded, ch)
			}
		}
	})
}

// group adds the gradients of a group's patches of an image to the padded maps.
func (s *scatter) group(a []float32, worker int, dy []float32) {
	k, patch, size := s.m.gemm, len(s.taps), s.planes.size()
	rows, nr := k.Rows(patch), k.NR()
	depth := min(gemm.KC, s.out)
	buf := s.m.scratch.get(worker, size+depth*nr+patch*scatterColumns)
	padded, strip, col := buf[:size], buf[size:size+depth*nr], buf[size+depth*nr:]
	hw := s.to.shape.H * s.to.shape.W
	for first := 0; first < hw; first += scatterColumns {
		columns := min(scatterColumns, hw-first)
		for j := 0; j < columns; j += nr {
			at := &s.positions[(first+j)/nr]
			for l := 0; l < s.out; l += gemm.KC {
				end := min(l+gemm.KC, s.out)
				k.PackB(strip, dy, s.outputs[l:end], at)
				k.Multiply(end-l, a[l*rows:], patch, strip, at.Columns(), col[j:], scatterColumns, l > 0)
			}
		}
		s.add(padded, col, first, columns)
	}
}

// add adds the gradients of the patches of some output positions to the maps.
func (s *scatter) add(padded, col []float32, first, columns int) {
	w := s.to.shape.W
	for p, tap := range s.taps {
		row := col[p*scatterColumns:][:columns]
		for j, v := range row {
			padded[tap+(first+j)/w*s.planes.w+(first+j)%w] += v
		}
	}
}

// passValues bounds the packed gradients of a pass, for a group, to what a
// second-level cache holds.
const passValues = 1 << 18

// weightsGradient computes the gradients of a convolution's weights and biases: the
// outputs' gradients times the patches, with the positions of all images as steps.
// A pass takes some images: they are packed, each by one worker, and then each
// worker adds to some of the sums, a strip of weights at a time. So a sum's terms
// are added in the order of the images by one worker.
type weightsGradient struct {
	m         *machinery
	in, out   layout
	groups    int
	cin, cout int
	images    int // of a pass
	pixels    pixels
	taps      []int        // of each weight of a kernel, in pixels' order of weights: the place in the usual order
	strips    []gemm.Strip // the weights of a kernel, in pixels
	positions []int        // the output positions of a pass, in pixels
	outputs   []int        // the same in a map
	channels  []int        // of a group's outputs, in dy
}

func newWeightsGradient(m *machinery, l *model.Layer, in, out layout) *weightsGradient {
	k := &weightsGradient{m: m, in: in, out: out, groups: l.GroupCount()}
	k.cin, k.cout = in.shape.C/k.groups, out.shape.C/k.groups
	h, w := out.shape.H, out.shape.W
	k.pixels = pixels{k.cin, in.shape.H, in.shape.W, l.Pad, (h-1)*l.Stride + l.Kernel, (w-1)*l.Stride + l.Kernel}
	k.images = 1
	for k.images < chunkImages && 2*k.images*h*w*k.cout <= passValues {
		k.images *= 2
	}
	var weights []int
	for t := range l.Kernel * l.Kernel {
		for c := range k.cin {
			weights = append(weights, k.pixels.at(c, t/l.Kernel, t%l.Kernel))
			k.taps = append(k.taps, c*l.Kernel*l.Kernel+t)
		}
	}
	k.strips = m.gemm.CutColumns(weights)
	for i := range k.images {
		for p := range h * w {
			k.positions = append(k.positions, (i*k.groups)*k.pixels.size()+k.pixels.at(0, p/w*l.Stride, p%w*l.Stride))
		}
	}
	k.outputs, k.channels = count(h*w, 1), count(k.cout, out.channelStride())
	m.scratch.reserve(gemm.KC * m.gemm.NR())
	m.common.reserve(k.size())
	return k
}

// size is the room for the sums, packed gradients and maps of a pass.
func (k *weightsGradient) size() int {
	return k.groups * (k.cout*len(k.taps) + k.m.gemm.Rows(k.cout)*len(k.positions) + k.images*k.pixels.size())
}

func (k *weightsGradient) run(n int, t *buffers) {
	buf := k.m.common.get(0, k.size())
	sums, buf := buf[:k.groups*k.cout*len(k.taps)], buf[k.groups*k.cout*len(k.taps):]
	split := k.groups * k.m.gemm.Rows(k.cout) * len(k.positions)
	a, maps := buf[:split], buf[split:]
	for first := 0; first < n; first += k.images {
		images := min(k.images, n-first)
		k.m.each(images*k.groups, func(_, unit int) { k.pack(a, maps, first, unit/k.groups, unit%k.groups, t) })
		k.m.each(k.groups*len(k.strips), func(worker, unit int) {
			k.multiply(sums, a, maps, worker, unit/len(k.strips), unit%len(k.strips), images, first > 0)
		})
	}
	k.m.each(k.out.shape.C, func(_, o int) {
		dw, from := t.dw[o*len(k.taps):(o+1)*len(k.taps)], sums[o*len(k.taps):]
		for i, at := range k.taps {
			dw[at] = from[i]
		}
		t.db[o] = 0
		for image := range n {
			t.db[o] += sum(t.dy[k.out.plane(image, o):][:k.out.shape.H*k.out.shape.W])
		}
	})
}

// pack packs a pass's image, of a group. The steps of a pass go on from one image to
// the next, and blocks of them may begin anywhere: so the rows of a panel are packed
// for all steps of the image, behind each other.
func (k *weightsGradient) pack(a, maps []float32, first, image, g int, t *buffers) {
	hw, size := k.in.shape.H*k.in.shape.W, k.pixels.size()
	for c := range k.cin {
		at := k.in.plane(first+image, g*k.cin+c)
		k.pixels.fill(maps[(image*k.groups+g)*size:][:size], c, t.x[at:at+hw])
	}
	rows, steps := k.m.gemm.Rows(k.cout), len(k.outputs)
	for l := 0; l < steps; l += gemm.KC {
		k.m.gemm.PackA(a[((image*k.groups+g)*steps+l)*rows:], t.dy[k.out.plane(first+image, g*k.cout):],
			k.outputs[l:min(l+gemm.KC, steps)], k.channels)
	}
}

// multiply adds a pass's share to the sums of a strip of weights.
func (k *weightsGradient) multiply(sums, a, maps []float32, worker, g, strip, images int, add bool) {
	mul, steps := k.m.gemm, len(k.outputs)
	rows, nr := mul.Rows(k.cout), mul.NR()
	b := k.m.scratch.get(worker, gemm.KC*nr)
	s := &k.strips[strip]
	c := sums[g*k.cout*len(k.taps)+strip*nr:]
	for image := range images {
		for l := 0; l < steps; l += gemm.KC {
			end := min(l+gemm.KC, steps)
			mul.PackB(b, maps[g*k.pixels.size():], k.positions[image*steps:][l:end], s)
			mul.Multiply(end-l, a[((image*k.groups+g)*steps+l)*rows:], k.cout, b, s.Columns(), c, len(k.taps), add || image > 0 || l > 0)
		}
	}
}

// sum adds up a row, in eight interleaved partial sums.
func sum(x []float32) float32 {
	var s [8]float32
	for len(x) >= 8 {
		for i, v := range (*[8]float32)(x) {
			s[i] += v
		}
		x = x[8:]
	}
	for _, v := range x {
		s[0] += v
	}
	return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
}
