package cpu

// The column matrix of a convolution (im2col) has a row for every weight of a
// group's kernels, and a column for every output position of a tile: the input
// value that the weight meets there, or 0 in the padding.

// span is, for one column kx of the kernel, the output columns [from, to) whose
// input column lies inside of the input, and the input column of the first.
type span struct {
	from, to, input int
}

// span returns the span of column kx of the kernel.
func (k *convKernel) span(kx int) span {
	w, width := k.out.shape.W, k.in.shape.W
	s := span{to: w, input: kx - k.pad} // input column of output column 0
	if s.input < 0 {
		s.from = (-s.input + k.stride - 1) / k.stride
	}
	if last := width - 1 - s.input; last < 0 {
		s.to = 0
	} else {
		s.to = min(w, last/k.stride+1)
	}
	if s.from >= s.to {
		return span{}
	}
	s.input += s.from * k.stride
	return s
}

// eachPatchRow visits the rows of a tile's column matrix of group g piece by piece,
// a piece for each output row: f gets the piece's offset in col, the offset in the
// input of the first value that it takes, or -1 if its input row is padding, and
// its span.
func (k *convKernel) eachPatchRow(tl tile, g int, f func(col, input int, s span)) {
	w, height := k.out.shape.W, k.in.shape.H
	p := 0
	for c := g * k.cin; c < (g+1)*k.cin; c++ {
		for ky := range k.kernel {
			for _, s := range k.spans {
				col := p * k.ld
				p++
				for i := range tl.images {
					plane := k.in.plane(tl.image+i, c)
					for y := tl.y0; y < tl.y1; y++ {
						input := -1
						if iy := y*k.stride + ky - k.pad; iy >= 0 && iy < height {
							input = plane + iy*k.in.shape.W + s.input
						}
						f(col, input, s)
						col += w
					}
				}
			}
		}
	}
}

// gatherPatches fills col with the patches of a tile (im2col).
func (k *convKernel) gatherPatches(col, x []float32, tl tile, g int) {
	if k.same {
		k.eachShifted(tl, g, func(row []float32, plane int, s shift) {
			clear(row[:s.from])
			copy(row[s.from:s.to], x[plane+s.input:])
			clear(row[s.to:])
			s.clearEdges(row, k.out.shape.W)
		}, col)
		return
	}
	w := k.out.shape.W
	k.eachPatchRow(tl, g, func(at, input int, s span) {
		dst := col[at : at+w]
		if input < 0 || s.from == s.to {
			clear(dst)
			return
		}
		clear(dst[:s.from])
		clear(dst[s.to:])
		if k.stride == 1 {
			copy(dst[s.from:s.to], x[input:])
			return
		}
		dst = dst[s.from:s.to]
		src := x[input : input+(len(dst)-1)*k.stride+1]
		for i, j := 0, 0; i < len(dst) && j < len(src); i, j = i+1, j+k.stride {
			dst[i] = src[j]
		}
	})
}

// scatterPatches adds the patches' gradients in col to the input's (col2im).
func (k *convKernel) scatterPatches(dx, col []float32, tl tile, g int) {
	if k.same {
		k.eachShifted(tl, g, func(row []float32, plane int, s shift) {
			s.clearEdges(row, k.out.shape.W)
			axpy(1, row[s.from:s.to], dx[plane+s.input:][:s.to-s.from])
		}, col)
		return
	}
	k.eachPatchRow(tl, g, func(at, input int, s span) {
		if input < 0 || s.from == s.to {
			return
		}
		src := col[at+s.from : at+s.to]
		dst := dx[input : input+(len(src)-1)*k.stride+1]
		if k.stride == 1 && len(dst) == len(src) {
			for i, v := range src {
				dst[i] += v
			}
			return
		}
		for i, j := 0, 0; i < len(src) && j < len(dst); i, j = i+1, j+k.stride {
			dst[j] += src[i]
		}
	})
}

// shift says how a row of the column matrix is taken from an input plane as a whole
// where both have the same size: as the plane moved by some rows and columns. The
// values [from, to) of the row are those from input on; the columns that moved in
// from the row above or below are padding.
type shift struct {
	from, to, input int
	columns         int // the input column of output column 0
}

// clearEdges zeroes the columns of the row, of width w, that are padding.
func (s shift) clearEdges(row []float32, w int) {
	for c := range min(-s.columns, w) {
		for i := c; i < len(row); i += w {
			row[i] = 0
		}
	}
	for c := max(w-s.columns, 0); c < w; c++ {
		for i := c; i < len(row); i += w {
			row[i] = 0
		}
	}
}

// eachShifted visits a tile's column matrix of group g in pieces of one row and one
// image: f gets the piece, the offset of the input plane, and the shift.
func (k *convKernel) eachShifted(tl tile, g int, f func(row []float32, plane int, s shift), col []float32) {
	w, size := k.in.shape.W, k.in.shape.H*k.in.shape.W
	first, n := tl.y0*w, (tl.y1-tl.y0)*w
	p := 0
	for c := g * k.cin; c < (g+1)*k.cin; c++ {
		for ky := range k.kernel {
			for kx := range k.kernel {
				s := shift{columns: kx - k.pad}
				by := (ky-k.pad)*w + s.columns // input position of output position 0
				s.from = min(max(-by-first, 0), n)
				s.to = max(min(size-by-first, n), s.from)
				s.input = min(max(first+by+s.from, 0), size)
				for i := range tl.images {
					f(col[p*k.ld+i*n:][:n], k.in.plane(tl.image+i, c), s)
				}
				p++
			}
		}
	}
}
