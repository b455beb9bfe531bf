package reproduce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"alexnet/model"
	"alexnet/train/checkpoint"
	"alexnet/train/loop"
)

// Engines makes engines for nets.
type Engines interface {
	// Train makes one for a run of these settings, with the given first weights, or
	// those of the settings' seed if they are nil.
	Train(net *model.Net, weights []model.Tensor, s loop.Settings) (model.Engine, error)
	// Predict makes one for a trained net and batches of so many images.
	Predict(c *checkpoint.Checkpoint, batch int) (model.Engine, error)
}

// InterruptedError says that a run was interrupted, and where it stands.
type InterruptedError struct {
	Run  string
	Step int
}

// Error says where the run stands.
func (e *InterruptedError) Error() string {
	return fmt.Sprintf("interrupted: %s is saved at step %d", e.Run, e.Step)
}

// Unwrap returns context.Canceled.
func (e *InterruptedError) Unwrap() error { return context.Canceled }

// Work trains nets.
type Work struct {
	Engines Engines
	// Begin, if not nil, is called before a run is trained, with the step that it goes on
	// from, and returns what is called on the way.
	Begin func(j *Job, step int) loop.Hooks
	// Warn, if not nil, is called with what is odd but does not matter, such as a damaged
	// checkpoint that was passed over.
	Warn func(error)
}

// Finish trains what is not trained yet, one job after the other. Runs that are done
// are only checked: it is an error if one was trained with other settings, another net
// or other records. A pre-training whose folder is gone is not done again once the run
// that begins with it has a checkpoint.
func (w *Work) Finish(ctx context.Context, jobs []Job) error {
	for i := range jobs {
		j := &jobs[i]
		if j.Kind == Pretrained && i+1 < len(jobs) && jobs[i+1].Init == j.Run {
			began, err := checkpoint.Any(jobs[i+1].Run)
			if err != nil {
				return err
			}
			if _, err := os.Stat(j.Run); began && errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		if err := w.finish(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// finish trains one net to its end.
func (w *Work) finish(ctx context.Context, j *Job) (err error) {
	cfg, first, err := w.configure(j)
	if err != nil {
		return err
	}
	if err := loop.Check(cfg, j.Net, j.Records); err != nil {
		return fmt.Errorf("the run %s: %w", j.Run, err)
	}
	step := 0
	if c := cfg.Resume; c != nil {
		step = c.Progress.Step
		if done, err := finished(j, step); done || err != nil {
			return err
		}
	}
	engine, err := w.Engines.Train(j.Net, first, j.Settings)
	if err != nil {
		return fmt.Errorf("the run %s: %w", j.Run, err)
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	var hooks loop.Hooks
	if w.Begin != nil {
		hooks = w.Begin(j, step)
	}
	s, err := loop.Run(ctx, cfg, engine, j.Records, hooks)
	switch {
	case err != nil:
		return fmt.Errorf("the run %s: %w", j.Run, err)
	case s.End == loop.EndInterrupted:
		return &InterruptedError{j.Run, s.Steps}
	}
	return nil
}

// configure looks how far a run is. first are the weights that it begins with, nil for
// those of its seed.
func (w *Work) configure(j *Job) (cfg loop.Config, first []model.Tensor, err error) {
	cfg = loop.Config{Run: j.Run, Settings: j.Settings, Limits: j.Limits}
	c, warnings, err := checkpoint.Latest(j.Run)
	w.warn(warnings)
	switch {
	case err == nil:
		cfg.Resume = c
	case !errors.Is(err, checkpoint.ErrNone):
		return cfg, nil, err
	}
	if j.Init == "" {
		return cfg, nil, nil
	}
	cfg.InitWeights, cfg.InitExcept = checkpoint.Own, j.Fresh
	if cfg.Resume != nil { // what it began with stands in its folder
		own, err := loop.ReadConfig(j.Run)
		cfg.Init = own.Init
		return cfg, nil, err
	}
	if c, err = best(j.Init); err != nil {
		return cfg, nil, fmt.Errorf("the weights that %s begins with, those of %s: %w", j.Run, j.Init, err)
	}
	if cfg.Init = c.File; !filepath.IsAbs(cfg.Init) { // it may be resumed from elsewhere
		if cfg.Init, err = filepath.Abs(c.File); err != nil {
			return cfg, nil, err
		}
	}
	if first, err = j.Net.Graft(c.State.Weights, j.Settings.Seed, j.Fresh...); err != nil {
		return cfg, nil, fmt.Errorf("%s cannot begin with %s: %w", j.Run, c.File, err)
	}
	return cfg, first, nil
}

func (w *Work) warn(warnings []error) {
	for _, err := range warnings {
		if w.Warn != nil {
			w.Warn(err)
		}
	}
}

// finished reports whether a run whose newest checkpoint is that of step has come to
// its end.
func finished(j *Job, step int) (bool, error) {
	s, err := readSummary(j.Run)
	if errors.Is(err, fs.ErrNotExist) || err == nil && s.Steps != step {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return s.End == loop.EndSchedule || s.End == loop.EndEarly || s.End == loop.EndEpochs && s.Epochs >= j.Limits.Epochs, nil
}

// readSummary reads the summary of a run.
func readSummary(run string) (s loop.Summary, err error) {
	path := filepath.Join(run, loop.SummaryFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("the summary of a run: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%s is damaged: %w; remove it, and the run is gone on with", path, err)
	}
	return s, nil
}
