package half

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestRound(t *testing.T) {
	for h := range 1 << 16 {
		v := Widen(uint16(h))
		if got := Round(v); v == v && got != uint16(h) || v != v && Widen(got) == Widen(got) {
			t.Fatalf("%#04x becomes %#04x", h, got)
		}
	}
	for v, want := range map[float32]float32{
		1 + 1.0/256: 1, 1 + 3.0/256: 1 + 2.0/128, 1 + 1.0/256 + 1.0/65536: 1 + 1.0/128, -1 - 1.0/512: -1,
		math.MaxFloat32: float32(math.Inf(1)), 1e-45: 0,
	} {
		if got := Widen(Round(v)); got != want {
			t.Errorf("%.9g becomes %.9g, want %.9g", v, got, want)
		}
	}
	if h := Round(math.Float32frombits(0x7f800001)); Widen(h) == Widen(h) {
		t.Errorf("a NaN becomes %#04x", h)
	}
	if !Finite([]uint16{0, Round(-1), 0x7f7f}) || Finite([]uint16{0, 0x7f80}) || Finite([]uint16{0xffc0, 0}) {
		t.Error("finite values and others are mixed up")
	}
}

// TestFoldRow compares every length, pad and alignment with what FoldRow says that it
// does, and looks for writes elsewhere.
func TestFoldRow(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	special := []float32{0, float32(math.Copysign(0, -1)), float32(math.NaN()), math.Float32frombits(0x7f800001), float32(math.Inf(-1)), math.MaxFloat32, 1e-45}
	for n := range 70 {
		for _, stride := range []int{1, 3, 4} {
			for pad := range 2 * stride {
				for _, channels := range []int{stride, 3*stride + 1} {
					row := make([]float32, n+n%4)[n%4:]
					for i := range row {
						row[i] = float32(r.NormFloat64())
						if r.IntN(9) == 0 {
							row[i] = special[r.IntN(len(special))]
						}
					}
					blocks := max(1, (len(row)+pad)/stride+n%3)
					got := make([]uint16, blocks*channels)
					for i := range got {
						got[i] = 0xabcd
					}
					want := slices.Clone(got)
					for b := range blocks {
						for i := range stride {
							want[b*channels+i] = 0
							if p := b*stride + i - pad; p >= 0 && p < len(row) {
								want[b*channels+i] = Round(row[p])
							}
						}
					}
					FoldRow(got, row, pad, stride, channels, blocks)
					if !slices.Equal(got, want) {
						t.Fatalf("%d pixels, stride %d, pad %d, %d channels, %d blocks:\n%04x\nwant\n%04x", len(row), stride, pad, channels, blocks, got, want)
					}
				}
			}
		}
	}
}

// exact computes an LRN and its gradient in float64.
func exact(l LRN, x, dy []float64) (y, dx []float64) {
	y, dx = make([]float64, len(x)), make([]float64, len(x))
	s := make([]float64, len(x))
	each := func(c int, f func(j int)) {
		for j := max(c-l.Size/2, 0); j <= min(c+l.Size/2, len(x)-1); j++ {
			f(j)
		}
	}
	for c := range x {
		sum := 0.0
		each(c, func(j int) { sum += x[j] * x[j] })
		s[c] = float64(l.K) + float64(l.Alpha)*sum
		y[c] = x[c] * math.Pow(s[c], -0.75)
	}
	for c := range x {
		sum := 0.0
		each(c, func(j int) { sum += dy[j] * y[j] / s[j] })
		dx[c] = dy[c]*math.Pow(s[c], -0.75) - 1.5*float64(l.Alpha)*x[c]*sum
	}
	return y, dx
}

func widen(h []uint16) []float64 {
	v := make([]float64, len(h))
	for i := range h {
		v[i] = float64(Widen(h[i]))
	}
	return v
}

// near reports whether a bfloat16 is off by no more than its rounding, 2^-8 of the value or
// of what it was summed from.
func near(got uint16, want, of float64) bool {
	return math.Abs(float64(Widen(got))-want) <= max(math.Abs(want), of)/256*1.02+1e-38
}

// TestLRN compares plain and vector kernels with float64, for odd numbers of positions
// and all alignments.
func TestLRN(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, blocks := range []int{1, 2, 3, 6, 16} {
		for positions := range 5 {
			for _, l := range []LRN{{blocks * 16, 5, 1e-4, 2}, {blocks * 16, 5, 0.3, 1.5}} {
				n := positions * l.Channels
				offset := r.IntN(9)
				fill := func(scale float64) []uint16 {
					v := make([]uint16, offset+n)[offset:]
					for i := range v {
						v[i] = Round(float32(scale * r.NormFloat64()))
					}
					return v
				}
				x, dy := fill(30), fill(1)
				run := func(name string, forward func(y, x []uint16), backward func(dx, x, dy []uint16)) {
					t.Run(fmt.Sprintf("%s/%d/%d/%v", name, blocks, positions, l.Alpha), func(t *testing.T) {
						y, dx := fill(1), slices.Clone(dy)
						if n > 0 {
							forward(y, x)
							backward(dx, x, dx) // in place
						}
						for at := 0; at < n; at += l.Channels {
							wantY, wantDX := exact(l, widen(x[at:at+l.Channels]), widen(dy[at:at+l.Channels]))
							for c := range wantY {
								if !near(y[at+c], wantY[c], 0) || !near(dx[at+c], wantDX[c], 1e-3) {
									t.Fatalf("position %d, channel %d: %g and %g, want %g and %g", at/l.Channels, c, Widen(y[at+c]), Widen(dx[at+c]), wantY[c], wantDX[c])
								}
							}
						}
					})
				}
				run("plain", l.forwardPlain, l.backwardPlain)
				run("best", l.Forward, l.Backward)
			}
		}
	}
}

// TestLRNFaults: what is not finite spreads to its neighbours and no further.
func TestLRNFaults(t *testing.T) {
	l := LRN{32, 5, 0.1, 1}
	x, y := make([]uint16, 64), make([]uint16, 64)
	x[17] = Round(float32(math.NaN()))
	l.Forward(y, x)
	for c, h := range y {
		if bad := Widen(h) != Widen(h); bad != (c >= 15 && c <= 19) {
			t.Errorf("channel %d is %g", c, Widen(h))
		}
	}
}

func BenchmarkLRN(b *testing.B) {
	l := LRN{96, 5, 1e-4, 2}
	x, y := make([]uint16, 128*55*55*96), make([]uint16, 128*55*55*96)
	for i := range x {
		x[i] = Round(float32(i % 17))
	}
	b.Run("forward", func(b *testing.B) {
		b.SetBytes(int64(4 * len(x)))
		for b.Loop() {
			l.Forward(y, x)
		}
	})
	b.Run("backward", func(b *testing.B) {
		b.SetBytes(int64(6 * len(x)))
		for b.Loop() {
			l.Backward(y, x, y)
		}
	})
}
