package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"alexnet/model"
	"alexnet/train/collective"
	"alexnet/train/loop"
	"alexnet/train/report"
)

// console tells the user how it goes: progress on standard error, results on
// standard output.
type console struct {
	stdout, stderr io.Writer
	json           bool
	ranks          collective.Group
	progress       *report.Progress
}

func newConsole(f *flags, ranks collective.Group) *console {
	return &console{stdout: f.stdout, stderr: f.stderr, json: f.JSON, ranks: ranks, progress: report.NewProgress(f.stderr)}
}

// teller is where one rank of the group tells what all would.
func (f *flags) teller(group collective.Group) io.Writer {
	if group.Rank() > 0 {
		return io.Discard
	}
	return f.stderr
}

// start says what is about to run, on rank 0.
func (c *console) start(p *plan, engine model.Engine, name string) {
	if c.ranks.Rank() > 0 {
		return
	}
	net, m := engine.Net(), p.records.Manifest
	s := p.config.Settings
	fmt.Fprintf(c.stderr, "engine:  %s\n", name)
	fmt.Fprintf(c.stderr, "records: %s, %d training and %d validation images of %v, %d classes\n",
		p.records.Dir, m.Splits[loop.TrainSplit].Written, m.Splits[loop.ValSplit].Written, m.Shape, len(m.Classes))
	fmt.Fprintf(c.stderr, "net:     %s, crops of %dx%d, %d parameters\n", net.Name, net.Input.H, net.Input.W, net.ParamCount())
	fmt.Fprintf(c.stderr, "run:     %s, batch %s, %d epochs, %slearning rate %g (%s), seed %d\n",
		p.config.Run, batchText(s), p.config.Limits.Epochs, optimizerText(s), s.Schedule.Base, s.Schedule.Kind, s.Seed)
	if world := c.ranks.World(); world > 1 {
		fmt.Fprintf(c.stderr, "ranks:   %d (%s), each with up to %d images of a batch\n", world, c.ranks.Name(), p.config.Slice())
	}
	for _, note := range p.notes {
		fmt.Fprintln(c.stderr, note)
	}
}

// batchText says how many images a step has.
func batchText(s loop.Settings) string {
	if s.Accumulate > 1 {
		return fmt.Sprintf("%d times %d", s.Accumulate, s.Batch)
	}
	return fmt.Sprint(s.Batch)
}

// optimizerText names an optimizer that is not the usual one.
func optimizerText(s loop.Settings) string {
	if s.Optimizer == loop.LARS {
		return fmt.Sprintf("LARS with trust coefficient %g, ", s.TrustCoefficient)
	}
	return ""
}

// hooks connect the training to the console.
func (c *console) hooks() loop.Hooks {
	if rank := c.ranks.Rank(); rank > 0 {
		return loop.Hooks{Message: func(m string) { fmt.Fprintf(c.stderr, "rank %d: %s\n", rank, m) }}
	}
	h := loop.Hooks{
		Progress: func(s report.Status, keep bool) { c.progress.Show(s, keep) },
		Message:  c.progress.Print,
	}
	if c.json {
		out := json.NewEncoder(c.stdout)
		// A reader that has gone away does not end a training; finish reports it.
		h.Metrics = func(l report.Line) { _ = out.Encode(l) }
	}
	return h
}

// summaryText is what stands on standard output at the end.
func summaryText(s loop.Summary) string {
	var b strings.Builder
	why := map[loop.End]string{
		loop.EndEpochs:   "all epochs are done",
		loop.EndMaxSteps: "--max-steps is reached",
		loop.EndSchedule: "the validation error no longer improves",
		loop.EndEarly:    "--stop-after epochs brought no better validation",
	}[s.End]
	fmt.Fprintf(&b, "%s: %d steps, %d epochs; %s\n", s.Net, s.Steps, s.Epochs, why)
	if l := s.Last; l != nil && l.Val != nil {
		fmt.Fprintf(&b, "validation after epoch %d: top-1 %.2f %%, top-5 %.2f %% of %d images correct (centre crop)\n",
			l.Epoch, 100*l.Val.Top1, 100*l.Val.Top5, l.Val.Images)
	}
	if s.Best != nil {
		fmt.Fprintf(&b, "best validation: top-1 %.2f %%, in %s\n", 100*s.Best.Top1, s.BestCheckpoint)
	}
	if a := s.Average; a != nil {
		fmt.Fprintf(&b, "validation of the averaged weights: top-1 %.2f %%, top-5 %.2f %%\n", 100*a.Top1, 100*a.Top5)
	}
	if s.Skipped > 0 {
		fmt.Fprintf(&b, "damaged records: skipped %d times, in all epochs together\n", s.Skipped)
	}
	fmt.Fprintf(&b, "last checkpoint: %s\n", s.Checkpoint)
	return b.String()
}

// finish prints the results.
func (c *console) finish(s loop.Summary) error {
	if c.ranks.Rank() > 0 {
		return nil
	}
	if c.json {
		return json.NewEncoder(c.stdout).Encode(struct {
			Event string `json:"event"`
			loop.Summary
		}{"summary", s})
	}
	_, err := fmt.Fprint(c.stdout, summaryText(s))
	return err
}
