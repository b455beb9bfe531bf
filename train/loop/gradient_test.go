package loop

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/train/checkpoint"
	"alexnet/train/collective"
	"alexnet/train/sgd"
	"alexnet/train/traintest"
)

// recorder keeps what goes through an engine.
type recorder struct {
	*traintest.Engine
	alter   func(update int, grads [][]float32) // nil: nothing; before each Update
	updates int
	grads   [][][]float32 // of each Backward
	passes  []uint64
	used    [][][]float32 // what each Update found
	weights [][][]float32 // what each Update left
}

func copied(in [][]float32) (out [][]float32) {
	for _, x := range in {
		out = append(out, append([]float32(nil), x...))
	}
	return out
}

func (r *recorder) Backward(images []float32, labels []int32, step uint64) (model.Score, error) {
	s, err := r.Engine.Backward(images, labels, step)
	g, _ := r.Gradients()
	if r.alter != nil {
		r.alter(r.updates, g)
	}
	r.grads, r.passes = append(r.grads, copied(g)), append(r.passes, step)
	return s, err
}

func (r *recorder) Update(h model.Hyper) error {
	g, _ := r.Gradients()
	r.used = append(r.used, copied(g))
	r.updates++
	err := r.Engine.Update(h)
	var after [][]float32
	st, _ := r.State()
	for _, w := range st.Weights {
		after = append(after, w.Data)
	}
	r.weights = append(r.weights, copied(after))
	return err
}

// steady is a run of two epochs without validation, whose rate is 0.01.
func steady(run string) Config {
	cfg := config(run)
	cfg.Limits.Epochs = 2
	cfg.Settings.Schedule = sgd.Config{Kind: sgd.Constant, Base: 0.01}
	return cfg
}

// The gradient of a step of three batches is the mean of theirs, by images: of 18
// images in batches of 4, that are steps of 12 and of 6.
func TestAccumulation(t *testing.T) {
	ds := dataset(t, data)
	cfg := steady(t.TempDir())
	cfg.Settings.Accumulate = 3
	r := &recorder{Engine: engine(ds)}
	s, err := Run(t.Context(), cfg, r, ds, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Steps != 4 || r.updates != 4 || s.Last.Images != 18 {
		t.Errorf("%d steps, %d updates, %d images in an epoch; want 4, 4, 18", s.Steps, r.updates, s.Last.Images)
	}
	if want := []uint64{0, 1, 2, 3, 4, 6, 7, 8, 9, 10}; !reflect.DeepEqual(r.passes, want) {
		t.Errorf("passes %v, want %v", r.passes, want)
	}
	batches := [][]struct {
		index int
		share float64
	}{
		{{0, 4. / 12}, {1, 4. / 12}, {2, 4. / 12}}, {{3, 4. / 6}, {4, 2. / 6}},
		{{5, 4. / 12}, {6, 4. / 12}, {7, 4. / 12}}, {{8, 4. / 6}, {9, 2. / 6}},
	}
	for u, used := range r.used {
		for p := range used {
			for i, got := range used[p] {
				var want, size float64
				for _, b := range batches[u] {
					v := b.share * float64(r.grads[b.index][p][i])
					want, size = want+v, size+math.Abs(v)
				}
				if math.Abs(float64(got)-want) > 1e-6*size {
					t.Fatalf("update %d, parameter %d: gradient %g at %d, want %g", u, p, got, i, want)
				}
			}
		}
	}
}

// One batch a step, when asked for, is what there is without asking.
func TestAccumulationOfOneBatch(t *testing.T) {
	ds := dataset(t, data)
	one, plain := t.TempDir(), t.TempDir()
	cfg := config(one)
	cfg.Settings.Accumulate = 1
	train(t, cfg, ds, Hooks{})
	train(t, config(plain), ds, Hooks{})
	a, b := metrics(t, one), metrics(t, plain)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("metrics %+v with one batch a step, %+v as ever", a, b)
	}
}

// A run that is interrupted between two batches of a step takes the step anew.
func TestInterruptedWithinAStep(t *testing.T) {
	ds := dataset(t, data)
	whole, run := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "run")
	accumulating := func(cfg Config) Config { return variant(cfg, "accumulate average") }
	train(t, accumulating(config(whole)), ds, Hooks{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	eng := engine(ds)
	passes := 0
	eng.Poison = func(uint64, *model.Score) {
		if passes++; passes == 5 {
			cancel()
		}
	}
	s, err := Run(ctx, accumulating(config(run)), eng, ds, Hooks{})
	if err != nil || s.End != EndInterrupted || s.Steps != 2 || s.Average != nil {
		t.Fatalf("summary %+v, error %v; want two steps", s, err)
	}
	train(t, accumulating(resumed(t, run)), ds, Hooks{})
	checkSame(t, whole, run)
}

// A gradient that is too long is made as long as it may be, and a short one is left
// alone.
func TestClipping(t *testing.T) {
	ds := dataset(t, data)
	norm := func(grads [][]float32) float64 {
		var sum float64
		for _, g := range grads {
			for _, v := range g {
				sum += float64(v) * float64(v)
			}
		}
		return math.Sqrt(sum)
	}
	free := &recorder{Engine: engine(ds)}
	if _, err := Run(t.Context(), steady(t.TempDir()), free, ds, Hooks{}); err != nil {
		t.Fatal(err)
	}
	limit := (norm(free.grads[0]) + norm(free.grads[1])) / 2
	cfg := steady(t.TempDir())
	cfg.Settings.ClipNorm = limit
	r := &recorder{Engine: engine(ds)}
	if _, err := Run(t.Context(), cfg, r, ds, Hooks{}); err != nil {
		t.Fatal(err)
	}
	clipped, left := 0, 0
	for u, used := range r.used {
		before, after := norm(r.grads[u]), norm(used)
		if before <= limit {
			left++
			if !reflect.DeepEqual(used, r.grads[u]) {
				t.Errorf("update %d: a gradient of norm %g was changed", u, before)
			}
			continue
		}
		clipped++
		if math.Abs(after-limit) > 1e-5*limit {
			t.Errorf("update %d: norm %g, want %g", u, after, limit)
		}
		for p := range used {
			for i, v := range used[p] {
				if want := float64(r.grads[u][p][i]) * limit / before; math.Abs(float64(v)-want) > 1e-6*math.Abs(want) {
					t.Fatalf("update %d, parameter %d: %g at %d, want %g", u, p, v, i, want)
				}
			}
		}
	}
	if clipped == 0 || left == 0 {
		t.Errorf("%d gradients were clipped and %d not: the test sees one case only", clipped, left)
	}
}

func TestGradientsThatAreNotFinite(t *testing.T) {
	ds := dataset(t, data)
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		cfg := steady(t.TempDir())
		cfg.Settings.ClipNorm = 1
		r := &recorder{Engine: engine(ds), alter: func(update int, g [][]float32) {
			if update == 3 {
				g[1][2] = float32(bad)
			}
		}}
		_, err := Run(t.Context(), cfg, r, ds, Hooks{})
		if want := "training diverged at step 3: the gradient of fc1.bias holds values that are not finite, with learning rate 0.01; "; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// The average of the weights is the one that is computed by hand, the run takes the
// same course with it, and its validation is that of a net with these weights.
func TestAverage(t *testing.T) {
	ds := dataset(t, data)
	run, plain := t.TempDir(), t.TempDir()
	cfg := config(run)
	cfg.Settings.EMA = 0.4
	r := &recorder{Engine: engine(ds)}
	want := r.Net().Init(seed)
	s, err := Run(t.Context(), cfg, r, ds, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	// 1/10, 2/11, 3/12, 4/13, 5/14, then 0.4 of the average is left by a step.
	left := []float32{0.1, 2. / 11, 3. / 12, 4. / 13, 5. / 14}
	for u, ws := range r.weights {
		keep := float32(0.4)
		if u < len(left) {
			keep = left[u]
		}
		for p := range ws {
			for i, w := range ws[p] {
				want[p].Data[i] = keep*want[p].Data[i] + (1-keep)*w
			}
		}
	}
	c, _, err := checkpoint.Latest(run)
	if err != nil {
		t.Fatal(err)
	}
	for p, avg := range c.Average {
		for i, got := range avg.Data {
			if math.Abs(float64(got-want[p].Data[i])) > 1e-5*math.Abs(float64(want[p].Data[i]))+1e-8 {
				t.Fatalf("%s: average %g at %d, want %g", avg.Name, got, i, want[p].Data[i])
			}
		}
	}
	train(t, config(plain), ds, Hooks{})
	if got, want := metrics(t, run), metrics(t, plain); !reflect.DeepEqual(got, want) {
		t.Errorf("metrics %+v with an average, %+v without", got, want)
	}
	if got, _ := r.Snapshot(); !reflect.DeepEqual(got, c.State) {
		t.Error("after the run the engine does not hold its own weights and velocities")
	}
	if s.Average == nil || s.Average.Images != data.Val || *s.Average == *s.Last.Val {
		t.Errorf("validation of the average %+v, of the weights %+v", s.Average, s.Last.Val)
	}
}

// other hides what an engine can do beside model.Engine.
type other struct{ model.Engine }

func TestSettingsOfSteps(t *testing.T) {
	ds := dataset(t, data)
	for want, change := range map[string]func(*Settings){
		"-1 batches a step: must lie between":                     func(s *Settings) { s.Accumulate = -1 },
		"clip norm -1: must be":                                   func(s *Settings) { s.ClipNorm = -1 },
		"clip norm NaN: must be":                                  func(s *Settings) { s.ClipNorm = math.NaN() },
		"EMA decay 1: must be":                                    func(s *Settings) { s.EMA = 1 },
		"several batches a step and clipping cannot be had with":  func(s *Settings) { s.Accumulate = 2 },
		"this engine keeps its gradients to itself: several":      func(s *Settings) { s.ClipNorm = 2 },
		"this engine keeps its weights to itself: an average of ": func(s *Settings) { s.EMA = 0.9 },
	} {
		cfg := config(filepath.Join(t.TempDir(), "run"))
		change(&cfg.Settings)
		if _, err := Run(t.Context(), cfg, other{engine(ds)}, ds, Hooks{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	// A checkpoint without an average cannot be gone on with as if it had one.
	run := t.TempDir()
	first := variant(config(run), "average")
	first.Limits.MaxSteps = 2
	train(t, first, ds, Hooks{})
	cfg := variant(resumed(t, run), "average")
	cfg.Resume.Average = nil
	if _, err := Run(t.Context(), cfg, engine(ds), ds, Hooks{}); err == nil || !strings.Contains(err.Error(), "is damaged: it lacks the average of the weights") {
		t.Errorf("error %v", err)
	}
	if _, err := Run(t.Context(), resumed(t, run), engine(ds), ds, Hooks{}); err == nil || !strings.Contains(err.Error(), "ema: 0.8 in the checkpoint, nothing here") {
		t.Errorf("error %v", err)
	}
}

// Without clipping, too, a step whose gradient is not finite ends the run there, with
// its place, before anything is saved.
func TestAStepThatIsNotFinite(t *testing.T) {
	ds := dataset(t, data)
	for _, accumulate := range []int{0, 2} {
		cfg := steady(t.TempDir())
		cfg.Settings.Accumulate = accumulate
		cfg.Limits.CheckpointEvery = 1
		r := &recorder{Engine: engine(ds), alter: func(update int, g [][]float32) {
			if update == 2 {
				g[0][5] = float32(math.NaN())
			}
		}}
		_, err := Run(t.Context(), cfg, r, ds, Hooks{})
		good := filepath.Join(cfg.Run, checkpoint.Folder, "step-00000002.safetensors")
		want := "training diverged at step 2: the gradient of fc1.weight holds values that are not finite, with learning rate 0.01; the last good checkpoint is " + good
		var diverged *DivergedError
		if !errors.As(err, &diverged) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
		c, _, err := checkpoint.Latest(cfg.Run)
		if err != nil || c.File != good {
			t.Errorf("the newest checkpoint is not %s: %v", good, err)
		}
	}
}

// The share of a batch in a step is that of its images with a label.
func TestAccumulationOverHoles(t *testing.T) {
	ds := dataset(t, data)
	eng := engine(ds)
	tr := &trainer{cfg: config(t.TempDir()), eng: eng, ranks: collective.Alone{}}
	tr.cfg.Settings.Accumulate = 2
	size := eng.Net().Input.Size()
	images := make([]float32, 4*size)
	for i := range images {
		images[i] = float32(i%17) - 8
	}
	want := make([][]float64, 2)
	for b, labels := range [][]int32{{0, 1, -1, 2}, {-1, -1, 1, -1}} {
		score, err := eng.Backward(images, labels, uint64(b))
		if err != nil {
			t.Fatal(err)
		}
		grads, _ := eng.Gradients()
		for p, g := range grads {
			if want[p] == nil {
				want[p] = make([]float64, len(g))
			}
			for i, v := range g {
				want[p][i] += float64(v) * []float64{0.75, 0.25}[b]
			}
		}
		if err := tr.gather(score.N, b == 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.refine(&gathered{score: model.Score{N: 4}, own: 4}); err != nil {
		t.Fatal(err)
	}
	grads, _ := eng.Gradients()
	for p, g := range grads {
		for i, v := range g {
			if math.Abs(float64(v)-want[p][i]) > 1e-6*math.Max(math.Abs(want[p][i]), 1) {
				t.Fatalf("parameter %d: gradient %g at %d, want %g", p, v, i, want[p][i])
			}
		}
	}
}
