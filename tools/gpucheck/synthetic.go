package main

import (
	"errors"
	"time"

	"alexnet/model"
)

// synthetic trains on a batch that lies in page-locked memory and travels anew for each
// step, while the one before is computed.
type synthetic struct {
	e       model.Engine
	staging model.StagingEngine // nil for other engines
	memory  []byte
	images  []float32
	labels  []int32
	places  []model.Placement
	queue   []model.Staged
	step    uint64
	updates time.Duration // spent in them
}

// newSynthetic makes a batch of noise for an engine whose images travel as they were
// stored, one byte a value.
func newSynthetic(e model.Engine, batch int) (y *synthetic, err error) {
	y = &synthetic{e: e}
	if y.staging, _ = e.(model.StagingEngine); y.staging == nil {
		y.images, y.labels = newNoise(61).batch(e.Net(), batch, false)
		return y, nil
	}
	if y.memory, err = y.staging.Alloc(batch * e.Net().Input.Size()); err != nil {
		return nil, err
	}
	y.memory = y.memory[:batch*e.Net().Input.Size()]
	source := newNoise(61)
	source.fill(y.memory)
	y.labels, y.places = make([]int32, batch), make([]model.Placement, batch)
	for i := range y.labels {
		y.labels[i] = int32(source.bits.Uint64() % uint64(e.Net().Classes))
	}
	return y, nil
}

// train takes a step.
func (y *synthetic) train() error {
	if err := y.backward(); err != nil {
		return err
	}
	// A rate so small that the weights stay sound on noise.
	began := time.Now()
	err := y.e.Update(model.Hyper{LearningRate: 1e-6, Momentum: 0.9, WeightDecay: 0.0005})
	y.updates += time.Since(began)
	y.step++
	return err
}

// backward computes the gradient of the batch, and keeps as many on their way as may be.
func (y *synthetic) backward() error {
	if y.staging == nil {
		_, err := y.e.Backward(y.images, y.labels, y.step)
		return err
	}
	for len(y.queue) < y.staging.Stages() {
		b, err := y.staging.Stage(y.memory, y.labels, y.places)
		if err != nil {
			return err
		}
		y.queue = append(y.queue, b)
	}
	b := y.queue[0]
	y.queue = append(y.queue[:0], y.queue[1:]...)
	_, err := y.staging.BackwardStaged(b, y.step)
	return err
}

// close drops what is on its way.
func (y *synthetic) close() error {
	var errs []error
	for _, b := range y.queue {
		errs = append(errs, b.Drop())
	}
	if y.staging != nil {
		errs = append(errs, y.staging.Free(y.memory))
	}
	return errors.Join(errs...)
}
