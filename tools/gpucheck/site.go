package main

import (
	"errors"
	"fmt"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/model/cpu"
	"alexnet/model/golden"
	"alexnet/model/gpu"
	"alexnet/model/gpu/device"
)

// The precisions of the issue.
const (
	fp32 = "fp32"
	tf32 = "tf32"
	bf16 = "bf16"
)

// settings are those of an engine, whatever makes it.
type settings struct {
	batch     int
	seed      uint64
	precision string
	anyOrder  bool           // sums may come out differently each time
	dense     bool           // groups of convolutions are made of zeros
	library   device.Library // another one than the site's; nil: that
	travel    augment.Type   // of staged images
	pictures  *pictures      // what stored ones were cut from
}

// site is where engines are made: a GPU, or what stands in for one.
type site struct {
	scale
	ordinal    int
	machine    *gpu.Machine                   // nil on a CPU
	second     func() (*gpu.Machine, error)   // another one; nil on a CPU
	about      map[string]string              // facts for the heading
	device     device.Device                  // nil on a CPU
	library    device.Library                 // nil on a CPU
	measuring  func() (device.Library, error) // one that chooses algorithms by running them; nil where there is none
	memory     *counted                       // device, when it is there
	capacity   func(error) (fits int, ok bool)
	precisions []string
	open       func(*model.Net, model.State, settings) (model.Engine, error)
	close      func() error

	initial struct { // weights, which take a while to draw
		net   string
		state model.State
	}
}

// start returns the initial state of a net.
func (s *site) start(net *model.Net) model.State {
	const seed = 1
	if s.initial.net != net.Name {
		s.initial.net, s.initial.state = net.Name, model.State{Weights: net.Init(seed)}
	}
	return s.initial.state
}

// scale is how much work a site can take.
type scale struct {
	goldens  []string
	net      func() (*model.Net, error) // of the checks that need any net
	batch    int
	large    int // a batch for which libraries choose other algorithms
	steps    int // of two runs that are to be the same
	cycles   int // of making and closing an engine
	standsIn bool
}

// openSite opens what --device names.
func openSite(kind string, ordinal int) (*site, error) {
	switch kind {
	case "gpu":
		return openGPU(ordinal)
	case "soft":
		return openSoft()
	}
	return openCPU()
}

// full is the scale of a GPU.
func full() scale {
	return scale{goldens: golden.Names(), batch: 64, large: 128, steps: 20, cycles: 200,
		net: func() (*model.Net, error) { return model.Preset("alexnet", 1000) }}
}

// tiny is the scale of what stands in for one: a net with all that AlexNet has.
func tiny(goldens ...string) scale {
	return scale{goldens: goldens, batch: 3, large: 5, steps: 3, cycles: 5, standsIn: true, net: tinyNet}
}

// tinyNet returns a small net with the layers of AlexNet, dropout too.
func tinyNet() (*model.Net, error) {
	c, err := golden.Load("paper-order")
	if err != nil {
		return nil, err
	}
	for i := range c.Net.Layers {
		if l := &c.Net.Layers[i]; l.Kind == model.Dropout {
			l.Rate = 0.5
		}
	}
	return c.Net, nil
}

// openCPU makes engines of the CPU, for tests of this program.
func openCPU() (*site, error) {
	s := &site{scale: tiny(golden.SmallNames()...), precisions: []string{fp32}, close: func() error { return nil },
		about: map[string]string{"device": "a CPU, standing in for a GPU"}}
	s.open = func(net *model.Net, st model.State, o settings) (model.Engine, error) { return newCPU(net, st, o) }
	return s, nil
}

// newCPU makes the engine that a GPU's is compared with.
func newCPU(net *model.Net, st model.State, o settings) (*cpu.Engine, error) {
	if o.precision != fp32 {
		return nil, fmt.Errorf("precision %q: the CPU's engine is here for %s only", o.precision, fp32)
	}
	return cpu.New(net, st, cpu.Options{Batch: o.batch, Seed: o.seed})
}

// with opens an engine, calls f with it and closes it.
func (s *site) with(net *model.Net, st model.State, o settings, f func(model.Engine) error) (err error) {
	e, err := s.open(net, st, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return f(e)
}
