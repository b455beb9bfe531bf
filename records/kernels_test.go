package records

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestSubtract compares the kernel with its plain twin, over odd lengths and
// alignments, and looks at what lies beside its memory.
func TestSubtract(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	fill := func(n int) []uint8 {
		b := make([]uint8, n)
		for i := range b {
			b[i] = uint8(random.Uint32())
		}
		return b
	}
	for n := range 200 {
		for align := range 4 {
			pixels, baseline := fill(n + align)[align:], fill(n + 2*align)[2*align:]
			got := bytes.Repeat([]byte{0xA5}, 2*n+align+64)
			want := bytes.Clone(got)
			subtract(got[align:][:2*n], pixels, baseline)
			plainSubtract(want[align:][:2*n], pixels, baseline)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d differences at %d differ", n, align)
			}
		}
	}
}

func BenchmarkSubtract(b *testing.B) {
	n := paperShape.Size()
	pixels, baseline, dst := make([]uint8, n), make([]uint8, n), make([]byte, 2*n)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		subtract(dst, pixels, baseline)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
}
