package main

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// clock measures a stage while it works.
type clock struct {
	duration time.Duration // how long to go on
	began    time.Time
	cpu      time.Duration // the process's CPU time at began
	cpuKnown bool
	images   atomic.Int64
	bytes    atomic.Int64
}

// restart forgets what has been measured: the stage has warmed up. It must not
// be called while others use the clock.
func (c *clock) restart() {
	c.images.Store(0)
	c.bytes.Store(0)
	c.cpu, c.cpuKnown = cpuTime()
	c.began = time.Now()
}

// add counts finished work.
func (c *clock) add(images, bytes int) {
	c.images.Add(int64(images))
	c.bytes.Add(int64(bytes))
}

// running reports whether there is time for another unit of work.
func (c *clock) running(ctx context.Context) bool {
	return ctx.Err() == nil && time.Since(c.began) < c.duration
}

// parallel runs work in n goroutines until all have returned.
func parallel(ctx context.Context, n int, work func(ctx context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for range n {
		group.Go(func() error { return work(ctx) })
	}
	return group.Wait()
}

// orAll returns n, or the number of processors when n is not given.
func orAll(n int) int {
	if n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}

// stage is one part of the work.
type stage struct {
	name string
	// threads is the number of goroutines that work, for the report.
	threads int
	// note names what was measured: the decoder, the pixels, the net.
	note string
	// run works until the clock has run out, and at least once.
	run func(context.Context, *clock) error
}

// result is what a stage measured. The JSON names are the format of --json.
type result struct {
	Stage   string  `json:"stage"`
	Rate    float64 `json:"images_per_second"`
	CPURate float64 `json:"images_per_cpu_second,omitempty"` // 0: this system does not tell
	Bytes   float64 `json:"bytes_per_second"`
	Images  int64   `json:"images"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds,omitempty"`
	Threads int     `json:"threads"`
	Note    string  `json:"note"`
}

// measure runs the stage for about the given time.
func (s stage) measure(ctx context.Context, duration time.Duration) (result, error) {
	runtime.GC() // what the stage before left is not this one's to clean up
	c := &clock{duration: duration}
	c.restart()
	err := s.run(ctx, c)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", s.name, err)
	}
	elapsed := time.Since(c.began).Seconds()
	r := result{
		Stage: s.name, Images: c.images.Load(), Seconds: elapsed, Threads: s.threads, Note: s.note,
		Rate: float64(c.images.Load()) / elapsed, Bytes: float64(c.bytes.Load()) / elapsed,
	}
	if cpu, ok := cpuTime(); ok && c.cpuKnown && cpu > c.cpu {
		r.CPU = (cpu - c.cpu).Seconds()
		r.CPURate = float64(r.Images) / r.CPU
	}
	return r, nil
}
