package loop

import (
	"encoding/json"
	"fmt"
	"slices"

	"alexnet/model"
	"alexnet/model/vector"
	"alexnet/train/checkpoint"
)

// save writes a checkpoint of the run as it stands. The metrics go to the disk
// first, so that no checkpoint is ahead of them.
func (t *trainer) save() error {
	state, err := t.state()
	if err != nil {
		return fmt.Errorf("checkpoint of step %d: %w", t.p.Step, err)
	}
	if err := t.compareWeights(state); err != nil {
		return err
	}
	if name, ok := allFinite(t.threads(), state); !ok {
		return t.diverged(fmt.Sprintf("%s holds values that are not finite", name), t.lastRate())
	}
	if !t.first() {
		t.file, t.saved = t.store.Path(t.p.Step), t.p.Step
		return nil
	}
	if t.p.Schedule, err = t.schedule.State(); err != nil {
		return err
	}
	settings, err := json.Marshal(t.cfg.Settings)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if err := t.metrics.Sync(); err != nil {
		return t.stopped(err)
	}
	file, err := t.store.Save(&checkpoint.Checkpoint{
		Net: t.eng.Net(), Classes: checkpoint.Classes(t.ds.Manifest), Records: t.ds.Manifest.Digest,
		Settings: settings, Progress: t.p, Engine: t.arithmetic(), State: state, Average: t.average,
	})
	if err != nil {
		return t.stopped(err)
	}
	t.file, t.saved = file, t.p.Step
	return nil
}

// state returns the engine's weights and velocities until its next call: a copy only
// where it does not show its own, since a large net's would be hundreds of megabytes.
func (t *trainer) state() (model.State, error) {
	if e, ok := t.eng.(model.StateEngine); ok {
		return e.State()
	}
	return t.eng.Snapshot()
}

// arithmetic returns what the last bits of the engine's results depend on, if it says.
func (t *trainer) arithmetic() string {
	e, ok := t.eng.(model.ArithmeticEngine)
	if !ok {
		return ""
	}
	text := e.Arithmetic()
	if world := t.ranks.World(); world > 1 && text != "" {
		text += fmt.Sprintf(", %d ranks", world)
	}
	return text
}

// saveOnTheWay saves between two steps of an epoch.
func (t *trainer) saveOnTheWay() error {
	defer t.pause()()
	return t.save()
}

// saveOnce saves unless the run stands where the last checkpoint does.
func (t *trainer) saveOnce() error {
	if t.file != "" && t.saved == t.p.Step {
		return nil
	}
	return t.save()
}

// dataFailed saves what is reached, and adds to an error of the data how to go on.
func (t *trainer) dataFailed(err error) error {
	if saveErr := t.saveOnce(); saveErr != nil {
		return fmt.Errorf("%w; and then: %w", err, saveErr)
	}
	return t.stopped(err)
}

// stopped adds to an error from outside the last checkpoint and how to go on.
func (t *trainer) stopped(err error) error {
	if t.file == "" {
		return fmt.Errorf("%w; there is no checkpoint yet", err)
	}
	return fmt.Errorf("%w; the last good checkpoint is %s: go on from it with --resume when the cause is mended", err, t.file)
}

// diverged is the error of a step at the given learning rate.
func (t *trainer) diverged(value string, rate float32) error {
	return &DivergedError{Step: t.p.Step, LR: rate, Value: value, Checkpoint: t.file}
}

// allFinite returns the name of the first tensor with a NaN or an infinity.
func allFinite(threads int, s model.State) (string, bool) {
	all := slices.Concat(s.Weights, s.Velocity)
	data := make([][]float32, len(all))
	for i, t := range all {
		data[i] = t.Data
	}
	if i := vector.AllFinite(threads, data...); i >= 0 {
		return all[i].Name, false
	}
	return "", true
}
