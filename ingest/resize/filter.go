package resize

import (
	"fmt"
	"math/bits"
)

// Filter says how the input samples under an output sample are weighted. All
// are antialiased: they widen with the factor by which the picture shrinks, as
// Pillow's do.
type Filter int

// The filters. Lengths are in output pixels when the picture shrinks, in input
// pixels when it grows.
const (
	// Triangle falls linearly to zero at distance 1: Pillow's BILINEAR,
	// torchvision's bilinear with antialias=True.
	Triangle Filter = iota
	// Box is the plain mean of the samples within half a pixel: Pillow's BOX.
	Box
	// Bicubic is Keys' cubic with a = -1/2, which reaches to distance 2 and is
	// negative beyond 1: Pillow's BICUBIC.
	Bicubic
)

// String returns the name of the filter, as ParseFilter takes it.
func (f Filter) String() string {
	switch f {
	case Box:
		return "box"
	case Bicubic:
		return "bicubic"
	}
	return "triangle"
}

// ParseFilter returns the filter of a name: triangle, box or bicubic.
func ParseFilter(name string) (Filter, error) {
	for _, f := range []Filter{Triangle, Box, Bicubic} {
		if f.String() == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("resize: the filter %q is not known; triangle, box and bicubic are", name)
}

// reach returns how far the filter goes when unit is the length 1.
func (f Filter) reach(unit int64) int64 {
	switch f {
	case Box:
		return unit / 2 // unit is even
	case Bicubic:
		return 2 * unit
	}
	return unit
}

// height is the filter at the signed distance d from its centre, in units of
// its own. Integers throughout: the same on all machines.
func (f Filter) height(d, unit int64) int64 {
	switch f {
	case Box: // the right edge is within, the left is not
		if -unit < 2*d && 2*d <= unit {
			return 1
		}
		return 0
	case Bicubic:
		return cubic(abs(d), unit)
	}
	return max(0, unit-abs(d))
}

// cubic is Keys' kernel times a constant that is at most 2^25. The cubes need
// d and the unit cut to 18 bits, which still places a sample to within 2^-17 of
// the filter's width.
func cubic(d, unit int64) int64 {
	if cut := bits.Len64(uint64(unit)) - 18; cut > 0 {
		d, unit = d>>cut, unit>>cut
	}
	var v int64
	switch {
	case d < unit:
		v = 3*d*d*d - 5*d*d*unit + 2*unit*unit*unit
	case d < 2*unit:
		v = -d*d*d + 5*d*d*unit - 8*d*unit*unit + 4*unit*unit*unit
	}
	if cut := 3*bits.Len64(uint64(unit)) - 24; cut > 0 {
		v >>= cut
	}
	return v
}

// Weights are 16-bit integers with as many fractional bits as their largest
// allows, between minBits, where 1 fits with some of the cubic's overshoot, and
// maxBits, where a sum of weighted samples still fits into 31 bits.
const (
	minBits = 14
	maxBits = 22
)

// axis says, for a run of output positions along one axis, which input samples
// each is made of.
type axis struct {
	bits   int // fractional bits of the weights
	taps   []tap
	values []int16 // weights of all taps, one after the other

	// The same for the vector kernels, which weight two neighbours at once.
	pairs   []uint32 // two weights: the first in the low half
	offsets []int32  // across: where a position's samples begin in the band, in bytes
	width   int      // across: pairs of every position
	starts  []int32  // down: where a position's pairs begin; one more than positions
}

// tap is one output sample: the input samples from..from+n, weighted by
// values[at..at+n], which sum to exactly 1<<bits.
type tap struct{ from, n, at int }

// newAxis makes the table for output positions first..first+n of an axis that
// is scaled from in samples to out.
//
// In units of 1/(2 in out) of the axis, the centre of input sample x lies at
// (2x+1)*out and that of output i at (2i+1)*in, and the filter's length 1 is
// 2*max(in, out). The largest terms, (2i+1)*in with out = 65500*4096, stay below
// 2^46.
func newAxis(f Filter, in, out, first, n int) *axis {
	a := &axis{bits: maxBits}
	unit := 2 * int64(max(in, out))
	pitch := 2 * int64(out) // between input centres
	var heights, sums []int64
	for i := first; i < first+n; i++ {
		centre := (2*int64(i) + 1) * int64(in)
		reach := f.reach(unit)
		x := max(0, (centre-reach-int64(out))/pitch) // none before it is within reach
		tp := tap{from: int(x), at: len(heights)}
		sum, top := int64(0), int64(0)
		for ; x < int64(in); x++ {
			d := (2*x+1)*int64(out) - centre
			if d > reach {
				break
			}
			h := f.height(d, unit)
			if h == 0 && len(heights) == tp.at {
				tp.from++ // nothing yet
				continue
			}
			heights = append(heights, h)
			sum, top = sum+h, max(top, abs(h))
		}
		for heights[len(heights)-1] == 0 {
			heights = heights[:len(heights)-1]
		}
		tp.n = len(heights) - tp.at
		a.taps, sums = append(a.taps, tp), append(sums, sum)
		for a.bits > minBits && top<<a.bits/sum >= 1<<15-1 {
			a.bits--
		}
	}
	a.values = make([]int16, len(heights))
	for i, tp := range a.taps {
		quantize(a.values[tp.at:][:tp.n], heights[tp.at:], sums[i], a.bits)
	}
	return a
}

// quantize turns heights into weights. Rounding the running sums, not the
// weights, keeps the total exact and every weight within one unit.
func quantize(weights []int16, heights []int64, sum int64, bits int) {
	run, before := int64(0), int64(0)
	for k := range weights {
		run += heights[k]
		after := floorDiv(run<<bits+sum/2, sum)
		weights[k] = int16(after - before)
		before = after
	}
}

// span returns the range of input samples that the table refers to. A cubic may
// be zero just where it begins, so the first position need not begin first.
func (a *axis) span() (from, to int) {
	from = a.taps[0].from
	for _, tp := range a.taps {
		from, to = min(from, tp.from), max(to, tp.from+tp.n)
	}
	return from, to
}

// packAcross prepares the table for the kernel that filters rows: pairs begin at
// even distances from the first sample, every position has as many of them, and
// the number of positions is a multiple of 16; those that are too many repeat
// the last.
func (a *axis) packAcross() {
	left, _ := a.span()
	for _, tp := range a.taps {
		a.width = max(a.width, ((tp.from-left)&1+tp.n+1)/2)
	}
	for i := range (len(a.taps) + bandRows - 1) &^ (bandRows - 1) {
		tp := a.taps[min(i, len(a.taps)-1)]
		odd := (tp.from - left) & 1
		at := len(a.pairs)
		a.pairs = append(a.pairs, make([]uint32, a.width)...)
		for k, v := range a.values[tp.at:][:tp.n] {
			a.pairs[at+(k+odd)/2] |= uint32(uint16(v)) << (16 * ((k + odd) & 1))
		}
		a.offsets = append(a.offsets, int32((tp.from-left)/2*pairBytes))
	}
}

// packDown prepares the table for the kernel that filters columns.
func (a *axis) packDown() {
	for _, tp := range a.taps {
		a.starts = append(a.starts, int32(len(a.pairs)))
		for k, v := range a.values[tp.at:][:tp.n] {
			if k&1 == 0 {
				a.pairs = append(a.pairs, uint32(uint16(v)))
			} else {
				a.pairs[len(a.pairs)-1] |= uint32(uint16(v)) << 16
			}
		}
	}
	a.starts = append(a.starts, int32(len(a.pairs)))
}

func abs(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}

// floorDiv divides and rounds down; b is positive.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
