package engine

import (
	"errors"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"alexnet/model"
	"alexnet/model/gpu"
	"alexnet/model/gpu/soft"
	"alexnet/records"
	"alexnet/train/collective"
	"alexnet/train/loop"
)

// quickMachine does not look for races between the threads of kernels, as other tests do.
func quickMachine() *gpu.Machine {
	d := soft.Open(soft.Options{Policy: soft.Random, Seed: 2, NoRaces: true, Code: &code})
	return &gpu.Machine{Device: d, Library: soft.NewLibrary(d)}
}

// code is read once for all.
var code soft.Code

// onRanks trains on as many GPUs as ranks, connected or not, and returns rank 0's losses.
func onRanks(t *testing.T, world int, connected bool, ds *records.Dataset, cfg loop.Config) []float64 {
	t.Helper()
	errs := make([]error, world)
	var wg sync.WaitGroup
	for r, g := range collective.Goroutines(world) {
		own := cfg
		own.Ranks = g
		machine := quickMachine()
		if connected {
			machine.Join = func(gpu.Ranks) (gpu.Communicator, error) { return &connection{Reducer: soft.NewReducer(g)}, nil }
		}
		wg.Go(func() {
			e, about, err := onGPU(machine, net(4), model.State{}, Options{Batch: own.Slice(), Seed: 5, Ranks: g, Staged: ds})
			if err == nil {
				if strings.Contains(about.Hint, "through the memory of the host") != (world > 1 && !connected) || strings.Contains(about.Name, "summing by goroutines") != connected {
					t.Errorf("%+v", about)
				}
				if _, err = loop.Run(t.Context(), own, e, ds, loop.Hooks{}); err != nil {
					g.Abort(1) // or closing waits for sums of the others
				}
				err = errors.Join(err, e.Close())
			}
			if errs[r] = err; err != nil {
				g.Abort(1)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return losses(t, cfg.Run)
}

// GPUs of several ranks train as one does, whether they sum themselves, while they compute,
// or have no way to each other.
func TestRanksOnGPUs(t *testing.T) {
	if testing.Short() {
		t.Skip("executes PTX for a second, and ten times as long with the race detector")
	}
	ds := dataset(t)
	run := func(name string, world int, connected bool) []float64 {
		cfg := config(filepath.Join(t.TempDir(), name), 8)
		cfg.Limits.Epochs = 1
		return onRanks(t, world, connected, ds, cfg)
	}
	want := run("one", 1, false)
	for _, connected := range []bool{false, true} {
		got := run("several", 2, connected)
		if len(got) != len(want) || len(want) < 3 {
			t.Fatalf("%d losses, want %d", len(got), len(want))
		}
		for i := range want {
			if d := math.Abs(got[i]-want[i]) / want[i]; !(d <= 1e-5) {
				t.Errorf("connected %v: loss %d is %g, want %g", connected, i, got[i], want[i])
			}
		}
	}
}

// connection is what connects soft GPUs.
type connection struct {
	*soft.Reducer
	closed int
}

func (c *connection) Name() string { return "goroutines" }
func (c *connection) Close() error { c.closed++; return nil }

// What connects GPUs is closed with the engine, and with a machine for which none could be
// made; other errors than that nothing connects them are errors.
func TestConnected(t *testing.T) {
	g := collective.Goroutines(2)[0]
	for _, precision := range []string{"", "fp8"} {
		machine := quickMachine()
		c := &connection{Reducer: soft.NewReducer(g)}
		machine.Join = func(gpu.Ranks) (gpu.Communicator, error) { return c, nil }
		e, _, err := onGPU(machine, net(4), model.State{}, Options{Batch: 1, Ranks: g, Precision: precision})
		if (err != nil) != (precision != "") {
			t.Fatal(err)
		}
		if e != nil {
			if r, ok := e.(model.ReducingEngine); !ok || !r.Reduces() {
				t.Error("it does not say that it sums")
			}
			if err := errors.Join(e.Close(), e.Close()); err != nil {
				t.Error(err)
			}
		}
		if c.closed != 1 {
			t.Errorf("precision %q: closed %d times", precision, c.closed)
		}
	}
	machine := quickMachine()
	broken := errors.New("no cable")
	machine.Join = func(gpu.Ranks) (gpu.Communicator, error) { return nil, broken }
	if _, _, err := onGPU(machine, net(4), model.State{}, Options{Batch: 1, Ranks: g}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// Ranks with and without a GPU do not go together, and all are told; with or without, they
// do.
func TestAlike(t *testing.T) {
	for text, has := range map[string][]bool{
		"":                             {true, true},
		"rank 1 has a GPU that it can": {false, true},
		"rank 0 has none":              {false, true, true},
	} {
		var wg sync.WaitGroup
		for r, g := range collective.Goroutines(len(has)) {
			wg.Go(func() {
				o := Options{Ranks: g}
				if err := o.alike(has[r]); (err != nil) != (text != "") || err != nil && !strings.Contains(err.Error(), text) {
					t.Errorf("%q: %v", text, err)
				}
			})
		}
		wg.Wait()
	}
}
