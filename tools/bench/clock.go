package main

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"alexnet/model/cpu"
	"alexnet/pipeline"

	"golang.org/x/sync/errgroup"
)

// clock measures a stage while it works.
type clock struct {
	duration time.Duration // how long to go on
	began    time.Time
	cpu      time.Duration // the process's CPU time at began
	cpuKnown bool
	mallocs  uint64 // the process's allocations at began
	images   atomic.Int64
	bytes    atomic.Int64
	moved    atomic.Int64
	parts    [numParts]atomic.Int64 // nanoseconds, over all goroutines

	// What stop has found.
	stopped   bool
	elapsed   time.Duration
	spent     time.Duration // CPU time, 0 when unknown
	allocated uint64

	diagnosis *pipeline.Diagnosis // of stages that stream
	engine    string              // what trained, if anything did
	profile   *cpu.Profile        // with --profile
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
	c.moved.Store(0)
	for i := range c.parts {
		c.parts[i].Store(0)
	}
	c.mallocs = mallocs()
	c.cpu, c.cpuKnown = cpuTime()
	c.began = time.Now()
}

// stop ends the measurement: what follows is clearing up. The first stop
// counts.
func (c *clock) stop() {
	if c.stopped {
		return
	}
	c.stopped = true
	c.elapsed = time.Since(c.began)
	if cpu, ok := cpuTime(); ok && c.cpuKnown {
		c.spent = cpu - c.cpu
	}
	c.allocated = mallocs() - c.mallocs
}

// mallocs returns the number of allocations that the process has made.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// add counts finished work: images, the stage's bytes, and those it has moved.
func (c *clock) add(images, bytes, moved int) {
	c.images.Add(int64(images))
	c.bytes.Add(int64(bytes))
	c.moved.Add(int64(moved))
}

// running reports whether there is time for another unit of work.
func (c *clock) running(ctx context.Context) bool {
	return ctx.Err() == nil && time.Since(c.began) < c.duration
}

// parallel runs work in n goroutines, numbered from 0, until all have returned.
func parallel(ctx context.Context, n int, work func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range n {
		group.Go(func() error { return work(ctx, i) })
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
	// dtype, layout and batch are those of its images, dtype of train what it computes
	// with; empty where it has none.
	dtype, layout string
	batch         int
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
	Dtype   string  `json:"dtype,omitempty"`
	Layout  string  `json:"layout,omitempty"`
	Batch   int     `json:"batch,omitempty"`
	Workers int     `json:"workers"`
	Rate    float64 `json:"images_per_second"`
	CPURate float64 `json:"images_per_cpu_second,omitempty"` // 0: this system does not tell
	// PerCore is CPURate, or Rate for each processor that the threads can use
	// where the system does not tell the CPU time.
	PerCore float64 `json:"images_per_core"`
	Bytes   float64 `json:"bytes_per_second"`
	Images  int64   `json:"images"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds,omitempty"`
	Threads int     `json:"threads"`
	// WallPerCore is Rate for each processor that the threads can use.
	WallPerCore float64 `json:"images_per_second_per_core"`
	// LimitRatio is the share that the stage moves of the bytes that copying
	// does: Copy, measured just before. Moved is the bytes for an image.
	LimitRatio float64 `json:"limit_ratio"`
	Copy       float64 `json:"copy_bytes_per_second"`
	Moved      float64 `json:"bytes_moved_per_image"`
	Allocs     float64 `json:"allocs_per_image"`
	// Kept is what the stream keeps of the speed of the kernel, of the same type
	// and layout in the same run, and CPUKept the same of images a CPU second; 0
	// when that was not measured.
	Kept    float64 `json:"stream_per_augment,omitempty"`
	CPUKept float64 `json:"stream_per_augment_cpu,omitempty"`
	// Where the threads' time went, of ingest only; together they are the wall
	// time of all threads, less what they waited for each other.
	Read   float64 `json:"read_seconds,omitempty"`
	Decode float64 `json:"decode_seconds,omitempty"`
	Resize float64 `json:"resize_seconds,omitempty"`
	Write  float64 `json:"write_seconds,omitempty"`
	// Diagnosis is the stall doctor's, of stages that stream.
	Diagnosis *pipeline.Diagnosis `json:"diagnosis,omitempty"`
	// Profile is written in lines of its own.
	Profile *cpu.Profile `json:"-"`
	Note    string       `json:"note"`
}

// measure runs the stage for about the given time.
func (s stage) measure(ctx context.Context, duration time.Duration) (result, error) {
	c := &clock{duration: duration}
	limit, err := copyRate(ctx, s.threads, min(copyTime, duration/4))
	if err == nil {
		runtime.GC() // what came before is not this stage's to clean up
		c.restart()
		err = s.run(ctx, c)
		c.stop()
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", s.name, err)
	}
	return s.result(c, limit), nil
}

// result works out what the clock has measured.
func (s stage) result(c *clock, limit float64) result {
	elapsed, images := c.elapsed.Seconds(), float64(c.images.Load())
	r := result{
		Stage: s.name, Dtype: s.dtype, Layout: s.layout, Batch: s.batch, Workers: s.threads,
		Images: c.images.Load(), Seconds: elapsed, Threads: s.threads, Note: s.note + c.engineNote(),
		Rate: images / elapsed, Bytes: float64(c.bytes.Load()) / elapsed,
		Copy: limit, LimitRatio: float64(c.moved.Load()) / elapsed / limit,
		Diagnosis: c.diagnosis, Profile: c.profile,
	}
	if images > 0 {
		r.Moved = float64(c.moved.Load()) / images
		r.Allocs = float64(c.allocated) / images
	}
	r.WallPerCore = r.Rate / float64(max(1, min(s.threads, runtime.GOMAXPROCS(0))))
	r.PerCore = r.WallPerCore
	part := func(i int) float64 { return time.Duration(c.parts[i].Load()).Seconds() }
	r.Read, r.Decode, r.Resize, r.Write = part(partRead), part(partDecode), part(partResize), part(partWrite)
	if c.spent > 0 {
		r.CPU = c.spent.Seconds()
		r.CPURate = images / r.CPU
		r.PerCore = r.CPURate
	}
	return r
}

// engineNote names what trained, to follow the note of a stage.
func (c *clock) engineNote() string {
	if c.engine == "" {
		return ""
	}
	return "; " + c.engine
}
