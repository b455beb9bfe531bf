package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	"alexnet/pipeline"
)

// soakSamples is the number of samples that a soak takes, at most.
const soakSamples = 30

// sample is what a soak saw at a moment. The JSON names are the format of --soak
// with --json. Rate and WaitShare are of the time since the sample before.
type sample struct {
	Elapsed    float64 `json:"elapsed_seconds"`
	Images     int64   `json:"images"`
	Rate       float64 `json:"images_per_second"`
	RSS        uint64  `json:"rss_bytes"`
	Anonymous  uint64  `json:"anonymous_bytes"`
	Files      uint64  `json:"file_bytes"`
	Heap       uint64  `json:"heap_bytes"`
	Goroutines int     `json:"goroutines"`
	GCs        uint32  `json:"gcs"`
	WaitShare  float64 `json:"wait_share"`
}

// soakEnd is the last line of a soak.
type soakEnd struct {
	Stage   string  `json:"stage"`
	Dtype   string  `json:"dtype"`
	Layout  string  `json:"layout"`
	Batch   int     `json:"batch"`
	Workers int     `json:"workers"`
	Images  int64   `json:"images"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"images_per_second"`
	// Growth is that of the anonymous memory from the second sample to the last;
	// absent when there are not so many.
	Growth    *int64             `json:"anonymous_growth_bytes,omitempty"`
	Diagnosis pipeline.Diagnosis `json:"diagnosis"`
}

// soaker is a soak under way.
type soaker struct {
	*bench
	p       *pipeline.Pipeline
	began   time.Time
	images  int64
	steady  pipeline.Stats // once the way to a steady state was over
	second  pipeline.Stats // at the second sample
	last    pipeline.Stats // at the last
	samples []sample
}

// soak streams until --soak or --images is reached.
func (b *bench) soak(ctx context.Context) (err error) {
	t := b.types()[0]
	p, err := b.openStream(ctx, t, b.Layout)
	if err != nil {
		return fmt.Errorf("soak: %w", err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	s := &soaker{bench: b, p: p, began: time.Now()}
	pace := pacer{rate: b.Consume}
	for err == nil && !s.done() {
		var n int
		n, _, err = take(ctx, p, &pace)
		if s.images == 0 {
			s.steady = p.Stats()
		}
		s.images += int64(n)
		if err == nil && !s.done() && s.due() {
			err = s.sample()
		}
	}
	if err != nil {
		err = fmt.Errorf("soak: after %d images: %w", s.images, err)
	}
	// Interrupted or not: what has been seen is worth telling.
	return errors.Join(err, s.end(t.String()))
}

// done says whether the end is reached.
func (s *soaker) done() bool {
	if s.bench.Images > 0 {
		return s.images >= s.bench.Images
	}
	return time.Since(s.began) >= s.Soak
}

// due says whether to take a sample: about every second, but not more often
// than a fifth of the whole nor more than soakSamples-1 times, as one more comes
// at the end.
func (s *soaker) due() bool {
	elapsed, n := time.Since(s.began), len(s.samples)
	if s.bench.Images > 0 {
		return n < soakSamples-1 && s.images*soakSamples >= s.bench.Images*int64(n+1) &&
			(n == 0 || elapsed.Seconds()-s.samples[n-1].Elapsed >= 1)
	}
	every := max(s.Soak/soakSamples, min(time.Second, s.Soak/5))
	return n < soakSamples-1 && elapsed >= time.Duration(n+1)*every
}

// sample takes a sample and prints it.
func (s *soaker) sample() error {
	stats := s.p.Stats()
	since := stats.Sub(s.last)
	s.last = stats
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	use := processMemory(m.Sys)
	now := sample{
		Elapsed: time.Since(s.began).Seconds(), Images: s.images, WaitShare: since.WaitShare(),
		RSS: use.all, Anonymous: use.anonymous, Files: use.files,
		Heap: m.HeapAlloc, GCs: m.NumGC, Goroutines: runtime.NumGoroutine(),
	}
	var before sample
	if n := len(s.samples); n > 0 {
		before = s.samples[n-1]
	}
	if seconds := now.Elapsed - before.Elapsed; seconds > 0 {
		now.Rate = float64(now.Images-before.Images) / seconds
	}
	if s.samples = append(s.samples, now); len(s.samples) == 2 {
		s.second = stats
	}
	if s.JSON {
		return json.NewEncoder(s.stdout).Encode(now)
	}
	if len(s.samples) == 1 {
		if err := s.heading(); err != nil {
			return err
		}
	}
	mib := func(bytes uint64) string { return figures(float64(bytes) / (1 << 20)) }
	_, err := fmt.Fprintf(s.stdout, soakRow, fmt.Sprintf("%.1f", now.Elapsed), fmt.Sprint(now.Images), figures(now.Rate),
		mib(now.RSS), mib(now.Anonymous), mib(now.Files), mib(now.Heap),
		fmt.Sprint(now.Goroutines), fmt.Sprint(now.GCs), fmt.Sprintf("%.1f %%", 100*now.WaitShare))
	return err
}

// soakRow is the layout of the table.
const soakRow = "%9s %11s %9s %9s %9s %9s %9s %11s %6s %9s\n"

// heading writes the table's heading.
func (s *soaker) heading() error {
	_, err := fmt.Fprintf(s.stdout, "stream of %s, from %s; memory in MiB\n\n"+soakRow, s.batches(), s.describe(),
		"seconds", "images", "images/s", "resident", "anonymous", "files", "Go heap", "goroutines", "GCs", "waits")
	return err
}

// end takes the last sample and says what the samples show.
func (s *soaker) end(dtype string) error {
	if s.images == 0 {
		return nil
	}
	if len(s.samples) > 1 {
		s.steady = s.second
	}
	if err := s.sample(); err != nil {
		return err
	}
	last := s.samples[len(s.samples)-1]
	e := soakEnd{
		Stage: "soak", Dtype: dtype, Layout: s.Layout.String(), Batch: s.streamBatch(), Workers: orAll(s.Workers),
		Images: s.images, Seconds: last.Elapsed, Rate: float64(s.images) / last.Elapsed,
		Diagnosis: s.p.Diagnose(s.p.Stats().Sub(s.steady)),
	}
	growth := "too few samples to tell whether memory grows"
	if len(s.samples) > 2 {
		g := int64(last.Anonymous) - int64(s.samples[1].Anonymous)
		e.Growth = &g
		growth = fmt.Sprintf("anonymous memory changed by %+.2f MiB between the second and the last sample", float64(g)/(1<<20))
	}
	if s.JSON {
		return json.NewEncoder(s.stdout).Encode(e)
	}
	if _, err := fmt.Fprintf(s.stdout, "\n%d images in %.1f s, %s images/s; %s\n", e.Images, e.Seconds, figures(e.Rate), growth); err != nil {
		return err
	}
	return doctor(s.stdout, "stream, "+dtype, e.Diagnosis)
}

// memoryUse is what the process has of the machine's memory, in bytes:
// anonymous, which is its own, and mapped files, which the system may take back.
type memoryUse struct{ all, anonymous, files uint64 }
