package loop

import (
	"errors"
	"fmt"
	"math"

	"alexnet/model"
)

// checkEngine returns an error if the settings need what the engine does not have.
func (t *trainer) checkEngine() error {
	s := &t.cfg.Settings
	if _, ok := t.eng.(model.GradientEngine); !ok && (s.accumulate() > 1 || s.ClipNorm > 0) {
		return errors.New("this engine keeps its gradients to itself: several batches a step and clipping cannot be had with it")
	}
	if _, ok := t.eng.(model.WeightsEngine); !ok && s.EMA > 0 {
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

// gather adds the gradient of a batch of n images to the sum, with the share that
// they have in the images of the step: the sum becomes the gradient of their mean
// loss.
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
	most := t.cfg.Settings.accumulate() * t.cfg.Settings.Batch
	share := float32(n) / float32(min(most, t.train.Len()-t.p.StepInEpoch*most))
	for i, g := range grads {
		sum := t.sum[i]
		if first {
			clear(sum)
		}
		for j, v := range g {
			sum[j] += float32(share * v)
		}
	}
	return nil
}

// refine gives the engine the gradient of the whole step, and makes it shorter where
// it is too long.
func (t *trainer) refine() error {
	grads, err := t.gradients()
	if err != nil {
		return err
	}
	if t.cfg.Settings.accumulate() > 1 {
		for i, g := range grads {
			copy(g, t.sum[i])
		}
	}
	if t.cfg.Settings.ClipNorm == 0 {
		return nil
	}
	var square float64
	for i, g := range grads {
		var own float64
		for _, v := range g {
			own += float64(float64(v) * float64(v))
		}
		if math.IsNaN(own) || math.IsInf(own, 0) {
			return t.diverged(fmt.Sprintf("the gradient of %s holds values that are not finite", t.eng.Net().Params()[i].Name), t.rate())
		}
		square += own
	}
	if norm := math.Sqrt(square); norm > t.cfg.Settings.ClipNorm {
		scale := float32(t.cfg.Settings.ClipNorm / norm)
		for _, g := range grads {
			for j := range g {
				g[j] *= scale
			}
		}
	}
	return nil
}
