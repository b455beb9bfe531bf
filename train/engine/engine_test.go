package engine

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/model/gpu"
	"alexnet/model/gpu/soft"
	"alexnet/records"
	"alexnet/train/checkpoint"
	"alexnet/train/collective"
	"alexnet/train/loop"
	"alexnet/train/report"
	"alexnet/train/sgd"
	"alexnet/train/traintest"
)

// net has what the paper's has, for images of 12 x 12.
func net(classes int) *model.Net {
	return &model.Net{Name: "test", Input: model.Shape{C: 3, H: 12, W: 12}, Classes: classes, Layers: []model.Layer{
		{Name: "conv1", Kind: model.Conv, Out: 8, Kernel: 5, Stride: 2, PadEnd: 1, InitStd: 0.01},
		{Name: "relu1", Kind: model.ReLU},
		{Name: "norm1", Kind: model.LRN, Size: 5, Alpha: 1e-4, Beta: 0.75, K: 2},
		{Name: "pool1", Kind: model.MaxPool, Kernel: 3, Stride: 2, Ceil: true},
		{Name: "conv2", Kind: model.Conv, Out: 8, Kernel: 3, Stride: 1, Pad: 1, Groups: 2, InitStd: 0.1},
		{Name: "relu2", Kind: model.ReLU},
		{Name: "fc3", Kind: model.FC, Out: 16, InitStd: 0.1},
		{Name: "relu3", Kind: model.ReLU},
		{Name: "drop3", Kind: model.Dropout, Rate: 0.5},
		{Name: "fc4", Kind: model.FC, Out: classes, InitStd: 0.1},
		{Name: "prob", Kind: model.Softmax},
	}}
}

func dataset(t *testing.T) *records.Dataset {
	t.Helper()
	dir := t.TempDir()
	if err := (traintest.Data{Classes: 4, Train: 22, Val: 6, Size: 16, Seed: 3}).Make(dir); err != nil {
		t.Fatal(err)
	}
	ds, err := records.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func config(run string, batch int) loop.Config {
	return loop.Config{Run: run,
		Settings: loop.Settings{Batch: batch, Seed: 5, Momentum: 0.9, WeightDecay: 0.0005, Color: "eigenvalue",
			Schedule: sgd.Config{Kind: sgd.Constant, Base: 0.001}},
		Limits: loop.Limits{Epochs: 2, LogEvery: 1, Keep: 2, Workers: 2}}
}

// losses returns those of a run's steps.
func losses(t *testing.T, run string) (all []float64) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(run, loop.MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var l report.Line
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l.Loss)
	}
	return all
}

func softMachine() (*gpu.Machine, *soft.Device) {
	d := soft.Open(soft.Options{Policy: soft.Random, Seed: 2})
	return &gpu.Machine{Device: d, Library: soft.NewLibrary(d)}, d
}

// A whole run on a GPU, from records of uint8 through the stream in page-locked memory,
// cut on the processor and finished by the GPU, has the losses of one on the processor;
// it stops and goes on from one to the other; and it leaves nothing behind.
func TestRunOnAGPU(t *testing.T) {
	ds := dataset(t)
	const batch = 8
	make := func(gpu bool, travel Travel) model.Engine {
		o := Options{Device: CPU, Batch: batch, Threads: 1, Seed: 5, Staged: ds, Travel: travel}
		var e model.Engine
		var err error
		if gpu {
			machine, _ := softMachine()
			e, _, err = onGPU(machine, net(4), model.State{}, o)
		} else {
			e, _, err = New(net(4), model.State{}, o)
		}
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	run := func(cfg loop.Config, gpu bool, travel Travel) {
		e := make(gpu, travel)
		if _, err := loop.Run(t.Context(), cfg, e, ds, loop.Hooks{}); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(e.Close(), e.Close()); err != nil { // soft tells what is left
			t.Error(err)
		}
	}
	dir := t.TempDir()
	run(config(filepath.Join(dir, "cpu"), batch), false, "")
	run(config(filepath.Join(dir, "gpu"), batch), true, Stored)
	run(config(filepath.Join(dir, "float32"), batch), true, Float32)
	run(config(filepath.Join(dir, "bfloat16"), batch), true, BFloat16)
	both := config(filepath.Join(dir, "both"), batch)
	for i, steps := range []int{2, 4, 0} {
		c, _, err := checkpoint.Latest(both.Run)
		if err == nil {
			both.Resume = c
		} else if i > 0 {
			t.Fatal(err)
		}
		both.Limits.MaxSteps = steps
		run(both, i%2 == 1, "")
	}
	want := losses(t, filepath.Join(dir, "cpu"))
	for name, tolerance := range map[string]float64{"gpu": 1e-4, "both": 1e-4, "float32": 1e-4, "bfloat16": 2e-2} {
		got := losses(t, filepath.Join(dir, name))
		if len(got) != len(want) || len(want) < 6 {
			t.Fatalf("%s: %d losses, want %d", name, len(got), len(want))
		}
		for i := range want {
			if d := math.Abs(got[i]-want[i]) / want[i]; !(d <= tolerance) {
				t.Errorf("%s: loss %d is %g, want %g", name, i, got[i], want[i])
			}
		}
	}
}

// A build without the GPU engine says so when one is asked for, and computes on the
// processor when none is.
func TestDevices(t *testing.T) {
	_, _, err := New(net(4), model.State{}, Options{Device: GPU, Batch: 1})
	if err == nil || !strings.Contains(err.Error(), "--device gpu") {
		t.Skipf("there is a GPU: %v", err)
	}
	var not *gpu.NotBuiltError
	built := !errors.As(err, &not)
	e, about, err := New(net(4), model.State{}, Options{Batch: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if !strings.HasPrefix(about.Name, "CPU: ") || about.Precision != "fp32" || built != strings.Contains(about.Hint, "computing on the CPU: ") {
		t.Errorf("%+v", about)
	}
	if _, _, err := New(net(4), model.State{}, Options{Batch: 1, Precision: "tf32"}); err == nil || !strings.Contains(err.Error(), "use fp32 or bf16") {
		t.Errorf("%v", err)
	}
}

// An engine that is made for ranks sums over them, and one on its own does not.
func TestRanks(t *testing.T) {
	for world, want := range map[int]bool{0: false, 1: false, 2: true} {
		o := Options{Device: CPU, Batch: 1}
		if world > 0 {
			o.Ranks = collective.Goroutines(world)[0]
		}
		e, _, err := New(net(4), model.State{}, o)
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := e.(model.ReducingEngine); !ok || r.Reduces() != want {
			t.Errorf("%d ranks: the engine sums: %v", world, !want)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
