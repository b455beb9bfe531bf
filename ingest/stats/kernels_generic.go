//go:build !amd64 || noasm || purego

package stats

func addSamples(sums []uint16, samples []uint8) { plainAddSamples(sums, samples) }

func addProducts(products *[6]uint64, r, g, b []uint8) { plainAddProducts(products, r, g, b) }
