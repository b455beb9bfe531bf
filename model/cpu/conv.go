package cpu

import "alexnet/model"

// gradientLanes is the number of partial sums of a convolution's weight gradient.
// Unit u of the work adds to lane u % gradientLanes, a lane's units run in order,
// and the lanes are added up in order: so the gradient does not depend on the
// number of threads.
const gradientLanes = 16

// convKernel computes a convolution, in groups, as a product of matrices: the
// weights of a group times the columns (im2col) of the input's patches.
type convKernel struct {
	m              *machinery
	in, out        layout
	groups, stride int
	pad, kernel    int

	cin, cout int // channels of one group
	patch     int // values in a patch of one group: cin * kernel * kernel
	images    int // images of a unit: as many as make a row of about columnBlock
	rows      int // output rows of a tile; all of them if images > 1
	ld        int // distance between rows of the column matrix
	spans     []span
	same      bool // stride 1, and output planes as large as the input's: see shifted
}

func newConvKernel(m *machinery, l *model.Layer, in, out layout) *convKernel {
	k := &convKernel{m: m, in: in, out: out, groups: l.GroupCount(), stride: l.Stride, pad: l.Pad, kernel: l.Kernel}
	k.cin, k.cout = in.shape.C/k.groups, out.shape.C/k.groups
	k.patch = k.cin * l.Kernel * l.Kernel
	h, pixels := out.shape.H, out.shape.H*out.shape.W
	k.images, k.rows = 1, h
	for k.images < chunkImages && 2*k.images*pixels <= columnBlock {
		k.images *= 2
	}
	if pixels > columnBlock {
		tiles := (pixels + columnBlock - 1) / columnBlock
		k.rows = (h + tiles - 1) / tiles
	}
	k.ld = roundUp(k.images * k.rows * out.shape.W)
	for kx := range l.Kernel {
		k.spans = append(k.spans, k.span(kx))
	}
	k.same = l.Stride == 1 && in.shape.H == h && in.shape.W == out.shape.W
	m.scratch.reserve(k.patch * k.ld)
	if m.train {
		m.lanes.reserve(gradientLanes * k.laneSize())
	}
	return k
}

// laneSize is the room of one lane: weights and biases, a multiple of four.
func (k *convKernel) laneSize() int {
	return roundUp(k.out.shape.C*k.patch) + roundUp(k.out.shape.C)
}

// tile is a part of the work: output rows y0 to y1 of images image to image+images,
// which lie in one chunk.
type tile struct {
	image, images int
	y0, y1        int
}

// columns returns the number of output positions of the tile.
func (k *convKernel) columns(t tile) int { return t.images * (t.y1 - t.y0) * k.out.shape.W }

// outRow returns where a channel's output positions of the tile begin.
func (k *convKernel) outRow(t tile, channel int) int {
	return k.out.plane(t.image, channel) + t.y0*k.out.shape.W
}

// units returns the number of units for n images. A unit is whole images.
func (k *convKernel) units(n int) int {
	perChunk := (k.out.chunk + k.images - 1) / k.images
	full, rest := n/k.out.chunk, n%k.out.chunk
	return full*perChunk + (rest+k.images-1)/k.images
}

// tiles calls f for the tiles of a unit.
func (k *convKernel) tiles(n, unit int, f func(t tile)) {
	perChunk := (k.out.chunk + k.images - 1) / k.images
	first := unit/perChunk*k.out.chunk + unit%perChunk*k.images
	end := min(first+k.images, (unit/perChunk+1)*k.out.chunk, n)
	for y := 0; y < k.out.shape.H; y += k.rows {
		f(tile{image: first, images: end - first, y0: y, y1: min(y+k.rows, k.out.shape.H)})
	}
}

func (k *convKernel) forward(c *call, t *buffers) {
	k.m.each(k.units(c.n), func(worker, unit int) {
		col := k.m.scratch.get(worker, k.patch*k.ld)
		k.tiles(c.n, unit, func(tl tile) {
			for g := range k.groups {
				k.gatherPatches(col, t.x, tl, g)
				k.forwardTile(col, t, tl, g)
			}
		})
	})
}

// forwardTile multiplies a group's weights with the patches of a tile.
func (k *convKernel) forwardTile(col []float32, t *buffers, tl tile, g int) {
	n, stride := k.columns(tl), k.out.channelStride()
	first := g * k.cout
	y := t.y[k.outRow(tl, first):]
	for o := range k.cout {
		row, bias := y[o*stride:o*stride+n], t.b[first+o]
		for i := range row {
			row[i] = bias
		}
	}
	addProduct(k.cout, n, k.patch, t.w[first*k.patch:], k.patch, 1, col, k.ld, y, stride)
}

func (k *convKernel) backward(c *call, t *buffers) {
	units := k.units(c.n)
	lanes := k.m.lanes.get(0, gradientLanes*k.laneSize())
	used := min(gradientLanes, units)
	k.m.each(used, func(worker, l int) {
		col := k.m.scratch.get(worker, k.patch*k.ld)
		lane := lanes[l*k.laneSize() : (l+1)*k.laneSize()]
		clear(lane)
		for unit := l; unit < units; unit += gradientLanes {
			first := true
			k.tiles(c.n, unit, func(tl tile) {
				if t.dx != nil && first {
					k.clearInput(t.dx, tl)
					first = false
				}
				for g := range k.groups {
					k.gatherPatches(col, t.x, tl, g)
					k.backwardWeights(col, t, tl, g, lane)
					if t.dx != nil {
						k.backwardData(col, t, tl, g)
					}
				}
			})
		}
	})
	k.sumLanes(lanes, used, t)
}

// backwardWeights adds a tile's share of the gradients of a group's weights and
// biases to a lane.
func (k *convKernel) backwardWeights(col []float32, t *buffers, tl tile, g int, lane []float32) {
	n, stride := k.columns(tl), k.out.channelStride()
	first := g * k.cout
	dy := t.dy[k.outRow(tl, first):]
	addProductNT(k.cout, k.patch, n, dy, stride, col, k.ld, lane[first*k.patch:], k.patch)
	db := lane[roundUp(k.out.shape.C*k.patch):]
	for o := range k.cout {
		db[first+o] += sum(dy[o*stride : o*stride+n])
	}
}

// backwardData adds a tile's share of a group's input gradient. It overwrites col.
func (k *convKernel) backwardData(col []float32, t *buffers, tl tile, g int) {
	n := k.columns(tl)
	first := g * k.cout
	for p := range k.patch {
		clear(col[p*k.ld : p*k.ld+n])
	}
	addProduct(k.patch, n, k.cout, t.w[first*k.patch:], 1, k.patch,
		t.dy[k.outRow(tl, first):], k.out.channelStride(), col, k.ld)
	k.scatterPatches(t.dx, col, tl, g)
}

// sumLanes adds the used lanes up, in order.
func (k *convKernel) sumLanes(lanes []float32, used int, t *buffers) {
	size := k.laneSize()
	add := func(dst []float32, offset int) {
		copy(dst, lanes[offset:offset+len(dst)])
		for l := 1; l < used; l++ {
			o := l*size + offset
			axpy(1, lanes[o:o+len(dst)], dst)
		}
	}
	const block = 1 << 12
	k.m.each((len(t.dw)+block-1)/block, func(_, unit int) {
		add(t.dw[unit*block:min((unit+1)*block, len(t.dw))], unit*block)
	})
	add(t.db, roundUp(k.out.shape.C*k.patch))
}

// clearInput zeroes the input gradient of a tile's images.
func (k *convKernel) clearInput(dx []float32, tl tile) {
	hw := k.in.shape.H * k.in.shape.W
	for i := range tl.images {
		for c := range k.in.shape.C {
			p := k.in.plane(tl.image+i, c)
			clear(dx[p : p+hw])
		}
	}
}
