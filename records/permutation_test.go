package records

import (
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
)

// The orders are pinned: a change of any of them would make new shards out of
// old pictures and break every run that is to be resumed.
func TestPermutationGolden(t *testing.T) {
	for _, c := range []struct {
		purpose     string
		seed, epoch uint64
		n           int
		want        []uint32
	}{
		{"order", 1, 0, 10, []uint32{5, 2, 8, 7, 4, 6, 0, 1, 3, 9}},
		{"order", 1, 1, 10, []uint32{5, 0, 3, 1, 6, 4, 7, 2, 9, 8}},
		{"deal", 1, 0, 10, []uint32{1, 4, 7, 8, 3, 9, 2, 5, 6, 0}},
		{"deal", 1 << 63, 1 << 40, 8, []uint32{6, 3, 5, 1, 0, 4, 7, 2}},
		{"order-of-the-test-split", 1, 0, 10, []uint32{2, 5, 1, 7, 3, 4, 8, 6, 9, 0}},
		{"order", 0, 0, 2, []uint32{1, 0}},
		{"order", 0, 0, 1, []uint32{0}},
		{"order", 0, 0, 0, []uint32{}},
		{"order", 0, 0, -1, []uint32{}},
	} {
		if got := Permutation(c.purpose, c.seed, c.epoch, c.n); !slices.Equal(got, c.want) {
			t.Errorf("Permutation(%q, %d, %d, %d) = %v, want %v", c.purpose, c.seed, c.epoch, c.n, got, c.want)
		}
	}
	sum := crc32.ChecksumIEEE(arrow.Uint32Traits.CastToBytes(Permutation("order", 2012, 89, 1281167)))
	if want := uint32(0x1b7e1011); sum != want {
		t.Errorf("the order of ILSVRC's training split, seed 2012, epoch 89, has CRC-32 %#08x, want %#08x", sum, want)
	}
}

// The draws, made many at a time, are those of the plain shuffle.
func TestPermutationIsThePlainShuffle(t *testing.T) {
	for n := range 1100 {
		random := orderSource("order", 5, 6, n)
		want := make([]uint32, n)
		for i := range want {
			want[i] = uint32(i)
		}
		for i := n - 1; i > 0; i-- {
			j := below(random, uint64(i)+1)
			want[i], want[j] = want[j], want[i]
		}
		got := make([]uint32, n)
		for i := range got {
			got[i] = 77 // PermutationInto may be given used memory
		}
		PermutationInto(got, "order", 5, 6)
		if !slices.Equal(got, want) || !slices.Equal(Permutation("order", 5, 6, n), want) {
			t.Fatalf("the order of %d differs", n)
		}
	}
}

// Every permutation is one, and all that its arguments differ in changes it.
func TestPermutationDependsOnAllArguments(t *testing.T) {
	const n = 1000
	first := Permutation("order", 1, 2, n)
	sorted := slices.Sorted(slices.Values(first))
	for i, v := range sorted {
		if int(v) != i {
			t.Fatalf("%d is missing", i)
		}
	}
	for name, other := range map[string][]uint32{
		"purpose":       Permutation("deal", 1, 2, n),
		"long purpose":  Permutation("order-of-the-test-split", 1, 2, n),
		"long purpose2": Permutation("order-of-the-test-split2", 1, 2, n),
		"seed":          Permutation("order", 3, 2, n),
		"epoch":         Permutation("order", 1, 1, n),
		"n":             Permutation("order", 1, 2, n+1)[:n],
	} {
		same := 0
		for i := range first {
			if first[i] == other[i] {
				same++
			}
		}
		if same > 20 { // 1 is expected
			t.Errorf("another %s leaves %d of %d where they were", name, same, n)
		}
	}
	if slices.Equal(Permutation("order-of-the-test-split", 1, 2, n), Permutation("order-of-the-test-split2", 1, 2, n)) {
		t.Error("long purposes that start alike give the same order")
	}
}

// All 24 orders of four come about equally often: chi-squared below its
// 99.9 % point for 23 degrees of freedom, 49.73. (The draws are fixed.)
func TestPermutationIsUniform(t *testing.T) {
	count := make(map[[4]uint32]int)
	const rounds = 24000
	for epoch := range uint64(rounds) {
		count[[4]uint32(Permutation("order", 7, epoch, 4))]++
	}
	if len(count) != 24 {
		t.Fatalf("%d orders of four came up, not 24", len(count))
	}
	chi := 0.0
	for _, n := range count {
		d := float64(n) - rounds/24
		chi += d * d / (rounds / 24)
	}
	if chi > 49.73 {
		t.Errorf("chi-squared is %.1f", chi)
	}
}

// below stays below, also where most draws are refused.
func TestBelow(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for _, m := range []uint64{1, 2, 3, 1<<63 + 1, 1<<64 - 1} {
		for range 1000 {
			if v := below(random, m); v >= m {
				t.Fatalf("below(%d) = %d", m, v)
			}
		}
	}
	// Of 2^63+1 numbers, the halves come up alike, which taking the remainder
	// of a draw would not give.
	low := 0
	for range 10000 {
		if below(random, 3<<62) < 3<<61 {
			low++
		}
	}
	if low < 4700 || low > 5300 {
		t.Errorf("%d of 10000 draws are in the lower half", low)
	}
}
