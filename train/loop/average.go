package loop

import (
	"context"
	"errors"
	"fmt"

	"alexnet/model"
	"alexnet/model/vector"
	"alexnet/train/report"
)

// weights returns the engine's weights, which the next call of it may change.
func (t *trainer) weights() (ws []model.Tensor, err error) {
	if e, ok := t.eng.(model.WeightsEngine); ok {
		ws, err = e.Weights()
	} else {
		var st model.State
		st, err = t.state()
		ws = st.Weights
	}
	if err != nil {
		return nil, fmt.Errorf("step %d: %w", t.p.Step, err)
	}
	return ws, nil
}

// startAverage begins the average of the weights with those of a new run.
func (t *trainer) startAverage() error {
	if t.cfg.Settings.EMA == 0 || t.average != nil {
		return nil
	}
	ws, err := t.weights()
	if err != nil {
		return err
	}
	for _, w := range ws {
		t.average = append(t.average, w.Clone())
	}
	return nil
}

// averageDecay returns the share of the average that a step leaves, when so many
// steps are done. The first steps count for more, so that the random weights of the
// beginning are soon forgotten.
func averageDecay(ema float64, steps int) float64 {
	return min(ema, float64(1+steps)/float64(10+steps))
}

// follow moves the average towards the weights, after a step.
func (t *trainer) follow() error {
	if t.average == nil {
		return nil
	}
	ws, err := t.weights()
	if err != nil {
		return err
	}
	share := float32(1 - averageDecay(t.cfg.Settings.EMA, t.p.Step))
	data := make([][]float32, len(ws))
	for i, w := range ws {
		data[i] = w.Data
	}
	t.eachSpan(data, func(s vector.Span) {
		vector.Follow(t.average[s.Slice].Data[s.From:s.To], data[s.Slice][s.From:s.To], share)
	})
	return nil
}

// evaluateAverage validates with the averaged weights, and puts the engine's own
// back. It returns nil when there is no average or no validation, or when the context
// is cancelled.
func (t *trainer) evaluateAverage(ctx context.Context) (val *report.Val, err error) {
	if t.cfg.Settings.EMA == 0 || t.val == nil {
		return nil, nil
	}
	if !t.first() {
		_, err := t.validate(ctx) // which is rank 0's
		if errors.Is(err, errStopped) {
			err = nil
		}
		return nil, err
	}
	defer t.pause()()
	own, err := t.eng.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("validation of the averaged weights: %w", err)
	}
	defer func() { err = errors.Join(err, t.eng.Restore(own)) }()
	if err := t.eng.Restore(model.State{Weights: t.average}); err != nil {
		return nil, fmt.Errorf("validation of the averaged weights: %w", err)
	}
	r, err := t.validate(ctx)
	switch {
	case errors.Is(err, errStopped):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("validation of the averaged weights: %w", err)
	}
	return valOf(r), nil
}
