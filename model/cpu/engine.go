// Package cpu trains and runs a model.Net on the processor, through gorgonia.
package cpu

import (
	"errors"

	"alexnet/model"
)

// Options configures an Engine.
type Options struct {
	Batch   int    // largest number of images of one call
	Threads int    // goroutines that compute at once; 0 means GOMAXPROCS. Results do not depend on it.
	Seed    uint64 // of dropout's masks, and of the initial weights if none are given
}

// Engine is a model.Engine on the processor.
type Engine struct{}

var _ model.Engine = (*Engine)(nil)

// New makes an engine that starts from st. Nil weights mean net.Init(o.Seed), a
// nil velocity zeros.
func New(net *model.Net, st model.State, o Options) (*Engine, error) {
	return nil, errors.New("not yet")
}

// Net returns the net.
func (e *Engine) Net() *model.Net { return nil }

// Batch returns the largest number of images of one call.
func (e *Engine) Batch() int { return 0 }

// Backward implements model.Engine.
func (e *Engine) Backward(images []float32, labels []int32, step uint64) (model.Score, error) {
	return model.Score{}, nil
}

// Update implements model.Engine.
func (e *Engine) Update(h model.Hyper) error { return nil }

// Predict implements model.Engine.
func (e *Engine) Predict(images []float32, n int, probs []float32) error { return nil }

// Snapshot implements model.Engine.
func (e *Engine) Snapshot() (model.State, error) { return model.State{}, nil }

// Restore implements model.Engine.
func (e *Engine) Restore(st model.State) error { return nil }

// Close implements model.Engine.
func (e *Engine) Close() error { return nil }
