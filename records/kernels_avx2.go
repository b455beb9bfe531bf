//go:build amd64 && !noasm && !purego

package records

import "golang.org/x/sys/cpu"

// subtract is plainSubtract, 32 at a time where the processor can.
func subtract(dst []byte, pixels, baseline []uint8) {
	n := 0
	if cpu.X86.HasAVX2 && len(pixels) >= 32 {
		n = len(pixels) &^ 31
		_, _ = dst[2*n-1], baseline[n-1]
		subtractAVX2(&dst[0], &pixels[0], &baseline[0], n)
	}
	plainSubtract(dst[2*n:], pixels[n:], baseline[n:])
}
