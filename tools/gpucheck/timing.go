package main

import (
	"context"
	"slices"
	"time"
)

// timed is the speed of a step that was repeated.
type timed struct {
	median, slowest, fastest float64 // images a second
}

// stepMS returns the milliseconds of the median's step.
func (t timed) stepMS(images int) float64 { return 1000 * float64(images) / t.median }

// pace is how long something is measured: repetitions of about so much time each, of which
// the median counts, after warm steps.
type pace struct {
	each              time.Duration
	repetitions, warm int
}

// pace returns that of a GPU, or of what stands in for one, whose speed says nothing.
func (s *site) pace(each time.Duration) pace {
	if s.standsIn {
		return pace{time.Nanosecond, 1, 1}
	}
	return pace{each, 5, 3}
}

// timeSteps measures a step of so many images. It ends early, but not without a few
// repetitions, when ctx is done.
func timeSteps(ctx context.Context, images int, p pace, step func() error) (t timed, err error) {
	over := func() bool { return ctx.Err() != nil }
	began := time.Now()
	for n := 0; n < p.warm || time.Since(began) < p.each && !over(); n++ {
		if err := step(); err != nil {
			return t, err
		}
	}
	// The first steps were slow: they made what later ones use.
	began = time.Now()
	if err := step(); err != nil {
		return t, err
	}
	perStep := time.Since(began)
	count := max(1, int(p.each/max(perStep, time.Microsecond)))
	var rates []float64
	for i := range p.repetitions {
		if i >= 3 && over() {
			break
		}
		began := time.Now()
		for range count {
			if err := step(); err != nil {
				return t, err
			}
		}
		rates = append(rates, float64(images*count)/time.Since(began).Seconds())
	}
	slices.Sort(rates)
	return timed{rates[len(rates)/2], rates[0], rates[len(rates)-1]}, nil
}
