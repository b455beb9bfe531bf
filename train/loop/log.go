package loop

import (
	"fmt"
	"time"

	"alexnet/model"
	"alexnet/train/report"
)

// pace measures speed. It is not part of a checkpoint: after a resume it counts
// from there.
type pace struct {
	images     int
	wait, work time.Duration
}

func (p pace) imagesPerSecond() float64 {
	if total := p.wait + p.work; total > 0 {
		return float64(p.images) / total.Seconds()
	}
	return 0
}

func (p pace) waitShare() float64 {
	if total := p.wait + p.work; total > 0 {
		return p.wait.Seconds() / total.Seconds()
	}
	return 0
}

// waited counts time spent waiting for a batch.
func (t *trainer) waited(d time.Duration) {
	for _, p := range []*pace{&t.window, &t.epoch} {
		p.wait += d
	}
}

// worked counts a step of n images.
func (t *trainer) worked(n int, d time.Duration) {
	t.steps++
	for _, p := range []*pace{&t.window, &t.epoch} {
		p.images += n
		p.work += d
	}
}

// log writes a step line when it is due and shows the progress.
func (t *trainer) log(rate float32) error {
	line := t.line(report.StepEvent, rate, t.p.Window, t.window)
	due := t.cfg.Limits.LogEvery > 0 && t.p.Step%t.cfg.Limits.LogEvery == 0
	if due {
		if err := t.metrics.Append(line); err != nil {
			return t.stopped(err)
		}
		t.hooks.Metrics(line)
		t.p.Window = model.Score{}
		t.window = pace{}
	}
	t.hooks.Progress(report.Status{
		Epoch: line.Epoch, Epochs: t.cfg.Limits.Epochs, Step: t.p.StepInEpoch, StepsPerEpoch: t.stepsPerEpoch(),
		Loss: line.Loss, Top1: line.Top1, ImagesPerSecond: line.ImagesPerSecond, WaitShare: line.WaitShare, Left: t.left(),
	}, due)
	return nil
}

// line makes a line of metrics for the epoch under way.
func (t *trainer) line(event report.Event, rate float32, s model.Score, p pace) report.Line {
	n := float64(max(s.N, 1))
	return report.Line{
		Event: event, Step: t.p.Step, Epoch: t.p.Epoch + 1, LR: rate,
		Images: s.N, Loss: s.Loss / n, Top1: float64(s.Top1) / n, Top5: float64(s.Top5) / n,
		ImagesPerSecond: p.imagesPerSecond(), WaitShare: p.waitShare(),
	}
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
