package soft

import (
	"errors"
	"fmt"

	"alexnet/model/gpu/device"
)

// Event stands for a point in the work of a stream of a Device.
type Event struct {
	d      *Device
	handle *handle
	last   *operation // its last Record
}

var _ device.Event = (*Event)(nil)

var errForeign = errors.New("it is of another device")

// NewEvent returns an event that was not recorded.
func (d *Device) NewEvent() (device.Event, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ready("NewEvent"); err != nil {
		return nil, err
	}
	e := &Event{d: d, handle: d.open(fmt.Sprintf("event %d", d.counters.Events))}
	d.counters.Events++
	return e, nil
}

// event returns the device's own event, which is not closed.
func (d *Device) event(event device.Event, call string) (*Event, error) {
	e, ok := event.(*Event)
	if !ok || e.d != d {
		return nil, fmt.Errorf("soft: %s of the event: %w", call, errForeign)
	}
	return e, e.handle.usable(call)
}

// ready is called with the lock held at the start of all methods.
func (e *Event) ready(call string) error {
	if err := e.handle.usable(call); err != nil {
		return err
	}
	return e.d.ready(call)
}

// comes returns an error when nobody can wait for the event.
func (e *Event) comes(call string) error {
	if e.last != nil && e.last.capture != nil {
		if !e.last.capture.ended {
			return e.last.capture.forbid(call)
		}
		return fmt.Errorf("soft: %s of the %v: it was recorded in a capture (%v)", call, e.handle, e.last)
	}
	return nil
}

// Sync does the work that the event stands for. It returns what went wrong in work of any
// stream.
func (e *Event) Sync() error {
	d := e.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := e.ready("Sync"); err != nil {
		return err
	}
	if err := e.comes("Sync"); err != nil {
		return err
	}
	d.counters.Syncs++
	if e.last != nil {
		d.force(e.last)
		d.known.join(e.last.clock)
	}
	return d.settled("Sync")
}

// Done reports whether the event has come. It does nothing for it, but each Options.Polls
// times that it reports false, a piece of work that the event waits for is done. It
// returns what went wrong in work of any stream.
func (e *Event) Done() (bool, error) {
	d := e.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := e.ready("Done"); err != nil {
		return false, err
	}
	if err := e.comes("Done"); err != nil {
		return false, err
	}
	d.counters.Polls++
	if e.last == nil {
		return true, d.settled("Done")
	}
	if e.last.done {
		d.known.join(e.last.clock)
		return true, d.settled("Done")
	}
	if d.polls++; d.polls >= d.options.Polls {
		d.polls = 0
		for !e.last.done && !d.step(e.last) {
			continue // markers are no work
		}
	}
	return false, d.settled("Done")
}

// Since returns how many pieces of work the device did between an earlier event and this
// one. It is an error when either has not come.
func (e *Event) Since(earlier device.Event) (float64, error) {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	if err := e.ready("Since"); err != nil {
		return 0, err
	}
	f, err := e.d.event(earlier, "Since")
	if err != nil {
		return 0, err
	}
	for _, e := range []*Event{e, f} {
		if err := e.comes("Since"); err != nil {
			return 0, err
		}
		if e.last == nil || !e.last.done {
			return 0, fmt.Errorf("soft: Since: the %v has not come", e.handle)
		}
	}
	return e.last.time - f.last.time, nil
}

// Close frees the event. Who waits for it goes on to do so.
func (e *Event) Close() error {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	if err := e.ready("Close"); err != nil {
		return err
	}
	return e.d.close(e.handle)
}
