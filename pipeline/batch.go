package pipeline

import "sync/atomic"

// Batch is a set of records ready for the network. Its slices are borrowed from
// the pipeline: they may be read and written until Release, and not after.
type Batch struct {
	// Epoch is the epoch's number, Step the batch's within it, both from 0.
	Epoch, Step int
	// N is the number of records: Options.Batch, or fewer in the last batch of
	// an epoch.
	N int
	// Images holds N x Views images of C x Crop x Crop values: planar, pixel
	// less mean, plus the colour shift, on the scale of 0 to 255.
	Images []float32
	// Labels holds the N labels, -1 for a record without one.
	Labels []int32
	// Indices holds the rows of the split that the N records are.
	Indices []int64

	pipeline *Pipeline
	buffer   *buffer
	released atomic.Bool
}

// lend wraps a filled buffer for the consumer. Each delivery has a Batch of its
// own, a hundred bytes beside the megabytes that go round in the ring, so that
// a second Release of it cannot hit a later batch in the same buffer.
func (p *Pipeline) lend(b *buffer) *Batch {
	p.ring.lend(b)
	return &Batch{
		Epoch: b.epoch, Step: b.step, N: b.n,
		Images:   b.pixels[:b.n*len(p.views)*p.image],
		Labels:   b.labels[:b.n],
		Indices:  b.indices[:b.n],
		pipeline: p,
		buffer:   b,
	}
}

// Release gives the batch's memory back, after which its slices are nil. It
// must be called once for every batch, from any goroutine, before or after
// Close. A second call has no effect but to be counted in Stats.
func (b *Batch) Release() {
	p := b.pipeline
	if !b.released.CompareAndSwap(false, true) {
		p.meter.doubleReleases.Add(1)
		return
	}
	b.Images, b.Labels, b.Indices = nil, nil, nil
	p.ring.giveBack(b.buffer)
	b.buffer = nil
	p.meter.released()
}
