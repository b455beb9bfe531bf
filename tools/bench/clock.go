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
	parts    [numParts]atomic.Int64 // nanoseconds, over all goroutines
}

// The parts of ingest's work.
const (
	partRead = iota
	partDecode
	partResize
	partWrite
	numParts
)

// spend counts the time since start for a part, and returns the time now.
func (c *clock) spend(part int, start time.Time) time.Time {
	now := time.Now()
	c.parts[part].Add(int64(now.Sub(start)))
	return now
}

// restart forgets what has been measured: the stage has warmed up. It must not
// be called while others use the clock.
func (c *clock) restart() {
	c.images.Store(0)
	c.bytes.Store(0)
	for i := range c.parts {
		c.parts[i].Store(0)
	}
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
	// PerCore is Rate for each processor that the threads can use.
	PerCore float64 `json:"images_per_second_per_core"`
	// Where the threads' time went, of ingest only; together they are the wall
	// time of all threads, less what they waited for each other.
	Read   float64 `json:"read_seconds,omitempty"`
	Decode float64 `json:"decode_seconds,omitempty"`
	Resize float64 `json:"resize_seconds,omitempty"`
	Write  float64 `json:"write_seconds,omitempty"`
	Note   string  `json:"note"`
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
	r.PerCore = r.Rate / float64(max(1, min(s.threads, runtime.GOMAXPROCS(0))))
	part := func(i int) float64 { return time.Duration(c.parts[i].Load()).Seconds() }
	r.Read, r.Decode, r.Resize, r.Write = part(partRead), part(partDecode), part(partResize), part(partWrite)
	if cpu, ok := cpuTime(); ok && c.cpuKnown && cpu > c.cpu {
		r.CPU = (cpu - c.cpu).Seconds()
		r.CPURate = float64(r.Images) / r.CPU
	}
	return r, nil
}
