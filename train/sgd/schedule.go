// Package sgd holds the learning-rate schedules of stochastic gradient descent as
// section 5 of Krizhevsky, Sutskever and Hinton (2012) uses it. The update rule
// itself is model.Hyper's.
//
// A schedule gives the rate of each step, by the step's place in its epoch, and is
// asked to move on once, after the epoch's validation. Its state is a small JSON
// object, so that a run that is resumed from a checkpoint continues with exactly the
// rates it would have had.
package sgd

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Kind names a schedule.
type Kind string

// The schedules.
const (
	// Constant keeps the base rate.
	Constant Kind = "constant"
	// Step multiplies the rate by Factor before given epochs.
	Step Kind = "step"
	// Plateau is the paper's: the rate is multiplied by Factor (a tenth) when the
	// validation error has stopped improving.
	Plateau Kind = "plateau"
	// Linear goes in equal steps from the base rate to Final, over Epochs.
	Linear Kind = "linear"
	// Cosine goes from the base rate to Final along half a cosine wave, over Epochs.
	Cosine Kind = "cosine"
	// Poly goes from the base rate to Final as the Power of what is left of Epochs.
	Poly Kind = "poly"
)

// Config describes a schedule. Only the fields of its Kind are used, and those of
// the warm-up.
type Config struct {
	Kind Kind `json:"kind"`
	// Base is the learning rate of the first epoch, positive. The paper's is 0.01.
	Base float64 `json:"base"`
	// Factor multiplies the rate at each drop; in (0, 1). The paper's is 0.1.
	Factor float64 `json:"factor,omitempty"`
	// DropAt (step) are the epochs, counted from 0, before which the rate drops.
	DropAt []int `json:"drop_at,omitempty"`
	// Patience (plateau) is the number of epochs in a row without a new lowest
	// validation error after which the rate drops; at least 1.
	Patience int `json:"patience,omitempty"`
	// MaxDrops (plateau) is how often the rate may drop; the paper's is 3.
	MaxDrops int `json:"max_drops,omitempty"`
	// Stop (plateau) ends the training when Patience runs out once more after
	// MaxDrops drops.
	Stop bool `json:"stop,omitempty"`
	// Epochs (linear, cosine, poly) is where the decay ends, counted from the beginning of
	// the run, warm-up included. From there on the rate is Final.
	Epochs int `json:"epochs,omitempty"`
	// Final (linear, cosine, poly) is the rate after the last step; at least 0 and less
	// than Base.
	Final float64 `json:"final,omitempty"`
	// Power (poly) is positive. 1 is a linear decay; that of large batches is 2 (You,
	// Gitman and Ginsburg, 2017).
	Power float64 `json:"power,omitempty"`
	// WarmupSteps or WarmupEpochs, of which one may be given, is how long the rate
	// rises at the beginning: of n steps the i-th, counted from 1, has i/n of the
	// rate it would have. A decay (linear, cosine, poly) begins after it.
	WarmupSteps  int `json:"warmup_steps,omitempty"`
	WarmupEpochs int `json:"warmup_epochs,omitempty"`
}

// Drops reports whether the rate changes in a few drops, each worth a message.
func (c Config) Drops() bool { return c.Kind == Step || c.Kind == Plateau }

// Schedule is a schedule on its way through a training run. Make one with New. It
// is not safe for concurrent use.
type Schedule struct {
	config Config
	state  state
}

// state is what a checkpoint keeps. Counts and exact float64 values only, so that
// JSON loses nothing.
type state struct {
	// Epochs is the number of finished epochs.
	Epochs int `json:"epochs"`
	// Drops is the number of drops so far (plateau).
	Drops int `json:"drops,omitempty"`
	// Best is the lowest validation error so far, nil before the first (plateau).
	Best *float64 `json:"best,omitempty"`
	// Waited is the number of epochs since Best (plateau).
	Waited int `json:"waited,omitempty"`
	// Done is set when the schedule asks for the end of the training.
	Done bool `json:"done,omitempty"`
}

// New checks the configuration and returns a schedule at the start of epoch 0.
func New(c Config) (*Schedule, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.DropAt = slices.Clone(c.DropAt)
	slices.Sort(c.DropAt)
	return &Schedule{config: c}, nil
}

func (c Config) validate() error {
	if !(c.Base > 0) || math.IsInf(c.Base, 0) {
		return fmt.Errorf("learning rate %g: must be a positive number", c.Base)
	}
	if err := c.validateWarmup(); err != nil {
		return err
	}
	switch c.Kind {
	case Constant:
		return nil
	case Step, Plateau:
		return c.validateDrops()
	case Linear, Cosine, Poly:
		return c.validateDecay()
	}
	return fmt.Errorf("learning-rate schedule %q: must be %s, %s, %s, %s, %s or %s", c.Kind, Constant, Step, Plateau, Linear, Cosine, Poly)
}

// longest bounds counts of epochs and of steps, so that their products fit an int.
const longest = 1 << 30

func (c Config) validateWarmup() error {
	if c.WarmupSteps < 0 || c.WarmupEpochs < 0 || c.WarmupSteps > longest || c.WarmupEpochs > longest {
		return fmt.Errorf("warm-up of %d steps, %d epochs: must lie between 0 and %d", c.WarmupSteps, c.WarmupEpochs, longest)
	}
	if c.WarmupSteps > 0 && c.WarmupEpochs > 0 {
		return fmt.Errorf("warm-up of %d steps and of %d epochs: only one of them can be", c.WarmupSteps, c.WarmupEpochs)
	}
	return nil
}

func (c Config) validateDecay() error {
	if c.Epochs < 1 || c.Epochs > longest {
		return fmt.Errorf("%s schedule over %d epochs: must lie between 1 and %d", c.Kind, c.Epochs, longest)
	}
	if !(c.Final >= 0 && c.Final < c.Base) {
		return fmt.Errorf("%s schedule: the final rate %g must be at least 0 and less than the first, %g", c.Kind, c.Final, c.Base)
	}
	if c.Kind == Poly && (!(c.Power > 0) || math.IsInf(c.Power, 0)) {
		return fmt.Errorf("poly schedule: power %g must be a positive number", c.Power)
	}
	if c.WarmupEpochs >= c.Epochs {
		return fmt.Errorf("%s schedule: a warm-up of %d epochs leaves nothing of %d for the decay", c.Kind, c.WarmupEpochs, c.Epochs)
	}
	return nil
}

func (c Config) validateDrops() error {
	if !(c.Factor > 0 && c.Factor < 1) {
		return fmt.Errorf("%s schedule: factor %g must lie between 0 and 1", c.Kind, c.Factor)
	}
	if c.Kind == Step {
		if len(c.DropAt) == 0 {
			return fmt.Errorf("step schedule: no epochs given at which the rate drops")
		}
		if low := slices.Min(c.DropAt); low < 1 {
			return fmt.Errorf("step schedule: the rate cannot drop before epoch %d; the first epoch is 0, so drops are at 1 or later", low)
		}
		return nil
	}
	if c.Patience < 1 {
		return fmt.Errorf("plateau schedule: patience of %d epochs must be at least 1", c.Patience)
	}
	if c.MaxDrops < 0 {
		return fmt.Errorf("plateau schedule: %d drops: must not be negative", c.MaxDrops)
	}
	return nil
}

// Rate returns the learning rate of a step of the current epoch: step counts from 0,
// and the epoch has steps of them, at least 1. It is a function of these two, of the
// configuration and of the state: the same after a Restore, bit for bit.
func (s *Schedule) Rate(step, steps int) float32 {
	done := s.state.Epochs*steps + step
	warmup := s.config.WarmupSteps + s.config.WarmupEpochs*steps
	rate := s.settled(done-warmup, s.config.Epochs*steps-warmup)
	if done < warmup {
		rate *= float64(done+1) / float64(warmup)
	}
	return float32(rate)
}

// settled returns the rate without its warm-up. A decay has gone done of its steps.
func (s *Schedule) settled(done, steps int) float64 {
	c := &s.config
	share := 1.0
	switch {
	case done < 0: // within the warm-up, even one that leaves nothing for the decay
		share = 0
	case done < steps:
		share = float64(done) / float64(steps)
	}
	switch c.Kind {
	case Linear:
		return c.Final + float64((c.Base-c.Final)*(1-share))
	case Cosine:
		return c.Final + float64((c.Base-c.Final)*(1+math.Cos(math.Pi*share))/2)
	case Poly:
		return c.Final + float64((c.Base-c.Final)*math.Pow(1-share, c.Power))
	}
	drops := s.state.Drops
	if c.Kind == Step {
		for _, epoch := range c.DropAt {
			if s.state.Epochs >= epoch {
				drops++
			}
		}
	}
	rate := c.Base
	for range drops {
		rate *= c.Factor
	}
	return rate
}

// EndEpoch moves the schedule on to the next epoch. It is called once after each
// epoch. valError is the top-1 validation error in [0, 1] after that epoch, or NaN
// when there was no validation; a plateau counts that as no improvement.
func (s *Schedule) EndEpoch(valError float64) {
	s.state.Epochs++
	if s.config.Kind != Plateau || s.state.Done {
		return
	}
	if s.state.Best == nil && !math.IsNaN(valError) || s.state.Best != nil && valError < *s.state.Best {
		s.state.Best, s.state.Waited = &valError, 0
		return
	}
	s.state.Waited++
	if s.state.Waited < s.config.Patience {
		return
	}
	s.state.Waited = 0
	switch {
	case s.state.Drops < s.config.MaxDrops:
		s.state.Drops++
	case s.config.Stop:
		s.state.Done = true
	}
}

// Done reports whether the schedule asks for the end of the training.
func (s *Schedule) Done() bool { return s.state.Done }

// State returns the state as JSON, for Restore.
func (s *Schedule) State() (json.RawMessage, error) {
	data, err := json.Marshal(s.state)
	if err != nil {
		return nil, fmt.Errorf("state of the learning-rate schedule: %w", err)
	}
	return data, nil
}

// Restore continues from a State of a schedule of the same configuration. On error
// nothing has changed.
func (s *Schedule) Restore(data json.RawMessage) error {
	var st state
	if err := json.Unmarshal(data, &st); err != nil {
		return fmt.Errorf("state of the learning-rate schedule: %w", err)
	}
	if st.Epochs < 0 || st.Waited < 0 || st.Drops < 0 || st.Drops > s.config.MaxDrops {
		return fmt.Errorf("state of the learning-rate schedule: %s does not belong to a %s schedule of at most %d drops",
			data, s.config.Kind, s.config.MaxDrops)
	}
	s.state = st
	return nil
}
