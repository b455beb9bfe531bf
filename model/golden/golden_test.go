package golden_test

import (
	"errors"
	"flag"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/model/cpu"
	"alexnet/model/golden"
)

var export = flag.String("golden-export", "", "write the initial weights of the golden alexnet to this file")

// alexNetSeed is that of make.py's weights, images and masks.
const alexNetSeed = 17

// TestGoldenExport is not a test: make.py runs it to get the weights that Net.Init
// draws.
func TestGoldenExport(t *testing.T) {
	if *export == "" {
		t.Skip("no test: make.py runs it, with -golden-export, to get the first weights")
	}
	net, err := model.Preset("alexnet", 1000)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(*export)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(model.WriteTensors(f, nil, net.Init(alexNetSeed)), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// load loads a case, or all small ones.
func load(t testing.TB, names ...string) []*golden.Case {
	t.Helper()
	if names == nil {
		names = golden.SmallNames()
	}
	var cs []*golden.Case
	for _, name := range names {
		c, err := golden.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if c.Net.Name != name {
			t.Errorf("%s holds net %s", name, c.Net.Name)
		}
		cs = append(cs, c)
	}
	return cs
}

func TestNames(t *testing.T) {
	if n := len(golden.SmallNames()); n < 7 || len(golden.Names()) != n+1 {
		t.Errorf("%v and %v: some are missing", golden.Names(), golden.SmallNames())
	}
	if c, err := golden.Load("alexnet-large"); err == nil || !strings.Contains(err.Error(), "there are alexnet, ") || c != nil {
		t.Errorf("%v, %v", c, err)
	}
}

// TestAlexNet: the paper's net is whole.
func TestAlexNet(t *testing.T) {
	c := load(t, golden.AlexNet)[0]
	if n := c.Net.ParamCount(); n != 60965224 || c.Seed != alexNetSeed || len(c.Rates) != 0 {
		t.Errorf("a golden of %d parameters with seed %d and %d steps", n, c.Seed, len(c.Rates))
	}
}

// TestUpdateRule: the losses tell the paper's rule, with the learning rate inside of the
// velocity, from the one that multiplies it outside, from the second step after the
// rate's change on.
func TestUpdateRule(t *testing.T) {
	for _, c := range load(t) {
		if len(c.Rates) != 10 || len(c.WantLosses) != 10 || len(c.SGDLosses) != 10 || c.Rates[4] == c.Rates[5] {
			t.Fatalf("%s: ten steps with a change of rate after the fifth are needed", c.Net.Name)
		}
		for s, loss := range c.WantLosses {
			d := golden.Relative(c.SGDLosses[s], loss)
			if s <= 5 && d > 1e-8 {
				t.Errorf("%s: at step %d the rules are still the same, but the losses differ by %.2g", c.Net.Name, s, d)
			}
			if s > 5 && d < 1e-3 {
				t.Errorf("%s: at step %d the losses differ by no more than %.2g", c.Net.Name, s, d)
			}
		}
	}
}

// TestPresets: make.py, which has the nets from the paper, has our presets.
func TestPresets(t *testing.T) {
	for name, classes := range map[string]int{"alexnet": 1000, "alexnet-small": 10} {
		c := load(t, name)[0]
		net, err := model.Preset(name, classes)
		if err != nil {
			t.Fatal(err)
		}
		for i := range net.Layers {
			if name == "alexnet-small" && net.Layers[i].Kind == model.Dropout {
				net.Layers[i].Rate = 0
			}
		}
		if !reflect.DeepEqual(c.Net, net) {
			t.Errorf("%s: the golden's net is\n%+v\nthe preset\n%+v", name, *c.Net, *net)
		}
	}
}

// TestFamily: the small nets have every feature of ours.
func TestFamily(t *testing.T) {
	const block = 8 // images that are computed together
	has := map[string]bool{}
	for _, g := range load(t) {
		shapes, err := g.Net.Shapes()
		if err != nil {
			t.Fatal(err)
		}
		in, before := g.Net.Input, model.Kind("")
		for i, l := range g.Net.Layers {
			has[string(l.Kind)] = true
			has[string(before)+" "+string(l.Kind)] = true
			has["groups"] = has["groups"] || l.Kind == model.Conv && l.Groups > 1
			has["lrn in groups"] = has["lrn in groups"] || l.Kind == model.LRN && l.Groups > 1
			has["pad"] = has["pad"] || l.Pad > 0
			has["pad at the end"] = has["pad at the end"] || l.PadEnd > 0
			has["stride"] = has["stride"] || l.Kind == model.Conv && l.Stride > 1
			has["bias multiplier"] = has["bias multiplier"] || l.BiasLRMult == 2 && l.BiasNoDecay
			has["active dropout"] = has["active dropout"] || l.Rate > 0
			has["inactive dropout"] = has["inactive dropout"] || l.Kind == model.Dropout && l.Rate == 0
			if l.Kind == model.MaxPool && l.Kernel > l.Stride {
				over := shapes[i].H > (in.H-l.Kernel)/l.Stride+1 || shapes[i].W > (in.W-l.Kernel)/l.Stride+1
				has["overlapping pooling"] = has["overlapping pooling"] || !over
				has["overlapping pooling over the edge"] = has["overlapping pooling over the edge"] || over
			}
			in, before = shapes[i], l.Kind
		}
		for _, labels := range g.Labels {
			has["more than a block"] = has["more than a block"] || len(labels) > block && len(labels)%block != 0
			has["short batch"] = has["short batch"] || len(labels) < g.Batch
			has["unlabelled"] = has["unlabelled"] || slices.Contains(labels, -1)
		}
	}
	for _, f := range []string{"conv", "relu", "tanh", "lrn", "maxpool", "dropout", "fc", "softmax", "groups", "lrn in groups", "lrn_within_channel", "pad", "pad at the end",
		"stride", "bias multiplier", "active dropout", "inactive dropout", "overlapping pooling",
		"overlapping pooling over the edge", "more than a block", "short batch", "unlabelled",
		"conv relu", "conv lrn", "conv maxpool", "relu lrn", "relu maxpool", "lrn maxpool", "maxpool lrn", "maxpool relu",
		"lrn conv", "lrn fc", "lrn lrn_within_channel", "relu fc", "maxpool fc", "conv conv", "dropout fc", "fc dropout"} {
		if !has[f] {
			t.Errorf("no golden has %q", f)
		}
	}
}

// faulty is an engine with a fault.
type faulty struct {
	*cpu.Engine
	probs  float32 // one probability is off by so much, relatively
	rate   float32 // so is the rate of updates
	loss   float64 // and the loss
	step   uint64  // added to a step's number: other masks
	absent bool    // one image is not counted
}

func (f *faulty) Predict(images []float32, n int, probs []float32) error {
	err := f.Engine.Predict(images, n, probs)
	probs[len(probs)-1] *= 1 + f.probs
	return err
}

func (f *faulty) Backward(images []float32, labels []int32, step uint64) (model.Score, error) {
	s, err := f.Engine.Backward(images, labels, step+f.step)
	s.Loss *= 1 + f.loss
	if f.absent {
		s.N--
	}
	return s, err
}

func (f *faulty) Update(h model.Hyper) error {
	h.LearningRate *= 1 + f.rate
	return f.Engine.Update(h)
}

// TestMeasures: a sound engine is near in every measure, and each fault is seen.
func TestMeasures(t *testing.T) {
	c := load(t, "dropout")[0]
	e, err := cpu.New(c.Net, c.State(), cpu.Options{Batch: c.Batch, Seed: c.Seed, Backend: cpu.Plain, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const near = 1e-5
	for _, test := range []struct {
		name                                  string
		e                                     *faulty
		logits, loss, gradient, ratio, losses bool // are off
		err                                   string
	}{
		{name: "sound", e: &faulty{}},
		{name: "probability", e: &faulty{probs: 1e-2}, logits: true},
		{name: "rate", e: &faulty{rate: 1e-3}, gradient: true, ratio: true, losses: true},
		{name: "loss", e: &faulty{loss: 1e-3}, loss: true, losses: true},
		{name: "masks", e: &faulty{step: 1}, loss: true, gradient: true, ratio: true, losses: true},
		{name: "count", e: &faulty{absent: true}, err: "golden dropout: the engine counts 9 images, and 10 have a label"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.e.Engine = e
			off := func(what string, d float64, want bool) {
				t.Helper()
				if !(d <= near) != want {
					t.Errorf("%s are off by %.2g", what, d)
				}
			}
			if err := c.Reset(test.e); err != nil {
				t.Fatal(err)
			}
			d, err := c.LogitError(test.e)
			off("logits", d, test.logits)
			rms, rmsErr := c.LogitDistance(test.e)
			off("logits", rms, test.logits)
			g, gErr := c.GradientErrors(test.e)
			if test.err != "" {
				if gErr == nil || gErr.Error() != test.err {
					t.Errorf("%v, want %s", gErr, test.err)
				}
				return
			}
			off("the loss", g.Loss, test.loss)
			name, worst := g.Worst()
			off("gradients", worst, test.gradient)
			ratio := 0.0
			for _, p := range g.Params {
				ratio = max(ratio, math.Abs(p.Ratio-1))
				if off := 1 - p.Cosine; !test.gradient && math.Abs(off) > near || test.name == "masks" && p.Name == name && !(off > near) {
					t.Errorf("%s: a cosine of %g", p.Name, p.Cosine)
				}
			}
			off("lengths", ratio, test.ratio)
			if err := c.Reset(test.e); err != nil {
				t.Fatal(err)
			}
			losses, lossErr := c.LossErrors(test.e)
			if err := errors.Join(err, rmsErr, gErr, lossErr); err != nil || len(losses) != 10 {
				t.Fatal(losses, err)
			}
			off("losses", slices.Max(losses), test.losses)
		})
	}
}

// TestWorst: a NaN is the worst, wherever it stands.
func TestWorst(t *testing.T) {
	g := golden.Gradients{Params: []golden.Distance{{Name: "a", Error: 1}, {Name: "b", Error: math.NaN()}, {Name: "c", Error: 2}}}
	if name, err := g.Worst(); name != "b" || !math.IsNaN(err) {
		t.Errorf("%s, %g", name, err)
	}
	if name, err := (golden.Gradients{Params: g.Params[2:]}).Worst(); name != "c" || err != 2 {
		t.Errorf("%s, %g", name, err)
	}
}
