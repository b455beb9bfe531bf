// Package device is what the GPU engine needs of a GPU: memory, streams that work in
// order and beside each other, events between them, and kernels. It is as much of
// CUDA's driver interface as that, and nothing else, so that the engine above it can be
// run on any machine: package cuda has it for NVIDIA's GPUs (through gorgonia.org/cu,
// build tag gpu), package soft for none, in tests, where it executes the very PTX that a
// GPU would be given and looks for what goes wrong when work is not in order.
//
// Memory belongs to whoever allocated it. All methods may be called from any goroutine;
// what is put into one stream from several goroutines has no order among them.
package device

import "fmt"

// Ptr is an address in the device's memory. Zero is none.
type Ptr uint64

// Add returns the address so many bytes further on.
func (p Ptr) Add(bytes int) Ptr { return p + Ptr(bytes) }

// Device is a GPU.
type Device interface {
	// Info says what it is.
	Info() Info

	// FreeMemory returns the bytes of its memory that are free at the moment.
	FreeMemory() (int64, error)

	// Alloc returns so many bytes of the device's memory, of any content, at a multiple
	// of 256. It returns a *MemoryError when there is not enough.
	Alloc(bytes int) (Ptr, error)
	// Release takes back what Alloc returned, when all work that uses it is done.
	Release(Ptr) error

	// AllocHost returns page-locked memory of the host, which streams copy from and to
	// while the host goes on, at a multiple of 64.
	AllocHost(bytes int) ([]byte, error)
	// ReleaseHost takes back what AllocHost returned, when no copy uses it any more.
	ReleaseHost([]byte) error

	NewStream() (Stream, error)
	NewEvent() (Event, error)

	// Load compiles a module of PTX for the device. An error holds the compiler's
	// messages.
	Load(ptx string) (Module, error)

	// Close frees the device and what was allocated of it. All work must be done.
	Close() error
}

// Info says what a device is.
type Info struct {
	Name    string // "NVIDIA H200"
	Major   int    // compute capability: 9.0 is Hopper
	Minor   int
	Memory  int64  // bytes in all
	Units   int    // streaming multiprocessors
	Driver  int    // the newest version of CUDA that the driver knows: 13000 is 13.0
	Library string // what runs it, such as "CUDA 13.0"
	Bus     string // where it is in its machine, "0000:1b:00"; "" where that is not known
}

// Module is code that was loaded onto a device.
type Module interface {
	// Kernel finds an entry by its name.
	Kernel(name string) (Kernel, error)
	Unload() error
}

// Kernel is code that many threads of a device execute.
type Kernel interface {
	Name() string
}

// Grid is how many blocks of how many threads execute a kernel, along x, y, z. A zero
// stands for one.
type Grid struct {
	Blocks  [3]int
	Threads [3]int // of a block; at most 1024 in all
	Shared  int    // bytes of shared memory of a block, beyond what the kernel declares
}

// Stream is a queue of work on a device, which is done in order. Its methods but Sync
// return when the work is queued; an error of work that was queued before may come with
// any later call. Streams work beside each other.
type Stream interface {
	// CopyIn copies from the host, CopyOut to it. The memory must be of AllocHost and
	// stay as it is until the copy is done.
	CopyIn(to Ptr, from []byte) error
	CopyOut(to []byte, from Ptr) error
	// Copy copies so many bytes within the device.
	Copy(to, from Ptr, bytes int) error
	// Clear writes zeros.
	Clear(at Ptr, bytes int) error

	// Launch executes a kernel. args are its parameters in order, one word each:
	// narrower ones are in the low bits (Args makes them).
	Launch(k Kernel, g Grid, args []uint64) error

	// Record lets the event stand for all work queued so far. Wait holds back what is
	// queued afterwards until that work is done.
	Record(Event) error
	Wait(Event) error

	// Sync waits until all work is done.
	Sync() error

	// Capture calls f, which queues work, and returns that work as a graph instead of
	// doing it. f may use this stream only, or others between events of it. It must not
	// copy from or to memory that goes before the graph does.
	Capture(f func() error) (Graph, error)
	// Run queues the work of a graph.
	Run(Graph) error

	// Handle is the stream as libraries know it (CUstream).
	Handle() uintptr

	// Close frees the stream. All its work must be done.
	Close() error
}

// Event stands for a point in a stream's work.
type Event interface {
	// Sync waits for it. An event that was never recorded does not wait.
	Sync() error
	// Done reports whether it has come.
	Done() (bool, error)
	// Since returns the milliseconds of the device's time between an earlier event and
	// this one. Both must have come.
	Since(earlier Event) (float64, error)
	Close() error
}

// Graph is work that can be queued again and again with one call.
type Graph interface {
	Close() error
}

// MemoryError says that a device's memory did not suffice.
type MemoryError struct {
	Bytes int   // asked for
	Free  int64 // what was free
	Err   error // what the driver said
}

// Error says how much there was and how much was asked for.
func (e *MemoryError) Error() string {
	return fmt.Sprintf("the GPU's memory: %d MiB asked for, %d MiB free: %v", e.Bytes>>20, e.Free>>20, e.Err)
}

// Unwrap returns what the driver said.
func (e *MemoryError) Unwrap() error { return e.Err }

// LostError says that a device does not answer any more: what is in its memory is lost.
type LostError struct {
	Call string // that found out
	Err  error
}

// Error names the call and what the driver said.
func (e *LostError) Error() string { return fmt.Sprintf("the GPU is lost: %s: %v", e.Call, e.Err) }

// Unwrap returns what the driver said.
func (e *LostError) Unwrap() error { return e.Err }
