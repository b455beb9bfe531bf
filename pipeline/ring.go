package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"alexnet/augment"
)

// Allocator provides the memory of the batches: ordinary memory, or memory that
// a device can copy from (pinned). Its methods are called from any goroutine,
// not necessarily the one that opened the pipeline; each slice that Alloc gave
// is freed exactly once.
type Allocator interface {
	// Alloc returns a slice of at least that many bytes, of any content, at an
	// address that is a multiple of Alignment.
	Alloc(bytes int) ([]byte, error)
	// Free takes back a slice that Alloc returned.
	Free([]byte) error
}

// Alignment is what the address of a batch's memory is a multiple of: a line of
// the processor's cache, so that images can be written past it.
const Alignment = 64

// HostAllocator allocates from Go's heap, in huge pages where the system gives
// them when asked.
type HostAllocator struct{}

// Alloc returns a new slice.
func (HostAllocator) Alloc(bytes int) ([]byte, error) {
	buf := make([]byte, bytes+Alignment)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(buf))) % Alignment
	buf = buf[skip : int(skip)+bytes : int(skip)+bytes]
	hugePages(buf)
	return buf, nil
}

// Free leaves the slice to the garbage collector.
func (HostAllocator) Free([]byte) error { return nil }

// buffer is a batch's memory and its state while it is being filled.
type buffer struct {
	pixels  []byte // as Alloc returned it
	labels  []int32
	indices []int64
	params  []augment.Params

	epoch, step, n, first, global int

	loaded  []chan loaded // by slot, for its record; nil for records in files
	pending atomic.Int64  // slots not yet written
	ready   chan struct{} // receives once when pending gets to 0

	mu      sync.Mutex
	badSlot int // the lowest slot that failed
	err     error
	skipped []Skipped // in the order of the slots
	keys    Digest

	// lease counts up when the buffer is lent and when it is given back. A
	// Batch knows the count of its lending, so that a stale one cannot release
	// what it no longer has.
	lease atomic.Uint64
	lent  bool        // the consumer has it; guarded by ring.mu
	noted atomic.Bool // its delivery has been counted
}

// begin makes the buffer ready for n of a batch's global records, from first on.
func (b *buffer) begin(epoch, step, n, first, global int) {
	b.epoch, b.step, b.n, b.first, b.global = epoch, step, n, first, global
	b.skipped, b.keys = b.skipped[:0], Digest{}
	b.pending.Store(int64(n))
	if n == 0 {
		b.ready <- struct{}{}
	}
}

// fail notes that a slot cannot be written. Of several failures the one in the
// lowest slot stays, so that the error of a stream does not depend on which
// worker was faster.
func (b *buffer) fail(slot int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil || slot < b.badSlot {
		b.badSlot, b.err = slot, err
	}
}

// skip notes that a slot is left empty.
func (b *buffer) skip(slot int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := len(b.skipped)
	for at > 0 && b.skipped[at-1].Slot > slot {
		at--
	}
	b.skipped = append(b.skipped, Skipped{})
	copy(b.skipped[at+1:], b.skipped[at:])
	b.skipped[at] = Skipped{Slot: slot, Err: err}
}

// finish notes that n slots are done, with those keys. It reports whether they
// were the last.
func (b *buffer) finish(n int, keys Digest) bool {
	b.mu.Lock()
	b.keys = b.keys.Add(keys)
	b.mu.Unlock()
	if b.pending.Add(-int64(n)) != 0 {
		return false
	}
	b.ready <- struct{}{}
	return true
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

// newRing allocates o.Depth buffers for so many records of perRecord bytes in
// o.Views images, or none.
func newRing(o Options, slots, perRecord int) (*ring, error) {
	if perRecord > math.MaxInt/8/slots {
		return nil, &OptionError{"Batch", fmt.Sprintf("%d records of %d bytes do not fit into memory", slots, perRecord)}
	}
	bytes := slots * perRecord
	if most := machineMemory(); uint64(bytes) > most/uint64(o.Depth) {
		return nil, &OptionError{"Batch", fmt.Sprintf("%d batches of %d records take %d MiB, and this machine has %d, or lets this process have no more: use a smaller Batch or Depth",
			o.Depth, slots, uint64(bytes)>>20*uint64(o.Depth), most>>20)}
	}
	r := &ring{allocator: o.Allocator, free: make(chan *buffer, o.Depth)}
	for i := range o.Depth {
		pixels, err := r.allocator.Alloc(bytes)
		if err == nil {
			if err = suits(pixels, bytes); err != nil {
				err = errors.Join(err, r.allocator.Free(pixels))
			}
		}
		if err != nil {
			r.retire()
			return nil, errors.Join(fmt.Errorf("pipeline: batch buffer %d of %d, %d bytes: %w (a smaller Batch or Depth needs less)",
				i+1, o.Depth, bytes, err), r.err())
		}
		b := &buffer{
			pixels: pixels, labels: make([]int32, slots), indices: make([]int64, slots),
			params: make([]augment.Params, slots*o.Views), ready: make(chan struct{}, 1),
		}
		r.all = append(r.all, b)
		r.free <- b
	}
	return r, nil
}

// suits says what is wrong with memory from an Allocator.
func suits(pixels []byte, bytes int) error {
	switch at := uintptr(unsafe.Pointer(unsafe.SliceData(pixels))); {
	case len(pixels) < bytes:
		return fmt.Errorf("the allocator gave %d bytes", len(pixels))
	case at%Alignment != 0:
		return fmt.Errorf("the allocator gave an address, %#x, that is no multiple of %d", at, Alignment)
	}
	return nil
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

// lend marks the buffer as the consumer's and returns the number of its lease.
func (r *ring) lend(b *buffer) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.lent = true
	b.noted.Store(false)
	return b.lease.Add(1)
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
