package golden

import (
	"fmt"
	"math"

	"alexnet/model"
)

// LogitError returns the largest distance of a logit from the case's, over the largest
// logit of its image. The engine must have the case's weights and seed.
func (c *Case) LogitError(e model.Engine) (float64, error) {
	worst := 0.0
	err := c.logits(e, func(got, want []float64) {
		largest, distance := 0.0, 0.0
		for j, z := range want {
			largest, distance = max(largest, math.Abs(z)), max(distance, math.Abs(got[j]-z))
		}
		worst = max(worst, distance/largest)
	})
	return worst, err
}

// LogitDistance returns the root mean square of the distances of all logits over that of
// the logits: the measure for an engine of bfloat16, in which a single value says little.
func (c *Case) LogitDistance(e model.Engine) (float64, error) {
	var square, of float64
	err := c.logits(e, func(got, want []float64) {
		for j, z := range want {
			square, of = square+(got[j]-z)*(got[j]-z), of+z*z
		}
	})
	return math.Sqrt(square / of), err
}

// logits calls f with the logits of each image of the first batch.
func (c *Case) logits(e model.Engine, f func(got, want []float64)) error {
	n, classes := len(c.Logits), c.Net.Classes
	probs := make([]float32, n*classes)
	if err := e.Predict(c.Images(0), n, probs); err != nil {
		return fmt.Errorf("golden %s: %w", c.Net.Name, err)
	}
	got := make([]float64, classes)
	for i, want := range c.Logits {
		p := probs[i*classes : (i+1)*classes]
		for j := range got {
			got[j] = math.Log(float64(p[j]) / float64(p[0]))
		}
		f(got, want)
	}
	return nil
}

// Gradients says how far an engine is from a case in a step.
type Gradients struct {
	Loss   float64 // distance of the loss over the loss
	Params []Distance
}

// Worst returns the largest error of a gradient, and its parameter's name.
func (g Gradients) Worst() (name string, err float64) {
	for _, d := range g.Params {
		if !(d.Error <= err) { // so that a NaN is the worst
			name, err = d.Name, d.Error
		}
		if math.IsNaN(err) {
			break
		}
	}
	return name, err
}

// Distance is how far the gradient of a parameter is from the case's.
type Distance struct {
	Name string
	// Error is the length of the difference over the length of the case's gradient, or
	// that of a single value over the larger of itself and the root mean square,
	// whichever is worse.
	Error float64
	// Cosine is that of the angle between the two, and Ratio the length of the engine's
	// over that of the case's: the measures for an engine of bfloat16, in which another
	// one of nearly equal values may be the maximum, and another side of a ReLU be taken.
	Cosine, Ratio float64
}

// GradientErrors compares the loss and all gradients of the first batch. It takes a step
// from the engine's weights, which must be the case's, and leaves it with others: Reset
// takes them back. A step of no momentum with a rate of 1 makes the velocities -LRMult
// times the gradients, exactly.
func (c *Case) GradientErrors(e model.Engine) (Gradients, error) {
	fail := func(err error) (Gradients, error) {
		return Gradients{}, fmt.Errorf("golden %s: %w", c.Net.Name, err)
	}
	loss, err := c.LossError(e)
	if err != nil {
		return Gradients{}, err
	}
	if err := e.Update(model.Hyper{LearningRate: 1}); err != nil {
		return fail(err)
	}
	st, err := e.Snapshot()
	if err != nil {
		return fail(err)
	}
	specs := c.Net.Params()
	if len(specs) != len(c.file.Gradients) || len(specs) != len(st.Velocity) {
		return fail(fmt.Errorf("%d parameters, %d velocities, %d gradients in the file", len(specs), len(st.Velocity), len(c.file.Gradients)))
	}
	out := Gradients{Loss: loss}
	for i, p := range specs {
		want, ok := c.file.Gradients[p.Name]
		if !ok || want.Norm == 0 {
			return fail(fmt.Errorf("%s has no gradient in the file", p.Name))
		}
		got := st.Velocity[i].Data
		for j := range got {
			got[j] /= -float32(p.LRMult)
		}
		d, err := want.distance(got)
		if err != nil {
			return fail(fmt.Errorf("%s: %w", p.Name, err))
		}
		d.Name = p.Name
		out.Params = append(out.Params, d)
	}
	return out, nil
}

// LossError computes the gradient of the first batch and returns the distance of its loss
// from the case's, over that. It is an error for the engine to count other images than
// those with a label.
func (c *Case) LossError(e model.Engine) (float64, error) {
	score, err := e.Backward(c.Images(0), c.Labels[0], c.Step)
	if err != nil {
		return 0, fmt.Errorf("golden %s: %w", c.Net.Name, err)
	}
	if n := c.Labelled(0); score.N != n {
		return 0, fmt.Errorf("golden %s: the engine counts %d images, and %d have a label", c.Net.Name, score.N, n)
	}
	return Relative(score.Loss, c.Loss), nil
}

// Reset gives the engine the case's weights again, without velocities.
func (c *Case) Reset(e model.Engine) error {
	if err := e.Restore(c.State()); err != nil {
		return fmt.Errorf("golden %s: %w", c.Net.Name, err)
	}
	return nil
}

// Losses takes the case's steps, from the engine's state, and returns their losses, which
// are to be WantLosses.
func (c *Case) Losses(e model.Engine) ([]float64, error) {
	losses := make([]float64, len(c.Rates))
	for s, rate := range c.Rates {
		b := s % len(c.Labels)
		score, err := e.Backward(c.Images(b), c.Labels[b], uint64(s))
		if err == nil {
			err = e.Update(model.Hyper{LearningRate: rate, Momentum: c.Momentum, WeightDecay: c.WeightDecay})
		}
		if err != nil {
			return nil, fmt.Errorf("golden %s: step %d: %w", c.Net.Name, s, err)
		}
		losses[s] = score.Loss
	}
	return losses, nil
}

// LossErrors is Losses with the distance of each loss from the case's, over that.
func (c *Case) LossErrors(e model.Engine) ([]float64, error) {
	losses, err := c.Losses(e)
	for s, loss := range losses {
		losses[s] = Relative(loss, c.WantLosses[s])
	}
	return losses, err
}

// Relative returns the distance of a number from the one wanted, over that.
func Relative(got, want float64) float64 { return math.Abs(got-want) / math.Abs(want) }
