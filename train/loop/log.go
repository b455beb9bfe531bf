package loop

import (
	"fmt"
	"time"

	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/train/report"
)

// span is a part of the training since a moment of the stream: the last step line,
// or the begin of the epoch. It is not part of a checkpoint: after a resume it
// counts from there.
//
// Its clock is that of the stream's Stats, so that the share of waiting that is
// shown and the stream's reasons for it are one measurement. Waiting is the time
// spent in Next; that of validations and checkpoints is taken out by pause.
type span struct {
	since  pipeline.Stats
	images int // trained on, by all ranks
	// summing is the time that the sums of the gradients over the ranks took, the wait
	// for the slowest included, and waited how much of it nothing else was done in.
	summing, waited time.Duration
}

// speed is what a span comes to.
type speed struct {
	imagesPerSecond float64
	summingShare    float64
	summingHidden   float64
	loader          *report.Loader // nil before the first step
	verdict         string
	now             pipeline.Stats // the moment at which it was measured
}

// speedOf measures a span that ends now.
func (t *trainer) speedOf(s span) speed {
	if t.stream == nil {
		return speed{}
	}
	now := t.stream.Stats()
	took := now.Sub(s.since)
	d := t.stream.Diagnose(took)
	v := speed{loader: loaderOf(d), verdict: d.Verdict, now: now}
	if seconds := took.Elapsed.Seconds(); seconds > 0 {
		v.imagesPerSecond = float64(s.images) / seconds
		v.summingShare = s.waited.Seconds() / seconds
	}
	if s.summing > 0 {
		v.summingHidden = max(0, 1-s.waited.Seconds()/s.summing.Seconds())
	}
	return v
}

// loaderOf takes from a diagnosis what goes into the metrics.
func loaderOf(d pipeline.Diagnosis) *report.Loader {
	l := &report.Loader{Limit: d.Limit, WaitShare: d.WaitShare, DiskBytesPerSecond: d.DiskBytesPerSecond, StoreBytesPerSecond: d.StoreBytesPerSecond, Possible: d.Possible, Skipped: d.Skipped}
	for _, s := range d.Stages {
		switch s.Name {
		case "order":
			l.Busy.Order = s.Busy
		case "fetch":
			l.Busy.Fetch = s.Busy
		case "read":
			l.Busy.Read = s.Busy
		case "augment":
			l.Busy.Augment = s.Busy
		case "consumer":
			l.Ready = s.Queue
		}
	}
	return l
}

// pause begins what is not training and returns the function that ends it: the
// spans begin later by as much.
func (t *trainer) pause() (end func()) {
	if t.stream == nil {
		return func() {}
	}
	before := t.stream.Stats()
	return func() {
		after := t.stream.Stats()
		for _, s := range []*span{&t.window, &t.epoch} {
			s.since = after.Sub(before.Sub(s.since))
		}
	}
}

// worked counts a step on n images.
func (t *trainer) worked(n int) {
	t.steps++
	t.window.images += n
	t.epoch.images += n
}

// lookEvery is how often the stream is asked how it goes, beside the step lines:
// the answer costs it a system call.
const lookEvery = 200 * time.Millisecond

// log writes a step line when it is due and shows the progress.
func (t *trainer) log() error {
	due := t.cfg.Limits.LogEvery > 0 && t.p.Step%t.cfg.Limits.LogEvery == 0
	if due || time.Since(t.looked) >= lookEvery {
		t.shown, t.looked = t.speedOf(t.window), time.Now()
	}
	line := t.line(report.StepEvent, t.p.Window, t.shown)
	if due {
		if err := t.append(line); err != nil {
			return err
		}
		t.hooks.Metrics(line)
		t.p.Window = model.Score{}
		t.window = span{since: t.shown.now}
	}
	s := report.Status{
		Epoch: line.Epoch, Epochs: t.cfg.Limits.Epochs, Step: t.p.StepInEpoch, StepsPerEpoch: t.stepsPerEpoch(),
		Loss: line.Loss, Top1: line.Top1, ImagesPerSecond: line.ImagesPerSecond, WaitShare: line.WaitShare, Skipped: line.Skipped, Left: t.left(),
	}
	if l := line.Loader; l != nil {
		s.Limit, s.DiskBytesPerSecond = l.Limit, l.DiskBytesPerSecond
	}
	t.hooks.Progress(s, due)
	return nil
}

// append writes a line of metrics, on rank 0.
func (t *trainer) append(line report.Line) error {
	if !t.first() {
		return nil
	}
	if err := t.metrics.Append(line); err != nil {
		return t.stopped(err)
	}
	return nil
}

// line makes a line of metrics for the epoch under way.
func (t *trainer) line(event report.Event, s model.Score, v speed) report.Line {
	n := float64(max(s.N, 1))
	l := report.Line{
		Event: event, Step: t.p.Step, Epoch: t.p.Epoch + 1, LR: t.lastRate(),
		Images: s.N, Loss: s.Loss / n, Top1: float64(s.Top1) / n, Top5: float64(s.Top5) / n,
		ImagesPerSecond: v.imagesPerSecond, Skipped: t.p.Skipped, Loader: v.loader,
		SummingShare: v.summingShare, SummingHidden: v.summingHidden,
	}
	if v.loader != nil {
		l.WaitShare = v.loader.WaitShare
	}
	return l
}

// left estimates the time to the end from the steps since the start, validation and
// checkpoints included.
func (t *trainer) left() time.Duration {
	steps := (t.cfg.Limits.Epochs-t.p.Epoch)*t.stepsPerEpoch() - t.p.StepInEpoch
	if most := t.cfg.Limits.MaxSteps; most > 0 {
		steps = min(steps, most-t.p.Step)
	}
	return time.Since(t.began) / time.Duration(max(t.steps, 1)) * time.Duration(steps)
}

// epochText says how an epoch went.
func (t *trainer) epochText(l report.Line) string {
	text := fmt.Sprintf("epoch %d done: step %d, loss %.4f, top-1 %.1f %%", l.Epoch, l.Step, l.Loss, 100*l.Top1)
	if l.Val == nil {
		return text
	}
	text += fmt.Sprintf("; validation loss %.4f, top-1 %.2f %%, top-5 %.2f %%", l.Val.Loss, 100*l.Val.Top1, 100*l.Val.Top5)
	if t.p.Best != nil && t.p.Best.Step == l.Step {
		text += " (best so far)"
	}
	return text
}
