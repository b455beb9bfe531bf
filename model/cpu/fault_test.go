package cpu

import (
	"math"
	"testing"
)

// Each place where numbers may break down is named, the first one if there are more.
func TestFault(t *testing.T) {
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
				e.weights[0][i] = math.MaxFloat32
			}
		}, "the output of conv1"},
		{func(e *Engine, _ []float32) {
			for i := range e.weights[index["fc3.weight"]] {
				e.weights[index["fc3.weight"]][i] = math.MaxFloat32
			}
		}, "the output of fc3"},
	} {
		e := newEngine(t, net, Options{Batch: 4, Threads: 1})
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
