// Package pipeline streams records to a trainer as batches of augmented
// pictures.
//
// It is the input side of Krizhevsky, Sutskever and Hinton, "ImageNet
// Classification with Deep Convolutional Neural Networks" (2012), sections 4.1
// and 5, where CPUs prepare the next pictures while the GPUs train on the last.
// Here is who does what:
//
//	feeder    takes a free buffer from the ring, decides which records go into
//	          it (Order), and sends one task a record to the workers
//	workers   read the record, draw its crop, flip and colour, and write the
//	          result straight into the record's slot of the buffer
//	delivery  hands the buffers out in the order of the steps, each when its
//	          last slot has been written
//	consumer  receives from Batches (or Next), trains, and calls Release, which
//	          puts the buffer back into the ring
//
// All of it is joined by bounded channels: a consumer that is slow stops the
// workers, and memory never grows beyond the ring.
//
// What a batch holds is a function of the records, the seed, the epoch and the
// step. The number of workers, the depth of the ring and the moment at which a
// stream is stopped and taken up again (Options.Epoch and Skip) change nothing.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"alexnet/augment"
	"alexnet/records"
)

// ErrClosed is what Err returns when Close ended the stream before its last
// batch was taken.
var ErrClosed = errors.New("pipeline: closed before the end of the stream")

// OptionError reports an option that cannot work, alone or with the data.
type OptionError struct {
	// Option is the name of the field of Options.
	Option string
	// Reason says what is wrong with it and what would do.
	Reason string
}

// Error names the option and the reason.
func (e *OptionError) Error() string { return "pipeline: " + e.Option + ": " + e.Reason }

// Options say what to stream. Batch and Crop must be given; everything else has
// a useful zero.
type Options struct {
	// Batch is the number of records in a batch: 128 in the paper. The last
	// batch of an epoch holds what is left.
	Batch int
	// Crop is the side of the squares cut from the pictures: 224 in the paper.
	Crop int
	// Inclusive draws crops at the last offset too (augment.Geometry).
	Inclusive bool
	// Seed decides the order of the epochs and every crop, flip and colour.
	Seed uint64
	// Train permutes the records in each epoch and augments them. Without it
	// they come in stored order, in fixed views, with their own colours.
	Train bool
	// Views is the number of images made of a record without Train: 1 for the
	// centre, 10 for the paper's corners, centre and mirrors (augment.View).
	// The images of a record follow one another. 0 means 1.
	Views int
	// Color is the distribution of the colour shifts in training; nil for none.
	Color *augment.Color
	// Workers is the number of goroutines that read and augment; 0 means
	// GOMAXPROCS.
	Workers int
	// Depth is the number of batches in the ring: those being filled, those
	// that are ready and those that the consumer holds. A consumer that holds k
	// batches while it waits for another needs more than k. 0 chooses between 2
	// and 8, by the machine's memory.
	Depth int
	// Allocator provides the batches' memory; nil means HostAllocator.
	Allocator Allocator
	// Epoch is the number of the first epoch, from 0.
	Epoch int
	// Skip is the number of batches of the first epoch that have been consumed
	// already: the stream begins with step Skip. StepsPerEpoch skips it all.
	Skip int
	// Epochs is the number of epochs to deliver, the first one included, back
	// to back. 0 means 1.
	Epochs int
}

// Pipeline is a running stream. Its methods are safe for concurrent use.
type Pipeline struct {
	split    *records.Split
	o        Options // as given, zeros replaced
	shape    records.Shape
	geometry augment.Geometry
	sub      []float32 // what is left to subtract from a stored value
	views    []augment.Params
	image    int // floats in one image
	steps    int
	total    int64 // batches to deliver

	ring  *ring
	tasks chan task
	queue chan *buffer // buffers in the order of delivery
	out   chan *Batch
	meter meter

	stop   context.CancelCauseFunc
	failed struct {
		sync.Mutex
		err error
	}
	done chan struct{}
}

// Open starts a stream of the records of split, which must be one of ds and
// stay open until Close has returned. The stream ends when all epochs have been
// delivered, when ctx is done, at an error, or at Close.
//
// An option that cannot work is an *OptionError.
func Open(ctx context.Context, ds *records.Dataset, split *records.Split, o Options) (*Pipeline, error) {
	p := &Pipeline{split: split, shape: ds.Manifest.Shape}
	if err := p.configure(o); err != nil {
		return nil, err
	}
	p.sub = ds.Mean.Subtrahend(ds.Manifest.Pixels)
	if len(p.sub) != p.shape.Size() {
		return nil, fmt.Errorf("pipeline: the mean image of %s has %d values, its pictures (%v) %d: ingest the data again",
			ds.Dir, len(p.sub), p.shape, p.shape.Size())
	}
	var err error
	if p.ring, err = newRing(p.o, p.image*len(p.views)); err != nil {
		return nil, err
	}
	p.tasks = make(chan task, 4*p.o.Workers)
	p.queue = make(chan *buffer, p.o.Depth)
	p.out = make(chan *Batch)
	p.done = make(chan struct{})
	p.meter.start()
	ctx, p.stop = context.WithCancelCause(ctx)
	go p.run(ctx)
	return p, nil
}

// configure checks the options against the data and fills in the defaults.
func (p *Pipeline) configure(o Options) error {
	n := p.split.Len()
	p.geometry = augment.Geometry{Height: p.shape.H, Width: p.shape.W, Crop: o.Crop, Inclusive: o.Inclusive}
	if err := p.geometry.Check(); err != nil {
		return &OptionError{"Crop", err.Error()}
	}
	switch {
	case o.Batch < 1:
		return &OptionError{"Batch", fmt.Sprintf("%d records: there must be at least 1", o.Batch)}
	case o.Views != 0 && o.Views != 1 && o.Views != augment.Views:
		return &OptionError{"Views", fmt.Sprintf("%d: use 1 or %d", o.Views, augment.Views)}
	case o.Train && o.Views > 1:
		return &OptionError{"Views", fmt.Sprintf("%d views of a picture are for evaluation; training has one", o.Views)}
	case o.Train && o.Color != nil && p.shape.C != 3:
		return &OptionError{"Color", fmt.Sprintf("colour shifts need pictures of 3 channels; these have %d", p.shape.C)}
	case n == 0:
		return &OptionError{"Split", fmt.Sprintf("%q holds no records", p.split.Name())}
	}
	o.Views = max(o.Views, 1)
	if o.Epochs == 0 {
		o.Epochs = 1
	}
	o.Batch = min(o.Batch, n) // no buffer need be larger than an epoch
	p.steps = (n + o.Batch - 1) / o.Batch
	for _, f := range []struct {
		name     string
		value    int
		low, top int
	}{
		{"Workers", o.Workers, 0, 1 << 16},
		{"Depth", o.Depth, 0, 1 << 16},
		{"Epoch", o.Epoch, 0, 1 << 30},
		{"Epochs", o.Epochs, 1, 1 << 30},
		{"Skip", o.Skip, 0, p.steps},
	} {
		if f.value < f.low || f.value > f.top {
			return &OptionError{f.name, fmt.Sprintf("%d: it must lie between %d and %d", f.value, f.low, f.top)}
		}
	}
	p.image = p.shape.C * o.Crop * o.Crop
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Allocator == nil {
		o.Allocator = HostAllocator{}
	}
	if o.Color != nil {
		c := *o.Color
		o.Color = &c
	}
	if o.Depth == 0 {
		o.Depth = defaultDepth(4 * o.Batch * o.Views * p.image)
	}
	p.total = int64(p.steps)*int64(o.Epochs) - int64(o.Skip)
	o.Depth = int(max(1, min(int64(o.Depth), p.total)))
	p.views = make([]augment.Params, o.Views)
	for v := range p.views {
		p.views[v] = augment.View(p.geometry, v)
	}
	if o.Views == 1 {
		p.views[0] = augment.Center(p.geometry)
	}
	p.o = o
	return nil
}

// run owns the stream: it starts the feeder and the workers, delivers, and when
// that is over, for whatever reason, waits for them and frees the buffers.
func (p *Pipeline) run(ctx context.Context) {
	defer close(p.done)
	var crew sync.WaitGroup
	crew.Go(func() { p.feed(ctx) })
	for range p.o.Workers {
		crew.Go(func() { p.work(ctx) })
	}
	err := p.deliver(ctx)
	p.failed.Lock()
	p.failed.err = err
	p.failed.Unlock()
	p.meter.end()
	close(p.out)
	p.stop(err)
	crew.Wait()
	p.ring.retire()
}

// deliver hands out the batches in order until the last, the first that failed,
// or the end of ctx, and returns why it stopped.
func (p *Pipeline) deliver(ctx context.Context) error {
	for range p.total {
		var b *buffer
		select {
		case b = <-p.queue:
		case <-ctx.Done():
			return stopped(ctx)
		}
		select {
		case <-b.ready:
		case <-ctx.Done():
			return stopped(ctx)
		}
		if b.err != nil {
			return fmt.Errorf("pipeline: epoch %d, step %d: %w", b.epoch, b.step, b.err)
		}
		batch, n := p.lend(b), b.n // after the send the buffer is not ours
		p.meter.ready()
		select {
		case p.out <- batch:
			p.meter.delivered(n)
		case <-ctx.Done():
			p.ring.reclaim(b)
			return stopped(ctx)
		}
	}
	return nil
}

// stopped returns why ctx is done.
func stopped(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrClosed) {
		return cause
	}
	return fmt.Errorf("pipeline: stopped: %w", cause)
}

// Batches returns the channel on which the batches come, in order and complete.
// It is closed after the last one, and early when the stream fails, is
// cancelled or is closed: when it is, ask Err. Every batch received must be
// released.
func (p *Pipeline) Batches() <-chan *Batch { return p.out }

// Next receives the next batch, and reports false when the channel is closed.
// It does what receiving from Batches does and measures how long that took, so
// that Stats.ConsumerWait is exact.
func (p *Pipeline) Next() (*Batch, bool) {
	begin := time.Now()
	b, ok := <-p.out
	p.meter.asked(time.Since(begin))
	return b, ok
}

// Err returns what ended the stream: nil when all batches were delivered (or it
// is still running), ErrClosed after an early Close, an error that wraps the
// context's, or the failure of a record, which names its file, row and key. All
// batches before the one with that record have been delivered.
func (p *Pipeline) Err() error {
	p.failed.Lock()
	defer p.failed.Unlock()
	return p.failed.err
}

// Close ends the stream, waits until its goroutines are gone, and frees its
// buffers, except those of batches that are held; they are freed when they are
// released. It returns the errors of the Allocator's Free, if any. It may be
// called at any time and any number of times.
func (p *Pipeline) Close() error {
	p.stop(ErrClosed)
	<-p.done
	return p.ring.err()
}

// StepsPerEpoch returns the number of batches in an epoch, the short one
// included.
func (p *Pipeline) StepsPerEpoch() int { return p.steps }
