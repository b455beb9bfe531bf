// Package engine chooses what computes: the CPU engine, or in a build with the tag gpu
// and on a machine with a GPU, that one. All commands make their engines here.
package engine

import (
	"errors"
	"fmt"

	"alexnet/model"
	"alexnet/model/cpu"
	"alexnet/model/gpu"
	"alexnet/model/gpu/kernels"
	"alexnet/records"
	"alexnet/train/collective"
)

// Device says what is to compute.
type Device string

// The devices. Auto is a GPU where there is one that this build can use, else the
// processor.
const (
	Auto Device = "auto"
	CPU  Device = "cpu"
	GPU  Device = "gpu"
)

// Options says which engine is wanted.
type Options struct {
	Device    Device // "" means Auto
	Batch     int    // largest number of images of one call
	Threads   int    // of the CPU engine; 0 means one a processor
	Seed      uint64 // of dropout's masks, and of the initial weights if none are given
	Precision string // "fp32", "bf16" or, on a GPU, "tf32"

	// Ranks are those of a run, each of which makes an engine like this one, for it to sum
	// the gradient of each Backward over them (model.ReducingEngine), if it can; nil for
	// an engine on its own.
	Ranks collective.Group

	// Staged are the records whose batches will be staged, if any, and Travel what their
	// images come to a GPU as.
	Staged *records.Dataset
	Travel Travel
}

// Travel is what images come to a GPU as.
type Travel string

// What images may travel as. Stored is the fewest bytes: the GPU subtracts the mean and
// shifts the colours.
const (
	Stored   Travel = "stored" // as they are in the records; also what "" means
	BFloat16 Travel = "bfloat16"
	Float32  Travel = "float32"
)

// About is what people want to know about an engine.
type About struct {
	Name      string // "CPU: oneDNN 2.6.3, 2 threads"
	Hint      string // what would make it faster, or why it is not the one that was hoped for
	Precision string // "fp32", "bf16", "tf32"
}

// New makes the engine of a net that starts from st, as cpu.New and gpu.New do. With
// Ranks it is called by all of them with the same device, and waits for the others unless
// that is the CPU.
func New(net *model.Net, st model.State, o Options) (model.Engine, About, error) {
	hint := ""
	machine, err := open(o.Device)
	if differ := o.alike(machine != nil); differ != nil {
		if machine != nil {
			err = machine.Close()
		}
		return nil, About{}, errors.Join(differ, err)
	}
	if machine != nil {
		return onGPU(machine, net, st, o)
	}
	if err != nil {
		var not *gpu.NotBuiltError
		switch {
		case o.Device == GPU:
			return nil, About{}, fmt.Errorf("--device gpu: %w", err)
		case !errors.As(err, &not):
			hint = fmt.Sprintf("computing on the CPU: %v", err)
		}
	}
	if o.Precision == string(gpu.TF32) {
		return nil, About{}, errors.New("precision tf32 is a GPU's: use fp32 or bf16 on the CPU")
	}
	own := cpu.Options{Batch: o.Batch, Threads: o.Threads, Seed: o.Seed, Precision: cpu.Precision(o.Precision)}
	if o.Ranks != nil && o.Ranks.World() > 1 {
		own.Reducer = collective.NewReducer(o.Ranks)
	}
	e, err := cpu.New(net, st, own)
	if err != nil {
		return nil, About{}, err
	}
	if hint == "" {
		hint = e.Hint()
	}
	return e, About{Name: e.Name(), Hint: hint, Precision: string(e.Precision())}, nil
}

// alone is a GPU engine that has its machine for itself.
type alone struct {
	*gpu.Engine
	machine *gpu.Machine
	sums    gpu.Communicator // nil but for one of several ranks
}

// Close implements model.Engine.
func (a *alone) Close() error {
	if a.machine == nil {
		return nil
	}
	err := errors.Join(a.Engine.Close(), release(a.machine, a.sums))
	a.machine = nil
	return err
}

// release closes a machine and what connects it with others, if anything does.
func release(m *gpu.Machine, sums gpu.Communicator) error {
	var errs []error
	if sums != nil {
		errs = append(errs, sums.Close())
	}
	return errors.Join(append(errs, m.Close())...)
}

// onGPU makes the GPU engine. It closes the machine if that fails.
func onGPU(machine *gpu.Machine, net *model.Net, st model.State, o Options) (model.Engine, About, error) {
	own := gpu.Options{Machine: machine, Batch: o.Batch, Seed: o.Seed, Precision: gpu.Precision(o.Precision)}
	ds := o.Staged
	switch {
	case ds == nil || o.Travel == Float32:
	case o.Travel == BFloat16:
		own.Travel = kernels.PlanarBFloat16
	default:
		m := ds.Manifest
		own.Travel = kernels.StoredUint8
		if m.Pixels.Size() == 2 {
			own.Travel = kernels.StoredInt16
		}
		own.Pictures = gpu.Pictures{Height: m.Shape.H, Width: m.Shape.W, Sub: ds.Mean.Subtrahend(m.Pixels)}
	}
	sums, hint, err := o.join(machine)
	if err != nil {
		return nil, About{}, errors.Join(err, machine.Close())
	}
	if sums != nil {
		own.Reducer = sums
	}
	e, err := gpu.New(net, st, own)
	if err != nil {
		return nil, About{}, errors.Join(err, release(machine, sums))
	}
	about := About{Name: e.Name(), Hint: hint, Precision: string(e.Precision())}
	if sums != nil {
		about.Name += ", summing by " + sums.Name()
	}
	return &alone{e, machine, sums}, about, nil
}
