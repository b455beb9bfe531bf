package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"alexnet/model"
	"alexnet/model/cpu"
	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/train/checkpoint"
	"alexnet/train/eval"
	"alexnet/train/report"
)

// evaluate opens what the flags name and measures it. It also returns the files of
// the checkpoints.
func (f *flags) evaluate(ctx context.Context) (r eval.Result, files []string, err error) {
	if f.Batch < 1 || f.Threads < 0 || f.Workers < 0 {
		return r, nil, cli.Usagef("--batch must be at least 1, --threads and --workers not negative")
	}
	ds, err := records.Open(f.Records)
	if err != nil {
		return r, nil, err
	}
	split, err := ds.OpenSplit(f.Split)
	if err != nil {
		return r, nil, err
	}
	var behind sync.WaitGroup
	defer func() {
		if ctx.Err() == nil {
			err = errors.Join(err, split.Close())
			return
		}
		go func() { // or with the process: a disk may not answer
			behind.Wait()
			_ = split.Close() // nobody waits for it
		}()
	}()
	engines, files, err := f.open(ds)
	defer func() {
		for _, e := range engines {
			err = errors.Join(err, e.Close())
		}
	}()
	if err != nil {
		return r, nil, err
	}
	line := report.NewProgress(f.stderr)
	defer line.Done()
	r, err = eval.Evaluate(ctx, engines, ds, split, eval.Options{Views: f.Views, Workers: f.Workers, Background: &behind,
		Progress: func(done, total int) { line.Show(progress{done, total}, false) }})
	return r, files, err
}

// open makes an engine of each checkpoint. Those that it has made are returned with
// an error too.
func (f *flags) open(ds *records.Dataset) (engines []model.Engine, files []string, err error) {
	for _, path := range f.Checkpoint {
		c, warnings, err := checkpoint.Find(path)
		for _, w := range warnings {
			fmt.Fprintf(f.stderr, "warning: %v\n", w)
		}
		if err == nil {
			err = c.CheckClasses(ds.Manifest)
		}
		if err != nil {
			return engines, nil, err
		}
		if c.Records != ds.Manifest.Digest {
			fmt.Fprintf(f.stderr, "warning: %s was trained on other records than %s; their mean image may differ\n", c.File, ds.Dir)
		}
		weights, err := c.Weights(checkpoint.Weights(f.Weights))
		if err != nil {
			return engines, nil, err
		}
		e, err := cpu.New(c.Net, model.State{Weights: weights}, cpu.Options{Batch: f.Batch, Threads: f.Threads})
		if err != nil {
			return engines, nil, fmt.Errorf("%s: %w", c.File, err)
		}
		fmt.Fprintf(f.stderr, "%s: %s after step %d%s; %s\n", c.File, c.Net.Name, c.Progress.Step, f.which(c), e.Name())
		engines, files = append(engines, e), append(files, c.File)
	}
	return engines, files, nil
}

// which says which weights are taken, of a checkpoint that has two kinds.
func (f *flags) which(c *checkpoint.Checkpoint) string {
	switch {
	case c.Average == nil:
		return ""
	case f.Weights == string(checkpoint.Averaged):
		return ", averaged weights"
	}
	return ", own weights (it has averaged ones too: --weights average)"
}

// progress is how many records are done, of how many.
type progress struct{ done, total int }

// String returns the progress line.
func (p progress) String() string { return fmt.Sprintf("%d of %d images", p.done, p.total) }
