package loop

import (
	"errors"
	"fmt"
	"math"
	"runtime"

	"alexnet/model"
	"alexnet/model/vector"
)

// checkEngine returns an error if the settings need what the engine does not have.
func (t *trainer) checkEngine() error {
	s := &t.cfg.Settings
	if _, ok := t.eng.(model.GradientEngine); !ok && (s.accumulate() > 1 || s.ClipNorm > 0) {
		return errors.New("this engine keeps its gradients to itself: several batches a step and clipping cannot be had with it")
	}
	if t.reduces && s.accumulate() > 1 {
		return fmt.Errorf("this engine sums the gradient of each batch over the ranks: with %d batches a step it must leave that to the loop", s.accumulate())
	}
	_, shows := t.eng.(model.StateEngine)
	if _, ok := t.eng.(model.GradientEngine); s.Optimizer == LARS && !(ok && shows) {
		return errors.New("this engine keeps its gradients or its weights to itself: LARS cannot be had with it")
	}
	if !shows && s.EMA > 0 {
		return errors.New("this engine keeps its weights to itself: an average of them cannot be had with it")
	}
	return nil
}

// gradients returns the memory of the engine's gradient.
func (t *trainer) gradients() ([][]float32, error) {
	grads, err := t.eng.(model.GradientEngine).Gradients() // by checkEngine
	if err != nil {
		return nil, fmt.Errorf("step %d: %w", t.p.Step, err)
	}
	return grads, nil
}

// threads returns how many threads the loop's own arithmetic may use: as many as the
// engine.
func (t *trainer) threads() int {
	if e, ok := t.eng.(model.ThreadedEngine); ok {
		return e.Threads()
	}
	return runtime.GOMAXPROCS(0)
}

// gather adds the gradient of a batch, which is that of the mean loss of n images, to
// the sum: n times, so that the sum is the gradient of the sum of their losses. What it
// must be divided by is known when the step's last batch has come, since images that
// are skipped do not count.
func (t *trainer) gather(n int, first bool) error {
	grads, err := t.gradients()
	if err != nil {
		return err
	}
	if t.sum == nil {
		for _, g := range grads {
			t.sum = append(t.sum, make([]float32, len(g)))
		}
	}
	add := vector.AddScaled
	if first {
		add = vector.Scale
	}
	t.eachSpan(grads, func(s vector.Span) {
		add(t.sum[s.Slice][s.From:s.To], grads[s.Slice][s.From:s.To], float32(n))
	})
	return nil
}

// eachSpan calls f for all of the gradient, or of what has its shape, from several
// goroutines.
func (t *trainer) eachSpan(of [][]float32, f func(vector.Span)) {
	spans := vector.Spans(of...)
	vector.Each(t.threads(), len(spans), func(i int) { f(spans[i]) })
}

// refine gives the engine the gradient of the whole step, the mean over the images of all
// its batches and ranks, and makes it shorter where it is too long.
func (t *trainer) refine(g *gathered) error {
	grads, err := t.gradients()
	if err != nil {
		return err
	}
	if !t.reduces {
		if err := t.combine(grads, g); err != nil {
			return err
		}
	}
	if t.cfg.Settings.ClipNorm == 0 {
		return nil
	}
	return t.clip(grads)
}

// combine does what refine does but for clipping, where the engine has not: it makes each
// rank's gradient a sum over its images divided by those of all, and adds these up.
func (t *trainer) combine(grads [][]float32, g *gathered) error {
	of, share := grads, float32(g.own)/float32(g.score.N)
	if t.cfg.Settings.accumulate() > 1 {
		of, share = t.sum, 1/float32(g.score.N)
	}
	if share != 1 || t.cfg.Settings.accumulate() > 1 {
		t.eachSpan(grads, func(s vector.Span) {
			vector.Scale(grads[s.Slice][s.From:s.To], of[s.Slice][s.From:s.To], share)
		})
	}
	if t.ranks.World() == 1 {
		return nil
	}
	return t.allReduce(grads)
}

// squares returns the sums of the squares of the gradient of each parameter.
func (t *trainer) squares(grads [][]float32) ([]float64, error) {
	sums := t.sumSquares(grads)
	for i, s := range sums {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return nil, t.broken(&model.NotFiniteError{Where: "the gradient of " + t.eng.Net().Params()[i].Name})
		}
	}
	return sums, nil
}

// sumSquares returns the sum of the squares of each slice, added up in the order of the
// spans, whoever did them.
func (t *trainer) sumSquares(of [][]float32) []float64 {
	spans := vector.Spans(of...)
	squares := make([]float64, len(spans))
	vector.Each(t.threads(), len(spans), func(i int) {
		s := spans[i]
		squares[i] = vector.SumSquares(of[s.Slice][s.From:s.To])
	})
	sums := make([]float64, len(of))
	for i, s := range spans {
		sums[s.Slice] += squares[i]
	}
	return sums
}

// clip scales the gradient down to the largest norm that is allowed.
func (t *trainer) clip(grads [][]float32) error {
	squares, err := t.squares(grads)
	if err != nil {
		return err
	}
	var square float64
	for _, s := range squares {
		square += s
	}
	if norm := math.Sqrt(square); norm > t.cfg.Settings.ClipNorm {
		scale := float32(t.cfg.Settings.ClipNorm / norm)
		t.eachSpan(grads, func(s vector.Span) {
			g := grads[s.Slice][s.From:s.To]
			vector.Scale(g, g, scale)
		})
	}
	return nil
}
