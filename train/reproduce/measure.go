package reproduce

import (
	"context"
	"errors"
	"fmt"

	"alexnet/model"
	"alexnet/records"
	"alexnet/train/checkpoint"
	"alexnet/train/eval"
)

// Views is the number of views that the paper's tables are made with.
const Views = 10

// images is how many images, views counted, an engine computes at a time, as in
// evaluate.
const images = 128

// Measure says how to measure.
type Measure struct {
	Engines Engines
	// Split is the split to measure on, "val" if it is empty, and Views the number of
	// views, ten if it is 0.
	Split string
	Views int
	// Workers prepare the images; 0 means one a processor.
	Workers  int
	Progress func(done, total int)
	// Predictions, if not nil, gets what the average says of each image.
	Predictions func(eval.Prediction) error
}

// Average measures nets, each the best of its run, averaged in one pass over the
// records. files are their checkpoints.
func (m Measure) Average(ctx context.Context, ds *records.Dataset, runs []string) (r *eval.Report, files []string, err error) {
	split, err := ds.OpenSplit(or(m.Split, "val"))
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, split.Close()) }()
	views := or(m.Views, Views)
	batch := min(max(1, images/views), max(1, split.Len())) * views
	var engines []model.Engine
	defer func() {
		for _, e := range engines {
			err = errors.Join(err, e.Close())
		}
	}()
	for _, run := range runs {
		c, err := best(run)
		if err == nil {
			err = c.CheckClasses(ds.Manifest)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("measuring the run %s: %w", run, err)
		}
		e, err := m.Engines.Predict(c, batch)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c.File, err)
		}
		engines, files = append(engines, e), append(files, c.File)
	}
	r, err = eval.Measure(ctx, engines, ds, split, eval.Options{Views: views, Workers: m.Workers, Progress: m.Progress, Predictions: m.Predictions})
	return r, files, err
}

// best returns the best checkpoint of a run, and never another in its place: no row may
// say that it is of what it is not.
func best(run string) (*checkpoint.Checkpoint, error) {
	c, warnings, err := checkpoint.BestOf(run)
	if err != nil {
		return nil, err
	}
	if b := c.Progress.Best; b != nil && b.Step != c.Progress.Step {
		return nil, fmt.Errorf("its best checkpoint, of step %d, cannot be read; remove the folder, and the run is trained again: %w", b.Step, errors.Join(warnings...))
	}
	return c, nil
}
