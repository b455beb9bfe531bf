package cpu

import (
	"fmt"
	"slices"
	"testing"

	"alexnet/model"
	"alexnet/model/cpu/gemm"
)

// TestSameBits: what the processor has makes no difference to the bits, as long as it
// has fused multiply-adds, and no number of threads does.
func TestSameBits(t *testing.T) {
	for i, c := range []struct {
		l  model.Layer
		in model.Shape
		n  int
	}{
		{model.Layer{Kind: model.Conv, Out: 26, Kernel: 3, Stride: 1, Pad: 1, Groups: 2}, model.Shape{C: 66, H: 7, W: 9}, 11},
		{model.Layer{Kind: model.Conv, Out: 13, Kernel: 11, Stride: 4}, model.Shape{C: 3, H: 51, W: 55}, 3},
		{model.Layer{Kind: model.FC, Out: 101}, model.Shape{C: 301, H: 1, W: 1}, 35},
		{model.Layer{Kind: model.LRN, Size: 5, Alpha: 1e-3, Beta: 0.75, K: 2}, model.Shape{C: 13, H: 7, W: 9}, 3},
		{model.Layer{Kind: model.MaxPool, Kernel: 3, Stride: 2}, model.Shape{C: 5, H: 13, W: 27}, 3},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			var first *bench
			for _, k := range gemm.Kernels() {
				if k == (gemm.Kernel{}) {
					continue // plain Go does not fuse on every processor
				}
				for _, threads := range []int{1, 3, 20} {
					b := newBenchOf(t, k, c.l, c.in, c.n, c.n, min(chunkImages, c.n), threads, 7)
					b.plan.kernel.forward(&b.call, &b.t)
					b.plan.kernel.backward(&b.call, &b.t)
					if first == nil {
						first = b
						continue
					}
					what := fmt.Sprintf("%s, %d threads: ", k, threads)
					same(t, what+"y", first.take(first.plan.out, first.t.y), b.take(b.plan.out, b.t.y))
					same(t, what+"dx", first.take(first.plan.in, first.t.dx), b.take(b.plan.in, b.t.dx))
					if !slices.Equal(first.t.dw, b.t.dw) || !slices.Equal(first.t.db, b.t.db) {
						t.Errorf("%sgradients of weights differ", what)
					}
				}
			}
		})
	}
}

// TestKernels checks the layers with every micro-kernel that this processor runs, the
// plain one included.
func TestKernels(t *testing.T) {
	for _, k := range gemm.Kernels() {
		for i, l := range []model.Layer{
			{Kind: model.Conv, Out: 26, Kernel: 3, Stride: 1, Pad: 1, Groups: 2},
			{Kind: model.Conv, Out: 14, Kernel: 4, Stride: 2, Pad: 1, Groups: 1},
			{Kind: model.FC, Out: 13},
		} {
			t.Run(fmt.Sprintf("%s/%d", k, i), func(t *testing.T) {
				checkLayer(t, newBenchOf(t, k, l, model.Shape{C: 6, H: 5, W: 8}, 3, 3, 3, 2, uint64(i)), nil)
			})
		}
	}
}

// alexnetLayers are the layers of AlexNet with most of the arithmetic.
func alexnetLayers() []struct {
	l  model.Layer
	in model.Shape
} {
	return []struct {
		l  model.Layer
		in model.Shape
	}{
		{model.Layer{Name: "conv1", Kind: model.Conv, Out: 96, Kernel: 11, Stride: 4}, model.Shape{C: 3, H: 227, W: 227}},
		{model.Layer{Name: "conv2", Kind: model.Conv, Out: 256, Kernel: 5, Stride: 1, Pad: 2, Groups: 2}, model.Shape{C: 96, H: 27, W: 27}},
		{model.Layer{Name: "conv3", Kind: model.Conv, Out: 384, Kernel: 3, Stride: 1, Pad: 1}, model.Shape{C: 256, H: 13, W: 13}},
		{model.Layer{Name: "conv4", Kind: model.Conv, Out: 384, Kernel: 3, Stride: 1, Pad: 1, Groups: 2}, model.Shape{C: 384, H: 13, W: 13}},
		{model.Layer{Name: "conv5", Kind: model.Conv, Out: 256, Kernel: 3, Stride: 1, Pad: 1, Groups: 2}, model.Shape{C: 384, H: 13, W: 13}},
		{model.Layer{Name: "fc6", Kind: model.FC, Out: 4096}, model.Shape{C: 9216, H: 1, W: 1}},
		{model.Layer{Name: "fc7", Kind: model.FC, Out: 4096}, model.Shape{C: 4096, H: 1, W: 1}},
		{model.Layer{Name: "fc8", Kind: model.FC, Out: 1000}, model.Shape{C: 4096, H: 1, W: 1}},
	}
}

// BenchmarkLayer measures the products of AlexNet's layers, in one thread.
func BenchmarkLayer(b *testing.B) {
	for _, c := range alexnetLayers() {
		n, in := 16, 1
		if c.l.Kind == model.FC {
			n = 128
		} else if c.in.C > 3 {
			in = chunkImages
		}
		bench := newBench(b, c.l, c.in, n, n, in, 1, 3)
		flop := 2 * float64(n) * float64(len(bench.t.w)) * float64(bench.out.H*bench.out.W)
		measure := func(name string, f func()) {
			b.Run(c.l.Name+"/"+name, func(b *testing.B) {
				for b.Loop() {
					f()
				}
				b.ReportMetric(1e-9*flop*float64(b.N)/b.Elapsed().Seconds(), "GFLOP/s")
			})
		}
		measure("forward", func() { bench.plan.kernel.forward(&bench.call, &bench.t) })
		switch k := bench.plan.kernel.(type) {
		case *convKernel:
			measure("weights", func() { k.weights.run(n, &bench.t) })
			if k.data != nil {
				measure("data", func() { k.data.run(n, bench.t.dy, bench.t.w, nil, bench.t.dx) })
			}
		case *fcKernel:
			measure("weights", func() { k.backwardWeights(n, bench.t.x, &bench.t) })
			measure("data", func() { k.backwardData(n, bench.t.dx, &bench.t) })
		}
	}
}
