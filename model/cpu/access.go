package cpu

import (
	"errors"
	"fmt"

	"alexnet/model"
)

var (
	_ model.GradientEngine = (*Engine)(nil)
	_ model.StateEngine    = (*Engine)(nil)
	_ model.ThreadedEngine = (*Engine)(nil)
	_ model.SlicedEngine   = (*Engine)(nil)
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

// State implements model.StateEngine.
func (e *Engine) State() (model.State, error) {
	if e.closed {
		return model.State{}, fmt.Errorf("state: %w", ErrClosed)
	}
	lend := func(data [][]float32) []model.Tensor {
		ts := make([]model.Tensor, len(data))
		for i, p := range e.specs {
			ts[i] = model.Tensor{Name: p.Name, Shape: p.Shape, Data: data[i]}
		}
		return ts
	}
	return model.State{Weights: lend(e.weights), Velocity: lend(e.velocity)}, nil
}

// SetFirst implements model.SlicedEngine.
func (e *Engine) SetFirst(image int) { e.first = image }
