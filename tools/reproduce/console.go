package main

import (
	"encoding/json"
	"fmt"
	"io"

	"alexnet/model"
	"alexnet/train/checkpoint"
	"alexnet/train/engine"
	"alexnet/train/loop"
	"alexnet/train/report"
	"alexnet/train/reproduce"
)

// engines makes engines, and says once which.
type engines struct {
	device  engine.Device
	threads int
	said    func(name, hint string)
}

// Train makes the engine of a run.
func (e engines) Train(net *model.Net, weights []model.Tensor, s loop.Settings) (model.Engine, error) {
	return e.make(net, weights, engine.Options{Batch: s.Batch, Seed: s.Seed, Precision: s.Precision.String()})
}

// Predict makes the engine of a trained net, with the arithmetic of its run.
func (e engines) Predict(c *checkpoint.Checkpoint, batch int) (model.Engine, error) {
	var run struct {
		Precision loop.Precision `json:"precision"`
	}
	if err := json.Unmarshal(c.Settings, &run); err != nil {
		return nil, &checkpoint.DamagedError{File: c.File, Err: fmt.Errorf("its settings: %w", err)}
	}
	return e.make(c.Net, c.State.Weights, engine.Options{Batch: batch, Precision: run.Precision.String()})
}

func (e engines) make(net *model.Net, weights []model.Tensor, o engine.Options) (model.Engine, error) {
	o.Device, o.Threads = e.device, e.threads
	made, about, err := engine.New(net, model.State{Weights: weights}, o)
	if err != nil {
		return nil, err
	}
	e.said(about.Name, about.Hint)
	return made, nil
}

// console tells on standard error how it goes.
type console struct {
	stderr   io.Writer
	progress *report.Progress
	engine   string // the last that was named
	run      string // the same
}

func newConsole(stderr io.Writer) *console {
	return &console{stderr: stderr, progress: report.NewProgress(stderr)}
}

// say names an engine that is another than the last.
func (c *console) say(name, hint string) {
	if name == c.engine {
		return
	}
	c.engine = name
	c.progress.Print("engine: " + name)
	if hint != "" {
		c.progress.Print("note: " + hint)
	}
}

// work trains as the flags say.
func (c *console) work(f *machine) *reproduce.Work {
	return &reproduce.Work{
		Engines: engines{engine.Device(f.Device), f.Threads, c.say},
		Begin: func(j *reproduce.Job, step int) loop.Hooks {
			hooks := loop.Hooks{
				Progress: func(s report.Status, keep bool) { c.progress.Show(s, keep) },
				Message:  c.progress.Print,
			}
			if j.Run == c.run { // its next epoch
				return hooks
			}
			c.run = j.Run
			from := "from the beginning"
			switch {
			case step > 0:
				from = fmt.Sprintf("from step %d", step)
			case j.Init != "":
				from = "with the weights of " + j.Init
			}
			s, more := j.Settings, ""
			if j.Kind == reproduce.Activation {
				more = " or more"
			}
			c.progress.Print(fmt.Sprintf("== %s: %s, %d epochs%s of batches of %d, learning rate %g (%s), seed %d; %s",
				j.Run, j.Net.Name, j.Limits.Epochs, more, s.Batch, s.Schedule.Base, s.Schedule.Kind, s.Seed, from))
			return hooks
		},
		Warn: func(err error) { c.progress.Print(fmt.Sprintf("warning: %v", err)) },
	}
}

// measure measures as the flags say.
func (c *console) measure(f *common) reproduce.Measure {
	return reproduce.Measure{Engines: engines{engine.Device(f.Device), f.Threads, c.say}, Split: f.Split, Workers: f.Workers,
		Progress: func(done, total int) { c.progress.Show(measured{done, total}, false) }}
}

// measured is how many images are measured, of how many.
type measured struct{ done, total int }

// String returns the progress line.
func (m measured) String() string { return fmt.Sprintf("measured %d of %d images", m.done, m.total) }
