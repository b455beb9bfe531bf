package main

import (
	"errors"
	"fmt"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/model/gpu"
	"alexnet/model/gpu/device"
	"alexnet/model/gpu/kernels"
	"alexnet/model/gpu/soft"
)

// openGPU opens a GPU.
func openGPU(ordinal int) (*site, error) {
	m, err := gpu.Open(ordinal)
	var build *gpu.NotBuiltError
	if errors.As(err, &build) {
		return nil, fmt.Errorf("%w; or try --device soft", err)
	}
	if err != nil {
		return nil, err
	}
	s := onMachine(m, full())
	s.ordinal = ordinal
	s.measuring = func() (device.Library, error) { return measuring(m.Device) }
	s.second = func() (*gpu.Machine, error) { return secondGPU(ordinal) }
	return s, nil
}

// openSoft opens a GPU made of plain Go, which executes the same kernels.
func openSoft() (*site, error) {
	const memory = 12 << 20
	made := func() *gpu.Machine {
		d := soft.Open(soft.Options{Memory: memory, Policy: soft.Random, Seed: 1, NoRaces: true})
		return &gpu.Machine{Device: d, Library: soft.NewLibrary(d), Join: joinSoft}
	}
	s := onMachine(made(), tiny("dropout", "odd-shapes"))
	d := s.machine.Device.(*soft.Device)
	s.second = func() (*gpu.Machine, error) { return made(), nil }
	s.precisions = []string{fp32, bf16}
	s.measuring = func() (device.Library, error) { return soft.NewLibrary(d), nil }
	return s, nil
}

// onMachine makes a site of a machine.
func onMachine(m *gpu.Machine, sc scale) *site {
	s := &site{scale: sc, machine: m, memory: count(m.Device), library: m.Library, precisions: []string{fp32, tf32, bf16}, close: m.Close, capacity: fits}
	s.device = s.memory
	own := &gpu.Machine{Device: s.memory, Library: m.Library}
	s.open = func(net *model.Net, st model.State, o settings) (model.Engine, error) {
		options := gpu.Options{Machine: own, Batch: o.batch, Seed: o.seed, Precision: gpu.Precision(o.precision), AnyOrder: o.anyOrder,
			Travel: travelling(o)}
		if o.library != nil {
			options.Machine = &gpu.Machine{Device: s.memory, Library: o.library}
		}
		if o.dense {
			options.Dense = inGroups(net)
		}
		if o.pictures != nil {
			options.Pictures = gpu.Pictures{Height: o.pictures.height, Width: o.pictures.width, Sub: o.pictures.sub}
		}
		e, err := gpu.New(net, st, options)
		if err != nil {
			return nil, err // not a nil engine in an interface
		}
		return e, nil
	}
	return s
}

// inGroups returns the names of a net's grouped convolutions.
func inGroups(net *model.Net) (names []string) {
	for i := range net.Layers {
		if l := &net.Layers[i]; l.Kind == model.Conv && l.GroupCount() > 1 {
			names = append(names, l.Name)
		}
	}
	return names
}

// travelling returns what staged images come as.
func travelling(o settings) kernels.Source {
	switch o.travel {
	case augment.BFloat16:
		return kernels.PlanarBFloat16
	case augment.Stored:
		if o.pictures.wide {
			return kernels.StoredInt16
		}
		return kernels.StoredUint8
	}
	return kernels.PlanarFloat32
}

// fits returns the batch that an error says would fit.
func fits(err error) (batch int, ok bool) {
	var e *gpu.CapacityError
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Fits, true
}
