package cpu

import (
	"slices"
	"testing"

	"alexnet/model"
	"alexnet/model/cpu/dnnl"
	"alexnet/model/golden"
)

// The goldens of package golden are PyTorch's, in float64.

const (
	logitTolerance    = 1e-5 // of an image's largest logit
	gradientTolerance = 1e-4 // of the gradient's norm, and of single values
	lossTolerance     = 1e-5 // of the loss
)

// goldenPaths are the ways of computing that are here. Each must meet the goldens.
func goldenPaths() map[string]Options {
	paths := map[string]Options{"plain": {Backend: Plain}}
	if _, err := dnnl.Find(); err == nil {
		// Small nets leave little to more threads than wait for each other.
		paths["onednn"] = Options{Backend: OneDNN, Threads: 1}
	}
	return paths
}

func loadGolden(t testing.TB, name string) *golden.Case {
	t.Helper()
	c, err := golden.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// smallGoldens returns the goldens of the small nets.
func smallGoldens(t testing.TB) []*golden.Case {
	t.Helper()
	var cs []*golden.Case
	for _, name := range golden.SmallNames() {
		cs = append(cs, loadGolden(t, name))
	}
	if len(cs) < 7 {
		t.Fatalf("%d goldens: some are missing", len(cs))
	}
	return cs
}

func goldenEngine(t testing.TB, c *golden.Case, o Options) *Engine {
	t.Helper()
	o.Batch, o.Seed = c.Batch, c.Seed
	e, err := New(c.Net, c.State(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func checkLogits(t testing.TB, c *golden.Case, e *Engine) {
	t.Helper()
	d, err := c.LogitError(e)
	if err != nil || !(d <= logitTolerance) {
		t.Errorf("logits are off by %.2g of the largest (%v)", d, err)
	}
	t.Logf("logits off by at most %.2g", d)
}

func checkGradients(t testing.TB, c *golden.Case, e *Engine) {
	t.Helper()
	g, err := c.GradientErrors(e)
	if err != nil {
		t.Fatal(err)
	}
	if !(g.Loss <= lossTolerance) {
		t.Errorf("the loss is off by %.2g", g.Loss)
	}
	for _, p := range g.Params {
		if !(p.Error <= gradientTolerance) {
			t.Errorf("%s: the gradient is off by %.2g", p.Name, p.Error)
		}
	}
	_, worst := g.Worst()
	t.Logf("loss off by %.2g, gradients by at most %.2g", g.Loss, worst)
}

// TestGolden compares logits, all gradients and the losses of training with
// PyTorch's.
func TestGolden(t *testing.T) {
	for path, o := range goldenPaths() {
		for _, c := range smallGoldens(t) {
			t.Run(path+"/"+c.Net.Name, func(t *testing.T) {
				e := goldenEngine(t, c, o)
				checkLogits(t, c, e)
				checkGradients(t, c, e)
				if err := c.Reset(e); err != nil {
					t.Fatal(err)
				}
				losses, err := c.LossErrors(e)
				if err != nil {
					t.Fatal(err)
				}
				for s, d := range losses {
					if !(d <= lossTolerance) {
						t.Errorf("step %d: the loss is off by %.2g", s, d)
					}
				}
				t.Logf("losses off by at most %.2g", slices.Max(losses))
			})
		}
	}
}

// TestGoldenSeesConvention: another convention of alpha gives other logits.
func TestGoldenSeesConvention(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range smallGoldens(t) {
		if !slices.ContainsFunc(c.Net.Layers, func(l model.Layer) bool { return l.Kind == model.LRN && l.Size > 1 }) {
			continue
		}
		seen[c.Convention] = true
		other := "paper"
		if c.Convention == "paper" {
			other = "caffe"
		}
		if err := c.UseConvention(other); err != nil {
			t.Fatal(err)
		}
		d, err := c.LogitError(goldenEngine(t, c, Options{}))
		if err != nil || d < 10*logitTolerance {
			t.Errorf("%s: with the alpha of %s the logits are off by no more than %.2g (%v)", c.Net.Name, other, d, err)
		}
	}
	if len(seen) != 3 {
		t.Errorf("conventions %v, want three", seen)
	}
}
