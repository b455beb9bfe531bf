package model

import "slices"

// Tensor is a named dense array of float32 in row-major order. Parameters are
// named as in ParamSpec.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// Clone returns a copy that shares nothing with t.
func (t Tensor) Clone() Tensor {
	return Tensor{Name: t.Name, Shape: slices.Clone(t.Shape), Data: slices.Clone(t.Data)}
}

// State is all that training changes in a net: the weights and the velocities of
// the momentum, both in the order of Net.Params. Velocity may be nil, which means
// zeros.
type State struct {
	Weights  []Tensor
	Velocity []Tensor
}
