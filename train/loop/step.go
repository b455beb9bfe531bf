package loop

import (
	"context"
	"errors"
	"fmt"
	"math"

	"alexnet/model"
)

// accumulate returns the number of batches of a step.
func (s *Settings) accumulate() int { return max(s.Accumulate, 1) }

// batchesPerEpoch returns the number of batches of an epoch, the last may be short.
func (t *trainer) batchesPerEpoch() int {
	return (t.train.Len() + t.cfg.Settings.Batch - 1) / t.cfg.Settings.Batch
}

func (t *trainer) stepsPerEpoch() int {
	k := t.cfg.Settings.accumulate()
	return (t.batchesPerEpoch() + k - 1) / k
}

// rate returns the learning rate of the step in hand.
func (t *trainer) rate() float32 { return t.schedule.Rate(t.p.StepInEpoch, t.stepsPerEpoch()) }

// lastRate returns that of the epoch's last step, before the first that of the
// first.
func (t *trainer) lastRate() float32 {
	return t.schedule.Rate(max(t.p.StepInEpoch-1, 0), t.stepsPerEpoch())
}

// gathered is what the batches of a step have come to so far.
type gathered struct {
	batches int // of which the engine has computed a gradient
	score   model.Score
	own     int // images of the score that are this rank's
	images  int // trained on
	skipped int
}

// step takes one step: it trains on its batches and then changes the weights. When
// the context is cancelled between two of them, what the first have taught is
// dropped, and it reports false: the step is taken anew when the run is resumed.
func (t *trainer) step(ctx context.Context) (done bool, err error) {
	k := t.cfg.Settings.accumulate()
	first := t.p.StepInEpoch * k
	var g gathered
	for i := range min(k, t.batchesPerEpoch()-first) {
		l, ok, err := t.nextLesson(ctx)
		now := ready
		if !ok || i > 0 && cancelled(ctx) { // one that is ready may come even then
			now = stopping
		}
		w, ok, err := t.meetLesson(&l, now, err)
		if err != nil || !ok {
			return false, err
		}
		err = t.learn(&l, w, &g, uint64(t.p.Step*k+i))
		if err = errors.Join(err, l.release()); err != nil {
			return false, err
		}
	}
	return true, t.finish(&g)
}

func cancelled(ctx context.Context) bool { return ctx.Err() != nil }

// finish changes the weights by what is gathered, if anything is, and counts the
// step.
func (t *trainer) finish(g *gathered) error {
	if g.batches > 0 {
		if err := t.update(g); err != nil {
			return err
		}
	}
	t.p.Step++
	t.p.StepInEpoch++
	t.p.Window.Add(g.score)
	t.p.Totals.Add(g.score)
	t.p.Skipped += g.skipped
	t.worked(g.images)
	return nil
}

// learn computes the gradient of one batch; pass is the number of such computations
// before it, which the masks of dropout depend on. When no record of it can be read, a
// short one at the end of an epoch is passed over; a full one is more than bad luck. w is
// the batch of all ranks.
func (t *trainer) learn(batch *lesson, w whole, g *gathered, pass uint64) error {
	t.tellHoles(&batch.Batch)
	g.skipped += w.skipped
	g.images += w.images - w.skipped
	if w.skipped == w.images {
		if w.images == min(t.cfg.Settings.Batch, t.train.Len()) {
			return t.dataFailed(t.nothingLeft(batch, w))
		}
		return nil
	}
	own, err := t.backward(batch, pass)
	if err != nil && t.reduces {
		// The others may be in the middle of a sum: they cannot be met, only ended.
		return t.stopped(fmt.Errorf("step %d: %w", t.p.Step, err))
	}
	score, err := t.meetScore(own, err)
	if err != nil {
		return err
	}
	if score.N == 0 {
		return fmt.Errorf("step %d: none of its %d images has a label: split %q of %s cannot be trained on", t.p.Step, w.images, TrainSplit, t.ds.Dir)
	}
	if math.IsNaN(score.Loss) || math.IsInf(score.Loss, 0) {
		return t.diverged(fmt.Sprintf("the loss is %v", score.Loss)+t.where(), t.rate())
	}
	g.score.Add(score)
	g.own += own.N
	g.batches++
	if t.cfg.Settings.accumulate() == 1 {
		return nil
	}
	return t.gather(own.N, g.batches == 1)
}

// nothingLeft is the error of a full batch none of whose records can be read.
func (t *trainer) nothingLeft(batch *lesson, w whole) error {
	err := fmt.Errorf("step %d: none of its %d records can be read; mend the records", t.p.Step, w.images)
	if len(batch.Skipped) > 0 {
		err = fmt.Errorf("%w; the first: %w", err, batch.Skipped[0].Err)
	}
	return err
}

// where says where numbers broke down, if the engine knows.
func (t *trainer) where() string {
	if e, ok := t.eng.(model.FaultEngine); ok {
		if fault := e.Fault(); fault != "" {
			return " (values that are not finite are first in " + fault + ")"
		}
	}
	return ""
}

// update changes the weights by the gradient that is gathered.
func (t *trainer) update(g *gathered) error {
	s := &t.cfg.Settings
	if s.accumulate() > 1 || s.ClipNorm > 0 || t.ranks.World() > 1 && !t.reduces {
		if err := t.refine(g); err != nil {
			return err
		}
	}
	hyper := model.Hyper{LearningRate: t.rate(), Momentum: float32(s.Momentum), WeightDecay: float32(s.WeightDecay)}
	if s.Optimizer == LARS {
		if err := t.trust(); err != nil {
			return err
		}
		hyper.WeightDecay = 0 // it is in the gradient
	}
	err := t.eng.Update(hyper)
	var broken *model.NotFiniteError
	switch {
	case errors.As(err, &broken):
		return t.broken(broken)
	case err != nil:
		return t.stopped(fmt.Errorf("step %d: %w", t.p.Step, err))
	}
	return t.follow()
}

// broken is the error of a step that has met values that are not finite.
func (t *trainer) broken(err *model.NotFiniteError) error {
	return t.diverged(err.Error()+t.where(), t.rate())
}
