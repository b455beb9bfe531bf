//go:build gpu

package gpu

import (
	"errors"

	"alexnet/model/gpu/cuda"
	"alexnet/model/gpu/nvidia"
)

// Open opens the GPU of that number, from 0, and finds the libraries that compute on it.
// An error says what is missing and what to do.
func Open(ordinal int) (*Machine, error) {
	d, err := cuda.Open(ordinal)
	if err != nil {
		return nil, err
	}
	l, err := nvidia.Open(nvidia.Options{Bind: d.Do, Device: d})
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return &Machine{Device: d, Library: l}, nil
}
