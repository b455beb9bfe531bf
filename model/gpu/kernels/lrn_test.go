package kernels

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"alexnet/model/gpu/device"
)

// normalise is response normalisation and its gradient, where around(i) are the places
// that count for place i.
func normalise(x, dy []float32, p LRN, around func(i int) []int) (y, dx []float64) {
	s, term := make([]float64, len(x)), make([]float64, len(x))
	for i := range x {
		for _, j := range around(i) {
			s[i] += float64(x[j]) * float64(x[j])
		}
		s[i] = float64(p.K) + float64(p.Alpha)*s[i]
		y = append(y, float64(x[i])*math.Pow(s[i], -float64(p.Beta)))
		term[i] = float64(dy[i]) * y[i] / s[i]
	}
	for i := range x {
		sum := 0.0
		for _, j := range around(i) {
			sum += term[j]
		}
		dx = append(dx, float64(dy[i])*math.Pow(s[i], -float64(p.Beta))-2*float64(p.Alpha)*float64(p.Beta)*float64(x[i])*sum)
	}
	return y, dx
}

// tolerance is the relative error that float32 may have.
const tolerance = 3e-6

func TestLRN(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	g := newGPU(t)
	paper := LRN{C: 96, Size: 5, Alpha: 1e-4, Beta: 0.75, K: 2}
	with := func(f func(*LRN)) LRN {
		p := paper
		f(&p)
		return p
	}
	for i, p := range []LRN{
		paper,
		with(func(p *LRN) { p.C, p.Alpha = 256, 0.3 }),
		with(func(p *LRN) { p.C, p.Alpha, p.K = 8, 1, 1 }),
		with(func(p *LRN) { p.Groups, p.Alpha = 2, 0.1 }),
		with(func(p *LRN) { p.C, p.Groups, p.Alpha = 32, 4, 0.1 }),
		with(func(p *LRN) { p.Size, p.Alpha = 4, 0.1 }),
		with(func(p *LRN) { p.C, p.Alpha = 2064, 0.1 }), // too wide for a block
		// The others'.
		with(func(p *LRN) { p.C, p.Alpha = 13, 0.1 }),
		with(func(p *LRN) { p.Size, p.Alpha, p.K = 9, 0.001/9, 1 }),
		with(func(p *LRN) { p.C, p.Size, p.Alpha, p.Groups = 24, 3, 1, 3 }),
		with(func(p *LRN) { p.C, p.Size, p.Alpha = 6, 20, 1 }),
		with(func(p *LRN) { p.C, p.Beta, p.Alpha = 300, 0.5, 1 }),
		with(func(p *LRN) { p.C, p.Beta, p.Alpha, p.Groups = 12, 1.3, 0.2, 4 }),
		with(func(p *LRN) { p.C, p.Size, p.Alpha = 5, 1, 2 }),
	} {
		for _, typ := range types() {
			testLRN(g, r, typ, p, i%2)
		}
	}
}

func testLRN(g *gpu, r *rand.Rand, typ Type, p LRN, off int) {
	g.t.Helper()
	rows := 5 + 2000/p.C
	if p.C == 2064 {
		rows = 2
	}
	x, dy := random(r, typ, rows*p.C, 3), random(r, typ, rows*p.C, 1)
	for i := 0; i < len(x); i += 7 {
		x[i] = 0
	}
	group := p.C / max(p.Groups, 1)
	around := func(i int) (places []int) {
		first := i % p.C / group * group
		for c := max(i%p.C-p.Size/2, first); c <= min(i%p.C+p.Size/2, first+group-1); c++ {
			places = append(places, i/p.C*p.C+c)
		}
		return places
	}
	y, dx := normalise(x, dy, p, around)
	for _, off := range []int{0, off * 3} {
		what := fmt.Sprintf("%v %+v, off %d", typ, p, off)
		src, dst := g.values(typ, x, off), g.room(typ, len(x), off)
		g.do(g.set.LRNForward(g, typ, dst, src, rows, p))
		compare(g, what, typ, g.read(typ, dst, len(x)), y, tolerance, 0)
		for _, relu := range []bool{false, true} {
			want := append([]float64(nil), dx...)
			for i := range want {
				if relu && x[i] <= 0 {
					want[i] = 0
				}
			}
			d := g.values(typ, dy, off)
			g.do(g.set.LRNBackward(g, typ, d, d, src, rows, p, relu))
			compare(g, what+" dx", typ, g.read(typ, d, len(x)), want, tolerance, 0.3)
		}
	}
}

// TestLRNBias: with a bias the kernels give the bits that BiasAct and they without one give.
func TestLRNBias(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	g := newGPU(t)
	for _, p := range []LRN{
		{C: 96, Size: 5, Alpha: 0.1, Beta: 0.75, K: 2},
		{C: 256, Size: 5, Alpha: 0.01, Beta: 0.75, K: 1, Groups: 2},
		{C: 8, Size: 5, Alpha: 1, Beta: 0.75, K: 1},
	} {
		for _, typ := range types() {
			const rows = 23
			if !p.TakesBias(typ) {
				t.Fatalf("%v %+v takes no bias", typ, p)
			}
			x, dy, bias := random(r, typ, rows*p.C, 2), random(r, typ, rows*p.C, 1), random(r, Float32, p.C, 1)
			x[5], x[2*p.C-1] = float32(math.NaN()), float32(math.Inf(1))
			plain, raw := g.values(typ, x, 0), g.values(typ, x, 0)
			want, got := [2]device.Ptr{g.room(typ, len(x), 0), g.values(typ, dy, 0)}, [2]device.Ptr{g.room(typ, len(x), 0), g.values(typ, dy, 0)}
			at := g.values(Float32, bias, 0)
			g.do(g.set.BiasAct(g, typ, plain, at, rows, p.C, ReLU))
			g.do(g.set.LRNForward(g, typ, want[0], plain, rows, p))
			g.do(g.set.LRNBackward(g, typ, want[1], want[1], plain, rows, p, true))
			q := p
			q.Bias = at
			g.do(g.set.LRNForward(g, typ, got[0], raw, rows, q))
			g.do(g.set.LRNBackward(g, typ, got[1], got[1], raw, rows, q, true))
			compare(g, "raw", typ, g.read(typ, raw, len(x)), x, 0, 0) // is as it was
			for i, what := range []string{"y", "dx"} {
				if n := len(x) * typ.Bytes(); !bytes.Equal(g.view(got[i], n), g.view(want[i], n)) {
					t.Errorf("%v %+v: %s has other bits", typ, p, what)
				}
			}
		}
	}
	for _, p := range []LRN{{C: 96, Size: 9, Beta: 0.75}, {C: 96, Size: 5, Beta: 0.5}, {C: 6, Size: 5, Beta: 0.75}, {C: 4096, Size: 5, Beta: 0.75}} {
		p.Bias = g.room(Float32, p.C, 0)
		if p.TakesBias(BFloat16) || g.set.LRNBackward(g, BFloat16, 1<<20, 1<<20, 1<<20, 1, p, true) == nil {
			t.Errorf("%+v takes a bias", p)
		}
	}
}

func TestLRNWithin(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	g := newGPU(t)
	p := LRN{Size: 5, Alpha: 0.001 / 25, Beta: 0.75, K: 1}
	for _, c := range []struct {
		m Map
		p LRN
	}{
		{Map{2, 7, 6, 9}, p},
		{Map{1, 13, 13, 40}, p},
		{Map{1, 5, 5, 3}, LRN{Size: 4, Alpha: 0.3, Beta: 0.5, K: 2}},
		{Map{2, 2, 3, 5}, LRN{Size: 9, Alpha: 0.1, Beta: 0.75, K: 1}},
		{Map{1, 70, 60, 1}, LRN{Size: 3, Alpha: 0.1, Beta: 0.75, K: 1}}, // too large for shared memory
	} {
		for _, typ := range types() {
			count := c.m.N * c.m.size()
			x, dy := random(r, typ, count, 3), random(r, typ, count, 1)
			half := c.p.Size / 2
			around := func(i int) (places []int) {
				row, column := i/c.m.C/c.m.W%c.m.H, i/c.m.C%c.m.W
				for y := max(row-half, 0); y <= min(row+half, c.m.H-1); y++ {
					for x := max(column-half, 0); x <= min(column+half, c.m.W-1); x++ {
						places = append(places, i+((y-row)*c.m.W+x-column)*c.m.C)
					}
				}
				return places
			}
			wantY, wantDX := normalise(x, dy, c.p, around)
			what := fmt.Sprintf("%v %+v", typ, c)
			src, y, dx := g.values(typ, x, 0), g.room(typ, count, 0), g.room(typ, count, 0)
			g.do(g.set.LRNWithinForward(g, typ, y, src, c.m, c.p))
			compare(g, what, typ, g.read(typ, y, count), wantY, tolerance, 0)
			g.do(g.set.LRNWithinBackward(g, typ, dx, g.values(typ, dy, 0), src, c.m, c.p))
			compare(g, what+" dx", typ, g.read(typ, dx, count), wantDX, tolerance, 0.3)
		}
	}
}
