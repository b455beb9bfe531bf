package cpu

import (
	"testing"
	"time"

	"alexnet/model"
)

// TestProfile: every pass of every layer is counted, once a step, by both paths and in
// both programs; a profile that was read begins anew, and none is kept unasked.
func TestProfile(t *testing.T) {
	net := tinyNet()
	for path, o := range goldenPaths() {
		o.Batch, o.Profile = 4, true
		e := newEngine(t, net, o)
		images, labels := examples(net, 3, 1, 5)
		for s := range 2 {
			backward(t, e, images, labels, uint64(s))
			update(t, e, model.Hyper{LearningRate: 1e-3})
		}
		if err := e.Predict(images, 3, make([]float32, 3*net.Classes)); err != nil {
			t.Fatal(err)
		}
		p := e.Profile()
		if p.Backwards != 2 || p.Updates != 2 || p.Predictions != 1 {
			t.Errorf("%s: %d, %d and %d calls, want 2, 2 and 1", path, p.Backwards, p.Updates, p.Predictions)
		}
		var sum time.Duration
		calls := map[partKey]int{}
		operations := map[string]float64{}
		for _, part := range p.Parts {
			sum += part.Time
			if part.Fastest*time.Duration(part.Calls) > part.Time || part.Fastest < 0 {
				t.Errorf("%s: the fastest of %+v", path, part)
			}
			calls[partKey{part.Layer, part.Pass}] += part.Calls
			operations[part.Layer] += part.Operations
		}
		if sum <= 0 || sum > p.Wall {
			t.Errorf("%s: parts of %v in all of %v", path, sum, p.Wall)
		}
		for _, row := range net.Table() {
			if calls[partKey{row.Layer, PassForward}] != 2 || calls[partKey{row.Layer, PassPredict}] != 1 {
				t.Errorf("%s: forward passes of %s are not 2 and 1: %v", path, row.Layer, calls)
			}
			back := calls[partKey{row.Layer, PassBackward}]
			weights, data := calls[partKey{row.Layer, PassWeights}], calls[partKey{row.Layer, PassData}]
			first := row.Layer == "conv1"
			if back+weights != 2 || back == 0 && data != 2 && !first || first && data != 0 {
				t.Errorf("%s: backward passes of %s: %d, weights %d, data %d", path, row.Layer, back, weights, data)
			}
			// Two steps of three products, or two in the first layer, and one prediction.
			products := 7.0
			if first {
				products = 5
			}
			if want := products * 2 * float64(row.MACs) * 3; operations[row.Layer] != want {
				t.Errorf("%s: %g operations of %s, want %g", path, operations[row.Layer], row.Layer, want)
			}
		}
		if calls[partKey{"", PassUpdate}] != 2 || calls[partKey{"", PassImages}] != 3 {
			t.Errorf("%s: %v", path, calls)
		}
		if again := e.Profile(); len(again.Parts) != 0 || again.Wall != 0 || again.Backwards != 0 {
			t.Errorf("%s: a profile that was read is still there: %+v", path, again)
		}
		backward(t, e, images, labels, 2)
		if again := e.Profile(); again.Backwards != 1 || len(again.Parts) == 0 {
			t.Errorf("%s: after it was read, a profile gathers %+v", path, again)
		}
	}
	e := newEngine(t, net, Options{Batch: 4})
	images, labels := examples(net, 3, 1, 5)
	backward(t, e, images, labels, 0)
	if p := e.Profile(); len(p.Parts) != 0 {
		t.Errorf("a profile that nobody wanted: %+v", p)
	}
}
