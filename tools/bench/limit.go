package main

import (
	"context"
	"sync"
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
// written, when they copy for about that time, and at least once each.
func copyRate(ctx context.Context, threads int, duration time.Duration) (float64, error) {
	size := max(copyLeast, min(copyBytes, copyTotal/(2*threads)))
	var all struct {
		sync.Mutex
		rate float64
	}
	ready, start := make(chan struct{}, threads), make(chan struct{})
	go func() {
		for range threads {
			<-ready
		}
		close(start)
	}()
	err := parallel(ctx, threads, func(ctx context.Context, _ int) error {
		src, dst, err := copyBuffers(size)
		ready <- struct{}{}
		if err != nil {
			return err
		}
		<-start
		copies, began := 0, time.Now()
		for copies == 0 || time.Since(began) < duration && ctx.Err() == nil {
			copy(dst, src)
			copies++
		}
		// Each by its own clock: they do not end at the same moment.
		rate := 2 * float64(copies) * float64(size) / time.Since(began).Seconds()
		all.Lock()
		defer all.Unlock()
		all.rate += rate
		return nil
	})
	if err == nil {
		err = ctx.Err()
	}
	return all.rate, err
}

// copyBuffers returns two buffers in memory that has been touched: a page that
// was never written is no memory yet, and all such pages are the same one.
func copyBuffers(size int) (src, dst []byte, err error) {
	const page = 4096
	var a pipeline.HostAllocator
	if src, err = a.Alloc(size); err != nil {
		return nil, nil, err
	}
	if dst, err = a.Alloc(size); err != nil {
		return nil, nil, err
	}
	for i := 0; i < size; i += page {
		src[i], dst[i] = 1, 1
	}
	return src, dst, nil
}
