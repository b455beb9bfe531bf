package main

import (
	"context"
	"errors"
	"fmt"

	"alexnet/model"
)

// checkResume takes a run from the CPU to the GPU and back: a third of its steps each. It
// must be the run that stayed on the CPU, as near as the precision allows, and a state that
// only goes through an engine must come out as it was.
func checkResume(ctx context.Context, s *site, r *recorder) (err error) {
	const seed = 37
	third := 5
	if s.standsIn {
		third = 2
	}
	net, err := s.net()
	if err != nil {
		return err
	}
	batch := min(s.batch, 8)
	o := settings{batch: batch, seed: seed, precision: fp32}
	host, err := newCPU(net, model.State{Weights: net.Init(seed)}, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	if _, err := steps(host, seed, 0, third, batch); err != nil {
		return err
	}
	middle, err := host.Snapshot()
	if err != nil {
		return err
	}
	want, err := steps(host, seed, third, 2*third, batch)
	if err != nil {
		return err
	}
	for _, precision := range s.precisions {
		if err := ctx.Err(); err != nil {
			return err
		}
		o.precision = precision
		what := fmt.Sprintf("%s, CPU to %s and back: ", net.Name, precision)
		r.failing(what+"training", func() error {
			var got []model.Score
			var back model.State
			err := s.with(net, middle, o, func(e model.Engine) error {
				through, err := e.Snapshot()
				r.check(what+"a state comes out as it went in", errors.Join(err, firstDifference(middle, through)))
				if got, err = steps(e, seed, third, third, batch); err != nil {
					return err
				}
				back, err = e.Snapshot()
				return err
			})
			if err != nil {
				return err
			}
			if err := host.Restore(back); err != nil {
				return err
			}
			rest, err := steps(host, seed, 2*third, third, batch)
			if err != nil {
				return err
			}
			r.lossesWithin(what+"beside a run that stayed", append(got, rest...), want, limitsOf(precision), "")
			return nil
		})
	}
	return nil
}
