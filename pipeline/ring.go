package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pbnjay/memory"
)

// Allocator provides the memory of the batches: ordinary memory, or memory that
// a device can copy from (pinned). Its methods are called from any goroutine,
// not necessarily the one that opened the pipeline; each slice that Alloc gave
// is freed exactly once.
type Allocator interface {
	// Alloc returns a slice of at least that many floats, of any content.
	Alloc(floats int) ([]float32, error)
	// Free takes back a slice that Alloc returned.
	Free([]float32) error
}

// HostAllocator allocates from Go's heap.
type HostAllocator struct{}

// Alloc returns a new slice.
func (HostAllocator) Alloc(floats int) ([]float32, error) { return make([]float32, floats), nil }

// Free leaves the slice to the garbage collector.
func (HostAllocator) Free([]float32) error { return nil }

// Limits of the ring's default depth. Two batches let the workers fill one
// while the consumer has the other; beyond eight, more only smooth out
// stalls that are longer than any disk's.
const (
	minDepth = 2
	maxDepth = 8
	// memoryShare is the part of the available memory that a ring of default
	// depth may take: one in memoryShare.
	memoryShare = 8
)

// defaultDepth chooses the number of batches of the given size for this
// machine.
func defaultDepth(batchBytes int) int {
	return depthFor(batchBytes, availableMemory())
}

// depthFor is defaultDepth's arithmetic.
func depthFor(batchBytes int, available uint64) int {
	depth := available / memoryShare / uint64(max(batchBytes, 1))
	return int(max(minDepth, min(depth, maxDepth)))
}

// availableMemory returns the bytes that the machine has free, or half of all
// it has where the system does not tell, but no more than GOMEMLIMIT.
func availableMemory() uint64 {
	free := memory.FreeMemory()
	if free == 0 {
		free = memory.TotalMemory() / 2
	}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		free = min(free, uint64(limit))
	}
	return free
}

// buffer is a batch's memory and its state while it is being filled.
type buffer struct {
	pixels  []float32 // as Alloc returned it
	labels  []int32
	indices []int64

	epoch, step, n int

	pending atomic.Int64  // slots not yet written
	ready   chan struct{} // receives once when pending gets to 0

	mu      sync.Mutex
	badSlot int // the lowest slot that failed
	err     error

	lent bool // the consumer has it; guarded by ring.mu
}

// begin makes the buffer ready for n records.
func (b *buffer) begin(epoch, step, n int) {
	b.epoch, b.step, b.n = epoch, step, n
	b.pending.Store(int64(n))
}

// finish notes that a slot has been written, or why it could not be. Of several
// failures the one in the lowest slot stays, so that the error of a stream does
// not depend on which worker was faster.
func (b *buffer) finish(slot int, err error) {
	if err != nil {
		b.mu.Lock()
		if b.err == nil || slot < b.badSlot {
			b.badSlot, b.err = slot, err
		}
		b.mu.Unlock()
	}
	if b.pending.Add(-1) == 0 {
		b.ready <- struct{}{}
	}
}

// ring is the fixed set of buffers that go round between feeder, workers and
// consumer.
type ring struct {
	allocator Allocator
	free      chan *buffer // has room for all

	mu      sync.Mutex
	all     []*buffer
	retired bool // the stream is over: buffers are freed, not put back
	errs    error
}

// newRing allocates o.Depth buffers for o.Batch records of perRecord floats, or
// none.
func newRing(o Options, perRecord int) (*ring, error) {
	if perRecord > math.MaxInt/8/o.Batch {
		return nil, &OptionError{"Batch", fmt.Sprintf("%d records of %d values do not fit into memory", o.Batch, perRecord)}
	}
	floats := o.Batch * perRecord
	r := &ring{allocator: o.Allocator, free: make(chan *buffer, o.Depth)}
	for i := range o.Depth {
		pixels, err := r.allocator.Alloc(floats)
		if err == nil && len(pixels) < floats {
			err = errors.Join(fmt.Errorf("the allocator gave %d floats", len(pixels)), r.allocator.Free(pixels))
		}
		if err != nil {
			r.retire()
			return nil, errors.Join(fmt.Errorf("pipeline: batch buffer %d of %d, %d floats: %w (a smaller Batch or Depth needs less)",
				i+1, o.Depth, floats, err), r.err())
		}
		b := &buffer{pixels: pixels, labels: make([]int32, o.Batch), indices: make([]int64, o.Batch), ready: make(chan struct{}, 1)}
		r.all = append(r.all, b)
		r.free <- b
	}
	return r, nil
}

// takeBuffer takes a free buffer, waiting for one; it reports false when ctx is
// done.
func (p *Pipeline) takeBuffer(ctx context.Context) (*buffer, bool) {
	select {
	case b := <-p.ring.free:
		return b, ctx.Err() == nil
	default:
	}
	begin := time.Now()
	defer func() { p.meter.bufferWait.Add(int64(time.Since(begin))) }()
	select {
	case b := <-p.ring.free:
		return b, true
	case <-ctx.Done():
		return nil, false
	}
}

// lend marks the buffer as the consumer's.
func (r *ring) lend(b *buffer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.lent = true
}

// reclaim takes back a buffer that was marked but not delivered; retire, which
// follows, frees it.
func (r *ring) reclaim(b *buffer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.lent = false
}

// giveBack takes a buffer from the consumer: into the ring, or out of the world
// when the stream is over.
func (r *ring) giveBack(b *buffer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.lent = false
	if r.retired {
		r.errs = errors.Join(r.errs, r.allocator.Free(b.pixels))
		b.pixels = nil
		return
	}
	r.free <- b
}

// retire frees all buffers but those that the consumer has. No goroutine of the
// pipeline may use them any more.
func (r *ring) retire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retired = true
	for _, b := range r.all {
		if !b.lent {
			r.errs = errors.Join(r.errs, r.allocator.Free(b.pixels))
			b.pixels = nil
		}
	}
}

// err returns the errors of the allocator's Free so far.
func (r *ring) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.errs == nil {
		return nil
	}
	return fmt.Errorf("pipeline: freeing batch buffers: %w", r.errs)
}
