// Package pipeline streams records to a trainer as batches of augmented
// pictures.
//
// It is the input side of Krizhevsky, Sutskever and Hinton, "ImageNet
// Classification with Deep Convolutional Neural Networks" (2012), sections 4.1
// and 5, where CPUs prepare the next pictures while the GPUs train on the last.
// Any trainer can use it: [Open] a folder that ingest made, range over Batches,
// Release each, and ask Err at the end.
//
// Here is who does what:
//
//	feeder    takes a free buffer from the ring, decides which records go into
//	          it (Ordering), and sends tasks, runs of records, to the workers
//	ahead     has the system read what will be wanted next, when it is not in
//	          memory
//	loaders   in its place for records in an object store: each loads a record,
//	          in the order in which the workers will want them
//	workers   fetch a record into memory, read it, draw its crop, flip and
//	          colour, and write the result straight into its slot of the buffer
//	delivery  hands the buffers out in the order of the steps, each when its
//	          last slot has been written
//	consumer  receives from Batches (or Next), trains, and calls Release, which
//	          puts the buffer back into the ring
//
// All of it is joined by bounded channels: a consumer that is slow stops the
// workers, and memory never grows beyond the ring. What is in it depends on the
// memory of the machine, or of its control group, unless Options say otherwise.
//
// What a batch holds is a function of the records, the seed, the epoch, the step
// and the size of the batch (and, with ShuffleBlock, the window). The number of
// workers, the depth of the ring, the number of ranks that share the batches and
// the moment at which a stream is stopped and taken up again (Options.Epoch and
// Skip) change nothing.
//
// Stats counts where the time goes, and Diagnose says what follows from it.
// Profiles have the label "stage", and traces regions of that name: order,
// ahead, load, fetch, read, augment.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"alexnet/augment"
	"alexnet/records"
)

// ErrClosed is what Err returns when Close ended the stream before its last
// batch was taken.
var ErrClosed = errors.New("pipeline: closed before the end of the stream")

// Pipeline is a running stream. Its methods are safe for concurrent use.
type Pipeline struct {
	split    *records.Split
	owned    bool    // the split is closed with the stream
	o        Options // as given, zeros replaced
	shape    records.Shape
	pixels   records.PixelType
	classes  int  // that labels count, 0 where the manifest lists none
	rowBytes int  // bytes of a record's pixels, decompressed
	packed   bool // records have to be decompressed
	geometry augment.Geometry
	kernel   *augment.Kernel
	views    []augment.Params
	image    int     // bytes in one image
	divisor  float32 // of images in training, 0 for none
	order    Ordering
	steps    int
	slots    int   // records in a full batch, of this rank
	run      int   // records in a task
	total    int64 // batches to deliver

	ring  *ring
	ahead *ahead
	loads *loads         // nil for records in files
	cache *records.Cache // nil for uncompressed records in files
	tasks chan task
	queue chan *buffer // buffers in the order of delivery
	out   chan Batch
	meter meter

	stop   context.CancelCauseFunc
	failed struct {
		sync.Mutex
		err error
	}
	done chan struct{}
	// freed is what closing the split and the cache brought, once done.
	freed error
}

// Open opens the records in dir and starts a stream of a split of them. With
// OnCorrupt Skip, shards that are missing or damaged do not keep it from
// opening. The stream ends when all epochs have been delivered, when ctx is done,
// at an error, or at Close; then the records are closed too, and held batches
// stay valid until they are released.
//
// An option that cannot work is an *OptionError.
func Open(ctx context.Context, dir string, o Options) (*Pipeline, error) {
	ds, err := records.Open(dir)
	if err != nil {
		return nil, err
	}
	return OpenDataset(ctx, ds, o)
}

// OpenDataset is Open for a data set that is open already, which may lie in an
// object store.
func OpenDataset(ctx context.Context, ds *records.Dataset, o Options) (*Pipeline, error) {
	name := o.Split
	if name == "" {
		name = "train"
	}
	open := ds.OpenSplit
	if o.OnCorrupt == Skip {
		open = ds.OpenSplitLenient
	}
	split, err := open(name)
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, ds, split, o, true)
	if err != nil {
		return nil, errors.Join(err, split.Close())
	}
	return p, nil
}

// OpenSplit is Open for a split that is open already: it must be one of ds and
// stay open until Close has returned. Options.Split does not count.
func OpenSplit(ctx context.Context, ds *records.Dataset, split *records.Split, o Options) (*Pipeline, error) {
	return start(ctx, ds, split, o, false)
}

// start starts a stream, which closes the split at its end if it owns it.
func start(ctx context.Context, ds *records.Dataset, split *records.Split, o Options, owned bool) (*Pipeline, error) {
	m := ds.Manifest
	p := &Pipeline{
		split: split, owned: owned, shape: m.Shape, pixels: m.Pixels, classes: len(m.Classes),
		rowBytes: split.RowBytes(), packed: split.Packed(),
	}
	sub := ds.Mean.Subtrahend(m.Pixels)
	if len(sub) != p.shape.Size() {
		return nil, fmt.Errorf("pipeline: the mean image of %s has %d values, its pictures (%v) %d: ingest the data again",
			ds.Dir, len(sub), p.shape, p.shape.Size())
	}
	if err := p.configure(o, sub); err != nil {
		return nil, err
	}
	var err error
	if p.ring, err = newRing(p.o, p.slots, p.image*len(p.views)); err != nil {
		return nil, err
	}
	p.useCache()
	p.ahead = newAhead(p)
	if split.Remote() {
		p.loads = newLoads(p)
	}
	if !p.ahead.drop && p.o.Train {
		p.split.KeepWhole()
	}
	p.tasks = make(chan task, p.o.Depth*((p.slots+p.run-1)/p.run))
	p.queue = make(chan *buffer, p.o.Depth)
	p.out = make(chan Batch)
	p.done = make(chan struct{})
	p.meter.start()
	ctx, p.stop = context.WithCancelCause(ctx)
	go p.serve(ctx)
	return p, nil
}

// useCache gives the split a cache for decompressed rows, if it has any and none
// yet: an earlier stream of the same split may have.
func (p *Pipeline) useCache() {
	budget := p.o.Cache
	if budget == 0 {
		budget = int64(min(p.o.memory()/cacheShare, math.MaxInt64))
	}
	if (p.packed || p.split.Remote()) && budget > 0 {
		p.cache = p.split.UseCache(records.NewCache(budget))
	}
}

// serve owns the stream: it starts the feeder and its crew, delivers, and when
// that is over, for whatever reason, waits for them and frees the buffers.
func (p *Pipeline) serve(ctx context.Context) {
	defer close(p.done)
	var crew sync.WaitGroup
	crew.Go(func() { p.feed(ctx) })
	if p.loads == nil {
		crew.Go(func() { p.ahead.run(ctx) })
	} else {
		for range p.o.Requests {
			crew.Go(func() { p.load(ctx) })
		}
	}
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
	if p.owned {
		p.freed = p.split.Close()
	}
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
		batch := p.lend(b) // after the send the buffer is not ours
		p.meter.ready()
		select {
		case p.out <- batch:
			p.delivered(&batch)
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
func (p *Pipeline) Batches() <-chan Batch { return p.out }

// Next receives the next batch. It reports false when the stream has ended (ask
// Err) and when ctx is done. It does what receiving from Batches does and
// measures how long that took, so that Stats.ConsumerWait is exact.
func (p *Pipeline) Next(ctx context.Context) (Batch, bool) {
	p.meter.asking()
	defer p.meter.asked()
	select {
	case b, ok := <-p.out:
		if ok {
			p.delivered(&b)
		}
		return b, ok
	case <-ctx.Done():
		return Batch{}, false
	}
}

// delivered notes, once, that the consumer has a batch: whoever comes first of
// the goroutine that sent it and the consumer.
func (p *Pipeline) delivered(b *Batch) {
	if b.buffer.noted.CompareAndSwap(false, true) {
		p.meter.delivered(b.N, len(b.Skipped))
	}
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
	return errors.Join(p.ring.err(), p.freed)
}

// StepsPerEpoch returns the number of batches in an epoch, the short one
// included.
func (p *Pipeline) StepsPerEpoch() int { return p.steps }

// Window returns the number of records that ShuffleBlock mixes at a time, 0 with
// ShuffleGlobal. Who resumes the stream must give it.
func (p *Pipeline) Window() int { return p.order.Window }
