package main

import (
	"context"
	"errors"
	"fmt"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/model/cpu"
	"alexnet/pipeline"
	"alexnet/train/eval"
)

// train takes steps of the update rule, on streamed batches with --records and
// on one batch of noise without.
func (b *bench) train() stage {
	run := func(ctx context.Context, c *clock) (err error) {
		engine, err := b.newEngine()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, engine.Close()) }()
		c.engine = engine.Name()
		step := func(images []float32, labels []int32, i uint64) error {
			if _, err := engine.Backward(images, labels, i); err != nil {
				return err
			}
			// A rate so small that the weights stay sound on noise.
			if err := engine.Update(model.Hyper{LearningRate: 1e-6, Momentum: 0.9, WeightDecay: 0.0005}); err != nil {
				return err
			}
			bytes := 4 * len(labels) * b.net.Input.Size()
			c.add(len(labels), bytes, bytes)
			return nil
		}
		defer c.profiled(engine)
		if b.Records != "" {
			return b.trainStreamed(ctx, c, func() { engine.Profile() }, step)
		}
		images, labels := make([]float32, b.Batch*b.net.Input.Size()), make([]int32, b.Batch)
		newNoise(b.Seed).batch(images, labels, b.net.Classes)
		return warmed(ctx, c, func() { engine.Profile() }, func(i uint64) error { return step(images, labels, i) })
	}
	what, batch := "batches of noise", b.Batch
	if b.Records != "" {
		what, batch = "streamed batches", b.streamBatch()
	}
	return stage{
		name: "train", dtype: b.computes().String(), layout: augment.NCHW.String(), batch: batch, threads: orAll(b.Threads), run: run,
		note: fmt.Sprintf("%s, %s of %d", b.net.Name, what, batch),
	}
}

// newEngine makes the engine that the flags ask for.
func (b *bench) newEngine() (*cpu.Engine, error) {
	return cpu.New(b.net, model.State{}, cpu.Options{Batch: b.Batch, Threads: b.Threads, Seed: b.Seed, Precision: cpu.Precision(b.Precision), Profile: b.Profile})
}

// computes is the type of numbers that the engine multiplies.
func (b *bench) computes() augment.Type {
	if cpu.Precision(b.Precision) == cpu.BF16 {
		return augment.BFloat16
	}
	return augment.Float32
}

// trainStreamed is train on the records.
func (b *bench) trainStreamed(ctx context.Context, c *clock, restarted func(), step func([]float32, []int32, uint64) error) (err error) {
	if err := eval.CheckFit(b.net, b.data); err != nil {
		return err
	}
	p, err := b.openStream(ctx, augment.Float32, augment.NCHW)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	var since pipeline.Stats
	err = warmed(ctx, c, func() { since = p.Stats(); restarted() }, func(i uint64) error {
		batch, ok := p.Next(ctx)
		if !ok {
			return ended(ctx, p)
		}
		defer batch.Release()
		if batch.N == 0 { // of an epoch's end, with more ranks than records
			return nil
		}
		return step(batch.Images, batch.Labels, i)
	})
	c.stop()
	d := p.Diagnose(p.Stats().Sub(since))
	c.diagnosis = &d
	return err
}

// warmed repeats step until the clock has run out. The first step, which pays for
// buffers and cold caches (seconds, for the paper's net), is not counted; then
// restarted is called.
func warmed(ctx context.Context, c *clock, restarted func(), step func(i uint64) error) error {
	for i := uint64(0); i <= 1 || c.running(ctx); i++ {
		if err := step(i); err != nil {
			return err
		}
		if i == 0 {
			c.restart()
			restarted()
		}
	}
	return nil
}
