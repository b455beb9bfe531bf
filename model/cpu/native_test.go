package cpu

import (
	"errors"
	"fmt"
	"math"
	"os"
	"testing"

	"alexnet/model"
	"alexnet/model/cpu/dnnl"
)

// needLibrary skips a test where there is no oneDNN.
func needLibrary(t testing.TB) *dnnl.Library {
	t.Helper()
	l, err := dnnl.Find()
	if err != nil {
		t.Skip(err)
	}
	return l
}

// twins trains both paths side by side: losses, the first gradients and the last
// predictions must agree. Later gradients need not: where a value lies on an edge
// (a ReLU at 0, two equal maxima) rounding decides.
func twins(t *testing.T, plain, native *Engine, images []float32, labels []int32, steps int) {
	t.Helper()
	backward(t, plain, images, labels, 0)
	backward(t, native, images, labels, 0)
	ga, gb := gradients(t, plain), gradients(t, native)
	for i := range ga {
		compare(t, "gradient of "+plain.specs[i].Name, gb[i], widen(ga[i]), 1e-4)
	}
	losses(t, plain, native, images, labels, steps)
	n := len(labels)
	pa, pb := make([]float32, n*plain.net.Classes), make([]float32, n*plain.net.Classes)
	if err := errors.Join(plain.Predict(images, n, pa), native.Predict(images, n, pb)); err != nil {
		t.Fatal(err)
	}
	compare(t, "probabilities", pb, widen(pa), 1e-4)
}

// losses trains a few steps and compares the losses.
func losses(t *testing.T, plain, native *Engine, images []float32, labels []int32, steps int) {
	t.Helper()
	h := model.Hyper{LearningRate: 0.001, Momentum: 0.9, WeightDecay: 0.0005}
	for s := range steps {
		a, b := backward(t, plain, images, labels, uint64(s)), backward(t, native, images, labels, uint64(s))
		if a.N != b.N || !(math.Abs(a.Loss-b.Loss) <= 1e-4*math.Abs(a.Loss)) {
			t.Fatalf("step %d: %+v in plain Go, %+v with oneDNN", s, a, b)
		}
		update(t, plain, h)
		update(t, native, h)
	}
}

// TestNativeTanh compares the paths where tanh stands before a normalisation, which
// oneDNN then computes in the plain order, with a forward pass that writes a workspace
// and a backward pass that has no use for it.
func TestNativeTanh(t *testing.T) {
	needLibrary(t)
	net, err := model.Preset("alexnet-small", 10)
	if err != nil {
		t.Fatal(err)
	}
	net = net.WithActivation(model.Tanh)
	images, labels := examples(net, 4, 10, 31)
	twins(t, newEngine(t, net, Options{Batch: 4, Threads: 2}), newEngine(t, net, Options{Batch: 4, Threads: 1, Backend: OneDNN}), images, labels, 3)
}

// TestNativeTwin compares both paths on whole nets.
func TestNativeTwin(t *testing.T) {
	needLibrary(t)
	for _, c := range []struct {
		name    string
		n       int
		scale   float64
		threads int
	}{{"tiny", 13, 1, 2}, {"alexnet-small", 6, 10, 1}} { // small enough values that losses do not jump and double each rounding
		t.Run(c.name, func(t *testing.T) {
			net := tinyNet()
			if c.name != net.Name {
				var err error
				if net, err = model.Preset(c.name, 10); err != nil {
					t.Fatal(err)
				}
			}
			images, labels := examples(net, c.n, c.scale, 31)
			twins(t, newEngine(t, net, Options{Batch: c.n, Threads: 2}),
				newEngine(t, net, Options{Batch: c.n, Threads: c.threads, Backend: OneDNN}), images, labels, 10)
		})
	}
}

// TestNativeAlexNet compares the gradients of the full net. Of its pooling's 140,000
// windows some have two maxima that are equal but for rounding; then another value
// gets the gradient, and all layers before differ. So a few batches may be tried
// until there is one without.
func TestNativeAlexNet(t *testing.T) {
	needLibrary(t)
	if os.Getenv("ALEXNET_SLOW") == "" {
		t.Skip("the full net is slow in plain Go: .ci/run does it, with ALEXNET_SLOW=1")
	}
	net, err := model.Preset("alexnet", 10)
	if err != nil {
		t.Fatal(err)
	}
	plain := newEngine(t, net, Options{Batch: 2, Threads: 2})
	native := newEngine(t, net, Options{Batch: 2, Threads: 2, Backend: OneDNN})
	best := math.Inf(1)
	for seed := uint64(33); best > 1e-4 && seed < 40; seed++ {
		images, labels := examples(net, 2, 50, seed)
		a, b := backward(t, plain, images, labels, seed), backward(t, native, images, labels, seed)
		if !(math.Abs(a.Loss-b.Loss) <= 1e-5*a.Loss) {
			t.Fatalf("%+v in plain Go, %+v with oneDNN", a, b)
		}
		worst, gb := 0.0, gradients(t, native)
		for i, g := range gradients(t, plain) {
			var of, off float64
			for j, v := range g {
				of, off = max(of, math.Abs(float64(v))), max(off, math.Abs(float64(gb[i][j]-v)))
			}
			worst = max(worst, off/of)
		}
		best = min(best, worst)
	}
	if !(best <= 1e-4) {
		t.Errorf("a gradient is off by %.1e of its largest value", best)
	}
	images, labels := examples(net, 2, 50, 33)
	losses(t, plain, native, images, labels, 10)
}

// layerCase is a layer and its input.
type layerCase struct {
	l  model.Layer
	in model.Shape
}

// nativeCases are layers that oneDNN computes, and some that it may not, on shapes of
// all sorts.
func nativeCases() []layerCase {
	return []layerCase{
		{model.Layer{Kind: model.Conv, Out: 32, Kernel: 3, Stride: 1, Pad: 1}, model.Shape{C: 16, H: 7, W: 6}},
		{model.Layer{Kind: model.Conv, Out: 32, Kernel: 5, Stride: 1, Pad: 2, Groups: 2}, model.Shape{C: 32, H: 9, W: 9}},
		{model.Layer{Kind: model.Conv, Out: 48, Kernel: 11, Stride: 4, PadEnd: 3}, model.Shape{C: 3, H: 32, W: 32}},
		{model.Layer{Kind: model.Conv, Out: 6, Kernel: 3, Stride: 2, Pad: 1, PadEnd: 1, Groups: 3}, model.Shape{C: 3, H: 6, W: 9}},
		{model.Layer{Kind: model.Conv, Out: 3, Kernel: 2, Stride: 3, Pad: 1, PadEnd: 1}, model.Shape{C: 1, H: 4, W: 5}},
		{model.Layer{Kind: model.Conv, Out: 20, Kernel: 3, Stride: 1}, model.Shape{C: 20, H: 5, W: 5}},
		{model.Layer{Kind: model.LRN, Size: 5, Alpha: 0.3, Beta: 0.75, K: 1.5}, model.Shape{C: 32, H: 5, W: 7}},
		{model.Layer{Kind: model.LRN, Size: 3, Alpha: 0.2, Beta: 0.5, K: 1}, model.Shape{C: 7, H: 3, W: 3}},
		{model.Layer{Kind: model.LRN, Size: 7, Alpha: 0.2, Beta: 1.2, K: 1}, model.Shape{C: 16, H: 3, W: 3}},
		{model.Layer{Kind: model.LRN, Size: 5, Alpha: 0.3, Beta: 0.75, K: 1.5, Groups: 2}, model.Shape{C: 32, H: 5, W: 7}},
		{model.Layer{Kind: model.LRN, Size: 3, Alpha: 0.2, Beta: 0.5, K: 1, Groups: 3}, model.Shape{C: 6, H: 3, W: 3}},
		{model.Layer{Kind: model.LRNWithinChannel, Size: 5, Alpha: 0.1, Beta: 0.75, K: 1}, model.Shape{C: 32, H: 9, W: 7}},
		{model.Layer{Kind: model.LRNWithinChannel, Size: 3, Alpha: 0.1, Beta: 0.5, K: 1}, model.Shape{C: 3, H: 2, W: 4}},
		{model.Layer{Kind: model.MaxPool, Kernel: 3, Stride: 2}, model.Shape{C: 32, H: 13, W: 13}},
		{model.Layer{Kind: model.MaxPool, Kernel: 3, Stride: 2, Ceil: true}, model.Shape{C: 16, H: 6, W: 8}},
		{model.Layer{Kind: model.MaxPool, Kernel: 2, Stride: 1}, model.Shape{C: 5, H: 4, W: 6}},
		{model.Layer{Kind: model.MaxPool, Kernel: 2, Stride: 3, Ceil: true}, model.Shape{C: 2, H: 6, W: 7}},
		{model.Layer{Kind: model.ReLU}, model.Shape{C: 16, H: 3, W: 3}},
		{model.Layer{Kind: model.Dropout, Rate: 0.3}, model.Shape{C: 16, H: 5, W: 3}},
		{model.Layer{Kind: model.FC, Out: 19}, model.Shape{C: 16, H: 3, W: 2}},
		{model.Layer{Kind: model.Local, Out: 19, Kernel: 3, Stride: 1, Pad: 1}, model.Shape{C: 16, H: 5, W: 4}},
	}
}

// TestNativeLayers compares every layer with its twin, forwards and backwards, on
// shapes of all sorts.
func TestNativeLayers(t *testing.T) {
	needLibrary(t)
	for i, c := range nativeCases() {
		for _, relu := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %s %v/relu %v", i, c.l.Kind, c.in, relu), func(t *testing.T) {
				net := sandwich(c.l, c.in, relu)
				images, labels := examples(net, 4, 1, uint64(i))
				twins(t, newEngine(t, net, Options{Batch: 4}), newEngine(t, net, Options{Batch: 4, Threads: 2, Backend: OneDNN}), images, labels, 2)
			})
		}
	}
}

// sandwich puts a convolution before and after a layer, so that it stands between
// orders of oneDNN's and its input's gradient is needed.
func sandwich(l model.Layer, in model.Shape, relu bool) *model.Net {
	l.Name = "layer"
	if l.Weighted() {
		l.InitStd, l.InitBias = 0.1, 0.05
	}
	net := &model.Net{Name: "sandwich", Input: in, Classes: 5, Layers: []model.Layer{
		{Name: "first", Kind: model.Conv, Out: in.C, Kernel: 1, Stride: 1, InitStd: 0.5}, l}}
	if relu {
		net.Layers = append(net.Layers, model.Layer{Name: "relu", Kind: model.ReLU})
	}
	net.Layers = append(net.Layers, model.Layer{Name: "last", Kind: model.Conv, Out: 16, Kernel: 1, Stride: 1, InitStd: 0.3},
		model.Layer{Name: "fc", Kind: model.FC, Out: 5, InitStd: 0.2}, model.Layer{Name: "prob", Kind: model.Softmax})
	return net
}

// TestNativeAgain: the same run gives the same bits, also from the middle on, and
// after batches that are not full.
func TestNativeAgain(t *testing.T) {
	needLibrary(t)
	net, err := model.Preset("alexnet-small", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, threads := range []int{1, 2} {
		images, labels := examples(net, 18, 50, 2)
		o := Options{Batch: 18, Threads: threads, Backend: OneDNN}
		sameRuns(t, newEngine(t, net, o), newEngine(t, net, o), images, labels, 3)

		// b goes on where a has stopped.
		a, b := newEngine(t, net, o), newEngine(t, net, o)
		run(t, a, images, labels, 2)
		run(t, a, images, labels[:5], 1)
		run(t, b, images, labels[:11], 1)
		if err := b.Restore(snapshot(t, a)); err != nil {
			t.Fatal(err)
		}
		sameRuns(t, a, b, images, labels[:7], 2)
	}
}

// TestNativeShortBatch: images that are not there change nothing.
func TestNativeShortBatch(t *testing.T) {
	needLibrary(t)
	net := tinyNet()
	images, labels := examples(net, 9, 1, 33)
	long := newEngine(t, net, Options{Batch: 9, Backend: OneDNN})
	backward(t, long, images, labels, 0) // leaves something behind
	twins(t, newEngine(t, net, Options{Batch: 9}), long, images, labels[:4], 3)
}

// TestNativeShortBatchOfPlainLayers: the same where this package's kernels stand
// between the library's, in its orders and in the plain one.
func TestNativeShortBatchOfPlainLayers(t *testing.T) {
	needLibrary(t)
	for _, l := range []model.Layer{
		{Kind: model.LRN, Size: 3, Alpha: 0.3, Beta: 0.75, K: 1, Groups: 2},
		{Kind: model.LRNWithinChannel, Size: 3, Alpha: 0.3, Beta: 0.75, K: 1},
	} {
		for _, channels := range []int{2, 32} {
			net := sandwich(l, model.Shape{C: channels, H: 5, W: 4}, false)
			images, labels := examples(net, 7, 1, 8)
			long := newEngine(t, net, Options{Batch: 7, Backend: OneDNN})
			backward(t, long, images, labels, 0) // leaves something behind
			twins(t, newEngine(t, net, Options{Batch: 7}), long, images, labels[:3], 3)
		}
	}
}

func TestBackend(t *testing.T) {
	net := tinyNet()
	if _, err := New(net, model.State{}, Options{Batch: 1, Backend: "gpu"}); err == nil {
		t.Error("a backend that does not exist was taken")
	}
	e := newEngine(t, net, Options{Batch: 1, Threads: 2, Backend: Plain})
	if e.Name() != "CPU: plain Go, 2 threads" || e.Hint() != "" {
		t.Errorf("name %q, hint %q", e.Name(), e.Hint())
	}
	lib := needLibrary(t)
	for _, b := range []Backend{Auto, OneDNN} {
		e, err := New(net, model.State{}, Options{Batch: 1, Threads: 2, Backend: b})
		if err != nil {
			t.Fatal(err)
		}
		if want := "CPU: " + lib.Name() + ", 2 threads"; e.Name() != want || e.Hint() != "" {
			t.Errorf("name %q, hint %q, want %q", e.Name(), e.Hint(), want)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
