package soft

import (
	"errors"

	"alexnet/model/gpu/device"
)

// Load is not there yet.
func (d *Device) Load(string) (device.Module, error) {
	return nil, errors.New("soft: Load: not built yet")
}

// Launch is not there yet.
func (s *Stream) Launch(device.Kernel, device.Grid, []uint64) error {
	return errors.New("soft: Launch: not built yet")
}
