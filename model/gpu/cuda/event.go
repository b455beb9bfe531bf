//go:build gpu && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"

	"gorgonia.org/cu"

	"alexnet/model/gpu/device"
)

// event is a CUDA event.
type event struct {
	*resource
	cu cu.Event
}

// NewEvent makes an event that keeps its time, and for which a thread waits without
// using its processor: the processors are for those who prepare the next batch.
func (d *Device) NewEvent() (device.Event, error) {
	e := &event{}
	err := d.do(func() (err error) {
		e.cu, err = cu.MakeEvent(cu.BlockingSyncEvent)
		return check("cuEventCreate", err)
	})
	if err != nil {
		return nil, err
	}
	e.resource = d.add(events, func() error { return check("cuEventDestroy", cu.DestroyEvent(&e.cu)) })
	return e, nil
}

// event returns one of this device's events.
func (d *Device) event(e device.Event) (*event, error) {
	ev, ok := e.(*event)
	if !ok || ev.dev != d {
		return nil, fmt.Errorf("an event (%T) of another device", e)
	}
	return ev, nil
}

// Sync waits for the event.
func (e *event) Sync() error {
	return e.dev.do(func() error { return check("cuEventSynchronize", e.cu.Synchronize()) })
}

// Done reports whether it has come.
func (e *event) Done() (bool, error) {
	done := true
	err := e.dev.do(func() error {
		err := e.cu.Query()
		if errors.Is(err, cu.NotReady) {
			done, err = false, nil
		}
		return check("cuEventQuery", err)
	})
	return done && err == nil, err
}

// Since returns the milliseconds from an earlier event.
func (e *event) Since(earlier device.Event) (ms float64, err error) {
	start, err := e.dev.event(earlier)
	if err != nil {
		return 0, err
	}
	err = e.dev.do(func() error {
		ms, err = start.cu.Elapsed(e.cu)
		return check("cuEventElapsedTime", err)
	})
	return ms, err
}
