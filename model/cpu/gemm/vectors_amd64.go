//go:build amd64 && !noasm && !purego

package gemm

import "golang.org/x/sys/cpu"

//go:generate sh -c "cd _gen && go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg gemm"

// processor says what this one has.
func processor() instructions {
	switch x := &cpu.X86; {
	case !x.HasAVX2 || !x.HasFMA:
		return plain
	case x.HasAVX512F:
		return avx512
	}
	return avx2
}

// tile runs the micro-kernel on a whole tile. The caller has checked the sizes.
func (k Kernel) tile(kc int, a, b, c []float32, ldc int, add bool) {
	adding := 0
	if add {
		adding = 1
	}
	switch k.has {
	case avx512:
		tile12x32AVX512(kc, &a[0], &b[0], &c[0], ldc, adding)
	case avx2:
		tile6x16AVX2(kc, &a[0], &b[0], &c[0], ldc, adding)
	default:
		tilePlain(k.MR(), k.NR(), kc, a, b, c, ldc, add)
	}
}

// packRuns packs a strip of B, 16 columns at a time. The caller has checked the
// sizes.
func packRuns(dst []float32, nr int, src []float32, rows []int, groups []group) {
	for g := 0; g < len(groups); g += 2 {
		packRunsAVX2(&dst[8*g], nr, &src[0], &rows[0], len(rows), &groups[g].at[0])
	}
}
