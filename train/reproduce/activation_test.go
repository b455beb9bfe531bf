package reproduce

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/train/checkpoint"
	"alexnet/train/loop"
	"alexnet/train/traintest"
)

func TestArrival(t *testing.T) {
	for _, c := range []struct {
		errs    []float64
		whole   int
		between float64
	}{
		{nil, 0, 0},
		{[]float64{0.5, 0.26}, 0, 0},
		{[]float64{0.2, 0.1}, 1, 1},
		{[]float64{0.5, 0.4, 0.2}, 3, 2.75},
		{[]float64{0.5, 0.25}, 2, 2},
		{[]float64{0.5, 0.3, 0.1, 0.9, 0.1}, 3, 2.25}, // what comes later does not count
	} {
		if whole, between := arrival(c.errs, 0.25); whole != c.whole || math.Abs(between-c.between) > 1e-12 {
			t.Errorf("%g: %d, %g, want %d, %g", c.errs, whole, between, c.whole, c.between)
		}
	}
}

// The fewest epochs count, then the error there; of those that never get there the last
// error.
func TestWinner(t *testing.T) {
	entries := func(errs ...[]float64) (all []*entry) {
		for i, e := range errs {
			all = append(all, &entry{Try: Try{Rate: float64(i), Errors: e}})
		}
		return all
	}
	for want, all := range [][]*entry{
		entries([]float64{0.5, 0.2}, []float64{0.3, 0.26, 0.01}, []float64{0.5, 0.21}),
		entries([]float64{0.5, 0.2, 0.3}, []float64{0.5, 0.1, 0.4}, []float64{0.5, 0.3, 0.01}),
		entries([]float64{0.9, 0.8, 0.4}, []float64{0.9, 0.5}, []float64{0.9, 0.35}),
		entries(nil, []float64{0.9}, []float64{0.8}, []float64{0.3}),
	} {
		if got := winner(all, 0.25); got != all[want] {
			t.Errorf("of case %d rate %g counts", want, got.Rate)
		}
	}
	broken := entries([]float64{0.3}, []float64{0.6}, nil, []float64{0.5})
	broken[0].Diverged, broken[2].Diverged = true, true
	if r := ranked(broken); len(r) != 2 || r[0] != broken[3] || r[1] != broken[1] {
		t.Errorf("ranked %+v", r)
	}
	if w := winner(broken, 0.25); w != broken[3] {
		t.Errorf("rate %g counts, which has diverged or is not the best", w.Rate)
	}
}

// The runs of both activations differ in nothing but that, and nothing regularises.
func TestRunsOfARace(t *testing.T) {
	ds := dataset(t, traintest.Data{Classes: 4, Train: 4, Val: 4, Size: 32})
	r := Race{Out: "out", Records: ds, Rates: []float64{0.002, 0.00005}, Search: 1, Epochs: 2, Until: 0.25}
	relu, tanh, err := r.plan()
	if err != nil {
		t.Fatal(err)
	}
	net, err := model.Preset("cifar-4layer-no-lrn", 4)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"0.002", "0.00005"} {
		a, b := relu[i].job, tanh[i].job
		if a.Run != filepath.Join("out", "relu-"+name) || b.Run != filepath.Join("out", "tanh-"+name) {
			t.Errorf("runs %s and %s", a.Run, b.Run)
		}
		if !reflect.DeepEqual(a.Net, net) || !reflect.DeepEqual(b.Net, net.WithActivation(model.Tanh)) || !reflect.DeepEqual(a.Settings, b.Settings) {
			t.Errorf("%s: nets %+v and %+v, settings %+v and %+v", name, a.Net, b.Net, a.Settings, b.Settings)
		}
		want, _ := loop.Recommended(net)
		want.WeightDecay, want.CenterCrops, want.NoFlip, want.Color = 0, true, true, loop.ColorNone
		want.InclusiveCrops = false
		want.Schedule = a.Settings.Schedule
		if s := a.Settings; !reflect.DeepEqual(s, want) || s.Schedule.Kind != "constant" || s.Schedule.Base != r.Rates[i] || s.Momentum != 0.9 || s.Batch != 128 {
			t.Errorf("settings %+v", s)
		}
	}
	// Dropout is regularisation too.
	big := dataset(t, traintest.Data{Classes: 4, Train: 4, Size: 72})
	r.Records, r.Options.Net = big, "alexnet-small"
	if relu, _, err = r.plan(); err != nil {
		t.Fatal(err)
	}
	for _, l := range relu[0].job.Net.Layers {
		if l.Kind == model.Dropout {
			t.Errorf("the net has layer %s", l.Name)
		}
	}
	if s := relu[0].job.Settings; s.Color != loop.ColorNone || s.CropGroup != 0 || s.InclusiveCrops {
		t.Errorf("settings %+v", s)
	}
}

func TestRaceRefused(t *testing.T) {
	ok := Race{Rates: []float64{0.1}, Search: 1, Epochs: 1, Until: 0.25}
	if err := ok.Check(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Race){
		"no learning rates":          func(r *Race) { r.Rates = nil },
		"rate -1: must be a":         func(r *Race) { r.Rates = []float64{0.1, -1} },
		"rate NaN: must be a":        func(r *Race) { r.Rates = []float64{math.NaN()} },
		"rate 0.1 is given twice":    func(r *Race) { r.Rates = []float64{0.1, 0.2, 0.1} },
		"search of 0 epochs":         func(r *Race) { r.Search = 0 },
		"the search alone has 3":     func(r *Race) { r.Search = 3 },
		"error of 0 to reach: must":  func(r *Race) { r.Until = 0 },
		"error of 25 to reach: must": func(r *Race) { r.Until = 25 },
	} {
		r := ok
		spoil(&r)
		if _, _, err := r.plan(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// raced makes a race of tiny nets that can be won.
func raced(t *testing.T) (Race, *Work, *[]string) {
	t.Helper()
	ds := dataset(t, traintest.Data{Classes: 2, Train: 64, Val: 2, Size: 28, Grey: true, Seed: 1})
	var begun []string
	w := &Work{Engines: engines{}, Begin: func(j *Job, step int) loop.Hooks {
		begun = append(begun, j.Name())
		return loop.Hooks{}
	}}
	return Race{Out: t.TempDir(), Records: ds, Options: Options{Net: "lenet", Batch: 8}, Rates: []float64{0.000001, 0.0002, 0.001, 0.005},
		Search: 1, Epochs: 6, Until: 0.1}, w, &begun
}

// epochsOf returns how many epochs a run has done.
func epochsOf(t *testing.T, run string) int {
	t.Helper()
	c, _, err := checkpoint.Latest(run)
	if err != nil {
		t.Fatal(err)
	}
	return c.Progress.Epoch
}

// The two best go on, and none goes further than the first that is there. What was
// trained further by others is taken as it is, and does not change the outcome.
func TestRace(t *testing.T) {
	r, w, begun := raced(t)
	o, err := r.Run(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	for _, runner := range []Runner{o.ReLU, o.Tanh} {
		went := 0
		for _, try := range runner.Tried {
			n := epochsOf(t, filepath.Join(r.Out, try.Run))
			switch {
			case n != len(try.Errors):
				t.Errorf("%s has %d epochs and %d errors", try.Run, n, len(try.Errors))
			case n > runner.WholeEpochs:
				t.Errorf("%s has %d epochs, and one was there after %d", try.Run, n, runner.WholeEpochs)
			case try.WentOn:
				went++
			case n != r.Search:
				t.Errorf("%s did not go on and has %d epochs", try.Run, n)
			}
		}
		if whole, between := arrival(runner.Errors, r.Until); went != 2 || whole != runner.WholeEpochs || between != runner.Epochs || whole < 2 || len(runner.Errors) != whole {
			t.Errorf("%s: %d went on, outcome %+v", runner.Activation, went, runner)
		}
	}
	if o.Ratio != o.Tanh.Epochs/o.ReLU.Epochs || o.WholeRatio != float64(o.Tanh.WholeEpochs)/float64(o.ReLU.WholeEpochs) || o.Paper.Ratio != 6 || o.MoreThan != 0 {
		t.Errorf("outcome %+v", o)
	}
	// One that did not go on is trained further by other means, and interrupted there.
	var other *Try
	for i := range o.Tanh.Tried {
		if try := &o.Tanh.Tried[i]; !try.WentOn {
			other = try
		}
	}
	relu, tanh, err := r.plan()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range append(relu, tanh...) {
		if e.Run == other.Run {
			e.job.Limits.Epochs = 9
			ctx, cancel := context.WithCancel(t.Context())
			further := Work{Engines: engines{}, Begin: func(*Job, int) loop.Hooks {
				return loop.Hooks{Step: func(step int) {
					if step == 20 { // of 8 an epoch
						cancel()
					}
				}}
			}}
			var interrupted *InterruptedError
			if err := further.Finish(ctx, []Job{e.job}); !errors.As(err, &interrupted) || interrupted.Step < 20 {
				t.Fatalf("error %v", err)
			}
		}
	}
	*begun = nil
	again, err := r.Run(t.Context(), w)
	if err != nil || len(*begun) != 0 || !reflect.DeepEqual(again, o) {
		t.Errorf("again: error %v, trained %v,\n%+v, was\n%+v", err, *begun, again, o)
	}
	// Errors that are lost are not invented.
	if err := os.WriteFile(filepath.Join(r.Out, other.Run, loop.MetricsFile), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context(), w); err == nil || !strings.Contains(err.Error(), "has no line of epoch 1, which is done: remove the folder") {
		t.Errorf("without its metrics: error %v", err)
	}
}

// An interrupted race goes on to the outcome of one that was not.
func TestRaceInterrupted(t *testing.T) {
	r, w, _ := raced(t)
	want, err := r.Run(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	r.Out = t.TempDir()
	for k := 1; ; k++ { // after a step more each time, from where it is
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		w.Begin = func(*Job, int) loop.Hooks {
			return loop.Hooks{Step: func(int) {
				if steps++; steps == 5*k {
					cancel()
				}
			}}
		}
		got, err := r.Run(ctx, w)
		cancel()
		var interrupted *InterruptedError
		if errors.As(err, &interrupted) {
			continue
		}
		if err != nil || k < 3 || !reflect.DeepEqual(got, want) {
			t.Errorf("gone on %d times: error %v,\n%+v, undisturbed\n%+v", k, err, got, want)
		}
		return
	}
}

// A rate that is too high for one activation is out; if all are, that is an error.
func TestRaceDiverges(t *testing.T) {
	r, w, _ := raced(t)
	var warned []string
	w.Warn = func(err error) { warned = append(warned, err.Error()) }
	r.Rates = []float64{1e30, 0.001}
	o, err := r.Run(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	if first := o.ReLU.Tried[0]; !first.Diverged || first.WentOn || o.ReLU.Rate != 0.001 || len(warned) == 0 || !strings.Contains(warned[0], "is out of the race: ") {
		t.Errorf("outcome %+v, warned %q", o, warned)
	}
	r.Rates, r.Out = []float64{1e30}, t.TempDir()
	if _, err := r.Run(t.Context(), w); err == nil || !strings.Contains(err.Error(), "relu: the training diverges at every rate") {
		t.Errorf("error %v", err)
	}
	// Nobody gets there.
	r, w, _ = raced(t)
	r.Rates, r.Search, r.Epochs = []float64{1e-9}, 1, 2
	o, err = r.Run(t.Context(), w)
	if err != nil || o.Ratio != 0 || o.MoreThan != 0 || o.ReLU.Epochs != 0 || len(o.ReLU.Errors) != 2 || o.Tanh.Rate != 1e-9 {
		t.Errorf("error %v, outcome %+v", err, o)
	}
}
