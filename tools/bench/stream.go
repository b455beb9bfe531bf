package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"alexnet/augment"
	"alexnet/pipeline"
)

// openStream opens an endless training stream of the records.
func (b *bench) openStream(ctx context.Context, t augment.Type, layout augment.Layout) (*pipeline.Pipeline, error) {
	return pipeline.OpenDataset(ctx, b.data, pipeline.Options{
		Split: b.Split, Batch: b.Batch, Crop: b.net.Input.H, Type: t, Layout: layout,
		Seed: b.Seed, Train: true, Shuffle: b.Shuffle, Window: b.Window, Color: b.color(),
		Rank: b.Rank, World: b.World, Workers: b.Workers, Requests: b.Requests, Depth: b.Depth, Cache: int64(b.Cache),
		OnCorrupt: b.OnCorrupt, Epochs: 1 << 30,
	})
}

// stream takes batches and gives them back, at once or at --consume's pace.
func (b *bench) stream(t augment.Type) stage {
	run := func(ctx context.Context, c *clock) (err error) {
		p, err := b.openStream(ctx, t, b.Layout)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		if err := warmUpStream(ctx, c, p); err != nil {
			return err
		}
		pace := pacer{rate: b.Consume}
		since := p.Stats()
		c.restart()
		for done := false; !done; done = !c.running(ctx) {
			n, bytes, err := take(ctx, p, &pace)
			if err != nil {
				return err
			}
			c.add(n, bytes, bytes+n*b.cropBytes())
		}
		c.stop()
		d := p.Diagnose(p.Stats().Sub(since))
		c.diagnosis = &d
		return nil
	}
	return stage{
		name: "stream", dtype: t.String(), layout: b.Layout.String(), batch: b.streamBatch(), threads: orAll(b.Workers), run: run,
		note: fmt.Sprintf("%s, %d x %d %v, from %s", b.batches(), b.net.Input.H, b.net.Input.W, b.Layout, b.describe()),
	}
}

// streamBatch is the size of the stream's batches: none is larger than the split.
func (b *bench) streamBatch() int { return min(b.Batch, b.split.Len()) }

// batches describes what the consumer gets.
func (b *bench) batches() string {
	text := fmt.Sprintf("batches of %d", b.streamBatch())
	if b.World > 1 {
		text = fmt.Sprintf("rank %d of %d, %s", b.Rank, b.World, text)
	}
	if b.Consume > 0 {
		text += fmt.Sprintf(" at %s images/s", figures(b.Consume))
	}
	return text
}

// warmUpBatches is how many batches a stream takes to find out that all records
// are in memory, and a few more.
const warmUpBatches = 100

// warmUpStream goes through the records once, and through as many batches as a
// stream needs to come to rest, for as long as the clock allows. In any case what the ring holds when the clock starts must not count, so it is
// emptied.
func warmUpStream(ctx context.Context, c *clock, p *pipeline.Pipeline) error {
	depth := p.Stats().Depth
	for i := 0; i < depth || i < depth+max(p.StepsPerEpoch(), warmUpBatches) && c.running(ctx); i++ {
		if _, _, err := take(ctx, p, &pacer{}); err != nil {
			return err
		}
	}
	return nil
}

// take takes a batch, holds it for as long as the pace wants, gives it back, and
// returns its numbers of records and of bytes.
func take(ctx context.Context, p *pipeline.Pipeline, pace *pacer) (n, bytes int, err error) {
	batch, ok := p.Next(ctx)
	if !ok {
		return 0, 0, ended(ctx, p)
	}
	defer batch.Release()
	pace.wait(ctx, batch.N)
	return batch.N, len(batch.Bytes), nil
}

// ended returns why there is no next batch.
func ended(ctx context.Context, p *pipeline.Pipeline) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.Err()
}

// pacer makes a consumer as slow as a trainer.
type pacer struct {
	rate  float64   // images a second; 0: no wait
	due   time.Time // when it would be done with what it has had
	alarm *time.Timer
}

// lateness is by how much a sleep may be too long: that is made up for. Time in
// which there was nothing to do is not: a trainer could not either.
const lateness = 2 * time.Millisecond

// wait waits until a consumer of that rate, which has just got n images, would be
// done with them, or ctx is.
func (p *pacer) wait(ctx context.Context, n int) {
	if p.rate == 0 {
		return
	}
	if now := time.Now(); now.Sub(p.due) > lateness {
		p.due = now
	}
	p.due = p.due.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	if p.alarm == nil {
		p.alarm = time.NewTimer(0)
	}
	p.alarm.Reset(time.Until(p.due))
	select {
	case <-p.alarm.C:
	case <-ctx.Done():
	}
}
