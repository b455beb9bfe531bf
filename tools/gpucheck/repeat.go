package main

import (
	"cmp"
	"context"
	"fmt"

	"alexnet/model"
)

// checkRepeat: two runs give the same bits, and a run that goes on from the middle those
// of the run that was not interrupted.
func checkRepeat(ctx context.Context, s *site, r *recorder) error {
	const seed = 31
	net, err := s.net()
	if err != nil {
		return err
	}
	st := model.State{Weights: net.Init(seed)}
	for _, precision := range s.precisions {
		if err := ctx.Err(); err != nil {
			return err
		}
		o := settings{batch: s.batch, seed: seed, precision: precision}
		what := fmt.Sprintf("%s, %s: ", net.Name, precision)
		r.failing(what+"runs", func() error {
			first, err := s.train(net, st, o, 0, s.steps)
			if err != nil {
				return err
			}
			again, err := s.train(net, st, o, 0, s.steps)
			if err != nil {
				return err
			}
			r.check(fmt.Sprintf("%s%d steps, twice", what, s.steps), same(first, again))
			half, err := s.train(net, st, o, 0, s.steps/2)
			if err != nil {
				return err
			}
			rest, err := s.train(net, half.state, o, s.steps/2, s.steps-s.steps/2)
			if err != nil {
				return err
			}
			rest.scores = append(half.scores, rest.scores...)
			r.check(fmt.Sprintf("%sgone on with after %d steps", what, s.steps/2), same(first, rest))
			o.anyOrder = true
			free, err := s.train(net, st, o, 0, s.steps)
			if err != nil {
				return err
			}
			note := "the same bits as without"
			if err := same(first, free); err != nil {
				note = err.Error()
			}
			r.fact("", what+"with any order of sums", note)
			return nil
		})
	}
	return nil
}

// trained is what comes of a run.
type trained struct {
	scores []model.Score
	state  model.State
}

// train trains in an engine of its own.
func (s *site) train(net *model.Net, st model.State, o settings, first, n int) (t trained, err error) {
	err = s.with(net, st, o, func(e model.Engine) error {
		if t.scores, err = steps(e, o.seed, first, n, o.batch); err != nil {
			return err
		}
		t.state, err = e.Snapshot()
		return err
	})
	return t, err
}

// same says in what two runs differ, if in anything.
func same(a, b trained) error {
	for i, s := range a.scores {
		if i >= len(b.scores) || s != b.scores[i] {
			return fmt.Errorf("step %d: %+v and %+v", i, s, b.scores[i])
		}
	}
	return firstDifference(a.state, b.state)
}

// firstDifference says where two states differ in a bit, and is nil where they do not.
func firstDifference(a, b model.State) error {
	for _, pair := range []struct {
		what string
		a, b []model.Tensor
	}{{"", a.Weights, b.Weights}, {"the velocity of ", a.Velocity, b.Velocity}} {
		if len(pair.a) != len(pair.b) {
			return fmt.Errorf("%d and %d tensors", len(pair.a), len(pair.b))
		}
		for i, t := range pair.a {
			if n := differing(t.Data, pair.b[i].Data); n > 0 {
				return fmt.Errorf("%s%s: %d of %d values differ", pair.what, t.Name, n, len(t.Data))
			}
		}
	}
	return nil
}

// differing counts the values that are not the same bits.
func differing(a, b []float32) int {
	n := max(len(a), len(b)) - min(len(a), len(b))
	for i := range min(len(a), len(b)) {
		// Different zeros are different bits, and a NaN is never what is wanted.
		if a[i] != b[i] || cmp.Compare(1/a[i], 1/b[i]) != 0 {
			n++
		}
	}
	return n
}
