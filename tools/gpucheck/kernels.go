package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"alexnet/model"
	"alexnet/model/gpu/kernels"
)

// checkKernels checks that our own kernels compile for the device, and what they compute:
// each by itself, beside the same kernel executed in plain Go; and layer by layer, beside
// the CPU's engine; the goldens of parity go through all of them
// backwards too, and travel through those that prepare images.
func checkKernels(_ context.Context, s *site, r *recorder) error {
	if s.device == nil {
		r.skip("kernels", "there is no device")
		return nil
	}
	// Twice: drivers keep what they have compiled, and an engine is slow to make where they
	// do not.
	for _, what := range []string{"all kernels compile for the device", "and once more"} {
		began := time.Now()
		set, err := kernels.Load(s.device)
		if !r.check(what, err) {
			return nil
		}
		r.measure(what+": it took", time.Since(began).Seconds(), "s", "")
		if err := set.Close(); err != nil {
			return err
		}
	}
	r.failing("kernels by themselves", func() error { return twins(r, s.device) })
	net, err := s.net()
	if err != nil {
		return err
	}
	st := model.State{Weights: net.Init(3)}
	for _, precision := range s.precisions {
		what := fmt.Sprintf("%s, %s: ", net.Name, precision)
		r.failing(what+"layers", func() error { return s.layers(r, net, st, precision, what) })
		r.failing(what+"update", func() error { return s.updates(r, net, st, precision, what) })
	}
	return nil
}

// layers compares what each layer gives with what it gives on the CPU.
func (s *site) layers(r *recorder, net *model.Net, st model.State, precision, what string) (err error) {
	n := min(s.batch, 4)
	o := settings{batch: n, seed: 3, precision: fp32}
	host, err := newCPU(net, st, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	images, _ := newNoise(3).batch(net, n, false)
	o.precision = precision
	return s.with(net, st, o, func(e model.Engine) error {
		f, ok := e.(model.FeatureEngine)
		if !ok {
			return errors.New("the engine does not give features")
		}
		worst, at, count := 0.0, "", 0
		for i := range net.Layers {
			l := &net.Layers[i]
			if l.Kind == model.Softmax {
				continue
			}
			_, shape, err := net.FeatureLayer(l.Name)
			if err != nil {
				return err
			}
			got, want := make([]float32, n*shape.Size()), make([]float32, n*shape.Size())
			if err := errors.Join(f.Features(l.Name, images, n, got), host.Features(l.Name, images, n, want)); err != nil {
				return err
			}
			count++
			if d := rms(got, want); !(d <= worst) {
				worst, at = d, l.Name
			}
		}
		r.within(fmt.Sprintf("%soutputs of %d layers", what, count), worst, limitsOf(precision).logits, at+", beside the CPU")
		return nil
	})
}

// rms returns the root mean square of the distances over that of what is wanted.
func rms(got, want []float32) float64 {
	var square, of float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		square, of = square+d*d, of+float64(w)*float64(w)
	}
	if square == 0 {
		return 0
	}
	return math.Sqrt(square / of)
}

// updates compares two steps of the update rule, on gradients of noise, with the plain
// rule: weights, velocities and gradients are float32 in every precision, and so are the
// bits.
func (s *site) updates(r *recorder, net *model.Net, st model.State, precision, what string) error {
	return s.with(net, st, settings{batch: 1, seed: 3, precision: precision}, func(e model.Engine) error {
		g, ok := e.(model.GradientEngine)
		if !ok {
			return errors.New("the engine does not show gradients")
		}
		want, err := e.Snapshot()
		if err != nil {
			return err
		}
		images, labels := newNoise(3).batch(net, 1, false)
		source := newNoise(9)
		for step, h := range []model.Hyper{{LearningRate: 0.01, Momentum: 0.9, WeightDecay: 0.0005}, {LearningRate: 0.3, Momentum: 0.5, WeightDecay: 0.1}} {
			if _, err := e.Backward(images, labels, uint64(step)); err != nil {
				return err
			}
			grads, err := g.Gradients()
			if err != nil {
				return err
			}
			for i, p := range net.Params() {
				source.small(grads[i])
				// The bits of a convolution's gradient lie in the engine's own order.
				if step == 0 || !inOrder(p) {
					constant(grads[i])
				}
				h.Apply(want.Weights[i].Data, want.Velocity[i].Data, grads[i], float32(p.LRMult), float32(p.DecayMult))
			}
			if err := e.Update(h); err != nil {
				return err
			}
		}
		got, err := e.Snapshot()
		if err != nil {
			return err
		}
		r.check(what+"two updates, bit for bit", firstDifference(want, got))
		return nil
	})
}

// inOrder reports whether the gradient of a parameter lies in the order of its values in
// any engine: a bias does.
func inOrder(p model.ParamSpec) bool { return len(p.Shape) == 1 }

// constant sets all values to the first: then their order is all the same.
func constant(x []float32) {
	for i := range x {
		x[i] = x[0]
	}
}
