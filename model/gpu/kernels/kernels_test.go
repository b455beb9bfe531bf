package kernels

import (
	"regexp"
	"slices"
	"testing"
)

// TestEntries finds every kernel's name in the PTX, and no other.
func TestEntries(t *testing.T) {
	var have []string
	for _, m := range regexp.MustCompile(`\.visible \.entry (\w+)\(`).FindAllStringSubmatch(embeddedPTX, -1) {
		have = append(have, m[1])
	}
	want := entries()
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("kernels.ptx has\n%v\nwant\n%v", have, want)
	}
}

// TestDivisor divides as the kernels do.
func TestDivisor(t *testing.T) {
	for _, by := range []int{1, 2, 3, 4, 5, 7, 11, 12, 36, 55 * 55, 1<<16 + 1, 1<<31 - 1} {
		d := divisor(by)
		for _, n := range []int{0, 1, by - 1, by, by + 1, 2*by - 1, 12345678, 1<<31 - 1} {
			if n < 0 || n >= 1<<31 {
				continue
			}
			high := uint64(n) * uint64(uint32(d[1])) >> 32
			sum := high + uint64(n)
			if got := sum >> d[2]; int(got) != n/by || sum>>32 != 0 || d[1]>>32 != 0 {
				t.Errorf("%d/%d: %d by the words %v", n, by, got, d)
			}
		}
	}
}
