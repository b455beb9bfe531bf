package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"alexnet/model"
	"alexnet/model/cpu/gemm"
)

// draws makes the tests' random numbers, a function of their seed.
func draws(seed uint64) *rand.Rand {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return rand.New(rand.NewChaCha8(key))
}

func randomFloats(r *rand.Rand, n int, scale float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(scale * r.NormFloat64())
	}
	return x
}

// bench is a single layer with its buffers, outside of any graph.
type bench struct {
	layer model.Layer
	in    model.Shape
	out   model.Shape
	plan  *layerPlan
	call  call
	t     buffers
	x     []float32 // in the usual order
	dy    []float32
}

// newBench plans a layer for n of at most batch images in chunks of inChunk, and
// fills the buffers with random values. needDX false leaves dx away.
func newBench(t testing.TB, l model.Layer, in model.Shape, n, batch, inChunk, threads int, seed uint64) *bench {
	t.Helper()
	return newBenchOf(t, gemm.Best(), l, in, n, batch, inChunk, threads, seed)
}

// newBenchOf is newBench with the given micro-kernel.
func newBenchOf(t testing.TB, k gemm.Kernel, l model.Layer, in model.Shape, n, batch, inChunk, threads int, seed uint64) *bench {
	t.Helper()
	net := &model.Net{Name: "bench", Input: in, Classes: 1, Layers: []model.Layer{l,
		{Name: "fc", Kind: model.FC, Out: 1}, {Name: "prob", Kind: model.Softmax}}}
	net.Layers[0].Name = "layer"
	shapes, err := net.Shapes()
	if err != nil {
		t.Fatal(err)
	}
	m := &machinery{workers: &workers{threads}, arena: &arena{}, scratch: &scratch{}, common: &scratch{}, batch: batch, train: true, seed: 11, gemm: k}
	b := &bench{layer: net.Layers[0], in: in, out: shapes[0], call: call{n: n, step: 5}}
	if b.plan, err = m.plan(net, 0, layout{shape: in, chunk: inChunk}, b.out); err != nil {
		t.Fatal(err)
	}
	m.scratch.alloc(m.arena, threads)
	m.common.alloc(m.arena, 1)
	r := draws(seed)
	b.x = randomFloats(r, n*in.Size(), 3)
	b.dy = randomFloats(r, n*b.out.Size(), 1)
	b.t.x = b.place(b.plan.in, b.x, batch)
	b.t.dy = b.place(b.plan.out, b.dy, batch)
	b.t.y = b.place(b.plan.out, nil, batch)
	b.t.dx = b.place(b.plan.in, nil, batch)
	if ps := net.Params()[:2]; ps[0].Name == "layer.weight" {
		b.t.w, b.t.b = randomFloats(r, ps[0].Len(), 1), randomFloats(r, ps[1].Len(), 1)
		b.t.dw, b.t.db = garbage(ps[0].Len()), garbage(ps[1].Len())
	}
	return b
}

// garbage is what a buffer holds that must be overwritten.
func garbage(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.NaN())
	}
	return x
}

// place puts images in the usual order into a buffer with a layout, with garbage
// where there is no image.
func (b *bench) place(l layout, images []float32, batch int) []float32 {
	buf := garbage(l.capacity(batch) * l.shape.Size())
	for i := range len(images) / l.shape.Size() {
		l.scatter(buf, images[i*l.shape.Size():(i+1)*l.shape.Size()], i)
	}
	return buf
}

// take returns the images of a buffer in the usual order.
func (b *bench) take(l layout, buf []float32) []float32 {
	x := make([]float32, b.call.n*l.shape.Size())
	for i := range b.call.n {
		l.gather(x[i*l.shape.Size():(i+1)*l.shape.Size()], buf, i)
	}
	return x
}

// compare fails unless got is want within tol of want's largest value. float32 has
// 2^-24 of relative error an operation; the sums here have at most a few thousand
// terms of random sign, so that 2e-5 leaves a margin of about five.
func compare(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	scale := 1e-3
	for _, v := range want {
		scale = math.Max(scale, math.Abs(v))
	}
	for i, v := range want {
		if !(math.Abs(float64(got[i])-v) <= tol*scale) {
			t.Fatalf("%s[%d] = %g, want %g (largest %g)", what, i, got[i], v, scale)
		}
	}
}

const sumTolerance = 2e-5

// checkLayer runs a layer forwards and backwards and compares it with the
// reference and its central differences, of sum(dy*y).
func checkLayer(t *testing.T, b *bench, mask []float64) {
	t.Helper()
	b.plan.kernel.forward(&b.call, &b.t)
	x, w, bias, dy := widen(b.x), widen(b.t.w), widen(b.t.b), widen(b.dy)
	in, out := b.in.Size(), b.out.Size()
	image := func(i int) []float64 {
		var m []float64
		if mask != nil {
			m = mask[i*in : (i+1)*in]
		}
		return refLayer(&b.layer, b.in, b.out, x[i*in:(i+1)*in], w, bias, m)
	}
	weighted := func(i int) float64 {
		s := 0.0
		for j, v := range image(i) {
			s += v * dy[i*out+j]
		}
		return s
	}
	var y []float64
	for i := range b.call.n {
		y = append(y, image(i)...)
	}
	compare(t, "y", b.take(b.plan.out, b.t.y), y, sumTolerance)

	b.plan.kernel.backward(&b.call, &b.t)
	const h = 1e-5 // the second-order error is h^2, rounding 1e-16/h
	if b.t.dx != nil {
		dx := make([]float64, len(x))
		for i := range x {
			dx[i] = slope(&x[i], h, func() float64 { return weighted(i / in) })
		}
		compare(t, "dx", b.take(b.plan.in, b.t.dx), dx, sumTolerance)
	}
	all := func() float64 {
		s := 0.0
		for i := range b.call.n {
			s += weighted(i)
		}
		return s
	}
	for _, p := range []struct {
		name  string
		value []float64
		got   []float32
	}{{"dw", w, b.t.dw}, {"db", bias, b.t.db}} {
		want := make([]float64, len(p.value))
		for i := range want {
			want[i] = slope(&p.value[i], h, all)
		}
		compare(t, p.name, p.got, want, sumTolerance)
	}
}

func TestConv(t *testing.T) {
	for i, c := range []struct {
		l     model.Layer
		in    model.Shape
		n     int
		batch int
	}{
		{model.Layer{Out: 2, Kernel: 1, Stride: 1}, model.Shape{C: 1, H: 1, W: 1}, 1, 1},
		{model.Layer{Out: 3, Kernel: 3, Stride: 1, Pad: 1}, model.Shape{C: 2, H: 5, W: 4}, 3, 3},
		{model.Layer{Out: 4, Kernel: 5, Stride: 1, Pad: 2, Groups: 2}, model.Shape{C: 6, H: 7, W: 3}, 5, 12},
		{model.Layer{Out: 6, Kernel: 3, Stride: 2, Pad: 1, Groups: 3}, model.Shape{C: 3, H: 6, W: 9}, 9, 9},
		{model.Layer{Out: 2, Kernel: 4, Stride: 3, PadEnd: 2}, model.Shape{C: 3, H: 9, W: 8}, 2, 2},
		{model.Layer{Out: 3, Kernel: 2, Stride: 3, Pad: 1, PadEnd: 1}, model.Shape{C: 1, H: 4, W: 5}, 11, 17},
		{model.Layer{Out: 1, Kernel: 3, Stride: 5, Pad: 2}, model.Shape{C: 2, H: 2, W: 2}, 4, 4},
		{model.Layer{Out: 2, Kernel: 2, Stride: 1, Pad: 3}, model.Shape{C: 1, H: 1, W: 2}, 1, 8},
		// Output planes of the input's size.
		{model.Layer{Out: 2, Kernel: 2, Stride: 1, PadEnd: 1}, model.Shape{C: 2, H: 3, W: 4}, 3, 3},
		{model.Layer{Out: 2, Kernel: 4, Stride: 1, Pad: 1, PadEnd: 1}, model.Shape{C: 1, H: 4, W: 3}, 2, 2},
		{model.Layer{Out: 2, Kernel: 7, Stride: 1, Pad: 3}, model.Shape{C: 1, H: 2, W: 3}, 9, 10},
		{model.Layer{Out: 2, Kernel: 9, Stride: 1, Pad: 4}, model.Shape{C: 2, H: 1, W: 1}, 2, 2},
		// More than one block of steps, forwards and back, and several images a unit.
		{model.Layer{Out: 2, Kernel: 3, Stride: 1, Pad: 1}, model.Shape{C: 30, H: 2, W: 8}, 3, 4},
		{model.Layer{Out: 30, Kernel: 3, Stride: 1, Pad: 1}, model.Shape{C: 1, H: 3, W: 3}, 2, 2},
		{model.Layer{Out: 260, Kernel: 1, Stride: 2}, model.Shape{C: 2, H: 3, W: 3}, 2, 2},
		// More output positions than a block of steps.
		{model.Layer{Out: 2, Kernel: 5, Stride: 1, Pad: 2}, model.Shape{C: 1, H: 35, W: 33}, 1, 1},
		{model.Layer{Out: 1, Kernel: 3, Stride: 1}, model.Shape{C: 1, H: 36, W: 34}, 2, 2},
	} {
		for _, chunk := range []int{1, min(chunkImages, c.batch)} {
			t.Run(fmt.Sprintf("%d/chunk %d", i, chunk), func(t *testing.T) {
				c.l.Kind = model.Conv
				checkLayer(t, newBench(t, c.l, c.in, c.n, c.batch, chunk, 2, uint64(i)), nil)
			})
		}
	}
}

// TestConvRandom tries shapes that nobody thought of.
func TestConvRandom(t *testing.T) {
	r := draws(99)
	for i := range 40 {
		g := 1 + r.IntN(3)
		l := model.Layer{Kind: model.Conv, Out: g * (1 + r.IntN(3)), Kernel: 1 + r.IntN(5), Stride: 1 + r.IntN(3),
			Pad: r.IntN(3), PadEnd: r.IntN(3), Groups: g}
		in := model.Shape{C: g * (1 + r.IntN(3)), H: l.Kernel + r.IntN(6), W: l.Kernel + r.IntN(6)}
		n := 1 + r.IntN(10)
		b := newBench(t, l, in, n, n+r.IntN(5), 1, 1+r.IntN(3), uint64(i))
		if r.IntN(4) == 0 {
			b.t.dx = nil
		}
		t.Logf("%d: %d images of %v, %+v", i, n, in, l)
		checkLayer(t, b, nil)
	}
}

func TestLocal(t *testing.T) {
	for i, c := range []struct {
		l        model.Layer
		in       model.Shape
		n, batch int
		chunk    int
		withoutX bool
	}{
		{model.Layer{Out: 1, Kernel: 1, Stride: 1}, model.Shape{C: 1, H: 1, W: 1}, 1, 1, 1, false},
		{model.Layer{Out: 3, Kernel: 3, Stride: 1, Pad: 1}, model.Shape{C: 2, H: 4, W: 3}, 3, 5, 1, false},
		{model.Layer{Out: 2, Kernel: 3, Stride: 2}, model.Shape{C: 3, H: 6, W: 7}, 9, 9, chunkImages, false},
		{model.Layer{Out: 2, Kernel: 2, Stride: 3, Pad: 1}, model.Shape{C: 1, H: 5, W: 4}, 2, 2, 2, false},
		{model.Layer{Out: 2, Kernel: 2, Stride: 1, Pad: 3}, model.Shape{C: 1, H: 1, W: 2}, 1, 8, 8, false},
		{model.Layer{Out: 2, Kernel: 2, Stride: 1}, model.Shape{C: 1, H: 3, W: 2}, 2, 2, 1, true},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			c.l.Kind = model.Local
			b := newBench(t, c.l, c.in, c.n, c.batch, c.chunk, 2, uint64(i))
			if c.withoutX {
				b.t.dx = nil
			}
			checkLayer(t, b, nil)
		})
	}
}

func TestFC(t *testing.T) {
	for i, c := range []struct {
		in       model.Shape
		out, n   int
		batch    int
		chunk    int
		withoutX bool
	}{
		{model.Shape{C: 1, H: 1, W: 1}, 1, 1, 1, 1, false},
		{model.Shape{C: 5, H: 1, W: 1}, 3, 4, 7, 1, false},
		{model.Shape{C: 3, H: 2, W: 3}, 19, 5, 5, 5, false},
		{model.Shape{C: 2, H: 3, W: 2}, 35, 11, 19, chunkImages, false},
		{model.Shape{C: 2, H: 3, W: 2}, 4, 3, 3, 1, true},
		{model.Shape{C: 1033, H: 1, W: 1}, 2, 2, 2, 1, false}, // more than a block of steps
		{model.Shape{C: 3, H: 1, W: 1}, 2, 45, 45, 1, false},  // more images than a strip
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			b := newBench(t, model.Layer{Kind: model.FC, Out: c.out}, c.in, c.n, c.batch, c.chunk, 2, uint64(i))
			if c.withoutX {
				b.t.dx = nil
			}
			checkLayer(t, b, nil)
		})
	}
}

func TestLRN(t *testing.T) {
	paper := model.Layer{Kind: model.LRN, Size: 5, Alpha: 1e-4, Beta: 0.75, K: 2}
	strong := model.Layer{Kind: model.LRN, Size: 5, Alpha: 0.3, Beta: 0.75, K: 1.5}
	for i, c := range []struct {
		l     model.Layer
		in    model.Shape
		n     int
		chunk int
	}{
		{paper, model.Shape{C: 7, H: 3, W: 2}, 3, 3},
		{strong, model.Shape{C: 7, H: 3, W: 2}, 9, chunkImages},
		{strong, model.Shape{C: 1, H: 2, W: 2}, 1, 1},
		{strong, model.Shape{C: 3, H: 29, W: 19}, 1, 1}, // more than lrnBlock positions
		{model.Layer{Kind: model.LRN, Size: 3, Alpha: 0.2, Beta: 0.5, K: 1}, model.Shape{C: 5, H: 2, W: 3}, 2, 2},
		{model.Layer{Kind: model.LRN, Size: 7, Alpha: 0.2, Beta: 1.2, K: 1}, model.Shape{C: 4, H: 1, W: 3}, 4, 4},
		{model.Layer{Kind: model.LRN, Size: 1, Alpha: 0.2, Beta: 0.75, K: 1}, model.Shape{C: 4, H: 2, W: 2}, 2, 1},
		{grouped(strong, 2), model.Shape{C: 8, H: 3, W: 2}, 3, 3},
		{grouped(strong, 3), model.Shape{C: 9, H: 2, W: 1}, 9, chunkImages},
		{grouped(strong, 5), model.Shape{C: 5, H: 2, W: 2}, 2, 1},
		{model.Layer{Kind: model.LRN, Size: 7, Alpha: 0.2, Beta: 1.2, K: 1, Groups: 2}, model.Shape{C: 12, H: 1, W: 3}, 4, 4},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			checkLayer(t, newBench(t, c.l, c.in, c.n, c.n, c.chunk, 2, uint64(i)), nil)
		})
	}
}

func grouped(l model.Layer, groups int) model.Layer {
	l.Groups = groups
	return l
}

// TestLRNStaysInItsGroup: what is in one group changes nothing in the other, and
// each is as if it were alone.
func TestLRNStaysInItsGroup(t *testing.T) {
	l := model.Layer{Kind: model.LRN, Size: 5, Alpha: 0.3, Beta: 0.75, K: 1.5}
	whole := newBench(t, grouped(l, 2), model.Shape{C: 8, H: 3, W: 2}, 1, 1, 1, 1, 3)
	half := newBench(t, l, model.Shape{C: 4, H: 3, W: 2}, 1, 1, 1, 1, 4)
	whole.plan.kernel.forward(&whole.call, &whole.t)
	whole.plan.kernel.backward(&whole.call, &whole.t)
	for g := range 2 {
		const size = 4 * 3 * 2
		copy(half.t.x, whole.t.x[g*size:])
		copy(half.t.dy, whole.t.dy[g*size:])
		half.plan.kernel.forward(&half.call, &half.t)
		half.plan.kernel.backward(&half.call, &half.t)
		compare(t, "y", whole.t.y[g*size:(g+1)*size], widen(half.t.y), 0)
		compare(t, "dx", whole.t.dx[g*size:(g+1)*size], widen(half.t.dx), 0)
	}
}

func TestLRNWithinChannel(t *testing.T) {
	asRun := model.Layer{Kind: model.LRNWithinChannel, Size: 5, Alpha: 0.001 / 25, Beta: 0.75, K: 1}
	strong := model.Layer{Kind: model.LRNWithinChannel, Size: 5, Alpha: 0.1, Beta: 0.75, K: 1.5}
	for i, c := range []struct {
		l        model.Layer
		in       model.Shape
		n, batch int
		chunk    int
	}{
		{asRun, model.Shape{C: 2, H: 6, W: 5}, 3, 3, 3},
		{strong, model.Shape{C: 3, H: 7, W: 9}, 9, 11, chunkImages},
		{strong, model.Shape{C: 17, H: 2, W: 3}, 2, 2, 1}, // more channels than a unit; a map smaller than the window
		{strong, model.Shape{C: 1, H: 1, W: 1}, 1, 1, 1},
		{strong, model.Shape{C: 1, H: 1, W: 8}, 2, 4, 2},
		{model.Layer{Kind: model.LRNWithinChannel, Size: 3, Alpha: 0.2, Beta: 0.5, K: 1}, model.Shape{C: 2, H: 5, W: 4}, 2, 2, 2},
		{model.Layer{Kind: model.LRNWithinChannel, Size: 9, Alpha: 0.2, Beta: 1.2, K: 1}, model.Shape{C: 2, H: 6, W: 3}, 2, 2, 2},
		{model.Layer{Kind: model.LRNWithinChannel, Size: 1, Alpha: 0.2, Beta: 0.75, K: 1}, model.Shape{C: 2, H: 2, W: 2}, 1, 1, 1},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			checkLayer(t, newBench(t, c.l, c.in, c.n, c.batch, c.chunk, 2, uint64(i)), nil)
		})
	}
}

// TestLRNWithinChannelByHand has values that can be worked out on paper: with k 1 and
// alpha 1 the root of 1 + the sum of squares divides each value of a 3x3 window.
func TestLRNWithinChannelByHand(t *testing.T) {
	l := model.Layer{Kind: model.LRNWithinChannel, Size: 3, Alpha: 1, Beta: 0.5, K: 1}
	b := newBench(t, l, model.Shape{C: 2, H: 2, W: 3}, 1, 1, 1, 1, 1)
	copy(b.t.x, []float32{
		1, 2, 0,
		3, 1, 0,

		0, 0, 4,
		0, 0, 0,
	})
	b.plan.kernel.forward(&b.call, &b.t)
	// 1+4+9+1 = 15 on the left and in the middle, 4+1 = 5 on the right; then 16 in the
	// middle and on the right.
	compare(t, "y", b.t.y, []float64{
		1. / 4, 2. / 4, 0,
		3. / 4, 1. / 4, 0,

		0, 0, 4 / math.Sqrt(17),
		0, 0, 0,
	}, 1e-6)

	// Of the sum of all y: what y[j] loses by x[i]^2, x[j]*x[i]/s[j]^1.5, for each i
	// around j.
	for i := range b.t.dy {
		b.t.dy[i] = 1
	}
	b.plan.kernel.backward(&b.call, &b.t)
	left := 7. / 64 // sum of x[j]/s[j]^1.5 with s of 16; the right column's x are 0
	compare(t, "dx", b.t.dx, []float64{
		1./4 - 1*left, 1./4 - 2*left, 1 / math.Sqrt(6),
		1./4 - 3*left, 1./4 - 1*left, 1 / math.Sqrt(6),

		1, 1 / math.Sqrt(17), 1/math.Sqrt(17) - 4*4/math.Pow(17, 1.5),
		1, 1 / math.Sqrt(17), 1 / math.Sqrt(17),
	}, 1e-6)
}

func TestMaxPool(t *testing.T) {
	for i, c := range []struct {
		kernel, stride int
		ceil           bool
		in             model.Shape
		n, chunk       int
	}{
		{3, 2, false, model.Shape{C: 2, H: 7, W: 5}, 3, 3},
		{3, 2, true, model.Shape{C: 17, H: 6, W: 8}, 9, chunkImages},
		{2, 2, false, model.Shape{C: 1, H: 5, W: 4}, 2, 1},
		{1, 1, false, model.Shape{C: 3, H: 2, W: 3}, 1, 1},
		{2, 3, true, model.Shape{C: 2, H: 6, W: 7}, 2, 2},
		{4, 1, false, model.Shape{C: 2, H: 5, W: 6}, 2, 2},
		{3, 3, true, model.Shape{C: 1, H: 3, W: 4}, 1, 1},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			l := model.Layer{Kind: model.MaxPool, Kernel: c.kernel, Stride: c.stride, Ceil: c.ceil}
			checkLayer(t, newBench(t, l, c.in, c.n, c.n, c.chunk, 2, uint64(i)), nil)
		})
	}
}

// TestMaxPoolTies checks that of equal values the first in reading order gets the
// gradient, and that a NaN comes through.
func TestMaxPoolTies(t *testing.T) {
	l := model.Layer{Kind: model.MaxPool, Kernel: 3, Stride: 2}
	b := newBench(t, l, model.Shape{C: 1, H: 5, W: 3}, 1, 1, 1, 1, 1)
	copy(b.t.x, []float32{
		0, 1, 1,
		1, 0, 0,
		0, 0, 2,
		2, 2, 0,
		0, 0, 2,
	})
	copy(b.t.dy, []float32{10, 1})
	b.plan.kernel.forward(&b.call, &b.t)
	b.plan.kernel.backward(&b.call, &b.t)
	want := make([]float64, 15)
	want[8] = 11
	compare(t, "dx", b.t.dx, want, 0)

	copy(b.t.x, []float32{0, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0})
	b.plan.kernel.forward(&b.call, &b.t)
	b.plan.kernel.backward(&b.call, &b.t)
	want = make([]float64, 15)
	want[3], want[7] = 10, 1
	compare(t, "dx", b.t.dx, want, 0)

	for at := range 9 {
		copy(b.t.x, []float32{3, 1, 4, 1, 5, 9, 2, 6, 5})
		b.t.x[at] = float32(math.NaN())
		b.plan.kernel.forward(&b.call, &b.t)
		if b.t.y[0] == b.t.y[0] {
			t.Errorf("a NaN at position %d is lost: %g", at, b.t.y[0])
		}
	}
}

func TestReLU(t *testing.T) {
	for _, chunk := range []int{1, 3} {
		b := newBench(t, model.Layer{Kind: model.ReLU}, model.Shape{C: 3, H: 2, W: 5}, 2, 3, chunk, 2, 4)
		checkLayer(t, b, nil)
		// In place, and with values that have special rules.
		copy(b.t.x, []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(-1)), 1, -1, float32(math.NaN())})
		b.t.y, b.t.dx = b.t.x, b.t.dy
		copy(b.t.dy, []float32{7, 7, 7, 7, 7, 7})
		b.plan.kernel.forward(&b.call, &b.t)
		if math.IsNaN(float64(b.t.y[3])) || !math.IsNaN(float64(b.t.y[5])) {
			t.Errorf("relu of 1 and NaN is %v and %v", b.t.y[3], b.t.y[5])
		}
		b.plan.kernel.backward(&b.call, &b.t)
		compare(t, "y", b.t.y[:5], []float64{0, 0, 0, 1, 0}, 0)
		compare(t, "dx", b.t.dx[:5], []float64{0, 0, 0, 7, 0}, 0)
	}
}

func TestDropout(t *testing.T) {
	for _, c := range []struct {
		in       model.Shape
		n, batch int
		chunk    int
	}{{model.Shape{C: 7, H: 1, W: 1}, 6, 9, 1}, {model.Shape{C: 5, H: 3, W: 1}, 10, 11, chunkImages}} {
		b := newBench(t, model.Layer{Kind: model.Dropout, Rate: 0.3}, c.in, c.n, c.batch, c.chunk, 2, 6)
		mask := make([]float32, len(b.x))
		model.DropoutMask(mask, 11, b.call.step, 0, 0, 0.3)
		checkLayer(t, b, widen(mask))
		first := b.take(b.plan.out, b.t.y)
		b.plan.kernel.forward(&b.call, &b.t)
		compare(t, "y again", b.take(b.plan.out, b.t.y), widen(first), 0)

		// Predicting, it scales by what it would have kept.
		k := b.plan.kernel.(*dropoutKernel)
		k.m.train = false
		k.forward(&b.call, &b.t)
		want := widen(b.x)
		for i := range want {
			want[i] *= 0.7
		}
		compare(t, "y when predicting", b.take(b.plan.out, b.t.y), want, sumTolerance)
	}
}
