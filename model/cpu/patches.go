package cpu

// planes is a copy of some channels' maps with zeros around them, so that the
// patches of a convolution lie whole inside of it and no tap must be checked. With a
// stride, each map is cut into stride x stride phases: the positions with the same
// remainders. Then a step from one output position to the next is one value, and the
// patches of a row of outputs, tap by tap, are rows of values (im2col).
type planes struct {
	channels      int
	height, width int // of a map
	stride, pad   int // pad rows and columns of zeros come first; if negative, some of the map are left out
	h, w          int // of a phase
}

// newPlanes makes the planes for outputs of h x w, with a kernel of the given size.
func newPlanes(channels, height, width, stride, pad, kernel, h, w int) planes {
	more := (kernel - 1) / stride
	return planes{channels, height, width, stride, pad, h + more, w + more}
}

func (p *planes) size() int { return p.channels * p.stride * p.stride * p.h * p.w }

// at returns the offset of a position, counted with the zeros. It is additive: that
// of an output position's tap is at(0, oy*stride, ox*stride) + at(c, ky, kx).
func (p *planes) at(c, y, x int) int {
	s := p.stride
	return (((c*s+y%s)*s+x%s)*p.h+y/s)*p.w + x/s
}

// eachRow calls f for every row of every phase: its offset, the map's row that it
// comes from, if there is one, with the first column, and the part [from, to) of the
// row that lies inside of the map. The rest is zeros.
func (p *planes) eachRow(f func(row, iy, ix, from, to int)) {
	s := p.stride
	for py := range s {
		for px := range s {
			ix := px - p.pad
			from := min(max((-ix+s-1)/s, 0), p.w)
			to := max(min((p.width-ix+s-1)/s, p.w), from)
			for y := range p.h {
				row, iy := ((py*s+px)*p.h+y)*p.w, y*s+py-p.pad
				if iy < 0 || iy >= p.height || from == to {
					f(row, 0, 0, 0, 0)
				} else {
					f(row, iy, ix+from*s, from, to)
				}
			}
		}
	}
}

// fill copies a map to channel c.
func (p *planes) fill(dst []float32, c int, src []float32) {
	s := p.stride
	size := s * s * p.h * p.w
	dst = dst[c*size : (c+1)*size]
	p.eachRow(func(at, iy, ix, from, to int) {
		row := dst[at : at+p.w]
		clear(row[:from])
		clear(row[to:])
		row = row[from:to]
		if len(row) == 0 {
			return
		}
		in := src[iy*p.width+ix : (iy+1)*p.width]
		if s == 1 {
			copy(row, in)
			return
		}
		for i := range row {
			row[i] = in[i*s]
		}
	})
}

// unfill is the opposite of fill: it copies what lies inside of the map back.
func (p *planes) unfill(dst, src []float32, c int) {
	s := p.stride
	size := s * s * p.h * p.w
	src = src[c*size : (c+1)*size]
	clear(dst)
	p.eachRow(func(at, iy, ix, from, to int) {
		if from == to {
			return
		}
		out := dst[iy*p.width+ix : (iy+1)*p.width]
		for i, v := range src[at+from : at+to] {
			out[i*s] = v
		}
	})
}

// pixels is the same copy with the channels of a position side by side, as the
// weights' gradient reads it: there the taps of a row of a kernel are a row of
// values, and one position after the other is taken.
type pixels struct {
	channels      int
	height, width int
	pad           int
	h, w          int // with the zeros
}

func (p *pixels) size() int { return p.h * p.w * p.channels }

func (p *pixels) at(c, y, x int) int { return (y*p.w+x)*p.channels + c }

// fill copies a map to channel c.
func (p *pixels) fill(dst []float32, c int, src []float32) {
	from := min(p.pad, p.w)
	to := max(min(p.width+p.pad, p.w), from)
	for y := range p.h {
		row := dst[y*p.w*p.channels+c:]
		iy := y - p.pad
		if iy < 0 || iy >= p.height {
			for x := range p.w {
				row[x*p.channels] = 0
			}
			continue
		}
		for x := range from {
			row[x*p.channels] = 0
		}
		in := src[iy*p.width:][:to-from]
		at := from * p.channels
		for _, v := range in {
			row[at] = v
			at += p.channels
		}
		for x := to; x < p.w; x++ {
			row[x*p.channels] = 0
		}
	}
}

// count returns n numbers from 0 on, step apart.
func count(n, step int) []int {
	ns := make([]int, n)
	for i := range ns {
		ns[i] = i * step
	}
	return ns
}
