package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	"alexnet/model"
)

// largeBatch compares the gradients of a large batch with the CPU's: libraries choose
// other algorithms for it than for the goldens' few images.
func largeBatch(ctx context.Context, s *site, r *recorder) error {
	const seed = 29
	net, err := s.net()
	if err != nil {
		return err
	}
	st := model.State{Weights: net.Init(seed)}
	o := settings{batch: s.large, seed: seed, precision: fp32}
	host, err := newCPU(net, st, o)
	if err != nil {
		return err
	}
	want, err := gradient(host, seed)
	if err := errors.Join(err, host.Close()); err != nil {
		return err
	}
	for _, precision := range s.precisions {
		for _, anyOrder := range []bool{false, true} {
			if err := ctx.Err(); err != nil {
				return err
			}
			if o.precision, o.anyOrder = precision, anyOrder; anyOrder && s.standsIn {
				continue
			}
			name := fmt.Sprintf("%s, %s, batch %d, beside the CPU", net.Name, precision, s.large)
			if anyOrder {
				name += ", any order"
			}
			r.failing(name, func() error {
				return s.with(net, st, o, func(e model.Engine) error {
					got, err := gradient(e, seed)
					if err != nil {
						return err
					}
					compareDirections(r, name, got, want, limitsOf(precision))
					return nil
				})
			})
		}
	}
	return nil
}

// gradient returns the gradients of one full batch of noise, in the order of the net: a
// step of no momentum with a rate of 1 makes the velocities -LRMult times that.
func gradient(e model.Engine, seed uint64) ([]model.Tensor, error) {
	images, labels := newNoise(seed).batch(e.Net(), e.Batch(), true)
	if _, err := e.Backward(images, labels, 0); err != nil {
		return nil, err
	}
	if err := e.Update(model.Hyper{LearningRate: 1}); err != nil {
		return nil, err
	}
	st, err := e.Snapshot()
	return st.Velocity, err
}

// compareDirections compares gradients by direction and length.
func compareDirections(r *recorder, name string, got, want []model.Tensor, l limits) {
	angle, length, at, of := 0.0, 0.0, "", ""
	for i, w := range want {
		a, d := apart(got[i].Data, w.Data)
		if !(a <= angle) {
			angle, at = a, w.Name
		}
		if !(d <= length) {
			length, of = d, w.Name
		}
	}
	r.within(fmt.Sprintf("%s: directions of %d gradients", name, len(want)), angle, l.anyAngle, at+"; 1 - cosine")
	r.within(fmt.Sprintf("%s: lengths of %d gradients", name, len(want)), length, l.anyLength, of)
}

// apart returns 1 less the cosine of the angle between two vectors, and how far the ratio
// of their lengths is from 1.
func apart(got, want []float32) (angle, length float64) {
	var product, gg, ww float64
	for i, w := range want {
		g, w := float64(got[i]), float64(w)
		product, gg, ww = product+g*w, gg+g*g, ww+w*w
	}
	return 1 - product/math.Sqrt(gg*ww), math.Abs(math.Sqrt(gg/ww) - 1)
}
