package pipeline

import (
	"context"
	"fmt"
	"runtime/trace"
	"time"

	"alexnet/records"
)

// Shuffle is a way to draw the order in which an epoch of training visits the
// records.
type Shuffle int

const (
	// ShuffleGlobal draws one permutation of all records. Each record is read
	// from wherever it is, which memory, and a disk without moving parts, can do.
	ShuffleGlobal Shuffle = iota
	// ShuffleBlock is for data larger than memory on a disk (or a network) that
	// reads in sequence much faster: it draws a permutation of blocks of
	// neighbouring records, cuts that into windows, and permutes within each
	// window. Since ingest deals pictures to shards at random, the orders are as
	// good as global ones but for which pictures can meet in a batch.
	ShuffleBlock
)

// String returns "global" or "block".
func (s Shuffle) String() string {
	switch s {
	case ShuffleGlobal:
		return "global"
	case ShuffleBlock:
		return "block"
	}
	return fmt.Sprintf("Shuffle(%d)", int(s))
}

// MarshalText writes the name, for configurations and flags.
func (s Shuffle) MarshalText() ([]byte, error) {
	if s != ShuffleGlobal && s != ShuffleBlock {
		return nil, fmt.Errorf("pipeline: no name for %v", s)
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads the names that MarshalText writes.
func (s *Shuffle) UnmarshalText(text []byte) error {
	switch string(text) {
	case "global":
		*s = ShuffleGlobal
	case "block":
		*s = ShuffleBlock
	default:
		return fmt.Errorf("pipeline: unknown shuffle %q: use global or block", text)
	}
	return nil
}

// blockBytes is the size of ShuffleBlock's blocks: what a disk reads in a time
// that makes the way to it not matter.
const blockBytes = 8 << 20

// BlockRows returns the number of records in a block, for records of that many
// stored bytes. It depends on nothing else, so that orders are the same
// everywhere.
func BlockRows(rowBytes int) int { return max(1, blockBytes/max(1, rowBytes)) }

// Ordering is what decides the order of an epoch.
type Ordering struct {
	Seed uint64
	// Rows is the number of records.
	Rows int
	// Block and Window are the records in a block and in a window of
	// ShuffleBlock. A Window of 0 means ShuffleGlobal.
	Block, Window int
}

// Epoch returns the order in which an epoch visits the records: a permutation
// of 0 to Rows-1, a function of its arguments and of nothing else. Step s of the
// epoch holds records Epoch(e)[s*batch:(s+1)*batch], so that a stream can begin
// at any step: there is nothing to replay.
func (o Ordering) Epoch(epoch int) []uint32 {
	if o.Window <= 0 {
		return records.Permutation("order", o.Seed, uint64(epoch), o.Rows)
	}
	order := o.blocks(epoch)
	window := make([]uint32, 0, min(o.Window, o.Rows))
	for from := 0; from < o.Rows; from += o.Window {
		part := order[from:min(from+o.Window, o.Rows)]
		window = append(window[:0], part...)
		purpose := fmt.Sprintf("window %d", from/o.Window)
		for i, at := range records.Permutation(purpose, o.Seed, uint64(epoch), len(part)) {
			part[i] = window[at]
		}
	}
	return order
}

// blocks returns the records of an epoch block by block, before the windows are
// permuted: the order in which they are best read from a disk.
func (o Ordering) blocks(epoch int) []uint32 {
	size := max(o.Block, 1)
	order := make([]uint32, 0, o.Rows)
	for _, b := range records.Permutation("blocks", o.Seed, uint64(epoch), (o.Rows+size-1)/size) {
		for i := int(b) * size; i < min((int(b)+1)*size, o.Rows); i++ {
			order = append(order, uint32(i))
		}
	}
	return order
}

// Order returns the order of ShuffleGlobal for n records.
func Order(seed uint64, epoch, n int) []uint32 {
	return Ordering{Seed: seed, Rows: n}.Epoch(epoch)
}

// slice returns which part of an epoch's order is this rank's in a step.
func (p *Pipeline) slice(step int) (from, to int) {
	start := step * p.o.Batch
	n := min(p.o.Batch, p.split.Len()-start)
	return start + n*p.o.Rank/p.o.World, start + n*(p.o.Rank+1)/p.o.World
}

// task is a run of slots of a buffer to be filled.
type task struct {
	buffer   *buffer
	from, to int
}

// feed assigns records to buffers and tasks to workers, epoch after epoch. It
// runs ahead of the consumer by as many batches as the ring has, so the first
// batches of an epoch are made while the last of the one before are consumed.
func (p *Pipeline) feed(ctx context.Context) {
	ctx = labelled(ctx, "order")
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
	var order []uint32 // nil: as stored
	if p.o.Train {
		region, begin := trace.StartRegion(ctx, "order"), time.Now()
		order = p.order.Epoch(epoch)
		p.meter.order.Add(int64(time.Since(begin)))
		region.End()
	}
	for step := first; step < p.steps; step++ {
		b, ok := p.takeBuffer(ctx)
		if !ok {
			return false
		}
		from, to := p.slice(step)
		b.begin(epoch, step, to-from, from-step*p.o.Batch, min(p.o.Batch, p.split.Len()-step*p.o.Batch))
		for i := range b.n {
			b.indices[i] = int64(from + i)
			if order != nil {
				b.indices[i] = int64(order[from+i])
			}
		}
		if b.n == 0 {
			p.meter.filled.Add(1)
		}
		p.queue <- b // has room for all the buffers there are
		if p.loads != nil {
			p.loads.ask(b)
		} else {
			p.ahead.advance(position{epoch, step, order})
		}
		p.assign(b)
	}
	return true
}

// assign sends the buffer's slots to the workers. The channel has room for all
// the buffers there are, so that a worker that takes a task never has to wake
// the feeder for the next one.
func (p *Pipeline) assign(b *buffer) {
	for from := 0; from < b.n; from += p.run {
		p.tasks <- task{b, from, min(from+p.run, b.n)}
	}
}
