package augment

import "math"

// brain rounds to bfloat16. x must be a number.
func brain(x float32) uint16 {
	b := math.Float32bits(x)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// half rounds to binary16. x must be a number.
func half(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b >= 0x47800000: // 65536 and above
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14, the least normal number
		// Adding 0.5 leaves the bits that count, rounded, at the end.
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	b += 0xfff + b>>13&1 // may carry into the exponent, and to infinity
	return sign | uint16((b-0x38000000)>>13)
}
