package cpu

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// workers runs the units of a computation on a number of goroutines. Units must
// not depend on each other; then the result does not depend on who runs which, nor
// on the number of goroutines. No goroutine outlives a call.
type workers struct {
	threads int
}

// each calls f once for every unit in [0, units), with the number in [0, threads)
// of the goroutine that runs it. A panic in f comes out of each, in the caller's
// goroutine, when all have finished.
func (w *workers) each(units int, f func(worker, unit int)) {
	threads := min(w.threads, units)
	if threads <= 1 {
		for u := range units {
			f(0, u)
		}
		return
	}
	var next atomic.Int64
	var failure atomic.Pointer[workerPanic]
	run := func(worker int) {
		defer func() {
			if r := recover(); r != nil {
				failure.CompareAndSwap(nil, &workerPanic{r, debug.Stack()})
			}
		}()
		for failure.Load() == nil {
			u := int(next.Add(1)) - 1
			if u >= units {
				return
			}
			f(worker, u)
		}
	}
	var wg sync.WaitGroup
	for i := 1; i < threads; i++ {
		wg.Go(func() { run(i) })
	}
	run(0)
	wg.Wait()
	if p := failure.Load(); p != nil {
		panic(p)
	}
}

// workerPanic carries a panic from a worker's goroutine to the caller's.
type workerPanic struct {
	value any
	stack []byte
}

func (p *workerPanic) String() string { return fmt.Sprintf("%v\n%s", p.value, p.stack) }

// scratch is memory for the duration of one unit, one buffer for each worker. As
// layers run one after the other they share it: each reserves what it needs when
// it is made, and asks for it when it runs.
type scratch struct {
	size int
	bufs [][]float32
}

func (s *scratch) reserve(n int) { s.size = max(s.size, n) }

// alloc makes the buffers, after the last reserve.
func (s *scratch) alloc(a *arena, threads int) {
	s.bufs = make([][]float32, threads)
	for i := range s.bufs {
		s.bufs[i] = a.floats(s.size)
	}
}

func (s *scratch) get(worker, n int) []float32 { return s.bufs[worker][:n] }
