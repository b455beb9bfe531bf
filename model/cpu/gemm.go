package cpu

import "gonum.org/v1/gonum/blas/gonum"

const (
	// columnBlock bounds the length of the rows that the products below work on, so
	// that a block of rows stays in the second-level cache.
	columnBlock = 1024
	rowBlock    = 32 // rows of such a block
)

// Products of matrices are built of gonum's Saxpy and Sdot, which are vectorised,
// over long rows. Its Sgemm works on blocks of 64 x 64 and starts goroutines of
// its own; with rows of 400 and more the loops below are up to twice as fast, and
// they stay in the goroutine of their caller.

// axpy computes y += a*x. It calls gonum's own implementation and not blas32, whose
// implementation a program can replace: results must not change with it.
func axpy(a float32, x, y []float32) { gonum.Implementation{}.Saxpy(len(x), a, x, 1, y, 1) }

// dot returns the sum of x[i]*y[i].
func dot(x, y []float32) float32 { return gonum.Implementation{}.Sdot(len(x), x, 1, y, 1) }

// addProduct computes c += a*b for c of m x n and b of k x n. Element (i, l) of a
// is a[i*ai+l*al], so that a may be transposed. The terms of each sum are added in
// the order of l, whatever n is.
func addProduct(m, n, k int, a []float32, ai, al int, b []float32, ldb int, c []float32, ldc int) {
	for l0 := 0; l0 < k; l0 += rowBlock {
		l1 := min(l0+rowBlock, k)
		for i := range m {
			row := c[i*ldc : i*ldc+n]
			for l := l0; l < l1; l++ {
				axpy(a[i*ai+l*al], b[l*ldb:l*ldb+n], row)
			}
		}
	}
}

// addProductNT computes c += a*transpose(b) for c of m x n, a of m x k and b of
// n x k. The sums over k depend on k and on the alignment of the rows of b, which
// must therefore be a multiple of four floats from an allocation's start to be the
// same in every run.
func addProductNT(m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	for j0 := 0; j0 < n; j0 += rowBlock {
		j1 := min(j0+rowBlock, n)
		for i := range m {
			row := a[i*lda : i*lda+k]
			for j := j0; j < j1; j++ {
				c[i*ldc+j] += dot(row, b[j*ldb:j*ldb+k])
			}
		}
	}
}

// sum adds up a row, in four interleaved partial sums.
func sum(x []float32) float32 {
	var s0, s1, s2, s3 float32
	for len(x) >= 4 {
		s0 += x[0]
		s1 += x[1]
		s2 += x[2]
		s3 += x[3]
		x = x[4:]
	}
	for _, v := range x {
		s0 += v
	}
	return (s0 + s1) + (s2 + s3)
}

// roundUp rounds n up to a multiple of four.
func roundUp(n int) int { return (n + 3) &^ 3 }
