// Package gpu trains and runs a model.Net on a GPU.
//
// A net is compiled to a list of calls: convolutions by cuDNN, products of matrices by
// cuBLAS, and everything else (cutting and mean, bias and activation, response
// normalisation, pooling, dropout, loss, update) by kernels of our own, package
// kernels. Feature maps lie as N x H x W x C, as tensor cores want them. The calls of a
// step are captured once and then run as one graph.
//
// The files: engine.go is the model.Engine; nodes.go and program.go compile; layout.go
// and params.go say how parameters lie in the device's memory; staging.go fetches the
// batches of the next steps while one is computed; reduce.go sums gradients over several
// GPUs; fault.go looks for what is not finite.
//
// The engine sees a GPU through package device only. With the build tag gpu, Open finds
// one of NVIDIA's (packages cuda and nvidia). Tests run the same engine, with the same
// PTX, on package soft's device, which needs no GPU.
//
// With the same device, libraries, batch and precision all results are the same bits in
// each run, unless Options.AnyOrder allows algorithms that add in no fixed order. Sums over
// several GPUs are the same bits on each of them, and in each run as far as what sums them
// keeps to an order.
package gpu

import (
	"errors"
	"fmt"

	"alexnet/model"
	"alexnet/model/gpu/device"
)

// ErrClosed is what the methods of a closed Engine return.
var ErrClosed = errors.New("the engine is closed")

// Machine is a GPU and the libraries that compute on it. Several engines may share it.
type Machine struct {
	Device  device.Device
	Library device.Library
	// Join makes its GPU one of those of several ranks, as Connect; nil where nothing can.
	Join func(Ranks) (Communicator, error)
}

// Ranks are the processes that train together, each on a GPU of its own, as one of them sees
// it: a collective.Group of package train/collective.
type Ranks interface {
	Rank() int
	World() int
	AllGather(own []byte) ([]byte, error)
}

// Communicator is a Reducer of GPUs that are connected. It is closed after the engines that
// it sums for, and before its machine.
type Communicator interface {
	Reducer
	Name() string // "NCCL 2.22.3"
	Close() error
}

// DetachedError says that the GPUs of several ranks have no way to each other: the same on
// all ranks, which can still sum what Gradients gives them.
type DetachedError struct{ Err error }

// Error says why.
func (e *DetachedError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *DetachedError) Unwrap() error { return e.Err }

// Connect makes the GPU one of those that sum together. All ranks call it, and it waits for
// them. It returns a *DetachedError on all of them where one has nothing to do it with.
func (m *Machine) Connect(ranks Ranks) (Communicator, error) {
	if m.Join == nil {
		return nil, &DetachedError{Err: errors.New("this machine has nothing that connects GPUs")}
	}
	return m.Join(ranks)
}

// Close frees both. Engines must be closed before it.
func (m *Machine) Close() error {
	return errors.Join(m.Library.Close(), m.Device.Close())
}

// Precision says what an engine computes with.
type Precision string

// The precisions. Weights, their gradients as they are summed up and applied,
// velocities, the update, logits, softmax and loss are float32 in all of them.
const (
	FP32 Precision = "fp32" // float32 throughout; also what "" means
	TF32 Precision = "tf32" // float32, but products of the first 11 bits of their factors
	BF16 Precision = "bf16" // feature maps, their gradients and a copy of the weights are bfloat16
)

// arithmetic returns what the libraries are asked for.
func (p Precision) arithmetic() (device.Arithmetic, error) {
	switch p {
	case FP32, "":
		return device.Float32, nil
	case TF32:
		return device.TensorFloat32, nil
	case BF16:
		return device.BFloat16, nil
	}
	return 0, fmt.Errorf("unknown precision %q: use %s, %s or %s", p, FP32, TF32, BF16)
}

// NotBuiltError says that a program was built without the GPU engine.
type NotBuiltError struct{}

// Error says how to build it with one.
func (*NotBuiltError) Error() string {
	return "this build has no GPU engine: build it on a machine with a C compiler by " +
		"`eval \"$(go run ./tools/cuda-headers)\" && go build -tags gpu ./train`, or use --device cpu"
}

// CapacityError says that a GPU's memory is too small for a batch.
type CapacityError struct {
	Batch int   // asked for
	Needs int64 // bytes that training needs
	Free  int64 // bytes that were free when the engine was made
	Fits  int   // the largest batch that would fit, perhaps 0
	Err   error // what the device said, if it was asked
}

// Error says which batch would fit.
func (e *CapacityError) Error() string {
	s := fmt.Sprintf("training with a batch of %d needs %d MiB of the GPU's memory, of which %d MiB are free", e.Batch, e.Needs>>20, e.Free>>20)
	if e.Fits > 0 {
		return s + fmt.Sprintf(": use a batch of at most %d", e.Fits)
	}
	return s + ": even a batch of one does not fit"
}

// Unwrap returns what the device said.
func (e *CapacityError) Unwrap() error { return e.Err }

// unsupported is the error for a layer that this engine cannot compute.
func unsupported(net *model.Net, l *model.Layer, problem string) error {
	return &model.LayerError{Net: net.Name, Layer: l.Name, Problem: problem + " on a GPU: use the CPU engine"}
}
