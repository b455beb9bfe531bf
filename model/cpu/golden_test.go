package cpu

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"alexnet/model"
	"alexnet/model/cpu/dnnl"
)

// The goldens in testdata/golden are PyTorch's, in float64: make.py there makes
// them and says what is in them. The tests use the engine as a training loop does.

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

// golden is a file of make.py.
type golden struct {
	Net         model.Net                 `json:"net"`
	Convention  string                    `json:"convention"`
	Init        string                    `json:"init"`
	Seed        uint64                    `json:"seed"`
	Stream      uint32                    `json:"stream"`
	Batch       int                       `json:"batch"`
	Pixel       float64                   `json:"pixel"`
	Labels      [][]int32                 `json:"labels"`
	Logits      [][]float64               `json:"logits"`
	Step        uint64                    `json:"step"`
	Loss        float64                   `json:"loss"`
	Gradients   map[string]goldenGradient `json:"gradients"`
	Rates       []float32                 `json:"rates"`
	Momentum    float32                   `json:"momentum"`
	WeightDecay float32                   `json:"weight_decay"`
	Losses      []float64                 `json:"losses"`
	SGDLosses   []float64                 `json:"sgd_losses"`
	alphas      []float64                 // of the layers, as written in the file
	drawn       []model.Tensor            // the initial weights
}

// goldenGradient has either all values or a sketch and samples.
type goldenGradient struct {
	Norm    float64   `json:"norm"`
	Values  []float64 `json:"values"`
	Sketch  []float64 `json:"sketch"`
	At      []int     `json:"at"`
	Samples []float64 `json:"samples"`
}

// readGolden reads a golden. Its net gets our alpha, which multiplies the sum of
// squares as it is.
func readGolden(t testing.TB, file string) *golden {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g := &golden{}
	dec := json.NewDecoder(f)
	dec.DisallowUnknownFields()
	if err := dec.Decode(g); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, l := range g.Net.Layers {
		g.alphas = append(g.alphas, l.Alpha)
	}
	g.useConvention(t, g.Convention)
	return g
}

// useConvention sets the alphas of the net to what the file's mean in a convention.
func (g *golden) useConvention(t testing.TB, name string) {
	t.Helper()
	for i := range g.Net.Layers {
		l := &g.Net.Layers[i]
		n := l.Size
		switch l.Kind {
		case model.LRN:
		case model.LRNWithinChannel:
			n *= n
		default:
			continue
		}
		switch name {
		case "paper":
			l.Alpha = g.alphas[i]
		case "caffe", "as-run":
			l.Alpha = g.alphas[i] / float64(n)
		default:
			t.Fatalf("%s: unknown convention %q", g.Net.Name, name)
		}
	}
}

// smallGoldens returns the goldens of the small nets.
func smallGoldens(t testing.TB) []*golden {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "golden", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var gs []*golden
	for _, f := range files {
		if g := readGolden(t, f); g.Init == "philox" {
			gs = append(gs, g)
		}
	}
	if len(gs) < 7 {
		t.Fatalf("%d goldens: some are missing", len(gs))
	}
	return gs
}

// goldenWords calls f with the first n words of a stream.
func goldenWords(n int, stream uint32, seed uint32, f func(i int, word uint32)) {
	for i := 0; i < n; i += 4 {
		words := model.Philox4x32([4]uint32{uint32(i / 4), stream}, [2]uint32{seed, 0x676f6c64})
		for j := range min(4, n-i) {
			f(i+j, words[j])
		}
	}
}

// uniform draws values in mean +- scale.
func (g *golden) uniform(n int, stream uint32, mean, scale float64) []float32 {
	x := make([]float32, n)
	goldenWords(n, stream, uint32(g.Seed), func(i int, word uint32) {
		u := (float64(word)+0.5)/(1<<31) - 1
		x[i] = float32(mean + float64(scale*u))
	})
	return x
}

// weights returns the initial weights, which engines copy. The logit of class 0 is 0.
func (g *golden) weights() []model.Tensor {
	if g.drawn != nil {
		return g.drawn
	}
	if g.Init == "net" {
		g.drawn = g.Net.Init(g.Seed)
		clearClass0(g.drawn)
		return g.drawn
	}
	for i, p := range g.Net.Params() {
		mean, scale := 0.0, p.Std*math.Sqrt(3)
		if p.Std == 0 {
			mean, scale = p.Bias, 0.1
		}
		data := g.uniform(p.Len(), uint32(i), mean, scale)
		g.drawn = append(g.drawn, model.Tensor{Name: p.Name, Shape: p.Shape, Data: data})
	}
	clearClass0(g.drawn)
	return g.drawn
}

func clearClass0(ts []model.Tensor) {
	for _, last := range ts[len(ts)-2:] {
		clear(last.Data[:len(last.Data)/last.Shape[0]])
	}
}

// images returns the images of a batch.
func (g *golden) images(batch int) []float32 {
	return g.uniform(len(g.Labels[batch])*g.Net.Input.Size(), g.Stream+uint32(batch), 0, g.Pixel)
}

func (g *golden) engine(t testing.TB, o Options) *Engine {
	t.Helper()
	o.Batch, o.Seed = g.Batch, g.Seed
	e, err := New(&g.Net, model.State{Weights: g.weights()}, o)
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

// logitError returns the largest distance of a logit from the golden's, over the
// largest logit of its image.
func (g *golden) logitError(t testing.TB, e *Engine) float64 {
	t.Helper()
	n, classes := len(g.Logits), g.Net.Classes
	probs := make([]float32, n*classes)
	if err := e.Predict(g.images(0), n, probs); err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for i, want := range g.Logits {
		p, largest, distance := probs[i*classes:(i+1)*classes], 0.0, 0.0
		for j, z := range want {
			got := math.Log(float64(p[j]) / float64(p[0]))
			largest, distance = max(largest, math.Abs(z)), max(distance, math.Abs(got-z))
		}
		worst = max(worst, distance/largest)
	}
	return worst
}

// checkGradients compares the gradients of the first batch. A step from zero
// velocities with a learning rate of 1 makes the velocities -LRMult times the
// gradients, exactly.
func (g *golden) checkGradients(t testing.TB, e *Engine) {
	t.Helper()
	score := backward(t, e, g.images(0), g.Labels[0], g.Step)
	labelled := 0
	for _, l := range g.Labels[0] {
		if l >= 0 {
			labelled++
		}
	}
	if relative(score.Loss, g.Loss) > lossTolerance || score.N != labelled {
		t.Errorf("%+v, want a loss of %g over %d images", score, g.Loss, labelled)
	}
	update(t, e, model.Hyper{LearningRate: 1})
	st := snapshot(t, e)
	specs := g.Net.Params()
	if len(specs) != len(g.Gradients) {
		t.Errorf("%d parameters, but %d golden gradients", len(specs), len(g.Gradients))
	}
	worst := 0.0
	for i, p := range specs {
		want, ok := g.Gradients[p.Name]
		if !ok || want.Norm == 0 {
			t.Errorf("%s has no golden gradient", p.Name)
			continue
		}
		got := st.Velocity[i].Data
		for j := range got {
			got[j] /= -float32(p.LRMult)
		}
		d, err := want.distance(got)
		if err != nil || !(d <= gradientTolerance) {
			t.Errorf("%s: the gradient is off by %.2g (%v)", p.Name, d, err)
		}
		worst = max(worst, d)
	}
	t.Logf("loss off by %.2g, gradients by at most %.2g", relative(score.Loss, g.Loss), worst)
}

func relative(got, want float64) float64 { return math.Abs(got-want) / math.Abs(want) }

// distance returns the distance of a gradient from the golden, over the golden's
// norm, or that of a single value, over the larger of itself and the root mean
// square, whichever is worse.
func (want *goldenGradient) distance(got []float32) (float64, error) {
	rms := want.Norm / math.Sqrt(float64(len(got)))
	single := func(got float32, want float64) float64 {
		return math.Abs(float64(got)-want) / max(math.Abs(want), rms)
	}
	if want.Values != nil {
		if len(got) != len(want.Values) {
			return 0, errors.New("the number of values differs")
		}
		d := euclid(widen(got), want.Values) / want.Norm
		for i, v := range want.Values {
			d = max(d, single(got[i], v))
		}
		return d, nil
	}
	sketch := make([]float64, len(want.Sketch))
	if len(sketch) == 0 {
		return 0, errors.New("the golden has no values")
	}
	goldenWords(len(got), math.MaxUint32, 0, func(i int, word uint32) {
		v := float64(got[i])
		if word >= 1<<31 {
			v = -v
		}
		sketch[word%uint32(len(sketch))] += v
	})
	d := euclid(sketch, want.Sketch) / want.Norm
	for i, at := range want.At {
		if at >= len(got) {
			return 0, errors.New("there are fewer values than in the golden")
		}
		d = max(d, single(got[at], want.Samples[i]))
	}
	return d, nil
}

func euclid(a, b []float64) float64 {
	s := 0.0
	for i := range a {
		s += (a[i] - b[i]) * (a[i] - b[i])
	}
	return math.Sqrt(s)
}

// train takes the golden's steps and returns their losses.
func (g *golden) train(t testing.TB, e *Engine) []float64 {
	t.Helper()
	losses := make([]float64, len(g.Rates))
	for s, rate := range g.Rates {
		b := s % len(g.Labels)
		losses[s] = backward(t, e, g.images(b), g.Labels[b], uint64(s)).Loss
		update(t, e, model.Hyper{LearningRate: rate, Momentum: g.Momentum, WeightDecay: g.WeightDecay})
	}
	return losses
}

// TestGolden compares logits, all gradients and the losses of training with
// PyTorch's.
func TestGolden(t *testing.T) {
	for path, o := range goldenPaths() {
		for _, g := range smallGoldens(t) {
			t.Run(path+"/"+g.Net.Name, func(t *testing.T) {
				e := g.engine(t, o)
				if d := g.logitError(t, e); !(d <= logitTolerance) {
					t.Errorf("logits are off by %.2g of the largest", d)
				} else {
					t.Logf("logits off by at most %.2g", d)
				}
				g.checkGradients(t, e)
				if err := e.Restore(model.State{Weights: g.weights()}); err != nil {
					t.Fatal(err)
				}
				worst := 0.0
				for s, loss := range g.train(t, e) {
					d := relative(loss, g.Losses[s])
					if !(d <= lossTolerance) {
						t.Errorf("step %d: loss %.9g, want %.9g", s, loss, g.Losses[s])
					}
					worst = max(worst, d)
				}
				t.Logf("losses off by at most %.2g", worst)
			})
		}
	}
}

// TestGoldenSeesUpdateRule: the losses tell the paper's rule, with the learning
// rate inside of the velocity, from the one that multiplies it outside, from the
// second step after the rate's change on.
func TestGoldenSeesUpdateRule(t *testing.T) {
	for _, g := range smallGoldens(t) {
		if len(g.Rates) != 10 || len(g.Losses) != 10 || len(g.SGDLosses) != 10 || g.Rates[4] == g.Rates[5] {
			t.Fatalf("%s: ten steps with a change of rate after the fifth are needed", g.Net.Name)
		}
		for s, loss := range g.Losses {
			d := relative(g.SGDLosses[s], loss)
			if s <= 5 && d > 1e-8 {
				t.Errorf("%s: at step %d the rules are still the same, but the losses differ by %.2g", g.Net.Name, s, d)
			}
			if s > 5 && d < 100*lossTolerance {
				t.Errorf("%s: at step %d the losses differ by no more than %.2g", g.Net.Name, s, d)
			}
		}
	}
}

// TestGoldenSeesConvention: another convention of alpha gives other logits.
func TestGoldenSeesConvention(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range smallGoldens(t) {
		if !slices.ContainsFunc(g.Net.Layers, func(l model.Layer) bool { return l.Kind == model.LRN && l.Size > 1 }) {
			continue
		}
		seen[g.Convention] = true
		other := "paper"
		if g.Convention == "paper" {
			other = "caffe"
		}
		g.useConvention(t, other)
		if d := g.logitError(t, g.engine(t, Options{})); d < 10*logitTolerance {
			t.Errorf("%s: with the alpha of %s the logits are off by no more than %.2g", g.Net.Name, other, d)
		}
	}
	if len(seen) != 3 {
		t.Errorf("conventions %v, want three", seen)
	}
}

// TestGoldenPresets: make.py, which has the nets from the paper, has our presets.
func TestGoldenPresets(t *testing.T) {
	for name, classes := range map[string]int{"alexnet": 1000, "alexnet-small": 10} {
		g := readGolden(t, filepath.Join("testdata", "golden", name+".json"))
		net, err := model.Preset(name, classes)
		if err != nil {
			t.Fatal(err)
		}
		for i := range net.Layers {
			if name == "alexnet-small" && net.Layers[i].Kind == model.Dropout {
				net.Layers[i].Rate = 0
			}
		}
		if !reflect.DeepEqual(&g.Net, net) {
			t.Errorf("%s: the golden's net is\n%+v\nthe preset\n%+v", name, g.Net, *net)
		}
	}
}

// TestGoldenFamily: the small nets have every feature of ours.
func TestGoldenFamily(t *testing.T) {
	const block = 8 // images that are computed together
	has := map[string]bool{}
	for _, g := range smallGoldens(t) {
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
