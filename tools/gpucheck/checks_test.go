package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/model/cpu"
)

// faulty is an engine of the CPU with a fault.
type faulty struct {
	*cpu.Engine
	fault string
	made  int // how many were made before
	steps int
}

func (f *faulty) Backward(images []float32, labels []int32, step uint64) (model.Score, error) {
	s, err := f.Engine.Backward(images, labels, step)
	if f.fault == "counts" && err == nil {
		s.Top5++
	}
	return s, err
}

func (f *faulty) Update(h model.Hyper) error {
	f.steps++
	switch {
	case f.fault == "rate":
		h.LearningRate *= 1.01
	case f.fault == "differs" && f.steps == 2:
		h.LearningRate *= 1 + 1e-6*float32(f.made)
	case f.fault == "blind":
		if err := f.Engine.Update(h); !errors.As(err, new(*model.NotFiniteError)) {
			return err
		}
		return nil
	}
	return f.Engine.Update(h)
}

func (f *faulty) Restore(st model.State) error {
	if f.fault == "forgets" {
		st.Velocity = nil
	}
	return f.Engine.Restore(st)
}

func (f *faulty) Fault() string {
	if f.fault == "misleads" {
		return "conv1.weight"
	}
	return f.Engine.Fault()
}

func (f *faulty) Predict(images []float32, n int, probs []float32) error {
	err := f.Engine.Predict(images, n, probs)
	if f.fault == "predicts" {
		for i := range probs {
			probs[i] *= 1 + 0.01*float32(i%3)
		}
	}
	return err
}

// broken returns a site whose engines have a fault.
func broken(t *testing.T, fault string) *site {
	t.Helper()
	s, err := openCPU()
	if err != nil {
		t.Fatal(err)
	}
	s.goldens = []string{"dropout"}
	made := 0
	s.open = func(net *model.Net, st model.State, o settings) (model.Engine, error) {
		if fault == "forgets" {
			st.Velocity = nil
		}
		e, err := newCPU(net, st, o)
		if err != nil {
			return nil, err
		}
		made++
		return &faulty{Engine: e, fault: fault, made: made}, nil
	}
	return s
}

// results runs a part and returns what it found.
func results(t *testing.T, s *site, run func(context.Context, *site, *recorder) error) (all []result, failures string) {
	t.Helper()
	r := &recorder{each: func(res result) {
		all = append(all, res)
		if res.Status == failed {
			failures += res.What + ": " + res.Note + "\n"
		}
	}}
	if err := run(t.Context(), s, r); err != nil {
		t.Error(err)
	}
	return all, failures
}

// TestFaultsAreSeen: each fault of an engine fails the checks that are there for it.
func TestFaultsAreSeen(t *testing.T) {
	for _, c := range []struct {
		fault string
		run   func(context.Context, *site, *recorder) error
		want  string // in the failures; none: there is none
	}{
		{"", checkParity, ""},
		{"predicts", checkParity, "dropout, fp32: logits"},
		{"rate", checkParity, "dropout, fp32: 8 gradients"},
		{"rate", checkParity, "dropout, fp32: ten losses"},
		{"rate", checkParity, "beside the CPU: 4 losses"},
		{"counts", checkParity, "on the CPU"},
		{"rate", checkParity, "batch 5, beside the CPU: lengths of 16 gradients"},
		{"", checkRepeat, ""},
		{"differs", checkRepeat, "3 steps, twice"},
		{"forgets", checkRepeat, "gone on with"},
		{"", checkResume, ""},
		{"forgets", checkResume, "a state comes out as it went in"},
		{"rate", checkResume, "4 losses"},
		{"rate", checkTravel, "uint8 records, travelling as float32: 3 losses"},
		{"", checkErrors, ""},
		{"blind", checkErrors, "an infinity in a gradient"},
		{"misleads", checkErrors, "a NaN in an image is found there"},
	} {
		_, failures := results(t, broken(t, c.fault), c.run)
		if c.want == "" && failures != "" || !strings.Contains(failures, c.want) {
			t.Errorf("%q: wanted %q among the failures\n%s", c.fault, c.want, failures)
		}
	}
}

// TestMemoryFaults: a leak is seen, and an engine that does not say what it takes, and a
// device that takes any batch.
func TestMemoryFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("executes our kernels for some seconds")
	}
	for _, c := range []struct {
		fault string
		want  []string
	}{
		{"leak", []string{"all is given back", "allocations are given back"}},
		{"lie", []string{"what it says, beside what it allocated"}},
		{"vague", []string{"too large a batch is told which would fit"}},
	} {
		s, err := openSoft()
		if err != nil {
			t.Fatal(err)
		}
		s.cycles, s.precisions = 2, []string{fp32}
		sound := s.open
		s.open = func(net *model.Net, st model.State, o settings) (model.Engine, error) {
			e, err := sound(net, st, o)
			if err != nil {
				return nil, err
			}
			if c.fault == "leak" {
				if _, err := s.device.Alloc(100); err != nil {
					return nil, err
				}
			}
			return liar{e, c.fault == "lie"}, err
		}
		if c.fault == "vague" {
			s.capacity = func(error) (int, bool) { return 0, false }
		}
		_, failures := results(t, s, checkMemory)
		for _, want := range c.want {
			if !strings.Contains(failures, want) {
				t.Errorf("%q: wanted %q among the failures\n%s", c.fault, want, failures)
			}
		}
		if err := s.close(); (err == nil) == (c.fault == "leak") {
			t.Errorf("%q: closing says %v", c.fault, err)
		}
	}
}

// liar says that it takes nothing.
type liar struct {
	model.Engine
	lies bool
}

func (l liar) Memory() int64 {
	if l.lies {
		return 0
	}
	return l.Engine.(interface{ Memory() int64 }).Memory()
}

// TestKernelFaults: a layer that gives something else is named, and another update rule is
// seen.
func TestKernelFaults(t *testing.T) {
	s, err := openSoft()
	if err != nil {
		t.Fatal(err)
	}
	s.precisions = []string{fp32}
	sound := s.open
	s.open = func(net *model.Net, st model.State, o settings) (model.Engine, error) {
		e, err := sound(net, st, o)
		if err != nil {
			return nil, err
		}
		return bent{e.(features)}, nil
	}
	_, failures := results(t, s, checkKernels)
	for _, want := range []string{"outputs of", "norm2", "two updates, bit for bit"} {
		if !strings.Contains(failures, want) {
			t.Errorf("wanted %q among the failures\n%s", want, failures)
		}
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

type features interface {
	model.GradientEngine
	model.FeatureEngine
}

// bent computes one layer and the update rule a little differently.
type bent struct{ features }

func (b bent) Features(layer string, images []float32, n int, to []float32) error {
	err := b.features.Features(layer, images, n, to)
	if layer == "norm2" {
		for i := range to {
			to[i] *= 1.001
		}
	}
	return err
}

func (b bent) Update(h model.Hyper) error {
	h.Momentum += 1e-6
	return b.features.Update(h)
}
