package cpu

import (
	"errors"
	"fmt"

	"alexnet/model"
)

var (
	_ model.GradientEngine = (*Engine)(nil)
	_ model.WeightsEngine  = (*Engine)(nil)
	_ model.ThreadedEngine = (*Engine)(nil)
)

// Threads implements model.ThreadedEngine.
func (e *Engine) Threads() int { return max(e.threads, 1) }

// Gradients implements model.GradientEngine.
func (e *Engine) Gradients() ([][]float32, error) {
	switch {
	case e.closed:
		return nil, fmt.Errorf("gradients: %w", ErrClosed)
	case !e.graded:
		return nil, errors.New("gradients: there are none: call Backward first")
	}
	return e.gradients()
}

// Weights implements model.WeightsEngine.
func (e *Engine) Weights() ([]model.Tensor, error) {
	if e.closed {
		return nil, fmt.Errorf("weights: %w", ErrClosed)
	}
	ts := make([]model.Tensor, len(e.specs))
	for i, p := range e.specs {
		ts[i] = model.Tensor{Name: p.Name, Shape: p.Shape, Data: e.weights[i]}
	}
	return ts, nil
}
