//go:build linux && (amd64 || arm64) && !static

package dnnl

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Context makes and runs primitives. All happens on one thread of the system that
// is the context's own, because OpenMP keeps a team of threads for each thread
// that calls it. A Context may be used by one goroutine at a time.
type Context struct {
	*state
	thread *thread
	closed bool
}

// thread is the way to the thread.
type thread struct {
	jobs chan job
	done chan struct{} // closed when it has ended
	once sync.Once
}

func (t *thread) stop() { t.once.Do(func() { close(t.jobs) }) }

type job struct {
	run    func() error
	result chan<- error
}

// state is what the thread works on. It does not know the Context, so that a
// Context that nobody holds can be collected, and its thread ended.
type state struct {
	lib            *Library
	engine, stream uintptr
	threads        int
	primitives     []*Primitive
	descs          []*Desc   // those that hold their memory
	scratch        []float32 // of the primitive that runs

	// Memory for arguments of calls.
	out   uintptr
	op    opDesc
	dims  [4][maxDims]int64
	zeros [maxDims]int64
}

const (
	maxDims    = 12
	descBytes  = 696 // dnnl_memory_desc_t
	opBytes    = 8192
	engineCPU  = 1
	streamFlag = 1 // in order
)

// NewContext starts the thread, which computes with the given number of threads.
func (l *Library) NewContext(threads int) (*Context, error) {
	s := &state{lib: l, threads: threads}
	t := &thread{jobs: make(chan job), done: make(chan struct{})}
	c := &Context{state: s, thread: t}
	go func() {
		// Never unlocked: the thread ends with the goroutine, and its team with it.
		runtime.LockOSThread()
		defer close(t.done)
		for j := range t.jobs {
			j.result <- guarded(j.run)
		}
		s.destroy()
	}()
	runtime.AddCleanup(c, func(t *thread) { t.stop() }, t)
	if err := c.do(s.start); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// guarded makes an error of a panic.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("dnnl: %v\n%s", r, debug.Stack())
		}
	}()
	return f()
}

// do runs f on the context's thread.
func (c *Context) do(f func() error) error {
	if c.closed {
		return ErrClosed
	}
	result := make(chan error, 1)
	c.thread.jobs <- job{f, result}
	err := <-result
	runtime.KeepAlive(c)
	return err
}

// Name returns the library's name and release.
func (c *Context) Name() string { return c.lib.Name() }

// Bytes returns the size of the memory that primitives share while they run.
func (c *Context) Bytes() int64 { return 4 * int64(len(c.scratch)) }

// Close frees all and waits for the thread to end.
func (c *Context) Close() {
	c.closed = true
	c.thread.stop()
	<-c.thread.done
}

func (s *state) start() error {
	_, _, _ = purego.SyscallN(s.lib.symbols["omp_set_num_threads"], uintptr(s.threads)) // returns nothing
	var err error
	if s.engine, err = s.make("dnnl_engine_create", engineCPU, 0); err != nil {
		return err
	}
	s.stream, err = s.make("dnnl_stream_create", s.engine, streamFlag)
	return err
}

// destroy frees what the library holds. Errors of that mean nothing.
func (s *state) destroy() {
	free := func(name string, handle uintptr) {
		if handle != 0 {
			_ = s.lib.call(name, handle)
		}
	}
	for _, p := range s.primitives {
		for _, m := range p.memories {
			free("dnnl_memory_destroy", m.handle)
		}
		free("dnnl_primitive_destroy", p.handle)
		free("dnnl_primitive_desc_destroy", p.desc)
	}
	for _, d := range s.descs {
		if s.lib.opaque {
			free("dnnl_memory_desc_destroy", d.md)
		}
	}
	free("dnnl_stream_destroy", s.stream)
	free("dnnl_engine_destroy", s.engine)
}

// make calls a function that creates something and leaves its handle at its first
// argument.
func (s *state) make(name string, args ...uintptr) (uintptr, error) {
	s.out = 0
	err := s.lib.call(name, append([]uintptr{address(&s.out)}, args...)...)
	return s.out, err
}

// address returns where a value on the heap is.
func address[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// list puts sizes where the library can read them, at one of the places for them.
func (s *state) list(place int, values ...int) uintptr {
	for i, v := range values {
		s.dims[place][i] = int64(v)
	}
	return address(&s.dims[place][0])
}
