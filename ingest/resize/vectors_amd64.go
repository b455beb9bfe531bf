//go:build amd64 && !noasm && !purego

package resize

import "golang.org/x/sys/cpu"

//go:generate sh -c "cd _gen && go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg resize"

// vectors chooses among the vector kernels.
type vectors struct{ set instructions }

// instructions are what the processor has.
type instructions int

const (
	unknown instructions = iota
	none                 // the plain kernels
	avx2
	avx512
)

// detect looks at the processor, once.
func (v *vectors) detect() {
	switch {
	case v.set != unknown:
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW:
		v.set = avx512
	case cpu.X86.HasAVX2:
		v.set = avx2
	default:
		v.set = none
	}
}

// can says whether there are kernels for a square of that size from so many rows.
func (v *vectors) can(size, rows int) bool {
	return v.set >= avx2 && size >= 32 && rows >= bandRows
}

// pairs sets out a band's samples; src begins with its first.
func (v *vectors) pairs(dst []uint32, src []uint8, pitch, columns int) {
	_, _ = dst[(columns+3)/4*2*pairBytes/4-1], src[(bandRows-1)*pitch+3*((columns+3)&^3)+3]
	if v.set == avx512 {
		pairsAVX512(&dst[0], &src[0], pitch, columns)
	} else {
		pairsAVX2(&dst[0], &src[0], pitch, columns)
	}
}

// across filters a band to positions groups of four samples.
func (v *vectors) across(dst, band []uint32, a *axis, positions int) {
	_, _, _ = dst[3*positions*bandRows/4-1], a.offsets[positions-1], a.pairs[positions*a.width-1]
	_ = band[int(a.offsets[positions-1])/4+a.width*pairBytes/4-1]
	if v.set == avx512 {
		acrossAVX512(&dst[0], &band[0], &a.offsets[0], &a.pairs[0], positions, a.width, a.bits, positions*bandRows)
	} else {
		acrossAVX2(&dst[0], &band[0], &a.offsets[0], &a.pairs[0], positions, a.width, a.bits, positions*bandRows)
	}
}

// rows puts groups of four samples back into rows, stride apart.
func (v *vectors) rows(dst []uint8, groups []uint32, stride int) {
	_, _ = dst[bandRows*stride-1], groups[stride*bandRows/4-1]
	if v.set == avx512 {
		rowsAVX512(&dst[0], stride, &groups[0], stride)
	} else {
		rowsAVX2(&dst[0], stride, &groups[0], stride)
	}
}

// down filters columns: dst gets one row from pairs of rows, stride apart.
func (v *vectors) down(dst, rows []uint8, stride int, pairs []uint32, bits int) {
	_ = rows[(2*len(pairs)-1)*stride+len(dst)-1]
	if v.set == avx512 {
		downAVX512(&dst[0], &rows[0], stride, &pairs[0], len(pairs), bits, len(dst))
	} else {
		downAVX2(&dst[0], &rows[0], stride, &pairs[0], len(pairs), bits, len(dst))
	}
}
