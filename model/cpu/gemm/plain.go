package gemm

// tilePlain is the micro-kernel in Go, and the vector kernels' twin: for any mr and
// for any nr that is a multiple of four. It makes sums of two rows by four columns at
// once, what 16 registers hold.
func tilePlain(mr, nr, k int, a, b, c []float32, ldc int, add bool) {
	for i := 0; i < mr; i += 2 {
		for j := 0; j < nr; j += 4 {
			var s00, s01, s02, s03, s10, s11, s12, s13 float32
			pa, pb := a[i:], b[j:]
			for l := range k {
				x, y := (*[2]float32)(pa[l*mr:]), (*[4]float32)(pb[l*nr:])
				x0, x1 := x[0], x[1]
				s00 += x0 * y[0]
				s10 += x1 * y[0]
				s01 += x0 * y[1]
				s11 += x1 * y[1]
				s02 += x0 * y[2]
				s12 += x1 * y[2]
				s03 += x0 * y[3]
				s13 += x1 * y[3]
			}
			r0, r1 := c[i*ldc+j:][:4], c[(i+1)*ldc+j:][:4]
			if add {
				s00, s01, s02, s03 = r0[0]+s00, r0[1]+s01, r0[2]+s02, r0[3]+s03
				s10, s11, s12, s13 = r1[0]+s10, r1[1]+s11, r1[2]+s12, r1[3]+s13
			}
			r0[0], r0[1], r0[2], r0[3] = s00, s01, s02, s03
			r1[0], r1[1], r1[2], r1[3] = s10, s11, s12, s13
		}
	}
}
