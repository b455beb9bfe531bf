package cpu

import (
	"math"
	"reflect"
	"testing"

	"alexnet/model"
)

// Gradients of a net whose non-linearity is tanh, in place behind a convolution, a
// pooling and a fully connected layer, against differences of losses.
func TestTanhGradients(t *testing.T) {
	net := tinyNet().WithActivation(model.Tanh).WithDropout(0)
	images, labels := examples(net, 5, 1, 11)
	e := newEngine(t, net, Options{Batch: 5, Threads: 2})
	start := snapshot(t, e)
	loss := func(change func(st *model.State)) float64 {
		st := model.State{}
		for _, w := range start.Weights {
			st.Weights = append(st.Weights, w.Clone())
		}
		change(&st)
		if err := e.Restore(st); err != nil {
			t.Fatal(err)
		}
		return backward(t, e, images, labels, 0).Loss / float64(len(labels))
	}
	loss(func(*model.State) {})
	grads := gradients(t, e)
	for i, g := range grads {
		// A step along the gradient changes the loss by the square of its length.
		var square float64
		for _, v := range g {
			square += float64(v) * float64(v)
		}
		scale := 1e-2 / math.Sqrt(square)
		along := func(sign float64) float64 {
			return loss(func(st *model.State) {
				for j, v := range g {
					st.Weights[i].Data[j] += float32(sign * scale * float64(v))
				}
			})
		}
		got, want := (along(1)-along(-1))/(2*scale), square
		if math.Abs(got-want) > 0.01*want {
			t.Errorf("%s: along its gradient the loss grows by %g, want %g", start.Weights[i].Name, got, want)
		}
	}
	one := newEngine(t, net, Options{Batch: 5, Threads: 1})
	backward(t, one, images, labels, 0)
	if !reflect.DeepEqual(gradients(t, one), grads) {
		t.Error("one thread gives other gradients than two")
	}
}

// Values of tanh and of its derivative, with some that are not finite.
func TestTanhValues(t *testing.T) {
	x := []float32{0, 1, -1, 0.25, 20, float32(math.Inf(-1)), float32(math.NaN())}
	y := []float32{0, 0.7615942, -0.7615942, 0.24491866, 1, -1, float32(math.NaN())}
	d := []float32{1, 0.41997434, 0.41997434, 0.94001485, 0, 0}
	k := &tanhKernel{m: &machinery{workers: &workers{1}}, layout: layout{shape: model.Shape{C: len(x), H: 1, W: 1}, chunk: 1}}
	dy, dx := make([]float32, len(x)), make([]float32, len(x))
	for i := range dy {
		dy[i] = 2
	}
	b := &buffers{x: x, y: make([]float32, len(x)), dy: dy, dx: dx}
	k.forward(&call{n: 1}, b)
	k.backward(&call{n: 1}, b)
	for i, want := range y {
		if got := b.y[i]; got != want && !(got != got && want != want) {
			t.Errorf("tanh(%g) = %g, want %g", x[i], got, want)
		}
	}
	for i, want := range d {
		if math.Abs(float64(dx[i]-2*want)) > 1e-6 {
			t.Errorf("gradient at %g: %g, want %g", x[i], dx[i], 2*want)
		}
	}
}
