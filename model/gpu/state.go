package gpu

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"alexnet/model"
	"alexnet/model/gpu/kernels"
)

func littleEndian(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

// mirror is memory of the host for weights and velocities, in the model's order.
type mirror struct{ weights, velocity [][]float32 }

// State implements model.StateEngine: the memory is of the host, and copied anew by each
// call.
func (e *Engine) State() (model.State, error) {
	if e.closed {
		return model.State{}, fmt.Errorf("state: %w", ErrClosed)
	}
	return e.read(e.reflection())
}

// Weights implements model.WeightsEngine: it copies half of what State does.
func (e *Engine) Weights() ([]model.Tensor, error) {
	if e.closed {
		return nil, fmt.Errorf("weights: %w", ErrClosed)
	}
	m := e.reflection()
	if err := e.params.read(&e.transfer, m.weights, e.params.weights); err != nil {
		return nil, fmt.Errorf("reading the weights: %w", err)
	}
	return e.tensors(m.weights), nil
}

// reflection returns the memory of State.
func (e *Engine) reflection() *mirror {
	if e.mirror == nil {
		e.mirror = &mirror{weights: e.params.room(), velocity: e.params.room()}
	}
	return e.mirror
}

// Snapshot implements model.Engine.
func (e *Engine) Snapshot() (model.State, error) {
	if e.closed {
		return model.State{}, fmt.Errorf("snapshot: %w", ErrClosed)
	}
	return e.read(&mirror{weights: e.params.room(), velocity: e.params.room()})
}

// read copies weights and velocities from the device to m.
func (e *Engine) read(m *mirror) (model.State, error) {
	err := cmp.Or(e.params.read(&e.transfer, m.weights, e.params.weights), e.params.read(&e.transfer, m.velocity, e.params.velocity))
	if err != nil {
		return model.State{}, fmt.Errorf("reading the state: %w", err)
	}
	return model.State{Weights: e.tensors(m.weights), Velocity: e.tensors(m.velocity)}, nil
}

// tensors names values in the model's order.
func (e *Engine) tensors(data [][]float32) []model.Tensor {
	ts := make([]model.Tensor, len(data))
	for i := range data {
		spec := &e.params.list[i].spec
		ts[i] = model.Tensor{Name: spec.Name, Shape: slices.Clone(spec.Shape), Data: data[i]}
	}
	return ts
}

// Restore implements model.Engine. What the tensors hold is checked before anything
// changes; when the device fails half-way, it is of no more use anyhow.
func (e *Engine) Restore(st model.State) error {
	if e.closed {
		return fmt.Errorf("restore: %w", ErrClosed)
	}
	if err := e.net.CheckTensors(st.Weights); err != nil {
		return err
	}
	if st.Velocity != nil {
		if err := e.net.CheckTensors(st.Velocity); err != nil {
			return fmt.Errorf("velocity: %w", err)
		}
	}
	e.graded, e.lent = false, nil
	p := &e.params
	err := p.write(&e.transfer, p.weights, data(st.Weights))
	if st.Velocity != nil {
		err = cmp.Or(err, p.write(&e.transfer, p.velocity, data(st.Velocity)))
	} else {
		err = cmp.Or(err, e.stream.Clear(p.velocity, 4*p.values()))
	}
	if p.half != 0 {
		err = cmp.Or(err, e.kernels.Narrow(e.stream, p.half, p.weights, p.values()))
	}
	if err = cmp.Or(err, e.stream.Sync()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

func data(ts []model.Tensor) [][]float32 {
	d := make([][]float32, len(ts))
	for i := range ts {
		d[i] = ts[i].Data
	}
	return d
}

// Gradients implements model.GradientEngine: a copy, which Update takes back.
func (e *Engine) Gradients() ([][]float32, error) {
	switch {
	case e.closed:
		return nil, fmt.Errorf("gradients: %w", ErrClosed)
	case !e.graded:
		return nil, errors.New("gradients: there are none: call Backward first")
	}
	if e.lent == nil {
		if e.room == nil {
			e.room = e.params.room()
		}
		if err := e.params.read(&e.transfer, e.room, e.params.gradient); err != nil {
			return nil, fmt.Errorf("gradients: %w", err)
		}
		e.lent = e.room
	}
	return e.lent, nil
}

// Features implements model.FeatureEngine: it runs a program for prediction that ends
// with the layer. Memory is kept for the layer that was asked for last.
func (e *Engine) Features(layer string, images []float32, n int, features []float32) error {
	index, shape, err := e.net.FeatureLayer(layer)
	if err != nil {
		return fmt.Errorf("features: %w", err)
	}
	if len(features) < n*shape.Size() {
		return fmt.Errorf("features: room for %d values of %d images with %d", len(features), n, shape.Size())
	}
	if e.features != nil && e.depth != index+1 {
		err := e.features.close()
		if e.features = nil; err != nil {
			return fmt.Errorf("features: %w", err)
		}
	}
	e.depth = index + 1
	if err := e.infer(&e.features, index+1, images, n); err != nil {
		return fmt.Errorf("features: %w", err)
	}
	out := e.features.nodes[len(e.features.nodes)-1].out
	if err := e.fetch(features, out, n); err != nil {
		return fmt.Errorf("features: %w", err)
	}
	return nil
}

// fetch copies the first n images of feature maps to the host, in the model's order.
func (e *Engine) fetch(to []float32, v value, n int) error {
	size, pixels := v.m.H*v.m.W*v.m.C, v.m.H*v.m.W
	raw := make([]byte, n*size*v.t.Bytes())
	if err := e.transfer.out(raw, v.at); err != nil {
		return err
	}
	for i := range to[:n*size] {
		at := i % size
		from := i - at + at%pixels*v.m.C + at/pixels
		if v.t == kernels.BFloat16 {
			to[i] = bfloat(binary.LittleEndian.Uint16(raw[2*from:]))
		} else {
			to[i] = floats(raw)[from]
		}
	}
	return nil
}

// Arithmetic implements model.ArithmeticEngine.
func (e *Engine) Arithmetic() string {
	order := ""
	if e.options.AnyOrder {
		order = ", any order"
	}
	for _, name := range e.grouped() {
		if e.dense[name] {
			order += ", " + name + " dense"
		}
	}
	info := e.device.Info()
	return fmt.Sprintf("%s, %s, %s, %s, batch %d%s", info.Name, info.Library, e.library.Name(), e.Precision(), e.batch, order)
}

// Name returns what computes, for people: "GPU: NVIDIA H200, cuDNN 9.10.2, cuBLAS
// 13.0.2, bf16".
func (e *Engine) Name() string {
	return fmt.Sprintf("GPU: %s, %s, %s", e.device.Info().Name, e.library.Name(), e.Precision())
}

// Precision returns what the engine computes with.
func (e *Engine) Precision() Precision {
	if e.options.Precision == "" {
		return FP32
	}
	return e.options.Precision
}
