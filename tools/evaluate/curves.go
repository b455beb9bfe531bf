package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"path/filepath"
	"slices"

	"alexnet/tools/figure"
	"alexnet/train/checkpoint"
	"alexnet/train/report"
	"alexnet/train/sgd"
)

// runCurves are the learning curves of a run.
type runCurves struct {
	Name   string
	Note   string
	Charts []template.HTML
}

// metricsName is the file of a run's metrics.
const metricsName = "metrics.jsonl"

// addRun adds the curves of the run that a checkpoint is of, if its metrics are there.
func (p *page) addRun(c *checkpoint.Checkpoint) {
	folder := filepath.Dir(c.File)
	run := filepath.Dir(folder)
	known := slices.ContainsFunc(p.Runs, func(r runCurves) bool { return r.Name == run })
	if filepath.Base(folder) != checkpoint.Folder || known {
		return // a file that was taken out of its run, or one more of the same run
	}
	lines, err := report.ReadMetrics(filepath.Join(run, metricsName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		p.Runs = append(p.Runs, runCurves{Name: run, Note: err.Error()})
		return
	}
	r := runCurves{Name: run}
	errorsOf, losses := curves(lines, drops(c))
	for _, chart := range []*figure.Chart{errorsOf, losses} {
		if len(chart.Series[0].X)+len(chart.Series[1].X) == 0 {
			continue
		}
		svg, err := chart.SVG()
		if err != nil {
			r.Note = err.Error() // of a run that has diverged
			continue
		}
		r.Charts = append(r.Charts, svg)
	}
	if len(r.Charts) == 0 && r.Note == "" {
		r.Note = "no epoch is over yet"
	}
	p.Runs = append(p.Runs, r)
}

// drops reports whether a checkpoint's learning rate falls in a few drops, and not from
// step to step.
func drops(c *checkpoint.Checkpoint) bool {
	var settings struct {
		Schedule sgd.Config `json:"schedule"`
	}
	return json.Unmarshal(c.Settings, &settings) == nil && settings.Schedule.Drops()
}

// maxPoints is the number of points of a curve that a reader can tell apart.
const maxPoints = 300

// curves returns top-1 error and loss over epochs. Losses of training are means of a
// few steps each, in a long run of more. With drops there is a mark where the rate falls:
// at the end of an epoch, whose line is the last with the rate before. A warm-up has none.
func curves(lines []report.Line, drops bool) (errs, losses *figure.Chart) {
	series := func() []figure.Series {
		return []figure.Series{{Name: "training", Color: 1}, {Name: "validation", Color: 2}}
	}
	errs = &figure.Chart{Title: "Top-1 error by epoch", XLabel: "epochs", YLabel: "top-1 error, %", Series: series()}
	losses = &figure.Chart{Title: "Loss by epoch", XLabel: "epochs", YLabel: "loss, nats", Series: series()}
	steps := 0.0 // of an epoch
	for i := range lines {
		if l := &lines[i]; l.Event == report.EpochEvent && l.Epoch > 0 {
			steps = float64(l.Step) / float64(l.Epoch)
		}
	}
	if steps == 0 {
		return errs, losses
	}
	var training []report.Line
	for i := range lines {
		l := &lines[i]
		x := float64(l.Step) / steps
		if drops && i > 0 && l.LR < lines[i-1].LR {
			mark := figure.Mark{X: float64(lines[i-1].Step) / steps, Text: fmt.Sprintf("rate %.3g", l.LR)}
			errs.Marks, losses.Marks = append(errs.Marks, mark), append(losses.Marks, mark)
		}
		if l.Event == report.StepEvent {
			training = append(training, *l)
			continue
		}
		add(&errs.Series[0], x, 100*(1-l.Top1))
		if l.Val != nil {
			add(&errs.Series[1], x, 100*(1-l.Val.Top1))
			add(&losses.Series[1], x, l.Val.Loss)
		}
	}
	each := (len(training) + maxPoints - 1) / maxPoints
	for len(training) > 0 {
		part := training[:min(each, len(training))]
		training = training[len(part):]
		images, sum := 0, 0.0
		for _, l := range part {
			images, sum = images+l.Images, sum+l.Loss*float64(l.Images)
		}
		if images > 0 {
			add(&losses.Series[0], float64(part[len(part)-1].Step)/steps, sum/float64(images))
		}
	}
	return errs, losses
}

func add(s *figure.Series, x, y float64) {
	s.X, s.Y, s.Dots = append(s.X, x), append(s.Y, y), s.Color == 2 || s.Dots
}
