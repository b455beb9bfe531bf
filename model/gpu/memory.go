package gpu

import (
	"errors"

	"alexnet/model/gpu/device"
)

// arena allocates memory of the device that is released together. A dry one only adds
// up.
type arena struct {
	dev   device.Device
	dry   bool
	bytes int64
	list  []device.Ptr
	err   error // the first; afterwards all addresses are zero
}

// grain is what the sizes of allocations are counted in.
const grain = 256

// alloc returns so many bytes.
func (a *arena) alloc(bytes int) device.Ptr {
	if bytes == 0 {
		return 0
	}
	a.bytes += (int64(bytes) + grain - 1) / grain * grain
	if a.dry || a.err != nil {
		return 0
	}
	var p device.Ptr
	if p, a.err = a.dev.Alloc(bytes); a.err != nil {
		return 0
	}
	a.list = append(a.list, p)
	return p
}

// release frees all.
func (a *arena) release() error {
	var errs []error
	for _, p := range a.list {
		errs = append(errs, a.dev.Release(p))
	}
	*a = arena{dev: a.dev}
	return errors.Join(errs...)
}
