// Package kernels has the GPU engine's own kernels: everything of a net but
// convolutions and products of matrices, which vendors' libraries compute.
//
// They are written in CUDA C++ (the .cu files beside this one) and kept as PTX, the
// portable assembly that a GPU's driver compiles when it is loaded, so that neither a
// compiler nor a toolkit is needed to build or to run: kernels.ptx is made by clang
// alone, without any part of CUDA, for GPUs of compute capability 8.0 (A100) and later.
//
// Load brings them onto a device. The methods of the Set then queue one kernel each
// (two at most) on a stream, and return errors for shapes that cannot be. Feature maps
// are N x H x W x C in memory, of float32 or bfloat16; all arithmetic is in float32.
// Nothing in them depends on which thread comes first: the same input gives the same
// bits.
package kernels

import (
	_ "embed"
	"errors"
	"fmt"

	"alexnet/model/gpu/device"
)

//go:generate sh -c "cd _gen && go run . -out ../kernels.ptx"

//go:embed kernels.ptx
var embeddedPTX string

// Set is the kernels on a device.
type Set struct {
	module  device.Module
	kernels map[string]device.Kernel
}

// Load loads the kernels onto a device. An error lists all kernels that the device did
// not find.
func Load(d device.Device) (*Set, error) {
	module, err := d.Load(embeddedPTX)
	if err != nil {
		return nil, fmt.Errorf("kernels: loading them onto %s: %w", d.Info().Name, err)
	}
	k := &Set{module: module, kernels: map[string]device.Kernel{}}
	var missing []error
	for _, name := range entries() {
		kernel, err := module.Kernel(name)
		if err != nil {
			missing = append(missing, fmt.Errorf("%s: %w", name, err))
			continue
		}
		k.kernels[name] = kernel
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("kernels: %d are missing on %s: %w", len(missing), d.Info().Name,
			errors.Join(append(missing, module.Unload())...))
	}
	return k, nil
}

// Close unloads the kernels. All their work must be done.
func (k *Set) Close() error { return k.module.Unload() }

// entries returns the names of all kernels.
func entries() []string {
	names := []string{"bias_sums", "keep", "narrow", "narrow_v", "set_control", "update", "widen", "widen_v"}
	add := func(names ...string) func(suffixes ...string) []string {
		return func(suffixes ...string) (all []string) {
			for _, n := range names {
				for _, s := range suffixes {
					all = append(all, n+s)
				}
			}
			return all
		}
	}
	one, vector := []string{"_f32", "_bf16"}, []string{"_f32v", "_bf16v"}
	for _, act := range []Act{None, ReLU, Tanh} {
		each := add("bias_"+act.String(), "activate_"+act.String(), "backward_"+act.String())
		names = append(append(names, each(one...)...), each(vector...)...)
	}
	names = append(names, add("scale", "pool_forward", "pool_backward")(append(one, vector...)...)...)
	names = append(names, add("lrn_forward", "lrn_backward", "pool_forward3", "pool_backward3", "dropout_line")(vector...)...)
	names = append(names, add("lrn_any_forward", "lrn_any_backward", "lrn_within_forward", "lrn_within_backward", "lrn_within_large",
		"dropout_map", "softmax_loss", "prepare_float", "prepare_bfloat", "prepare_uint8", "prepare_int16")(one...)...)
	return names
}

// launch queues a kernel.
func (k *Set) launch(s device.Stream, name string, g device.Grid, args device.Args) error {
	kernel, ok := k.kernels[name]
	if !ok {
		return fmt.Errorf("kernels: there is no kernel %s", name)
	}
	if err := s.Launch(kernel, g, args); err != nil {
		return fmt.Errorf("kernels: %s: %w", name, err)
	}
	return nil
}

// fault is the error of a shape that cannot be.
func fault(method, format string, args ...any) error {
	return fmt.Errorf("kernels: %s: %s", method, fmt.Sprintf(format, args...))
}
