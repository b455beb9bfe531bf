package stats

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// kernelLengths has all remainders and what lies around the runs.
func kernelLengths() []int {
	lengths := []int{4095, 4096, 4097, 1<<16 - 1, 1 << 16, 1<<16 + 17, 1<<17 + 33}
	for n := range 131 {
		lengths = append(lengths, n)
	}
	return lengths
}

// TestKernels compares the kernels with their plain twins, over odd lengths and
// alignments, and looks at what lies beside their memory.
func TestKernels(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, n := range kernelLengths() {
		for align := range 3 {
			samples := make([]uint8, 3*(n+align)+align)
			for i := range samples {
				samples[i] = uint8(random.Uint32() | 0xF0*uint32(n&1)) // bright ones overflow first
			}
			sums := make([]uint16, n+align+40)
			for i := range sums {
				sums[i] = uint16(random.Uint32())
			}
			want := slices.Clone(sums)
			plainAddSamples(want[align:][:n], samples[align:][:n])
			addSamples(sums[align:][:n], samples[align:][:n])
			if !slices.Equal(sums, want) {
				t.Fatalf("sums of %d samples from %d differ", n, align)
			}
			r, g, b := samples[align:][:n], samples[align+n:][:n], samples[align+2*n:][:n]
			got, twin := [6]uint64{1, 2, 3, 4, 5, 6}, [6]uint64{1, 2, 3, 4, 5, 6}
			addProducts(&got, r, g, b)
			plainAddProducts(&twin, r, g, b)
			if got != twin {
				t.Fatalf("products of %d pixels from %d: %v, want %v", n, align, got, twin)
			}
		}
	}
}

// TestWhite has the largest samples in every place, more pictures than the
// short sums hold, and the largest run of products.
func TestWhite(t *testing.T) {
	const h, w, pictures = 257, 257, 600
	white := slices.Repeat([]uint8{255}, 3*h*w)
	s := New(3, h, w)
	for range pictures {
		if err := s.Add(white); err != nil {
			t.Fatal(err)
		}
	}
	for i := range white {
		if got := s.at(i); got != 255*pictures {
			t.Fatalf("position %d: %d, want %d", i, got, 255*pictures)
		}
	}
	if want := uint64(255 * 255 * h * w * pictures); s.products != [6]uint64{want, want, want, want, want, want} {
		t.Errorf("products %v, want %d", s.products, want)
	}
}
