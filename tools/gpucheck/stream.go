package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/records"
)

// stream measures training from records in memory, end to end: read, cut, mirrored and
// coloured by the pipeline's workers, or coloured on the device; copied while the step
// before is computed. Beside it, in the same minute, training on synthetic batches.
func stream(ctx context.Context, s *site, r *recorder) (err error) {
	net, err := s.net()
	if err != nil {
		return err
	}
	rows, side, batch := 4096, 256, 1024
	if s.standsIn {
		if net, err = smallColour(); err != nil {
			return err
		}
		rows, side, batch = 4, 50, 2
	}
	precision := s.precisions[len(s.precisions)-1]
	f, err := newFeed(net.Input.C, side, rows, net.Classes, records.Uint8, 71)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	base, _, err := s.syntheticSpeed(ctx, net, settings{batch: batch, precision: precision}, s.pace(400*time.Millisecond))
	if err != nil {
		return err
	}
	r.add(result{What: fmt.Sprintf("synthetic, %s, batch %d", precision, batch), Status: measured, Value: base.median, Unit: "images/s",
		StepMS: base.stepMS(batch), Slowest: base.slowest, Fastest: base.fastest})
	best := result{}
	for _, t := range []augment.Type{augment.Stored, augment.BFloat16, augment.Float32} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.library == nil && t != augment.Float32 {
			continue
		}
		name := fmt.Sprintf("from records, %s, batch %d, travelling as %v", precision, batch, t)
		if t == augment.Stored {
			name += " (uint8)"
		}
		r.failing(name, func() error {
			res, err := s.endToEnd(ctx, f, net, precision, batch, t)
			if err != nil {
				return err
			}
			res.What, res.Status, res.Unit = name, measured, "images/s"
			res.Note = fmt.Sprintf("%.1f %% of synthetic, %.2f %% of the time waiting for data", 100*res.Value/base.median, 100*res.Waiting)
			r.add(res)
			if res.Value > best.Value {
				best = res
			}
			return nil
		})
	}
	if best.Value > 0 {
		r.target("from records, of synthetic, the fastest way", 100*best.Value/base.median, 90, "%")
		r.target("from records, not waiting, the fastest way", 100*(1-best.Waiting), 99, "%")
	}
	return nil
}

// endToEnd measures training from records whose images travel as t.
func (s *site) endToEnd(ctx context.Context, f *feed, net *model.Net, precision string, batch int, t augment.Type) (res result, err error) {
	o := settings{batch: batch, seed: 1, precision: precision, travel: t, pictures: &f.pictures}
	err = s.with(net, s.start(net), o, func(e model.Engine) (err error) {
		p, err := f.open(ctx, e, batch, t)
		if err != nil {
			return err
		}
		tr := newTrainer(e, p)
		defer func() { err = errors.Join(err, tr.close()) }()
		// One epoch, so that every page is there and every checksum verified.
		for range p.StepsPerEpoch() {
			if _, err := tr.next(ctx); err != nil {
				return err
			}
		}
		before, began := p.Stats(), time.Now()
		rates, err := timeSteps(ctx, batch, s.pace(400*time.Millisecond), func() error {
			_, err := tr.next(ctx)
			return err
		})
		if err != nil {
			return err
		}
		waited := p.Stats().Sub(before).ConsumerWait
		res = result{Value: rates.median, StepMS: rates.stepMS(batch), Slowest: rates.slowest, Fastest: rates.fastest,
			Waiting: waited.Seconds() / time.Since(began).Seconds()}
		return nil
	})
	return res, err
}
