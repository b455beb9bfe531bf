package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/tools/cli"
)

// The programs whose speeds are compared.
const (
	us   = "ours"
	them = "torch"
)

// syntheticSpeed measures training on synthetic batches. o needs precision, batch and
// order.
func (s *site) syntheticSpeed(ctx context.Context, net *model.Net, o settings, p pace) (t timed, about string, err error) {
	o.seed, o.travel = 1, augment.Stored
	o.pictures = &pictures{height: net.Input.H, width: net.Input.W, sub: make([]float32, net.Input.Size())}
	err = s.with(net, s.start(net), o, func(e model.Engine) (err error) {
		y, err := newSynthetic(e, o.batch)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, y.close()) }()
		t, err = timeSteps(ctx, o.batch, p, y.train)
		about = fmt.Sprintf("%.2f ms of it the update", y.updates.Seconds()*1000/float64(max(y.step, 1)))
		if m, ok := e.(interface{ Memory() int64 }); ok {
			about += fmt.Sprintf("; %s MiB", cli.FormatCount(m.Memory()>>20))
		}
		return err
	})
	return t, about, err
}

// trainFlops is the arithmetic of a training step, an image: three passes as large as
// the forward one, of which the first layer does not need the gradient of the images.
func trainFlops(net *model.Net) float64 {
	return 2 * float64(3*net.MACs()-net.Table()[0].MACs)
}

// targetOf returns the target for one H200, 0 where it has none.
func targetOf(precision string, batch int) float64 {
	switch {
	case precision == bf16 && batch == 1024:
		return 60000
	case precision == bf16 && batch == 128:
		return 35000
	case precision == fp32 && batch == 1024:
		return 12000
	}
	return 0
}

// bench measures training and prediction on synthetic batches.
func bench(ctx context.Context, s *site, r *recorder) error {
	net, err := s.net()
	if err != nil {
		return err
	}
	peaks := s.peaks(ctx, r)
	batches, p := []int{1024, 128, 256}, s.pace(250*time.Millisecond) // those of the targets first
	if s.standsIn {
		batches = []int{2}
	}
	for _, precision := range []string{bf16, fp32, tf32} {
		for _, batch := range batches {
			if !slices.Contains(s.precisions, precision) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			name := fmt.Sprintf("training, %s, batch %d", precision, batch)
			r.failing(name, func() error { return s.training(ctx, r, net, name, precision, batch, peaks[precision], p) })
		}
	}
	middle := batches[len(batches)-1]
	for _, precision := range s.precisions {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := fmt.Sprintf("prediction, %s, batch %d", precision, middle)
		r.failing(name, func() error { return s.predicting(ctx, r, net, name, precision, middle, p) })
	}
	return nil
}

// training measures a precision and a batch, as train runs it; and where there is a target
// also with sums in any order, as PyTorch has them. The faster one counts.
func (s *site) training(ctx context.Context, r *recorder, net *model.Net, name, precision string, batch int, peak float64, p pace) error {
	best, least := 0.0, targetOf(precision, batch)
	for _, anyOrder := range []bool{false, true} {
		if anyOrder && least == 0 {
			break
		}
		t, about, err := s.syntheticSpeed(ctx, net, settings{batch: batch, precision: precision, anyOrder: anyOrder}, p)
		if err != nil {
			return err
		}
		res := result{What: name, Status: measured, Value: t.median, Unit: "images/s", Program: us, Precision: precision, Batch: batch,
			StepMS: t.stepMS(batch), Slowest: t.slowest, Fastest: t.fastest, Note: about}
		if anyOrder {
			res.Variant = "any order of sums"
		}
		if peak > 0 {
			res.Share = t.median * trainFlops(net) / peak
		}
		r.add(res)
		best = max(best, t.median)
	}
	if precision == bf16 && s.library != nil && (least > 0 || s.standsIn) {
		s.otherWays(ctx, r, net, name, settings{batch: batch, precision: precision}, p)
	}
	if least > 0 {
		r.target(name+", of an H200", best, least, "images/s")
	}
	return nil
}

// predicting measures prediction of images in ordinary memory.
func (s *site) predicting(ctx context.Context, r *recorder, net *model.Net, name, precision string, batch int, p pace) error {
	return s.with(net, s.start(net), settings{batch: batch, seed: 1, precision: precision, anyOrder: true}, func(e model.Engine) error {
		images, _ := newNoise(1).batch(net, batch, false)
		probs := make([]float32, batch*net.Classes)
		t, err := timeSteps(ctx, batch, p, func() error { return e.Predict(images, batch, probs) })
		if err != nil {
			return err
		}
		r.add(result{What: name, Status: measured, Value: t.median, Unit: "images/s", StepMS: t.stepMS(batch), Slowest: t.slowest, Fastest: t.fastest,
			Note: "float32 images in ordinary memory"})
		return nil
	})
}
