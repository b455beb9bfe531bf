// Package half has kernels on bfloat16, for what oneDNN does less well than memory
// would allow: local response normalisation with channels last (the paper's section
// 3.3), and the folding of images.
//
// A bfloat16 is the upper half of a float32, rounded to nearest, ties to even, and is
// kept in a uint16. The kernels compute in float32. Those of a processor with AVX-512
// and the plain ones may differ by a unit in the last place of a bfloat16.
package half

import "math"

// Round rounds to bfloat16. A NaN stays one.
func Round(v float32) uint16 {
	b := math.Float32bits(v)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// Widen returns the value of a bfloat16.
func Widen(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// Finite reports whether all values are numbers and finite.
func Finite(values []uint16) bool {
	const exponent = 0x7f80
	for _, v := range values {
		if v&exponent == exponent {
			return false
		}
	}
	return true
}

// FoldRow rounds a row of pixels and deals them out: stride of them to each of blocks,
// which begin channels values apart in dst. The first block begins pad pixels before
// the row; where there are no pixels, the values are 0.
func FoldRow(dst []uint16, row []float32, pad, stride, channels, blocks int) {
	// Blocks from first to end lie within the row.
	first := min((pad+stride-1)/stride, blocks)
	end := max(first, min((len(row)+pad)/stride, blocks))
	done := first
	if stride == foldStride && first < end {
		done += foldVector(dst[first*channels:], row[first*stride-pad:], end-first, channels)
	}
	for b := done; b < end; b++ {
		d, s := dst[b*channels:][:stride], row[b*stride-pad:][:stride]
		for i, v := range s {
			d[i] = Round(v)
		}
	}
	edge := func(from, to int) {
		for b := from; b < to; b++ {
			for i := range stride {
				d := uint16(0)
				if p := b*stride - pad + i; p >= 0 && p < len(row) {
					d = Round(row[p])
				}
				dst[b*channels+i] = d
			}
		}
	}
	edge(0, first)
	edge(end, blocks)
}

// foldStride is the stride of foldVector, which does blocks of a multiple of foldGroup.
const foldStride, foldGroup = 4, 4
