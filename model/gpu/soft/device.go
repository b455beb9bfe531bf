// Package soft is a GPU in plain Go, for tests: a device.Device and a device.Library
// that run on any machine. It is not fast, but as unforgiving as CUDA is, and says what
// was wrong where CUDA would give wrong numbers now and then:
//
//   - Work that is queued is not done. A scheduler does it as late as the order of
//     streams and events allows (Late), or when its seeded dice say so (Random). Memory
//     of the host that changes under a queued copy is an error.
//   - Each piece of work says what it reads and writes. Two pieces that use the same
//     bytes, one of them writing, without stream order or events between them, are an
//     error, whatever order they happened to be done in. So is memory that is released
//     before the host knows that the work with it is done.
//   - New memory is full of NaNs. What is outside of an allocation, was released, or was
//     not released in the end, is an error.
//   - While a stream is captured into a graph, nothing is done, and what CUDA forbids then
//     is forbidden.
//
// Kernels are those of package ptx, which executes the code that a GPU would be given.
//
// What went wrong in queued work comes from every Sync, Done and Close that follows:
// work is queued without an error long before it fails.
package soft

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"

	"alexnet/model/gpu/device"
)

// Policy says when queued work is done.
type Policy int

// The policies. In all of them a stream does its work in order, and waits for events.
const (
	// Late does nothing before somebody waits for it, and then only what must be done.
	Late Policy = iota
	// Eager does work as soon as it is queued.
	Eager
	// Random does any piece of work that may be done, at any call, by the seed.
	Random
)

// Options say what device to open. The zero value is a device with 1 GiB of memory that
// works as late as it may.
type Options struct {
	Memory int64 // bytes; zero is 1 GiB
	Policy Policy
	Seed   uint64 // of Random, and of the order of work within graphs
	// Polls is after how many calls of Done that reported false a piece of the work
	// that the event stands for is done; zero is 3.
	Polls int
	Code  *Code // keeps PTX that was read for the next device; nil: nothing does
	// NoRaces leaves out the search for races between the threads of a kernel, which makes
	// kernels faster.
	NoRaces bool
}

// Device is a GPU that is none.
type Device struct {
	options Options
	mu      sync.Mutex // holds for all that belongs to the device, streams and events too
	rng     *rand.Rand

	memory   space // of the device
	host     hostMemory
	used     int64 // bytes allocated, rounded up
	free     []int64
	streams  []*Stream
	handles  []*handle // streams, events, graphs, modules and what else must be closed
	captures []*capture
	known    clock // the work that the host knows to be done

	polls    int // calls of Done that reported false since the last piece of work
	done     int // pieces of work
	counters Counters
	faults   faults
	problems problems
	lost     error
	closed   bool
}

// faults are failures to come: a number is how many calls or pieces of work are left
// until it fails, zero is never.
type faults struct{ alloc, allocHost, lose int }

// due counts down, and reports whether it is time.
func due(n *int) bool {
	if *n == 0 {
		return false
	}
	*n--
	return *n == 0
}

var (
	errClosed = errors.New("the device is closed")
	errLost   = errors.New("the test said so")
	errMemory = errors.New("out of memory")
)

// Open returns a device. It must be closed, which reports what went wrong.
func Open(o Options) *Device {
	if o.Memory == 0 {
		o.Memory = 1 << 30
	}
	if o.Polls == 0 {
		o.Polls = 3
	}
	return &Device{options: o, rng: rand.New(rand.NewPCG(o.Seed, 0x50f7)), memory: space{next: firstAddress}, host: hostMemory{seed: maphash.MakeSeed()}}
}

var _ device.Device = (*Device)(nil)

// Info describes a GPU of compute capability 8.0.
func (d *Device) Info() device.Info {
	return device.Info{Name: "software device", Major: 8, Minor: 0, Memory: d.options.Memory, Units: 4, Driver: 12040, Library: "plain Go"}
}

// ready is called, with the lock held, at the start of whatever one may ask of a device.
func (d *Device) ready(call string) error {
	if d.closed {
		return fmt.Errorf("soft: %s: %w", call, errClosed)
	}
	if d.lost != nil {
		return &device.LostError{Call: call, Err: d.lost}
	}
	d.stir()
	return d.alive(call)
}

// alive returns a *device.LostError when work that was just done lost the device.
func (d *Device) alive(call string) error {
	if d.lost != nil {
		return &device.LostError{Call: call, Err: d.lost}
	}
	return nil
}

// settled returns what went wrong so far, for calls that tell.
func (d *Device) settled(call string) error {
	if err := d.alive(call); err != nil {
		return err
	}
	return d.problems.err()
}

// unsafeNow returns an error while anything is captured, which then fails: what allocates,
// or waits for all work, CUDA forbids then on every thread, unless a capture allows it.
// To wait for other streams, and events of theirs, is allowed: others may go on with them.
func (d *Device) unsafeNow(call string) (err error) {
	for _, c := range d.captures {
		err = c.forbid(call)
	}
	return err
}

// FailAlloc lets the n-th call of Alloc from now on fail, with a *device.MemoryError.
func (d *Device) FailAlloc(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.alloc = n
}

// FailAllocHost lets the n-th call of AllocHost from now on fail.
func (d *Device) FailAllocHost(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.allocHost = n
}

// LoseAfter lets the device be lost when the n-th piece of work from now on is about to
// be done; a graph is one piece. Whoever caused it, and all later calls, get a
// *device.LostError. Zero takes it back.
func (d *Device) LoseAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.lose = n
}

// Lose loses the device: all later calls return a *device.LostError.
func (d *Device) Lose() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost = errLost
}

// SetFreeMemory gives what the next calls of FreeMemory return, one after the other.
// Those after them return the truth again. Alloc does not heed it.
func (d *Device) SetFreeMemory(bytes ...int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = append([]int64(nil), bytes...)
}

// FreeMemory returns the memory of the options less what is allocated, or what
// SetFreeMemory says.
func (d *Device) FreeMemory() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ready("FreeMemory"); err != nil {
		return 0, err
	}
	if len(d.free) > 0 {
		free := d.free[0]
		d.free = d.free[1:]
		return free, nil
	}
	return d.options.Memory - d.used, nil
}

// Problems returns what went wrong so far in work that was done: *RaceError, *UseError
// and others.
func (d *Device) Problems() []error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]error(nil), d.problems.list...)
}

// Close reports, all in one error, what went wrong in the device's life, whether work was
// not done when it was closed, and a *LeakError of what was not given back. Of a lost
// device it returns a *device.LostError.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("soft: Close: %w", errClosed)
	}
	if d.lost != nil {
		d.closed = true
		return &device.LostError{Call: "Close", Err: d.lost}
	}
	var undone []error
	for _, s := range d.streams {
		if err := s.idle("the device is closed"); err != nil {
			undone = append(undone, err)
		}
	}
	for _, s := range d.streams {
		d.force(s.lastQueued())
	}
	d.closed = true
	if err := d.alive("Close"); err != nil {
		return err
	}
	var leaks []string
	for _, h := range d.handles {
		leaks = append(leaks, h.String())
	}
	leaks = append(leaks, d.memory.leaks()...)
	leaks = append(leaks, d.host.leaks()...)
	errs := append([]error{d.problems.err()}, undone...)
	if len(leaks) > 0 {
		errs = append(errs, &LeakError{Leaks: leaks})
	}
	return errors.Join(errs...)
}

// handle is something of a device that must be closed.
type handle struct {
	what   string // "stream 1"
	site   string // where it was made
	closed bool
}

func (h *handle) String() string { return h.what + ", of " + h.site }

// open makes a handle.
func (d *Device) open(what string) *handle {
	h := &handle{what: what, site: caller()}
	d.handles = append(d.handles, h)
	return h
}

// usable returns an error when it is closed.
func (h *handle) usable(call string) error {
	if h.closed {
		return fmt.Errorf("soft: %s: the %v was closed", call, h)
	}
	return nil
}

// close forgets a handle. It is an error to do so twice.
func (d *Device) close(h *handle) error {
	if err := h.usable("Close"); err != nil {
		return err
	}
	h.closed = true
	for i := range d.handles {
		if d.handles[i] == h {
			d.handles = append(d.handles[:i], d.handles[i+1:]...)
			break
		}
	}
	return nil
}
