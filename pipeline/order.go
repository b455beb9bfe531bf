package pipeline

import (
	"context"

	"alexnet/records"
)

// Order returns the order in which an epoch of training visits the n records of
// a split: one permutation of all of them, a function of its arguments alone.
// Step s of the epoch holds records Order[s*batch:(s+1)*batch].
func Order(seed uint64, epoch, n int) []uint32 {
	return records.Permutation("order", seed, uint64(epoch), n)
}

// task is one record to be put into its place: slot i of a buffer.
type task struct {
	buffer *buffer
	slot   int
}

// feed assigns records to buffers and tasks to workers, epoch after epoch. It
// runs ahead of the consumer by as many batches as the ring has, so the first
// batches of an epoch are made while the last of the one before are consumed.
func (p *Pipeline) feed(ctx context.Context) {
	defer close(p.tasks)
	for epoch := p.o.Epoch; epoch < p.o.Epoch+p.o.Epochs; epoch++ {
		first := 0
		if epoch == p.o.Epoch {
			first = p.o.Skip
		}
		if first < p.steps && !p.feedEpoch(ctx, epoch, first) {
			return
		}
	}
}

// feedEpoch feeds one epoch from step first on. It reports false when ctx is
// done.
func (p *Pipeline) feedEpoch(ctx context.Context, epoch, first int) bool {
	n := p.split.Len()
	var order []uint32
	if p.o.Train {
		order = Order(p.o.Seed, epoch, n)
	}
	for step := first; step < p.steps; step++ {
		b, ok := p.takeBuffer(ctx)
		if !ok {
			return false
		}
		from := step * p.o.Batch
		b.begin(epoch, step, min(p.o.Batch, n-from))
		for i := range b.n {
			b.indices[i] = int64(from + i)
			if order != nil {
				b.indices[i] = int64(order[from+i])
			}
		}
		p.queue <- b // has room for all the buffers there are
		for i := range b.n {
			select {
			case p.tasks <- task{b, i}:
			case <-ctx.Done():
				return false
			}
		}
	}
	return true
}
