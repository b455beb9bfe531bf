package main

import (
	"cmp"
	"errors"
	"fmt"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/model/gpu"
)

// profile measures the parts of a step as the engine takes it: images, loss, dropout and
// update too, each with what the one before it has left in the caches.
func (s *site) profile(r *recorder, net *model.Net, precision string, batch int) error {
	o := settings{batch: batch, seed: 1, precision: precision, travel: augment.Stored,
		pictures: &pictures{height: net.Input.H, width: net.Input.W, sub: make([]float32, net.Input.Size())}}
	return s.with(net, s.start(net), o, func(e model.Engine) (err error) {
		p, ok := e.(interface {
			Profile(n int) ([]gpu.Part, error)
		})
		if !ok {
			return errors.New("the engine does not say where its time goes")
		}
		y, err := newSynthetic(e, batch)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, y.close()) }()
		steps := 10
		if s.standsIn {
			steps = 1
		}
		if err := cmp.Or(y.train(), y.backward()); err != nil {
			return err
		}
		parts, err := p.Profile(steps)
		if err != nil {
			return err
		}
		total := 0.0
		for _, part := range parts {
			total += part.Milliseconds
			r.measure(fmt.Sprintf("%s, batch %d, a step: %s", precision, batch, nameOf(part)), part.Milliseconds, "ms", "")
		}
		r.measure(fmt.Sprintf("%s, batch %d, a step: all parts", precision, batch), total, "ms", "call by call, not as a graph")
		return nil
	})
}

// nameOf names a part of a step.
func nameOf(p gpu.Part) string {
	if p.Layer == "" {
		return p.Pass
	}
	return p.Layer + ", " + p.Pass
}
