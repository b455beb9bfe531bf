//go:build amd64 && !noasm && !purego

package stats

import "golang.org/x/sys/cpu"

// addSamples is plainAddSamples, 32 at a time where the processor can.
func addSamples(sums []uint16, samples []uint8) {
	n := 0
	if cpu.X86.HasAVX2 && len(samples) >= 32 {
		n = len(samples) &^ 31
		_ = sums[n-1]
		addSamplesAVX2(&sums[0], &samples[0], n)
	}
	plainAddSamples(sums[n:], samples[n:])
}

// addProducts is plainAddProducts, 16 pixels at a time where the processor can.
func addProducts(products *[6]uint64, r, g, b []uint8) {
	const run = 1 << 16 // of the partial sums, which have 32 bits
	for cpu.X86.HasAVX2 && len(r) >= 16 {
		n := min(len(r)&^15, run)
		_, _ = g[n-1], b[n-1]
		var lanes [48]uint32
		addProductsAVX2(&lanes, &r[0], &g[0], &b[0], n)
		for i, v := range lanes {
			products[i/8] += uint64(v)
		}
		r, g, b = r[n:], g[n:], b[n:]
	}
	plainAddProducts(products, r, g, b)
}
