package stats

// plainAddSamples adds a sample to each sum; there are as many of both.
func plainAddSamples(sums []uint16, samples []uint8) {
	sums = sums[:len(samples)]
	for i, v := range samples {
		sums[i] += uint16(v)
	}
}

// plainAddProducts adds the products of the colours of each pixel to RR, RG, RB,
// GG, GB, BB. A run of 4096 products of two samples fits into 32 bits.
func plainAddProducts(products *[6]uint64, r, g, b []uint8) {
	const run = 4096
	for at := 0; at < len(r); at += run {
		n := min(run, len(r)-at)
		r, g, b := r[at:][:n], g[at:][:n], b[at:][:n]
		var rr, rg, rb, gg, gb, bb uint32
		for i := range r {
			x, y, z := uint32(r[i]), uint32(g[i]), uint32(b[i])
			rr += x * x
			rg += x * y
			rb += x * z
			gg += y * y
			gb += y * z
			bb += z * z
		}
		for i, v := range [6]uint32{rr, rg, rb, gg, gb, bb} {
			products[i] += uint64(v)
		}
	}
}
