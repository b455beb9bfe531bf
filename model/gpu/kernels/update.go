package kernels

import "alexnet/model/gpu/device"

// Chunk is the number of values that Update takes at a time. Each parameter begins at a
// multiple of it.
const Chunk = 1024

// The flags that Update gives a parameter.
const (
	BadGradient = 1 // a gradient is not finite
	BadWeight   = 2 // a weight or a velocity is not finite, before or after
)

// Update is model.Hyper.Apply on all parameters, bit for bit, with the rate, momentum and
// decay in control: w, v and g are float32 of chunks*Chunk values each, zeros where they
// belong to no parameter. owner has the number of each chunk's parameter (uint32), segments
// the multipliers of each parameter's rate and decay (two float32), and flags a uint32 a
// parameter, into which BadGradient and BadWeight are or-ed. If half is not 0 it gets the
// new weights, rounded to bfloat16.
func (k *Set) Update(s device.Stream, w, v, g, half, owner, segments, flags, control device.Ptr, chunks int) error {
	switch {
	case chunks < 0 || chunks > mostBlocksX:
		return fault("Update", "%d chunks", chunks)
	case !aligned(16, w, v, g) || !aligned(8, half):
		return fault("Update", "the arrays must lie at multiples of 16 bytes")
	case chunks == 0:
		return nil
	}
	return k.launch(s, "update", device.Grid{Blocks: [3]int{chunks}, Threads: [3]int{Chunk / 4}},
		device.Args(nil).Ptr(w, v, g, half, owner, segments, flags, control))
}
