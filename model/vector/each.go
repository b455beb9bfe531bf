package vector

import (
	"sync"
	"sync/atomic"
)

// Block is the number of values in a unit of Each.
const Block = 1 << 14

// Span is a part of one of several slices: values From to To of slice Slice.
type Span struct{ Slice, From, To int }

// Spans cuts slices into spans of Block values, the last of each may be shorter. They
// are the same for any number of threads: what is summed by span, and then over the
// spans in order, does not depend on it.
func Spans(slices ...[]float32) []Span {
	var spans []Span
	for i, s := range slices {
		for j := 0; j < len(s); j += Block {
			spans = append(spans, Span{i, j, min(j+Block, len(s))})
		}
	}
	return spans
}

// Each calls f once for each number in [0, n), from as many goroutines as threads
// says. None of them outlives the call.
func Each(threads, n int, f func(i int)) {
	if threads = min(threads, n); threads <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	run := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(i)
		}
	}
	var wg sync.WaitGroup
	for range threads - 1 {
		wg.Go(run)
	}
	run()
	wg.Wait()
}

// AllFinite returns the number of the first slice that holds a NaN or an infinity,
// and -1 if none does.
func AllFinite(threads int, slices ...[]float32) int {
	spans := Spans(slices...)
	var first First
	Each(threads, len(spans), func(i int) {
		s := spans[i]
		if !Finite(slices[s.Slice][s.From:s.To]) {
			first.Note(s.Slice)
		}
	})
	return first.Get()
}

// First is the least of the numbers that several goroutines note. The zero value has
// none.
type First struct{ complement atomic.Int64 }

// Note notes a number, which is not negative.
func (f *First) Note(i int) {
	// Kept as a number that is greater the less i is, and 0 for none.
	c := int64(1)<<62 - int64(i)
	for {
		old := f.complement.Load()
		if old >= c || f.complement.CompareAndSwap(old, c) {
			return
		}
	}
}

// Get returns the least number, -1 if there is none.
func (f *First) Get() int {
	if c := f.complement.Load(); c > 0 {
		return int(1<<62 - c)
	}
	return -1
}
