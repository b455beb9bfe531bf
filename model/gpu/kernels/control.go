package kernels

import (
	"encoding/binary"
	"math"

	"alexnet/model/gpu/device"
)

// Type is the type of a feature map's values.
type Type int

// The types of values.
const (
	Float32 Type = iota
	BFloat16
)

// Bytes returns the size of a value.
func (t Type) Bytes() int {
	if t == BFloat16 {
		return 2
	}
	return 4
}

// String returns the type as the kernels' names have it.
func (t Type) String() string {
	if t == BFloat16 {
		return "bf16"
	}
	return "f32"
}

// lanes is how many values 16 bytes hold.
func (t Type) lanes() int { return 16 / t.Bytes() }

// Act is an activation.
type Act int

// The activations.
const (
	None Act = iota
	ReLU
	Tanh
)

// String returns the activation as the kernels' names have it.
func (a Act) String() string {
	switch a {
	case ReLU:
		return "ReLU"
	case Tanh:
		return "Tanh"
	}
	return "None"
}

// Map is the shape of feature maps, which lie N x H x W x C in memory, without gaps.
type Map struct{ N, H, W, C int }

// size is the number of values of an image.
func (m Map) size() int { return m.H * m.W * m.C }

// Control is what changes from step to step. It lies in the device's memory, and kernels
// read it when they run: what was captured as a graph stays the same.
type Control struct {
	// Step is the step that dropout's masks are of.
	Step uint64
	// First is the place that the first image has in the whole batch, for dropout's masks: 0
	// but where the batch is a slice of a larger one.
	First uint64
	// Source is where the batch's images are, as they travelled (Source), and Views where
	// their Placements are, one an image; the latter for stored values only.
	Source device.Ptr
	Views  device.Ptr
	// Labels is where the batch's labels are, an int32 an image: -1 for none. Where it is
	// 0 no image has one.
	Labels device.Ptr
	// LossScale multiplies the gradient of each labelled image's loss: 1 over their number.
	LossScale float32
	// Rate, Momentum and Decay are those of model.Hyper.
	Rate, Momentum, Decay float32
}

// ControlBytes is the size of a Control in the device's memory, where it lies at a
// multiple of 8.
const ControlBytes = 56

// Put writes c as it is in the device's memory to the beginning of b.
func (c Control) Put(b []byte) {
	for i, v := range [...]uint64{c.Step, c.First, uint64(c.Source), uint64(c.Views), uint64(c.Labels)} {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
	for i, v := range [...]float32{c.LossScale, c.Rate, c.Momentum, c.Decay} {
		binary.LittleEndian.PutUint32(b[40+4*i:], math.Float32bits(v))
	}
}

// SetControl writes c to the device's memory. It travels with the launch, so that it need
// not wait for copies of batches that are on their way.
func (k *Set) SetControl(s device.Stream, at device.Ptr, c Control) error {
	if !aligned(8, at) {
		return fault("SetControl", "it must lie at a multiple of 8, not at %#x", at)
	}
	return k.launch(s, "set_control", device.Grid{}, device.Args(nil).Ptr(at).Word(c.Step, c.First).Ptr(c.Source, c.Views, c.Labels).
		Float(c.LossScale, c.Rate, c.Momentum, c.Decay))
}

// Placement says what was made of a stored picture, and what is still to be: where the
// crop lay in it, whether it was mirrored (Flip is not 0), and the shift of the colours of
// the first three channels, as augment.Params.
type Placement struct {
	Top, Left, Flip int32
	Shift           [3]float32
}

// PlacementBytes is the size of a Placement in the device's memory, where it lies at a
// multiple of 4.
const PlacementBytes = 24

// Put writes p as it is in the device's memory to the beginning of b.
func (p Placement) Put(b []byte) {
	for i, v := range [...]int32{p.Top, p.Left, p.Flip} {
		binary.LittleEndian.PutUint32(b[4*i:], uint32(v))
	}
	for i, v := range p.Shift {
		binary.LittleEndian.PutUint32(b[12+4*i:], math.Float32bits(v))
	}
}
