package cpu

import (
	"errors"
	"math"
	"testing"

	"alexnet/model"
)

// Each place where numbers may break down is named, the first one if there are more.
func TestFault(t *testing.T) { testFaults(t, Options{Batch: 4, Threads: 1}) }

func testFaults(t *testing.T, o Options) {
	t.Helper()
	const huge = 2e38 // finite in bfloat16, too
	net := tinyNet()
	images, labels := examples(net, 3, 1, 5)
	index := map[string]int{}
	for i, p := range net.Params() {
		index[p.Name] = i
	}
	for _, tc := range []struct {
		spoil func(e *Engine, images []float32)
		want  string
	}{
		{func(*Engine, []float32) {}, ""},
		{func(e *Engine, _ []float32) { e.weights[index["fc3.bias"]][2] = float32(math.NaN()) }, "fc3.bias"},
		{func(e *Engine, _ []float32) {
			e.weights[index["fc4.weight"]][2], e.weights[index["conv2.weight"]][3] = float32(math.NaN()), float32(math.Inf(1))
		}, "conv2.weight"},
		{func(_ *Engine, images []float32) { images[len(images)-1] = float32(math.NaN()) }, "the images"},
		{func(e *Engine, _ []float32) {
			for i := range e.weights[0] {
				e.weights[0][i] = huge
			}
		}, "the output of conv1"},
		{func(e *Engine, _ []float32) {
			for i := range e.weights[index["fc3.weight"]] {
				e.weights[index["fc3.weight"]][i] = huge
			}
		}, "the output of fc3"},
	} {
		e := newEngine(t, net, o)
		if got := e.Fault(); got != "" {
			t.Errorf("before the first Backward: %s", got)
		}
		own := append([]float32{}, images...)
		tc.spoil(e, own)
		score := backward(t, e, own, labels, 0)
		if got := e.Fault(); got != tc.want {
			t.Errorf("loss %g: fault %q, want %q", score.Loss, got, tc.want)
		}
	}
}

// TestUpdateFindsWhatIsNotFinite: a NaN or an infinity in an image, a weight, a
// velocity or a gradient ends in an error of the next Update, whatever the layers
// between make of it: a ReLU of oneDNN makes 0 of a NaN, so that the loss does not
// show it.
func TestUpdateFindsWhatIsNotFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	h := model.Hyper{LearningRate: 1e-3, Momentum: 0.9, WeightDecay: 0.0005}
	paths := goldenPaths()
	if hasHalf(t) {
		paths["bf16"] = halfOptions(4, 1)
	}
	for path, o := range paths {
		o.Batch = 4
		net := tinyNet()
		index := map[string]int{}
		for i, p := range net.Params() {
			index[p.Name] = i
		}
		for _, value := range []float32{nan, inf} {
			images, labels := examples(net, 4, 1, 5)
			try := func(what, want string, before func(e *Engine, images []float32), after func(e *Engine)) {
				e := newEngine(t, net, o)
				own := append([]float32{}, images...)
				before(e, own)
				score := backward(t, e, own, labels, 0)
				after(e)
				err := e.Update(h)
				var broken *model.NotFiniteError
				if !errors.As(err, &broken) || want != "" && broken.Where != want {
					t.Errorf("%s, %g in %s: error %v, want %s", path, value, what, err, want)
				}
				t.Logf("%s, %g in %s: loss %.3g, fault %q, %v", path, value, what, score.Loss, e.Fault(), err)
			}
			nothing := func(*Engine) {}
			none := func(*Engine, []float32) {}
			try("an image", "the gradient of conv1.weight", func(_ *Engine, images []float32) { images[7] = value }, nothing)
			for name, i := range index {
				try(name, "", func(e *Engine, _ []float32) { e.weights[i][len(e.weights[i])-1] = value }, nothing)
				try("the velocity of "+name, name, none, func(e *Engine) { e.velocity[i][0] = value })
				try("the gradient of "+name, "the gradient of "+name, none, func(e *Engine) {
					gs, err := e.Gradients()
					if err != nil {
						t.Fatal(err)
					}
					gs[i][len(gs[i])/2] = value
				})
			}
		}
	}
}

// TestHiddenNaN notes which layers hide a NaN of the layer before from those after
// it. What is hidden here, Update must find; should a library stop hiding it, so much
// the better.
func TestHiddenNaN(t *testing.T) {
	paths := goldenPaths()
	if hasHalf(t) {
		paths["bf16"] = halfOptions(4, 1)
	}
	for path, o := range paths {
		o.Batch = 4
		net := tinyNet()
		images, labels := examples(net, 4, 1, 5)
		for i, p := range net.Params() {
			e := newEngine(t, net, o)
			for j := range e.weights[i] {
				e.weights[i][j] = float32(math.NaN())
			}
			score := backward(t, e, images, labels, 0)
			t.Logf("%s: %s all NaN, loss %g", path, p.Name, score.Loss)
			if path == "plain" && !math.IsNaN(score.Loss) {
				t.Errorf("plain Go hides NaNs of %s: loss %g", p.Name, score.Loss)
			}
			if err := e.Update(model.Hyper{LearningRate: 1e-3}); err == nil {
				t.Errorf("%s: Update does not see that %s is all NaN", path, p.Name)
			}
		}
	}
}
