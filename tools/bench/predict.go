package main

import (
	"context"
	"errors"
	"fmt"

	"alexnet/augment"
)

// predict computes the probabilities of a batch of noise, over and over.
func (b *bench) predict() stage {
	run := func(ctx context.Context, c *clock) (err error) {
		engine, err := b.newEngine()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, engine.Close()) }()
		c.engine = engine.Name()
		defer c.profiled(engine)
		images, labels := make([]float32, b.Batch*b.net.Input.Size()), make([]int32, b.Batch)
		newNoise(b.Seed).batch(images, labels, b.net.Classes)
		probs := make([]float32, b.Batch*b.net.Classes)
		return warmed(ctx, c, func() { engine.Profile() }, func(uint64) error {
			c.add(b.Batch, 4*len(images), 4*len(images))
			return engine.Predict(images, b.Batch, probs)
		})
	}
	return stage{
		name: "predict", dtype: b.computes().String(), layout: augment.NCHW.String(), batch: b.Batch, threads: orAll(b.Threads), run: run,
		note: fmt.Sprintf("%s, batches of noise of %d", b.net.Name, b.Batch),
	}
}
