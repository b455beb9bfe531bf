//go:build !amd64 || noasm || purego

package records

func subtract(dst []byte, pixels, baseline []uint8) { plainSubtract(dst, pixels, baseline) }
