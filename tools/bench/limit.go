package main

import (
	"context"
	"time"

	"alexnet/pipeline"
)

const (
	// copyTime is how long the memory's limit is measured, at most.
	copyTime = 250 * time.Millisecond
	// copyBytes is the size of a thread's buffers: copies of so much go past the
	// caches. All threads together have copyTotal.
	copyBytes, copyTotal = 32 << 20, 1 << 30
	// copyLeast is the least size of a buffer, however many threads there are.
	copyLeast = 4 << 20
)

// copyRate returns how many bytes a second so many threads move, read and
// written, when they copy for about that time. They do it in rounds of one copy
// each, at the same time, and the best round counts: what slows the others down
// is somebody else's work.
func copyRate(ctx context.Context, threads int, duration time.Duration) (float64, error) {
	size := max(copyLeast, min(copyBytes, copyTotal/(2*threads)))
	src, dst := make([][]byte, threads), make([][]byte, threads)
	err := parallel(ctx, threads, func(_ context.Context, i int) (err error) {
		if src[i], err = touched(size); err == nil {
			dst[i], err = touched(size)
		}
		return err
	})
	best := 0.0
	began := time.Now()
	for first := true; err == nil && (first || time.Since(began) < duration); first = false {
		start := time.Now()
		err = parallel(ctx, threads, func(ctx context.Context, i int) error {
			copy(dst[i], src[i])
			return ctx.Err()
		})
		best = max(best, 2*float64(threads)*float64(size)/time.Since(start).Seconds())
	}
	return best, err
}

// touched returns memory that has been written to: before that it is no memory
// yet, and all of its pages are the same one.
func touched(size int) ([]byte, error) {
	const page = 4096
	buf, err := pipeline.HostAllocator{}.Alloc(size)
	for i := 0; i < len(buf); i += page {
		buf[i] = 1
	}
	return buf, err
}
