package cpu

import (
	"errors"
	"reflect"
	"testing"

	"alexnet/model"
)

// What is written to the gradients is what Update takes, and Weights shows what
// Snapshot copies.
func TestGradientsAndWeights(t *testing.T) {
	net := tinyNet()
	e := newEngine(t, net, Options{Batch: 4, Threads: 2})
	if _, err := e.Gradients(); err == nil {
		t.Error("there are gradients before the first Backward")
	}
	images, labels := examples(net, 4, 1, 5)
	backward(t, e, images, labels, 0)
	grads, err := e.Gradients()
	if err != nil {
		t.Fatal(err)
	}
	start := snapshot(t, e)
	h := model.Hyper{LearningRate: 0.5}
	for i, g := range grads {
		if len(g) != net.Params()[i].Len() {
			t.Fatalf("%d gradients of %s", len(g), net.Params()[i].Name)
		}
		for j := range g {
			g[j] = float32(j%5) - 2
		}
	}
	if _, err := e.State(); err != nil { // leaves them as they are
		t.Fatal(err)
	}
	update(t, e, h)
	for i, w := range start.Weights {
		p := net.Params()[i]
		g := make([]float32, len(w.Data))
		for j := range g {
			g[j] = float32(j%5) - 2
		}
		h.Apply(w.Data, start.Velocity[i].Data, g, float32(p.LRMult), float32(p.DecayMult))
	}
	if !reflect.DeepEqual(snapshot(t, e), start) {
		t.Error("Update has not taken the gradients that were written")
	}
	st, err := e.State()
	if err != nil || !reflect.DeepEqual(st, start) {
		t.Errorf("State differs from Snapshot, error %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Gradients(); !errors.Is(err, ErrClosed) {
		t.Errorf("gradients of a closed engine: %v", err)
	}
	if _, err := e.State(); !errors.Is(err, ErrClosed) {
		t.Errorf("state of a closed engine: %v", err)
	}
}
