package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/tools/stores"
	"alexnet/train/checkpoint"
	"alexnet/train/engine"
	"alexnet/train/eval"
	"alexnet/train/loop"
	"alexnet/train/report"
)

// evaluate opens what the flags name, measures it, and writes the files that they name.
// The answer is nil if it could not be measured; an error beside it is of a file.
func (f *flags) evaluate(ctx context.Context) (a *answer, err error) {
	if f.Batch < 1 || f.Threads < 0 || f.Workers < 0 {
		return nil, cli.Usagef("--batch must be at least 1, --threads and --workers not negative")
	}
	if err := errors.Join(f.outputFlags.check(), f.reportFlags.check()); err != nil {
		return nil, err
	}
	ds, done, err := stores.Records(ctx, f.Records, f.Store, false, f.stderr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	split, err := f.openSplit(ds, f.Split)
	if err != nil {
		return nil, err
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
	file, err := f.predictions(ds, split)
	if err != nil {
		return nil, err
	}
	if file != nil {
		defer func() { err = errors.Join(err, file.Abort()) }()
	}
	f.Batch = wholeBatch(f.Batch, f.Views, split.Len())
	engines, checkpoints, err := f.open(ds)
	defer func() {
		for _, e := range engines {
			err = errors.Join(err, e.Close())
		}
	}()
	if err == nil {
		err = f.prepare(ds, engines[0].Net())
	}
	if err != nil {
		return nil, err
	}
	shown := newGallery(split, f.Pictures)
	r, err := f.measure(ctx, engines, ds, split, f.takers(file, shown), &behind)
	if err != nil {
		return nil, err
	}
	var nets, files []string
	for _, c := range checkpoints {
		nets, files = append(nets, c.Net.Name), append(files, c.File)
	}
	measured := answerOf(r, ds.Manifest, nets, files, cmp.Or(f.Confused, usualPairs))
	measured.Weights = f.Weights
	return &measured, f.write(ctx, &measured, engines[0], ds, checkpoints, file, shown)
}

// write writes the predictions, the PNG and the report, and says in the answer where they
// are.
func (f *flags) write(ctx context.Context, a *answer, engine model.Engine, ds *records.Dataset, checkpoints []*checkpoint.Checkpoint, file *eval.PredictionFile, shown *gallery) error {
	if err := f.commit(file, f.stderr); err != nil {
		return err
	}
	a.Predictions = f.Predictions
	if f.PNG != "" {
		if err := shown.draw(f.PNG, ds); err != nil {
			return err
		}
		fmt.Fprintf(f.stderr, "pictures: %s\n", f.PNG)
	}
	if f.Report == "" {
		return nil
	}
	path, err := f.report(ctx, engine, ds, *a, checkpoints, shown)
	a.Report = path
	return err
}

// report writes the report and returns its file.
func (f *flags) report(ctx context.Context, engine model.Engine, ds *records.Dataset, a answer, checkpoints []*checkpoint.Checkpoint, shown *gallery) (string, error) {
	p, err := newPage(ds, a, checkpoints, shown)
	if err != nil {
		return "", err
	}
	if f.Neighbours > 0 {
		if err := f.findNeighbours(ctx, p, engine, ds, shown); err != nil {
			return "", err
		}
	}
	path, err := p.write(f.Report)
	if err == nil {
		fmt.Fprintf(f.stderr, "report: %s\n", path)
	}
	return path, err
}

// takers returns what takes the predictions, nil if nobody does.
func (f *flags) takers(file *eval.PredictionFile, shown *gallery) func(eval.Prediction) error {
	pictures := f.Report != "" || f.PNG != ""
	switch {
	case !pictures && file == nil:
		return nil
	case !pictures:
		return file.Add
	case file == nil:
		return shown.add
	}
	return func(p eval.Prediction) error { return errors.Join(file.Add(p), shown.add(p)) }
}

// wholeBatch returns how many images an engine is made for: those of whole records,
// since some engines take as long for a batch that is not full, and no more than
// there are.
func wholeBatch(batch, views, records int) int {
	return min(max(1, batch/views), max(1, records)) * views
}

// measure runs the nets, shows how far it is, and says how fast it was.
func (f *flags) measure(ctx context.Context, engines []model.Engine, ds *records.Dataset, split *records.Split, take func(eval.Prediction) error, behind *sync.WaitGroup) (*eval.Report, error) {
	line := report.NewProgress(f.stderr)
	o := eval.Options{Views: f.Views, Workers: f.Workers, OnCorrupt: f.OnCorrupt, Background: behind, Skipped: skipping(line), Predictions: take,
		Progress: func(done, total int) { line.Show(progress{done, total}, false) }}
	r, err := eval.Measure(ctx, engines, ds, split, o)
	line.Done()
	if err != nil && records.IsDamage(err) && f.OnCorrupt == pipeline.Stop {
		err = fmt.Errorf("%w; or evaluate without such records, which are then counted: --on-corrupt skip", err)
	}
	if err != nil {
		return nil, err
	}
	s := r.Speed
	fmt.Fprintf(f.stderr, "%.1f s, %.1f images/s; waiting for data: %.1f %% of the time\n", s.Seconds, s.ImagesPerSecond, 100*s.WaitShare)
	return r, nil
}

// open makes an engine of each checkpoint. Those that it has made are returned with
// an error too. Of the checkpoints' tensors only the weights of the first layer are
// left, those that were asked for.
func (f *flags) open(ds *records.Dataset) (engines []model.Engine, checkpoints []*checkpoint.Checkpoint, err error) {
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
		precision, err := f.precision(c)
		if err != nil {
			return engines, nil, err
		}
		weights, err := c.Weights(checkpoint.Weights(f.Weights))
		if err != nil {
			return engines, nil, err
		}
		e, about, err := engine.New(c.Net, model.State{Weights: weights}, engine.Options{Device: engine.Device(f.Device), Batch: f.Batch, Threads: f.Threads, Precision: precision})
		if err != nil {
			return engines, nil, fmt.Errorf("%s: %w", c.File, err)
		}
		fmt.Fprintf(f.stderr, "%s: %s after step %d%s; %s\n", c.File, c.Net.Name, c.Progress.Step, f.which(c), about.Name)
		// Of what is not needed any more there may be gigabytes in an ensemble.
		c.State, c.Average = model.State{Weights: weights[:1]}, nil
		engines, checkpoints = append(engines, e), append(checkpoints, c)
	}
	return engines, checkpoints, nil
}

// precision returns the arithmetic for a checkpoint.
func (f *flags) precision(c *checkpoint.Checkpoint) (string, error) {
	if f.Precision != nil {
		return *f.Precision, nil
	}
	var run struct {
		Precision loop.Precision `json:"precision"`
	}
	if err := json.Unmarshal(c.Settings, &run); err != nil {
		return "", &checkpoint.DamagedError{File: c.File, Err: fmt.Errorf("its settings: %w", err)}
	}
	return run.Precision.String(), nil
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
