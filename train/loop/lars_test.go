package loop

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/train/traintest"
)

// A run with LARS takes the steps of the paper's algorithm, computed here in float64 from
// the gradients of its batches alone. The biases begin at zero; in the second net they
// have multipliers of their own.
func TestLARS(t *testing.T) {
	ds := dataset(t, data)
	for name, change := range map[string]func(l *model.Layer){
		"plain":       func(*model.Layer) {},
		"multipliers": func(l *model.Layer) { l.BiasLRMult, l.BiasNoDecay = 2, true },
	} {
		cfg := variant(config(t.TempDir()), "accumulate lars") // batches of two, nine an epoch
		cfg.Settings.WeightDecay = 0.03
		net := traintest.Net(len(ds.Manifest.Classes), 8)
		change(&net.Layers[0])
		r := &recorder{Engine: traintest.NewEngine(net, seed, 2)}
		w, v := doubles(net.Init(seed)), doubles(net.Init(seed))
		for p := range v {
			clear(v[p])
		}
		if _, err := Run(t.Context(), cfg, r, ds, Hooks{}); err != nil {
			t.Fatal(err)
		}
		const steps = 5 // an epoch: four of two batches, one of one
		for u := range r.weights {
			done := float64(u)
			rate := 2 * math.Pow(1-max(done-5, 0)/(epochs*steps-5), 2) * min((done+1)/5, 1)
			for p, spec := range net.Params() {
				g := make([]float64, len(w[p]))
				first := u/steps*9 + u%steps*2
				batches := r.grads[first : first+2-u%steps/4]
				for _, b := range batches {
					for i := range g {
						g[i] += float64(b[p][i]) / float64(len(batches))
					}
				}
				decay, local := 0.03*spec.DecayMult, 1.0
				if norm(w[p]) > 0 && norm(g) > 0 {
					local = 0.05 * norm(w[p]) / (norm(g) + decay*norm(w[p]))
				}
				size := 0.0
				for i := range g {
					v[p][i] = cfg.Settings.Momentum*v[p][i] - rate*local*(g[i]+decay*w[p][i])
					w[p][i] += v[p][i]
					size = max(size, math.Abs(w[p][i]))
				}
				for i, got := range r.weights[u][p] {
					if math.Abs(float64(got)-w[p][i]) > 2e-5*size {
						t.Fatalf("%s: update %d: %s[%d] is %g, want %g", name, u, spec.Name, i, got, w[p][i])
					}
				}
			}
		}
		if len(r.weights) != epochs*steps {
			t.Errorf("%s: %d updates", name, len(r.weights))
		}
	}
}

func doubles(ts []model.Tensor) (out [][]float64) {
	for _, t := range ts {
		x := make([]float64, len(t.Data))
		for i, v := range t.Data {
			x[i] = float64(v)
		}
		out = append(out, x)
	}
	return out
}

func norm(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum)
}

func TestLocalRate(t *testing.T) {
	for _, tc := range []struct{ trust, size, length, decay, want float64 }{
		{0.001, 6, 2, 0, 0.003},
		{0.5, 4, 2, 0.25, 2. / 3},
		{0.001, 0, 2, 0.1, 1},
		{0.001, 2, 0, 0.1, 1},
		{1, 1000, 1e-45, 0, math.MaxFloat32},
	} {
		if got := localRate(tc.trust, tc.size, tc.length, tc.decay); math.Abs(got-tc.want) > 1e-12*tc.want {
			t.Errorf("%+v: %g", tc, got)
		}
	}
}

func TestLARSRefused(t *testing.T) {
	ds := dataset(t, data)
	for want, change := range map[string]func(*Settings){
		`optimizer "adam": must be sgd or lars`:           func(s *Settings) { s.Optimizer = "adam" },
		"a trust coefficient of 0.1 is for the optimizer": func(s *Settings) { s.Optimizer, s.TrustCoefficient = SGD, 0.1 },
		"trust coefficient 0: must be more than 0":        func(s *Settings) { s.TrustCoefficient = 0 },
		"trust coefficient NaN: must be":                  func(s *Settings) { s.TrustCoefficient = math.NaN() },
		"trust coefficient 1.5: must be":                  func(s *Settings) { s.TrustCoefficient = 1.5 },
		"LARS cannot be had with it":                      func(*Settings) {},
	} {
		cfg := variant(config(filepath.Join(t.TempDir(), "run")), "lars")
		change(&cfg.Settings)
		if _, err := Run(t.Context(), cfg, other{engine(ds)}, ds, Hooks{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	// A run goes on as it began. One of a program without the choice began with SGD.
	run := t.TempDir()
	first := config(run)
	first.Limits.MaxSteps = 2
	train(t, first, ds, Hooks{})
	cfg := resumed(t, run)
	cfg.Settings.Optimizer, cfg.Settings.TrustCoefficient = LARS, 0.001
	if _, err := Run(t.Context(), cfg, engine(ds), ds, Hooks{}); err == nil || !strings.Contains(err.Error(), "optimizer: nothing in the checkpoint, lars here") {
		t.Errorf("error %v", err)
	}
	// The step in which a gradient is not finite says so.
	cfg = variant(steady(t.TempDir()), "lars")
	r := &recorder{Engine: engine(ds), alter: func(update int, g [][]float32) {
		if update == 3 {
			g[1][2] = float32(math.Inf(-1))
		}
	}}
	if _, err := Run(t.Context(), cfg, r, ds, Hooks{}); err == nil || !strings.HasPrefix(err.Error(), "training diverged at step 3: the gradient of fc1.bias holds values that are not finite") {
		t.Errorf("error %v", err)
	}
}
