package model

import (
	"math"
	"testing"
)

// TestPhiloxKnownAnswers uses the vectors published with Random123 (kat_vectors,
// philox4x32 10).
func TestPhiloxKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, [2]uint32{0xffffffff, 0xffffffff},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := Philox4x32(c.counter, c.key); got != c.want {
			t.Errorf("Philox4x32(%x, %x) = %x, want %x", c.counter, c.key, got, c.want)
		}
	}
}

func TestDropoutMask(t *testing.T) {
	const seed, step, layer, rate = 7<<40 | 3, 5<<33 | 1, 17, 0.3
	mask := make([]float32, 10001)
	DropoutMask(mask, seed, step, layer, 0, rate)
	zeros := 0.0
	for p, m := range mask {
		w := Philox4x32([4]uint32{uint32(p / 4), layer, 1, 5 << 1}, [2]uint32{3, 7 << 8})[p%4]
		want := float32(1)
		if float64(w) < rate*(1<<32) {
			want = 0
		}
		if m != want {
			t.Fatalf("position %d: %g, want %g", p, m, want)
		}
		zeros += float64(1 - m)
	}
	// Five standard deviations of a binomial distribution.
	if n := float64(len(mask)); math.Abs(zeros-n*rate) > 5*math.Sqrt(n*rate*(1-rate)) {
		t.Errorf("%g of %g positions are zero, want about %g of them", zeros, n, rate)
	}
	// A part of the positions by itself is the same part.
	part := make([]float32, 101)
	DropoutMask(part, seed, step, layer, 400, rate)
	for i, m := range part {
		if m != mask[400+i] {
			t.Fatalf("position %d differs when asked for alone", 400+i)
		}
	}
	// All of seed, step and layer matter.
	for _, other := range [][3]uint64{{seed + 1, step, layer}, {seed ^ 1<<60, step, layer}, {seed, step + 1, layer}, {seed, step ^ 1<<40, layer}, {seed, step, layer + 1}} {
		DropoutMask(part, other[0], other[1], uint32(other[2]), 400, rate)
		same := 0
		for i, m := range part {
			if m == mask[400+i] {
				same++
			}
		}
		if same == len(part) {
			t.Errorf("seed, step, layer %v give the same mask", other)
		}
	}
	DropoutMask(part, seed, step, layer, 0, 0)
	for _, m := range part {
		if m != 1 {
			t.Fatal("rate 0 drops something")
		}
	}
}
