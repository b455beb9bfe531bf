package cpu

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"alexnet/model"
)

// TestFeatures compares the features of every layer with the reference, in plain Go
// and with oneDNN, asked for in turn with predictions and a change of the weights.
func TestFeatures(t *testing.T) {
	const n, batch = 10, 13 // in plain Go convolutions work on chunks of 8
	net := tinyNet()
	images, labels := examples(net, n, 2, 1)
	for _, b := range []Backend{Plain, OneDNN} {
		t.Run(string(b), func(t *testing.T) {
			if b == OneDNN {
				needLibrary(t)
			}
			e := newEngine(t, net, Options{Batch: batch, Threads: 2, Backend: b})
			for i := range 2 {
				checkFeatures(t, e, images, n, 1e-5)
				probs := make([]float32, n*net.Classes)
				if err := e.Predict(images, n, probs); err != nil {
					t.Fatal(err)
				}
				ref := newReference(t, e, images, labels, 0)
				compare(t, "probabilities", probs[:net.Classes], refProbs(ref.logits(0, false)), 1e-5)
				if i == 0 {
					backward(t, e, images, labels, 0)
					update(t, e, model.Hyper{LearningRate: 0.01})
				}
			}
		})
	}
}

// checkFeatures compares the features of every layer with the reference.
func checkFeatures(t *testing.T, e *Engine, images []float32, n int, tolerance float64) {
	t.Helper()
	ref := newReference(t, e, images, make([]int32, n), 0)
	for _, l := range e.net.Layers[:len(e.net.Layers)-1] {
		index, shape, err := e.net.FeatureLayer(l.Name)
		if err != nil {
			t.Fatal(err)
		}
		size := shape.Size()
		features := make([]float32, n*size+1)
		features[n*size] = 42
		if err := e.Features(l.Name, images, n, features); err != nil {
			t.Fatal(err)
		}
		if features[n*size] != 42 {
			t.Errorf("%s: written behind the features", l.Name)
		}
		in := e.net.Input.Size()
		for i := range n {
			want := refOutputs(e.net, ref.params, ref.images[i*in:(i+1)*in], nil)[index]
			compare(t, fmt.Sprintf("features %s of image %d", l.Name, i), features[i*size:(i+1)*size], want, tolerance)
		}
	}
}

// TestHalfFeatures: bfloat16's features are those of float32 but for rounding.
func TestHalfFeatures(t *testing.T) {
	needHalf(t)
	net, err := model.Preset("alexnet-small", 10)
	if err != nil {
		t.Fatal(err)
	}
	const n, batch = 3, 4
	images, _ := examples(net, n, 60, 2)
	wide := newEngine(t, net, Options{Batch: batch, Threads: 2, Backend: OneDNN})
	half := newEngine(t, net, halfOptions(batch, 2))
	for _, l := range net.Layers[:len(net.Layers)-1] {
		_, shape, err := net.FeatureLayer(l.Name)
		if err != nil {
			t.Fatal(err)
		}
		a, b := make([]float32, n*shape.Size()), make([]float32, n*shape.Size())
		if err := errors.Join(wide.Features(l.Name, images, n, a), half.Features(l.Name, images, n, b)); err != nil {
			t.Fatal(err)
		}
		if cosine, ratio := likeness(a, b); cosine < 0.999 || ratio < 0.98 || ratio > 1.02 {
			t.Errorf("%s: cosine %.5f, %.4f times the length", l.Name, cosine, ratio)
		}
	}
}

func TestFeaturesRefused(t *testing.T) {
	net := tinyNet()
	e := newEngine(t, net, Options{Batch: 2, Threads: 1})
	images, _ := examples(net, 3, 1, 1)
	for _, c := range []struct {
		layer string
		n     int
		room  int
		want  string
	}{
		{"fc9", 1, 99, `features: net tiny: there is no layer "fc9"`},
		{"prob", 1, 99, "features: net tiny: prob: gives the probabilities"},
		{"fc3", 3, 99, "3 images for an engine with a batch of 2"},
		{"fc3", 2, 17, "features: room for 17 values of 2 images with 9"},
	} {
		if err := e.Features(c.layer, images, c.n, make([]float32, c.room)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Features("fc3", images, 1, make([]float32, 9)); !errors.Is(err, ErrClosed) {
		t.Errorf("features of a closed engine: %v", err)
	}
}
