//go:build gpu

package gpu

import (
	"errors"

	"alexnet/model/gpu/cuda"
	"alexnet/model/gpu/nvidia"
)

// Count returns how many GPUs this process sees.
func Count() (int, error) { return cuda.Count() }

// OpenLocal is Open for the process of that number, from 0, of those that have been started
// on this machine: of n GPUs that it sees it takes that number modulo n.
func OpenLocal(process int) (*Machine, error) {
	n, err := Count()
	if err != nil {
		return nil, err
	}
	return Open(process % max(n, 1))
}

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
	return &Machine{Device: d, Library: l, Join: func(ranks Ranks) (Communicator, error) { return join(d, ranks) }}, nil
}

// join connects the GPU with those of other ranks by NCCL.
func join(d *cuda.Device, ranks Ranks) (Communicator, error) {
	c, err := nvidia.JoinRanks(ranks, nvidia.RanksOptions{Bind: d.Do, Device: d})
	var missing *nvidia.MissingError
	switch {
	case errors.As(err, &missing):
		return nil, &DetachedError{Err: err}
	case err != nil:
		return nil, err
	}
	return c, nil
}
