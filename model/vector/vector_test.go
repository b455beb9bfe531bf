package vector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"alexnet/model"
)

// special values are among those that kernels are tried on.
var special = []float32{0, float32(math.Copysign(0, -1)), 1, -1, math.SmallestNonzeroFloat32, math.MaxFloat32, -math.MaxFloat32,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), math.Float32frombits(0xffc00000), math.Float32frombits(0x7f800001)}

// fill draws values, of all magnitudes or about 1, some of them special if so wanted.
func fill(r *rand.Rand, n int, specials bool) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
		if specials && r.IntN(7) == 0 {
			x[i] = special[r.IntN(len(special))]
		}
	}
	return x
}

// same compares bits; all NaNs are the same.
func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
	})
}

// loops are the functions that change slices, and their twins.
var loops = []struct {
	name          string
	kernel, plain func(dst, a, b []float32) any
	changesSecond bool
	zeroes        bool // the third slice is an output of ReLU
}{
	{name: "Update", changesSecond: true,
		kernel: func(w, v, g []float32) any { return Update(w, v, g, 0.9, 0.0005, 0.01) },
		plain:  func(w, v, g []float32) any { return plainUpdate(w, v, g, 0.9, 0.0005, 0.01) < infinity }},
	{name: "AddScaled", kernel: func(d, a, _ []float32) any { AddScaled(d, a, 0.3); return nil },
		plain: func(d, a, _ []float32) any { plainAddScaled(d, a, 0.3); return nil }},
	{name: "Scale", kernel: func(d, a, _ []float32) any { Scale(d, a, 0.3); return nil },
		plain: func(d, a, _ []float32) any { plainScale(d, a, 0.3); return nil }},
	{name: "Follow", kernel: func(d, a, _ []float32) any { Follow(d, a, 0.3); return nil },
		plain: func(d, a, _ []float32) any { plainFollow(d, a, 0.3); return nil }},
	{name: "Multiply", kernel: func(d, a, b []float32) any { Multiply(d, a, b); return nil },
		plain: func(d, a, b []float32) any { plainMultiply(d, a, b); return nil }},
	{name: "ReLU", kernel: func(d, a, _ []float32) any { ReLU(d, a); return nil },
		plain: func(d, a, _ []float32) any { plainReLU(d, a); return nil }},
	{name: "ReLUBackward", zeroes: true, kernel: func(d, a, b []float32) any { ReLUBackward(d, a, b); return nil },
		plain: func(d, a, b []float32) any { plainReLUBackward(d, a, b); return nil }},
	{name: "SumSquares", kernel: func(_, a, _ []float32) any { return fmt.Sprintf("%x", SumSquares(a)) },
		plain: func(_, a, _ []float32) any { return fmt.Sprintf("%x", plainSumSquares(a)) }},
	{name: "Finite", kernel: func(_, a, _ []float32) any { return Finite(a) },
		plain: func(_, a, _ []float32) any { return plainLargest(a) < infinity }},
}

// plainSumSquares adds the partial sums in the order of SumSquares.
func plainSumSquares(x []float32) float64 {
	var s squareSums
	plainSquares(&s, x)
	for i := range 8 {
		s[i] += s[i+8]
	}
	for i := range 4 {
		s[i] += s[i+4]
	}
	return s[0] + s[2] + (s[1] + s[3])
}

// TestTwins compares every loop with its plain twin, over odd lengths and
// alignments, with and without values that are not finite, and looks at what lies
// beside the memory.
func TestTwins(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, l := range loops {
		for n := range 140 {
			for align := range 5 {
				const beside = 3
				in := [3][]float32{}
				for i := range in {
					in[i] = fill(r, n+align*(i+1)+beside, align > 2)
				}
				if l.zeroes {
					plainReLU(in[2], in[2])
				}
				got, want := [3][]float32{}, [3][]float32{}
				var cut [2][3][]float32
				for i := range in {
					got[i], want[i] = slices.Clone(in[i]), slices.Clone(in[i])
					cut[0][i], cut[1][i] = got[i][align*(i+1):][:n], want[i][align*(i+1):][:n]
				}
				a, b := l.kernel(cut[0][0], cut[0][1], cut[0][2]), l.plain(cut[1][0], cut[1][1], cut[1][2])
				if a != b {
					t.Fatalf("%s of %d values at %d: %v, want %v", l.name, n, align, a, b)
				}
				for i := range got {
					if !same(got[i], want[i]) {
						t.Fatalf("%s of %d values at %d: slice %d is %v, want %v", l.name, n, align, i, got[i], want[i])
					}
				}
			}
		}
	}
}

// TestInPlace: results may take the place of what they are made from.
func TestInPlace(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	a, b := fill(r, 77, true), fill(r, 77, true)
	want := make([]float32, len(a))
	for name, f := range map[string]func(dst, src []float32){
		"Scale":           func(d, s []float32) { Scale(d, s, 3) },
		"Multiply, first": func(d, s []float32) { Multiply(d, s, b) },
		"Multiply, other": func(d, s []float32) { Multiply(d, b, s) },
		"ReLU":            ReLU,
		"ReLUBackward":    func(d, s []float32) { ReLUBackward(d, s, b) },
	} {
		f(want, a)
		got := slices.Clone(a)
		if f(got, got); !same(got, want) {
			t.Errorf("%s in place differs", name)
		}
	}
}

// TestUpdateIsTheRule compares with model.Hyper.
func TestUpdateIsTheRule(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	w, v, g := fill(r, 1000, false), fill(r, 1000, false), fill(r, 1000, false)
	w2, v2 := slices.Clone(w), slices.Clone(v)
	h := model.Hyper{LearningRate: 0.013, Momentum: 0.87, WeightDecay: 0.03}
	h.Apply(w, v, g, 2, 0.7)
	rate, decay := h.Scaled(2, 0.7)
	if !Update(w2, v2, g, h.Momentum, decay, rate) || !same(w, w2) || !same(v, v2) {
		t.Error("Update is not the rule of model.Hyper")
	}
}

// TestFinite puts each value that is not finite at each place.
func TestFinite(t *testing.T) {
	for _, bad := range special {
		finite := !math.IsNaN(float64(bad)) && !math.IsInf(float64(bad), 0)
		for at := range 70 {
			x := make([]float32, 70)
			x[at] = bad
			if Finite(x) != finite {
				t.Fatalf("%g at %d: finite %v", bad, at, !finite)
			}
			square := SumSquares(x)
			if got := !math.IsNaN(square) && !math.IsInf(square, 0); got != finite {
				t.Fatalf("%g at %d: the sum of squares is %g", bad, at, square)
			}
			for _, in := range []string{"w", "v", "g"} {
				w, v, g := make([]float32, 70), make([]float32, 70), make([]float32, 70)
				map[string][]float32{"w": w, "v": v, "g": g}[in][at] = bad
				// Even where the rate and the momentum are 0.
				for _, factor := range []float32{0, 0.5} {
					if got := Update(slices.Clone(w), slices.Clone(v), slices.Clone(g), factor, factor, factor); got != finite {
						t.Fatalf("%g in %s at %d, times %g: finite %v", bad, in, at, factor, got)
					}
				}
			}
		}
	}
}

// TestMask compares with model.DropoutMask, with each kernel that the processor has.
func TestMask(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for n := range 300 {
		m := Mask{Seed: r.Uint64(), Step: r.Uint64(), Layer: r.Uint32(), Rate: []float64{0.5, 0, 0.3, 0.9999, 1 - 1e-12}[n%5]}
		first := 4 * uint64(r.Uint32())
		if n%3 == 0 {
			first = 1<<34 - uint64(n+3)/4*4 // up to the last position
		}
		align := n % 7
		got, want := fill(r, n+align+3, false), make([]float32, n)
		before := slices.Clone(got)
		m.Write(got[align:][:n], first)
		model.DropoutMask(want, m.Seed, m.Step, m.Layer, first, m.Rate)
		if !same(got[align:][:n], want) || !same(got[:align], before[:align]) || !same(got[align+n:], before[align+n:]) {
			t.Fatalf("%d values from %d of %+v at %d: %v, want %v", n, first, m, align, got[align:][:n], want)
		}
	}
}

// TestEach: every number once, for any number of threads.
func TestEach(t *testing.T) {
	for _, threads := range []int{0, 1, 2, 9} {
		for _, n := range []int{0, 1, 5, 1000} {
			counts := make([]int, n) // the race detector would see two at one place
			Each(threads, n, func(i int) { counts[i]++ })
			for i, c := range counts {
				if c != 1 {
					t.Fatalf("%d threads: %d of %d came %d times", threads, i, n, c)
				}
			}
		}
	}
}

// TestAllFinite: the first slice of those that are not finite.
func TestAllFinite(t *testing.T) {
	slices := [][]float32{make([]float32, 3*Block+5), {}, make([]float32, 1), make([]float32, 2*Block)}
	for _, threads := range []int{1, 4} {
		if got := AllFinite(threads, slices...); got != -1 {
			t.Errorf("slice %d is said not to be finite", got)
		}
	}
	slices[3][2*Block-1] = float32(math.Inf(-1))
	slices[2][0] = float32(math.NaN())
	if got := AllFinite(4, slices...); got != 2 {
		t.Errorf("slice %d, want 2", got)
	}
	slices[0][3*Block+4] = float32(math.NaN())
	if got := AllFinite(4, slices...); got != 0 {
		t.Errorf("slice %d, want 0", got)
	}
}

func BenchmarkLoops(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 9))
	const n = 1 << 24 // more than caches hold
	x, y := fill(r, n, false), fill(r, n, false)
	z := slices.Clone(x)
	var top uint32
	bench := func(name string, bytes int64, f func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(bytes * n)
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
	bench("update", 20, func() { Update(x, y, z, 0.9, 1e-9, 1e-9) })
	bench("plain update", 20, func() { plainUpdate(x, y, z, 0.9, 1e-9, 1e-9) })
	bench("copy", 8, func() { copy(x, y) })
	bench("add", 12, func() { AddScaled(x, y, 1e-9) })
	bench("plain add", 12, func() { plainAddScaled(x, y, 1e-9) })
	bench("follow", 12, func() { Follow(x, y, 1e-9) })
	bench("plain follow", 12, func() { plainFollow(x, y, 1e-9) })
	bench("squares", 4, func() { SumSquares(x) })
	bench("plain squares", 4, func() { plainSumSquares(x) })
	bench("finite", 4, func() { Finite(x) })
	bench("plain finite", 4, func() { top = max(top, plainLargest(x)) })
	bench("relu", 8, func() { ReLU(z, x) })
	bench("plain relu", 8, func() { plainReLU(z, x) })
	bench("relu backward", 12, func() { ReLUBackward(x, y, z) })
	bench("plain relu backward", 12, func() { plainReLUBackward(x, y, z) })
	bench("multiply", 12, func() { Multiply(x, y, z) })
	bench("plain multiply", 12, func() { plainMultiply(x, y, z) })
	bench("mask", 4, func() { Mask{Seed: 1, Step: 2, Layer: 3, Rate: 0.5}.Write(z, 0) })
	bench("model's mask", 4, func() { model.DropoutMask(z, 1, 2, 3, 0, 0.5) })
	if top >= infinity {
		b.Error("not finite")
	}
}
