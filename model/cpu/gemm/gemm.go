// Package gemm multiplies matrices of float32: the inner loops of a product as
// Goto and BLIS build it (Goto and van de Geijn, Anatomy of high-performance matrix
// multiplication, 2008; Van Zee and van de Geijn, BLIS, 2015), without the outer
// ones.
//
// A micro-kernel keeps a tile of mr x nr sums in registers and takes kc steps, each
// with a column of mr values of A and a row of nr values of B. Both are packed
// before, so that they lie in the order in which they are used: A in panels of mr
// rows, B in strips of nr columns. A strip of kc x nr stays in the first-level
// cache while the panels of A, mc rows in all, come from the second:
//
//	for each block of kc of the inner dimension
//	    for each strip of nr columns (BLIS's nc is nr here)
//	        pack the strip                                        PackB
//	        for each panel of mr of mc rows                       Multiply
//	            the micro-kernel: c[mr x nr] += a[mr x kc] * b[kc x nr]
//
// The three outer loops are the caller's, who knows what A and B are: packing takes
// element (r, c) of a matrix from src[rows[r]+cols[c]], which covers matrices, their
// transposes, and the patches of a convolution (im2col) in feature maps with
// padding. So no column matrix is ever written but the strip in the cache.
//
// A product of kc steps is one chain of operations for each element, in order, and
// does not depend on what else is in the tile: results are the same bit for bit
// however a matrix is cut into rows and columns, and, as long as kc is, for all
// kernels with fused multiply-adds (AVX2 and AVX-512 here). The plain kernel's differ
// in the last bits where Go does not fuse.
package gemm

import "slices"

// KC is the largest number of steps that callers should take at once: 256 steps of
// a strip of 32 columns fill 32 KiB. Results depend on it.
const KC = 256

// instructions are what a kernel uses.
type instructions int

const (
	plain instructions = iota
	avx2               // and FMA
	avx512
)

// Kernel is a micro-kernel and its way of packing. It is immutable, and safe for
// concurrent use; the zero value is the plain one.
type Kernel struct{ has instructions }

// Best returns the fastest kernel that this processor runs.
func Best() Kernel {
	all := Kernels()
	return all[len(all)-1]
}

// Kernels returns all kernels that this processor runs, the slowest first.
func Kernels() []Kernel {
	var all []Kernel
	for has := plain; has <= processor(); has++ {
		all = append(all, Kernel{has})
	}
	return all
}

// String names the instructions.
func (k Kernel) String() string { return [...]string{"plain Go", "AVX2", "AVX-512"}[k.has] }

// MR is the number of rows of a panel of A.
func (k Kernel) MR() int { return [...]int{4, 6, 12}[k.has] }

// NR is the number of columns of a strip of B, a multiple of 16.
func (k Kernel) NR() int { return [...]int{16, 16, 32}[k.has] }

const (
	maxMR = 12
	maxNR = 32
)

// Rows returns m rounded up to whole panels: m rows of kc steps, packed, take
// Rows(m)*kc values.
func (k Kernel) Rows(m int) int { return (m + k.MR() - 1) / k.MR() * k.MR() }

// Strips returns the number of strips of n columns; each takes kc*NR() values.
func (k Kernel) Strips(n int) int { return (n + k.NR() - 1) / k.NR() }

// PackA packs len(cols) rows of A with len(rows) steps: element (i, l) of A is
// src[rows[l]+cols[i]]. Panels are filled up with zeros.
func (k Kernel) PackA(dst, src []float32, rows, cols []int) {
	mr := k.MR()
	for len(cols) > 0 {
		m := min(mr, len(cols))
		pack(dst[:len(rows)*mr], mr, src, rows, cols[:m])
		dst, cols = dst[len(rows)*mr:], cols[m:]
	}
}

// pack sets the columns of dst, in rows of width values, to src[rows[r]+cols[c]],
// and the rest of each row to 0.
func pack(dst []float32, width int, src []float32, rows, cols []int) {
	for _, r := range rows {
		row, from := dst[:width], src[r:]
		dst = dst[width:]
		for i, c := range cols {
			row[i] = from[c]
		}
		clear(row[len(cols):])
	}
}

// Strip is where the columns of a strip of B come from.
type Strip struct {
	cols []int
	last int     // the largest of cols
	runs []group // of eight columns each; nil if there is one that has more than two runs
}

// Columns returns the number of columns, at most NR.
func (s *Strip) Columns() int { return len(s.cols) }

// group is eight columns that are at most two runs of values that follow one
// another in memory. The vector kernel reads it.
type group struct {
	at   [2]int // of what would be in column 0 of the run
	mask [2][8]int32
}

// CutColumns cuts the columns of B into strips: column c of row r is
// src[rows[r]+cols[c]]. It holds on to cols, whose values must not be negative.
func (k Kernel) CutColumns(cols []int) []Strip {
	var strips []Strip
	for part := range slices.Chunk(cols, k.NR()) {
		s := Strip{cols: part, last: slices.Max(part)}
		if k.has != plain {
			s.runs = runs(part, k.NR())
		}
		strips = append(strips, s)
	}
	return strips
}

// runs finds the groups of nr columns, nil if it cannot.
func runs(cols []int, nr int) []group {
	groups := make([]group, nr/8)
	for g := range groups {
		r := 0
		for i := range 8 {
			c := 8*g + i
			if c >= len(cols) {
				break
			}
			switch at := cols[c] - i; {
			case i == 0:
				groups[g].at = [2]int{at, at}
			case at != groups[g].at[r]:
				if r++; r == 2 {
					return nil
				}
				groups[g].at[r] = at
			}
			groups[g].mask[r][i] = -1
		}
	}
	return groups
}

// PackB packs a strip of B of len(rows) steps, and fills it up with zeros.
func (k Kernel) PackB(dst, src []float32, rows []int, s *Strip) {
	if len(rows) == 0 {
		return
	}
	dst = dst[:len(rows)*k.NR()]
	if s.runs == nil {
		pack(dst, k.NR(), src, rows, s.cols)
		return
	}
	_, _ = src[slices.Min(rows)], src[slices.Max(rows)+s.last]
	packRuns(dst, k.NR(), src, rows, s.runs)
}

// Multiply computes c = a*b, or c += a*b if add, for m rows of packed a and n
// columns, at most NR, of a packed strip b, both of kc steps, at least one. The rows
// of c are ldc apart.
func (k Kernel) Multiply(kc int, a []float32, m int, b []float32, n int, c []float32, ldc int, add bool) {
	mr, nr := k.MR(), k.NR()
	b = b[:kc*nr]
	for i := 0; i < m; i += mr {
		rows := min(mr, m-i)
		panel, at := a[i*kc:(i+mr)*kc], c[i*ldc:]
		_ = at[(rows-1)*ldc+n-1]
		if rows == mr && n == nr {
			k.tile(kc, panel, b, at, ldc, add)
			continue
		}
		// A tile that sticks out goes to a whole one of its own.
		var whole [maxMR * maxNR]float32
		k.tile(kc, panel, b, whole[:], nr, false)
		for r := range rows {
			to, from := at[r*ldc:][:n], whole[r*nr:][:n]
			if !add {
				copy(to, from)
				continue
			}
			for j, v := range from {
				to[j] += v
			}
		}
	}
}
