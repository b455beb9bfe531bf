package engine

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"alexnet/model/gpu"
	"alexnet/train/collective"
)

// open opens the GPU that this process of its machine takes, unless none is wanted.
func open(d Device) (*gpu.Machine, error) {
	if d == CPU {
		return nil, nil
	}
	return gpu.OpenLocal(collective.LocalRank(os.Getenv))
}

// several reports whether the engine is one of several ranks'.
func (o *Options) several() bool { return o.Ranks != nil && o.Ranks.World() > 1 }

// alike returns an error unless all ranks compute on GPUs, or none does: each of them has
// to know where sums are made. It waits for the others, which want the same device.
func (o *Options) alike(onGPU bool) error {
	if !o.several() || o.Device == CPU {
		return nil
	}
	own := []byte{0}
	if onGPU {
		own[0] = 1
	}
	all, err := o.Ranks.AllGather(own)
	if err != nil {
		return err
	}
	with, without := slices.Index(all, 1), slices.Index(all, 0)
	if with < 0 || without < 0 {
		return nil
	}
	return fmt.Errorf("rank %d has a GPU that it can use and rank %d has none: start all ranks on machines with as many GPUs as ranks, or all with --device cpu", with, without)
}

// join connects the GPU of this rank with those of the others. It returns nil where they
// have no way to each other, and what to say about it: the gradient is then summed through
// the host's memory, by whoever trains.
func (o *Options) join(m *gpu.Machine) (gpu.Communicator, string, error) {
	if !o.several() {
		return nil, "", nil
	}
	c, err := m.Connect(o.Ranks)
	var detached *gpu.DetachedError
	switch {
	case errors.As(err, &detached):
		return nil, fmt.Sprintf("the ranks sum gradients through the memory of the host, which takes long: %v", err), nil
	case err != nil:
		return nil, "", err
	}
	return c, "", nil
}
