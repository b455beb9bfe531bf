package main

import (
	"context"
	"errors"
	"fmt"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/records"
)

// checkTravel trains on records of both types, whose images travel to the engine in each
// way: the losses must be those of the CPU's engine, which gets finished float32.
func checkTravel(ctx context.Context, s *site, r *recorder) error {
	const seed = 53
	rows, nSteps, batch := 40, 6, 8
	if s.standsIn {
		rows, nSteps, batch = 7, 3, 3
	}
	net, err := smallColour()
	if err != nil {
		return err
	}
	st := model.State{Weights: net.Init(seed)}
	o := settings{batch: batch, seed: seed, precision: fp32}
	for _, pixels := range []records.PixelType{records.Uint8, records.Int16} {
		if err := func() (err error) {
			f, err := newFeed(net.Input.C, net.Input.H+9, rows, net.Classes, pixels, seed)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, f.close()) }()
			host, err := newCPU(net, st, o)
			if err != nil {
				return err
			}
			want, err := follow(ctx, f, host, augment.Float32, nSteps)
			if err := errors.Join(err, host.Close()); err != nil {
				return err
			}
			return travels(ctx, s, r, f, net, st, o, want)
		}(); err != nil {
			return err
		}
	}
	return nil
}

// travels compares all ways of travelling of some records.
func travels(ctx context.Context, s *site, r *recorder, f *feed, net *model.Net, st model.State, o settings, want trained) error {
	finished := trained{}
	for _, t := range []augment.Type{augment.Float32, augment.BFloat16, augment.Stored} {
		what := fmt.Sprintf("%s records, travelling as %v", f.ds.Manifest.Pixels, t)
		if s.library == nil && t != augment.Float32 {
			r.skip(what, "the CPU's engine takes finished float32")
			continue
		}
		o.travel, o.pictures = t, &f.pictures
		limit := limitsOf(fp32)
		if t == augment.BFloat16 {
			limit = limitsOf(bf16)
		}
		r.failing(what, func() error {
			return s.with(net, st, o, func(e model.Engine) error {
				got, err := follow(ctx, f, e, t, len(want.scores))
				if err != nil {
					return err
				}
				r.lossesWithin(what, got.scores, want.scores, limit, "beside the CPU")
				switch t {
				case augment.Float32:
					finished = got
				case augment.Stored:
					// The same arithmetic on the device, in the same order.
					r.check(what+": the bits of finished ones", same(finished, got))
				}
				return nil
			})
		})
	}
	return nil
}

// smallColour returns a small net for pictures in colour.
func smallColour() (*model.Net, error) {
	net, err := tinyNet()
	if err != nil {
		return nil, err
	}
	net.Input.H, net.Input.W = 43, 43 // pipelines make squares
	return net, net.Validate()
}

// follow trains for n steps on a feed.
func follow(ctx context.Context, f *feed, e model.Engine, t augment.Type, n int) (got trained, err error) {
	p, err := f.open(ctx, e, e.Batch(), t)
	if err != nil {
		return got, err
	}
	tr := newTrainer(e, p)
	defer func() { err = errors.Join(err, tr.close()) }()
	for range n {
		score, err := tr.next(ctx)
		if err != nil {
			return got, err
		}
		got.scores = append(got.scores, score)
	}
	got.state, err = e.Snapshot()
	return got, err
}
