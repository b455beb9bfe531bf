package records

import "encoding/binary"

// plainSubtract stores pixels - baseline as 16-bit integers in dst, which has
// two bytes for each.
func plainSubtract(dst []byte, pixels, baseline []uint8) {
	baseline = baseline[:len(pixels)]
	for k, v := range pixels {
		binary.LittleEndian.PutUint16(dst[2*k:], uint16(v)-uint16(baseline[k]))
	}
}
