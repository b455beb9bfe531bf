package gpu

import (
	"cmp"
	"errors"
	"fmt"

	"alexnet/model/gpu/device"
)

// The passes of a Part.
const (
	PassImages   = "images"   // what they must go through before the first layer
	PassForward  = "forward"  // with bias and activation
	PassBackward = "backward" // of a layer without weights
	PassBias     = "bias"     // backward through the activation, and the gradient of the bias
	PassWeights  = "weights"  // the gradient of the weights
	PassData     = "data"     // the gradient of the layer's input
	PassUpdate   = "update"
)

// Part is where time goes in a step.
type Part struct {
	Layer        string // empty for what is no layer's
	Pass         string
	Milliseconds float64 // of the device's time, the mean of the steps that were looked at
}

// marks are the events before the parts of a step, and behind the last.
type marks struct {
	dev    device.Device
	parts  []Part
	events []device.Event
	next   int
}

// note marks the beginning of a part, when Profile runs.
func (p *program) note(s device.Stream, layer, pass string) error {
	if p.marks == nil {
		return nil
	}
	return p.marks.mark(s, layer, pass)
}

func (m *marks) mark(s device.Stream, layer, pass string) error {
	if m.next == len(m.events) {
		event, err := m.dev.NewEvent()
		if err != nil {
			return err
		}
		m.events, m.parts = append(m.events, event), append(m.parts, Part{Layer: layer, Pass: pass})
	}
	m.next++
	return s.Record(m.events[m.next-1])
}

// Profile takes so many steps of training on the images of the last Backward, call by
// call and not as a graph, and returns where their time goes. Parts that are shorter than
// it takes to queue them, some microseconds, seem longer than they are in a graph. The
// engine's weights and velocities are the same afterwards; its gradient is used up.
func (e *Engine) Profile(n int) (parts []Part, err error) {
	switch {
	case e.closed:
		return nil, fmt.Errorf("profile: %w", ErrClosed)
	case !e.graded:
		return nil, errors.New("profile: call Backward first")
	case n < 1:
		return nil, fmt.Errorf("profile: %d steps: at least 1 is needed", n)
	}
	st, err := e.State()
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	m := &marks{dev: e.device}
	e.train.marks = m
	defer func() {
		e.train.marks = nil
		for _, event := range m.events {
			err = errors.Join(err, event.Close())
		}
		err = errors.Join(err, e.Restore(st))
	}()
	e.settings.Rate, e.settings.Momentum, e.settings.Decay = 1e-6, 0.9, 0
	for range n {
		if err := m.step(e); err != nil {
			return nil, fmt.Errorf("profile: %w", err)
		}
		for i := range len(m.parts) - 1 {
			ms, err := m.events[i+1].Since(m.events[i])
			if err != nil {
				return nil, fmt.Errorf("profile: %w", err)
			}
			m.parts[i].Milliseconds += ms / float64(n)
		}
	}
	return m.parts[:len(m.parts)-1], nil
}

// step takes a step, marked.
func (m *marks) step(e *Engine) error {
	m.next = 0
	p := &e.params
	return cmp.Or(e.send(), e.train.queue(e.stream, e.source), m.mark(e.stream, "", PassUpdate),
		e.update(), m.mark(e.stream, "", ""), e.stream.Clear(p.flags, 4*len(p.list)), e.stream.Sync())
}
