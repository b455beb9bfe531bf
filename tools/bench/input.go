package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"alexnet/augment"
	"alexnet/pipeline"
	"alexnet/records"
)

// read visits rows in the order of a training epoch.
func (b *bench) read() stage {
	workers := orAll(b.Workers)
	run := func(ctx context.Context, c *clock) error {
		order := pipeline.Order(b.Seed, 0, b.split.Len())
		var next, sink atomic.Int64
		return parallel(ctx, workers, func(ctx context.Context) error {
			var scratch records.Scratch
			sum := int64(0)
			for done := false; !done; done = !c.running(ctx) {
				row, err := b.split.Row(int(order[int(next.Add(1)-1)%len(order)]), &scratch)
				if err != nil {
					return err
				}
				// Touch every cache line (64 bytes), or a mapped row costs nothing.
				for i := 0; i < len(row.U8); i += 64 {
					sum += int64(row.U8[i])
				}
				for i := 0; i < len(row.I16); i += 32 {
					sum += int64(row.I16[i])
				}
				c.add(1, len(row.U8)+2*len(row.I16))
			}
			sink.Add(sum)
			return nil
		})
	}
	return stage{"read", workers, b.describe(), run}
}

// augment makes images of one row a worker.
func (b *bench) augment() stage {
	workers := orAll(b.Workers)
	shape := b.data.Manifest.Shape
	g := augment.Geometry{Height: shape.H, Width: shape.W, Crop: b.net.Input.H}
	run := func(ctx context.Context, c *clock) error {
		if err := g.Check(); err != nil {
			return err
		}
		sub := b.data.Mean.Subtrahend(b.data.Manifest.Pixels)
		color := b.color()
		var next atomic.Int64
		return parallel(ctx, workers, func(ctx context.Context) error {
			var scratch records.Scratch
			var sampler augment.Sampler
			row, err := b.split.Row(0, &scratch)
			if err != nil {
				return err
			}
			image := make([]float32, shape.C*g.Crop*g.Crop)
			for done := false; !done; done = !c.running(ctx) {
				p := sampler.Draw(b.Seed, 0, next.Add(1), g, color)
				if row.U8 != nil {
					augment.Apply(image, row.U8, sub, shape.C, g, p)
				} else {
					augment.Apply(image, row.I16, sub, shape.C, g, p)
				}
				c.add(1, 4*len(image))
			}
			return nil
		})
	}
	return stage{"augment", workers, fmt.Sprintf("%v to %d x %d float32", shape, g.Crop, g.Crop), run}
}

// openStream opens an endless training stream of the records.
func (b *bench) openStream(ctx context.Context) (*pipeline.Pipeline, error) {
	return pipeline.OpenSplit(ctx, b.data, b.split, pipeline.Options{
		Batch: b.Batch, Crop: b.net.Input.H, Seed: b.Seed, Train: true, Color: b.color(),
		Workers: b.Workers, Epochs: 1 << 30,
	})
}

// stream takes batches and gives them back at once.
func (b *bench) stream() stage {
	run := func(ctx context.Context, c *clock) (err error) {
		p, err := b.openStream(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		// What the ring held when the clock started must not count: empty it
		// first, and start.
		for range p.Stats().Depth {
			if _, _, err := take(ctx, p); err != nil {
				return err
			}
		}
		c.restart()
		for done := false; !done; done = !c.running(ctx) {
			n, values, err := take(ctx, p)
			if err != nil {
				return err
			}
			c.add(n, 4*values)
		}
		return nil
	}
	return stage{"stream", orAll(b.Workers), fmt.Sprintf("batches of %d, %d x %d, from %s", b.Batch, b.net.Input.H, b.net.Input.W, b.describe()), run}
}

// take takes a batch, gives it back, and returns its numbers of records and of
// values.
func take(ctx context.Context, p *pipeline.Pipeline) (n, values int, err error) {
	batch, ok := p.Next(ctx)
	if !ok {
		return 0, 0, p.Err()
	}
	defer batch.Release()
	return batch.N, len(batch.Images), nil
}
