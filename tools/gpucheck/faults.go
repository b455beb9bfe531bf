package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"alexnet/model"
)

// checkErrors: what is wrong is refused with words that help, and the engine works on.
func checkErrors(_ context.Context, s *site, r *recorder) error {
	const seed = 41
	net, err := s.net()
	if err != nil {
		return err
	}
	st := model.State{Weights: net.Init(seed)}
	o := settings{batch: 2, seed: seed, precision: s.precisions[0]}
	wrong := o
	wrong.precision = "fp8"
	r.check("an unknown precision", refused(s.with(net, st, wrong, func(model.Engine) error { return nil }), "fp8"))
	wrong = o
	wrong.batch = 0
	r.check("a batch of none", refused(s.with(net, st, wrong, func(model.Engine) error { return nil }), "batch of 0"))
	r.check("weights of another net", refused(s.with(net, model.State{Weights: st.Weights[1:]}, o, func(model.Engine) error { return nil }), "do not fit"))
	if err := s.with(net, st, o, func(e model.Engine) error { return wrongCalls(r, e, st) }); err != nil {
		return err
	}
	for _, precision := range s.precisions {
		o.precision = precision
		r.failing("numbers that break down, "+precision, func() error {
			return s.with(net, st, o, func(e model.Engine) error { return breakdowns(r, e, st, precision) })
		})
	}
	e, err := s.open(net, st, o)
	if err != nil {
		return err
	}
	r.check("closing twice", errors.Join(e.Close(), e.Close()))
	images, labels := newNoise(seed).batch(net, 2, false)
	_, err = e.Backward(images, labels, 0)
	r.check("a step after closing", refused(err, "close"))
	return nil
}

// refused says what is wrong with an error that should be there and name something.
func refused(err error, name string) error {
	switch {
	case err == nil:
		return errors.New("was taken")
	case !strings.Contains(strings.ToLower(err.Error()), name):
		return fmt.Errorf("the message does not name %q: %w", name, err)
	}
	return nil
}

// wrongCalls makes calls that must fail and change nothing.
func wrongCalls(r *recorder, e model.Engine, st model.State) error {
	net := e.Net()
	images, labels := newNoise(43).batch(net, 3, false)
	back := func(images []float32, labels ...int32) error {
		_, err := e.Backward(images, labels, 0)
		return err
	}
	r.check("an update without a gradient", refused(e.Update(hyper()), "gradient"))
	r.check("more images than the batch", refused(back(images, labels...), "3 images"))
	r.check("no image", refused(back(images), "0 images"))
	r.check("a label that is no class", refused(back(images, 0, int32(net.Classes)), fmt.Sprintf("label %d", net.Classes)))
	r.check("too few values", refused(back(images[:5], 0, 0), "5 values"))
	r.check("no room for probabilities", refused(e.Predict(images, 2, make([]float32, 1)), "probabilities"))
	r.check("a state of another net", refused(e.Restore(model.State{Weights: st.Weights[2:]}), "do not fit"))
	got, err := e.Snapshot()
	if err != nil {
		return err
	}
	got.Velocity = nil
	r.check("the weights after all that", firstDifference(model.State{Weights: st.Weights}, got))
	return back(images, labels[:2]...)
}

// breakdowns feeds numbers that are not finite.
func breakdowns(r *recorder, e model.Engine, st model.State, precision string) error {
	net := e.Net()
	what := func(w string) string { return precision + ": " + w }
	images, labels := newNoise(47).batch(net, 2, false)
	at := net.Input.Size() + 7 // of the second image
	kept := images[at]
	images[at] = float32(math.NaN())
	score, err := e.Backward(images, labels, 0)
	if err != nil {
		return err
	}
	var told error
	if f, ok := e.(model.FaultEngine); !ok {
		told = errors.New("the engine cannot say where")
	} else if where := f.Fault(); where != "the images" {
		told = fmt.Errorf("it is said to be in %q", where)
	}
	r.check(what("a NaN in an image is found there"), told)
	// The loss shows it, or else the update: a ReLU may make 0 of a NaN.
	var broken *model.NotFiniteError
	err = e.Update(hyper())
	if errors.As(err, &broken) || math.IsNaN(score.Loss) {
		err = nil
	} else {
		err = fmt.Errorf("a loss of %g, and the update: %w", score.Loss, errors.Join(err, errors.New("wanted: NaN, or an error")))
	}
	r.check(what("a NaN in an image does not go unseen"), err)
	images[at] = kept
	if err := e.Restore(st); err != nil {
		return err
	}
	if _, err := e.Backward(images, labels, 0); err != nil {
		return err
	}
	r.check(what("finite numbers are not taken for others"), e.Update(hyper()))
	if g, ok := e.(model.GradientEngine); ok {
		if _, err := e.Backward(images, labels, 1); err != nil {
			return err
		}
		gs, err := g.Gradients()
		if err != nil {
			return err
		}
		gs[2][1] = float32(math.Inf(1))
		err = e.Update(hyper())
		name := net.Params()[2].Name
		if !errors.As(err, &broken) || !strings.Contains(broken.Where, name) {
			err = fmt.Errorf("the update says: %w", errors.Join(err, errors.New("wanted: "+name)))
		} else {
			err = nil
		}
		r.check(what("an infinity in a gradient ends the run, by name"), err)
	}
	return nil
}
