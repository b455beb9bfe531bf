package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"alexnet/model/gpu/device"
)

// act and slope are the activations and their derivatives, from the output.
func act(a Act, x float64) float64 {
	switch a {
	case ReLU:
		return max(x, 0)
	case Tanh:
		return math.Tanh(x)
	}
	return x
}

func slope(a Act, y float64) float64 {
	switch {
	case a == ReLU && y <= 0:
		return 0
	case a == Tanh:
		return 1 - y*y
	}
	return 1
}

// acts are the activations with the relative error that each may have.
func acts() map[Act]float64 { return map[Act]float64{None: 0, ReLU: 0, Tanh: 1e-6} }

func TestBiasAct(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	g := newGPU(t)
	for _, typ := range types() {
		for act, tol := range acts() {
			for _, shape := range [][3]int{{170, 96, 0}, {5, 24, 0}, {9, 24, 1}, {3, 10, 0}, {1, 1, 0}, {2, 2056, 0}, {3, 300, 1}} {
				rows, c, off := shape[0], shape[1], shape[2]
				x, bias := random(r, typ, rows*c, 2), random(r, Float32, c, 1)
				want := make([]float64, len(x))
				for i := range x {
					want[i] = refAct(act, x[i]+bias[i%c])
				}
				y := g.values(typ, x, off)
				g.do(g.set.BiasAct(g, typ, y, g.values(Float32, bias, 0), rows, c, act))
				compare(g, fmt.Sprint(typ, act, shape), typ, g.read(typ, y, len(x)), want, tol, 0)
			}
		}
	}
}

func refAct(a Act, x float32) float64 { return act(a, float64(x)) }

// TestTanh takes the function through its range.
func TestTanh(t *testing.T) {
	g := newGPU(t)
	var x []float32
	for v := float32(1e-8); v < 200; v *= 1.05 {
		x = append(x, v, -v)
	}
	x = append(x, 0, 0.6, math.Float32frombits(0x3f199999), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()))
	want := make([]float64, len(x))
	for i, v := range x {
		want[i] = math.Tanh(float64(v))
	}
	y := g.room(Float32, len(x), 0)
	g.do(g.set.Activate(g, Float32, y, g.values(Float32, x, 0), len(x), Tanh))
	compare(g, "tanh", Float32, g.read(Float32, y, len(x)), want, 3e-7, 0)
}

// TestFlat is of the kernels to which values are just so many.
func TestFlat(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	g := newGPU(t)
	for _, typ := range types() {
		for _, count := range []int{0, 1, 7, 8, 1027, 8192 + 3} {
			for off := range 2 {
				x := random(r, typ, count, 2)
				for i := 0; i < count; i += 5 {
					x[i] = float32(math.NaN())
				}
				src := g.values(typ, x, off)
				for act, tol := range acts() {
					want := make([]float64, count)
					for i, v := range x {
						want[i] = refAct(act, v)
					}
					y := g.room(typ, count, off)
					g.do(g.set.Activate(g, typ, y, src, count, act))
					compare(g, fmt.Sprint("Activate ", typ, act, count, off), typ, g.read(typ, y, count), want, tol, 0)
				}
				want := make([]float32, count)
				for i, v := range x {
					want[i] = v * 0.3
				}
				g.do(g.set.Scale(g, typ, src, src, count, 0.3))
				compare(g, "Scale", typ, g.read(typ, src, count), want, 0, 0)
			}
		}
	}
}

func TestWidenNarrowKeep(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	g := newGPU(t)
	for _, count := range []int{1, 4, 1027, 4100} {
		for off := range 2 {
			x := random(r, Float32, count, 1)
			x[0] = math.Float32frombits(0x3f808000) // a tie
			wide := g.values(Float32, x, off)
			narrow := g.room(BFloat16, count, off)
			g.do(g.set.Narrow(g, narrow, wide, count))
			compare(g, "Narrow", BFloat16, g.read(BFloat16, narrow, count), x, 0, 0)
			again := g.room(Float32, count, off)
			g.do(g.set.Widen(g, again, narrow, count))
			compare(g, "Widen", Float32, g.read(Float32, again, count), g.read(BFloat16, narrow, count), 0, 0)

			keep := g.bytes(count, off)
			for i, kept := range random(r, Float32, count, 1) {
				g.view(keep, count)[i] = 2
				if kept < 0 {
					g.view(keep, count)[i], x[i] = 0, 0
				}
			}
			g.do(g.set.Keep(g, wide, keep, count))
			compare(g, "Keep", Float32, g.read(Float32, wide, count), x, 0, 0)
		}
	}
}

func TestActBackward(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	g := newGPU(t)
	// Eight rows a thread, and a second block from then on.
	for _, shape := range [][3]int{{400, 96, 0}, {33, 24, 1}, {19, 10, 0}, {1, 3, 0}, {50, 520, 0}, {40, 2056, 0}, {0, 5, 0}} {
		rows, c, off := shape[0], shape[1], shape[2]
		for _, typ := range types() {
			for act := range acts() {
				for _, sums := range []bool{true, false} {
					if rows*c > 30000 && (!sums || act == Tanh) {
						continue // nothing new
					}
					testActBackward(g, r, typ, act, rows, c, off, sums)
				}
			}
		}
	}
}

func testActBackward(g *gpu, r *rand.Rand, typ Type, act Act, rows, c, off int, sums bool) {
	g.t.Helper()
	dy, a := random(r, typ, rows*c, 1), random(r, typ, rows*c, 0.5)
	for i := range a {
		if act == ReLU && i%5 == 0 {
			a[i] = 0
		}
	}
	want, db := make([]float32, rows*c), make([]float64, c)
	for i := range want {
		want[i] = dy[i] * float32(slope(act, float64(a[i])))
		if act == Tanh {
			want[i] = dy[i] * (1 - float32(a[i]*a[i]))
		}
		db[i%c] += float64(want[i])
	}
	dz := g.values(typ, dy, off)
	var sum, scratch device.Ptr
	if sums {
		sum, scratch = g.room(Float32, c, 0), g.bytes(BiasScratch(rows, c), 0)
	}
	from := dz
	if off > 0 {
		from, dz = dz, g.room(typ, rows*c, off)
	}
	what := fmt.Sprint(typ, act, rows, c)
	g.do(g.set.ActBackward(g, typ, dz, from, g.values(typ, a, off), sum, scratch, rows, c, act))
	compare(g, what, typ, g.read(typ, dz, rows*c), want, 0, 0)
	if sums {
		compare(g, what+" sums", Float32, g.read(Float32, sum, c), db, 1e-5, math.Sqrt(float64(rows)))
	}
}
