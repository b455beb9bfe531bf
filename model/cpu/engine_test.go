package cpu

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"alexnet/model"
)

// tinyNet has every kind of layer of AlexNet, in an order and with shapes that try
// the engine: groups, padding at the end, a normalisation and a pooling after
// each other, dropout before and after a fully connected layer, and a ReLU that
// follows a pooling.
func tinyNet() *model.Net {
	return &model.Net{Name: "tiny", Input: model.Shape{C: 2, H: 10, W: 8}, Classes: 7, Layers: []model.Layer{
		{Name: "conv1", Kind: model.Conv, Out: 4, Kernel: 3, Stride: 1, PadEnd: 1, InitStd: 0.3},
		{Name: "relu1", Kind: model.ReLU},
		{Name: "norm1", Kind: model.LRN, Size: 3, Alpha: 0.1, Beta: 0.75, K: 1},
		{Name: "pool1", Kind: model.MaxPool, Kernel: 3, Stride: 2},
		{Name: "local1", Kind: model.Local, Out: 4, Kernel: 3, Stride: 1, Pad: 1, InitStd: 0.3, NoDecay: true},
		{Name: "conv2", Kind: model.Conv, Out: 6, Kernel: 3, Stride: 2, Pad: 1, Groups: 2, InitStd: 0.4, InitBias: 0.1},
		{Name: "pool2", Kind: model.MaxPool, Kernel: 2, Stride: 1, Ceil: true},
		{Name: "relu2", Kind: model.ReLU},
		{Name: "drop2", Kind: model.Dropout, Rate: 0.3},
		{Name: "fc3", Kind: model.FC, Out: 9, InitStd: 0.4, InitBias: 0.2, BiasLRMult: 2, BiasNoDecay: true},
		{Name: "relu3", Kind: model.ReLU},
		{Name: "drop3", Kind: model.Dropout, Rate: 0.3},
		{Name: "fc4", Kind: model.FC, Out: 7, InitStd: 0.5, DecayMult: 3},
		{Name: "prob", Kind: model.Softmax},
	}}
}

const testSeed = 3

func newEngine(t testing.TB, net *model.Net, o Options) *Engine {
	t.Helper()
	if o.Seed == 0 {
		o.Seed = testSeed
	}
	if o.Backend == Auto {
		o.Backend = Plain
	}
	e, err := New(net, model.State{}, o)
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

// examples draws images of the given deviation, and labels.
func examples(net *model.Net, n int, scale float64, seed uint64) ([]float32, []int32) {
	r := draws(seed)
	images := randomFloats(r, n*net.Input.Size(), scale)
	labels := make([]int32, n)
	for i := range labels {
		labels[i] = int32(r.IntN(net.Classes))
	}
	return images, labels
}

func backward(t testing.TB, e *Engine, images []float32, labels []int32, step uint64) model.Score {
	t.Helper()
	s, err := e.Backward(images, labels, step)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func gradients(t testing.TB, e *Engine) [][]float32 {
	t.Helper()
	gs, err := e.gradients()
	if err != nil {
		t.Fatal(err)
	}
	out := make([][]float32, len(gs))
	for i, g := range gs {
		out[i] = append([]float32{}, g...)
	}
	return out
}

func update(t testing.TB, e *Engine, h model.Hyper) {
	t.Helper()
	if err := e.Update(h); err != nil {
		t.Fatal(err)
	}
}

func snapshot(t testing.TB, e *Engine) model.State {
	t.Helper()
	st, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// reference evaluates the slow net on the engine's weights.
type reference struct {
	net    *model.Net
	params [][]float64
	images []float64
	labels []int32
	masks  []map[int][]float64 // of each image
}

func newReference(t *testing.T, e *Engine, images []float32, labels []int32, step uint64) *reference {
	r := &reference{net: e.net, images: widen(images), labels: labels}
	for _, w := range snapshot(t, e).Weights {
		r.params = append(r.params, widen(w.Data))
	}
	shapes, err := e.net.Shapes()
	if err != nil {
		t.Fatal(err)
	}
	r.masks = make([]map[int][]float64, len(labels))
	for i := range labels {
		r.masks[i] = map[int][]float64{}
	}
	for j, l := range e.net.Layers {
		if l.Kind != model.Dropout {
			continue
		}
		size := shapes[j].Size()
		mask := make([]float32, len(labels)*size)
		model.DropoutMask(mask, testSeed, step, uint32(j), 0, l.Rate)
		for i := range labels {
			r.masks[i][j] = widen(mask[i*size : (i+1)*size])
		}
	}
	return r
}

func (r *reference) logits(image int, training bool) []float64 {
	size := r.net.Input.Size()
	var masks map[int][]float64
	if training {
		masks = r.masks[image]
	}
	return refLogits(r.net, r.params, r.images[image*size:(image+1)*size], masks)
}

func (r *reference) loss() float64 {
	s := 0.0
	for i, l := range r.labels {
		s += refLoss(r.logits(i, true), l)
	}
	return s
}

// TestGradients compares loss, probabilities and the gradient of every parameter
// of a whole net with the reference.
func TestGradients(t *testing.T) {
	const n, step = 10, 1<<33 + 5
	net := tinyNet()
	images, labels := examples(net, n, 2, 1)
	labels[3] = -1
	e := newEngine(t, net, Options{Batch: 13, Threads: 2})
	score := backward(t, e, images, labels, step)
	ref := newReference(t, e, images, labels, step)
	if want := ref.loss(); math.Abs(score.Loss-want) > 1e-5*want || score.N != n-1 {
		t.Errorf("score %+v, want a loss of %g over %d images", score, want, n-1)
	}
	for p, got := range gradients(t, e) {
		want := make([]float64, len(got))
		zero := true
		for i := range want {
			// The net has kinks, at ReLUs and maxima: a small step seldom meets one.
			want[i] = slope(&ref.params[p][i], 1e-6, ref.loss) / (n - 1)
			zero = zero && want[i] == 0
		}
		if zero {
			t.Errorf("%s has no gradient at all: the test shows nothing", e.specs[p].Name)
		}
		compare(t, e.specs[p].Name, got, want, 1e-5)
	}

	probs := make([]float32, n*net.Classes)
	if err := e.Predict(images, n, probs); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		compare(t, "probabilities", probs[i*net.Classes:(i+1)*net.Classes], refProbs(ref.logits(i, false)), 1e-5)
	}
}

// TestSmallNetGradients compares the gradients of alexnet-small itself, with random
// weights, with the reference: for each parameter the slope of the loss along a
// random direction, in which all of its values change at once. A gradient that is
// wrong anywhere is almost surely wrong along it.
func TestSmallNetGradients(t *testing.T) {
	if testing.Short() {
		t.Skip("the slow reference of a whole net takes seconds")
	}
	const n, step = 2, 3
	net, err := model.Preset("alexnet-small", 10)
	if err != nil {
		t.Fatal(err)
	}
	images, labels := examples(net, n, 64, 5)
	e := newEngine(t, net, Options{Batch: n, Threads: 2})
	score := backward(t, e, images, labels, step)
	ref := newReference(t, e, images, labels, step)
	if want := ref.loss(); math.Abs(score.Loss-want) > 1e-5*want {
		t.Errorf("loss %g, want %g", score.Loss, want)
	}
	r := draws(9)
	for p, got := range gradients(t, e) {
		norm := 0.0
		for _, g := range got {
			norm += float64(g) * float64(g)
		}
		norm = math.Sqrt(norm)
		if norm == 0 {
			t.Errorf("%s has no gradient at all: the test shows nothing", e.specs[p].Name)
		}
		direction := widen(randomFloats(r, len(got), 1))
		origin := slices.Clone(ref.params[p])
		along, length := 0.0, 0.0
		for i, d := range direction {
			along += d * float64(got[i])
			length += d * d
		}
		at := 0.0
		want := slope(&at, 1e-7, func() float64 {
			for i, d := range direction {
				ref.params[p][i] = origin[i] + at*d
			}
			return ref.loss()
		}) / n
		ref.params[p] = origin
		// The gradient's length times the direction's is what the slope may be at most.
		if bound := norm * math.Sqrt(length); math.Abs(along-want) > 2e-6*bound {
			t.Errorf("%s: slope %g along a random direction, want %g (at most %g)", e.specs[p].Name, along, want, bound)
		}
	}
}

// TestScoreCounts compares top-1 and top-5 with the reference's ranking.
func TestScoreCounts(t *testing.T) {
	net := tinyNet()
	images, labels := examples(net, 50, 2, 9)
	e := newEngine(t, net, Options{Batch: 50})
	score := backward(t, e, images, labels, 1)
	ref := newReference(t, e, images, labels, 1)
	top1, top5 := 0, 0
	for i, l := range labels {
		z, rank := ref.logits(i, true), 0
		for j, v := range z {
			if v > z[l] || v == z[l] && int32(j) < l {
				rank++
			}
		}
		if rank == 0 {
			top1++
		}
		if rank < 5 {
			top5++
		}
	}
	if score.Top1 != top1 || score.Top5 != top5 || score.N != 50 || top1 == top5 {
		t.Errorf("%+v, want top-1 %d and top-5 %d of 50", score, top1, top5)
	}
}

// run trains a few steps and returns all that came out of it.
func run(t testing.TB, e *Engine, images []float32, labels []int32, steps int) ([]model.Score, [][]float32, model.State, []float32) {
	t.Helper()
	var scores []model.Score
	for s := range steps {
		scores = append(scores, backward(t, e, images, labels, uint64(s)))
		if s < steps-1 {
			update(t, e, model.Hyper{LearningRate: 0.02, Momentum: 0.9, WeightDecay: 0.01})
		}
	}
	grads := gradients(t, e)
	update(t, e, model.Hyper{LearningRate: 0.02, Momentum: 0.9, WeightDecay: 0.01})
	probs := make([]float32, len(labels)*e.net.Classes)
	if err := e.Predict(images, len(labels), probs); err != nil {
		t.Fatal(err)
	}
	return scores, grads, snapshot(t, e), probs
}

// same fails unless two runs are identical bit for bit.
func same(t *testing.T, what string, a, b any) {
	t.Helper()
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s differ", what)
	}
}

func sameRuns(t *testing.T, a, b *Engine, images []float32, labels []int32, steps int) {
	t.Helper()
	s1, g1, w1, p1 := run(t, a, images, labels, steps)
	s2, g2, w2, p2 := run(t, b, images, labels, steps)
	same(t, "scores", s1, s2)
	same(t, "gradients", g1, g2)
	same(t, "weights and velocities", w1, w2)
	same(t, "probabilities", p1, p2)
}

// TestThreads: any number of threads gives the same bits.
func TestThreads(t *testing.T) {
	small, err := model.Preset("alexnet-small", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		net   *model.Net
		n     int
		scale float64
		steps int
	}{{tinyNet(), 37, 1, 3}, {small, 18, 50, 1}} {
		images, labels := examples(c.net, c.n, c.scale, 2)
		for _, threads := range []int{2, 7} {
			t.Run(fmt.Sprintf("%s/%d", c.net.Name, threads), func(t *testing.T) {
				sameRuns(t, newEngine(t, c.net, Options{Batch: c.n, Threads: 1}),
					newEngine(t, c.net, Options{Batch: c.n, Threads: threads}), images, labels, c.steps)
			})
		}
	}
}

// TestShortBatch: a short batch in a large engine gives the same bits as in an
// engine of its size, whatever was in the engine before.
func TestShortBatch(t *testing.T) {
	net := tinyNet()
	for _, n := range []int{1, 3, 8, 11, 19} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			images, labels := examples(net, n, 1, 4)
			large := newEngine(t, net, Options{Batch: 21, Threads: 2})
			before := snapshot(t, large)
			other, otherLabels := examples(net, 21, 100, 5)
			other[5] = float32(math.NaN())
			backward(t, large, other, otherLabels, 0)
			if err := large.Predict(other, 21, make([]float32, 21*7)); err != nil {
				t.Fatal(err)
			}
			if err := large.Restore(before); err != nil {
				t.Fatal(err)
			}
			sameRuns(t, newEngine(t, net, Options{Batch: n, Threads: 2}), large, images, labels, 2)
		})
	}
}

// TestUnlabelled: an image with label -1 is as good as absent.
func TestUnlabelled(t *testing.T) {
	net := tinyNet()
	images, labels := examples(net, 4, 1, 6)
	e := newEngine(t, net, Options{Batch: 4})
	three := backward(t, e, images, labels[:3], 0)
	want := gradients(t, e)
	labels[3] = -1
	four := backward(t, e, images, labels, 0)
	if three != four {
		t.Errorf("scores %+v and %+v", three, four)
	}
	for p, got := range gradients(t, e) {
		compare(t, e.specs[p].Name, got, widen(want[p]), 1e-6)
	}
	all := []int32{-1, -1, -1, -1}
	if s := backward(t, e, images, all, 0); s != (model.Score{}) {
		t.Errorf("a batch without labels scores %+v", s)
	}
	for p, got := range gradients(t, e) {
		compare(t, e.specs[p].Name, got, make([]float64, len(got)), 0)
	}
}

// TestDropoutDependsOnSeedAndStep: the same step gives the same masks, another
// step or seed others.
func TestDropoutDependsOnSeedAndStep(t *testing.T) {
	net := tinyNet()
	images, labels := examples(net, 6, 1, 7)
	a := newEngine(t, net, Options{Batch: 6, Seed: 1})
	b, err := New(net, snapshot(t, a), Options{Batch: 6, Seed: 2, Backend: Plain})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	loss := func(e *Engine, step uint64) float64 { return backward(t, e, images, labels, step).Loss }
	first := loss(a, 1)
	if loss(a, 2) == first {
		t.Error("the loss does not depend on the step")
	}
	if loss(b, 1) == first {
		t.Error("the loss does not depend on the seed")
	}
	if loss(a, 1) != first {
		t.Error("the same step gives another loss")
	}
}

// TestUpdate compares Update with the rule written out, multipliers included.
func TestUpdate(t *testing.T) {
	net := tinyNet()
	images, labels := examples(net, 5, 1, 8)
	e := newEngine(t, net, Options{Batch: 5, Threads: 2})
	w, v := snapshot(t, e).Weights, make([][]float64, len(e.specs))
	for step, lr := range []float32{0.1, 0.1, 0.01} {
		backward(t, e, images, labels, uint64(step))
		grads := gradients(t, e)
		update(t, e, model.Hyper{LearningRate: lr, Momentum: 0.9, WeightDecay: 0.05})
		now := snapshot(t, e)
		for p, s := range e.specs {
			if step == 0 {
				v[p] = make([]float64, s.Len())
			}
			mult, decay := 1.0, 0.05
			switch s.Name {
			case "fc3.bias":
				mult, decay = 2, 0
			case "local1.weight", "local1.bias":
				decay = 0
			case "fc4.weight", "fc4.bias":
				decay *= 3
			}
			want := make([]float64, s.Len())
			for i := range want {
				eps := float64(lr) * mult
				v[p][i] = 0.9*v[p][i] - decay*eps*float64(w[p].Data[i]) - eps*float64(grads[p][i])
				want[i] = float64(w[p].Data[i]) + v[p][i]
			}
			compare(t, s.Name, now.Weights[p].Data, want, 1e-6)
			compare(t, s.Name+" velocity", now.Velocity[p].Data, v[p], 1e-5)
		}
		w = now.Weights
	}
}

// TestSnapshotRestore: a run that goes on from a snapshot is the run that was not
// interrupted, and snapshots share nothing with the engine.
func TestSnapshotRestore(t *testing.T) {
	net := tinyNet()
	images, labels := examples(net, 9, 1, 10)
	h := model.Hyper{LearningRate: 0.05, Momentum: 0.9, WeightDecay: 0.001}
	a := newEngine(t, net, Options{Batch: 9})
	for s := range 2 {
		backward(t, a, images, labels, uint64(s))
		update(t, a, h)
	}
	middle := snapshot(t, a)
	kept := model.State{}
	for i := range middle.Weights {
		kept.Weights = append(kept.Weights, middle.Weights[i].Clone())
		kept.Velocity = append(kept.Velocity, middle.Velocity[i].Clone())
	}
	b, err := New(net, middle, Options{Batch: 9, Seed: testSeed, Backend: Plain})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	same(t, "snapshot of a restored engine and the snapshot", snapshot(t, b), middle)
	for s := 2; s < 4; s++ {
		same(t, "scores", backward(t, a, images, labels, uint64(s)), backward(t, b, images, labels, uint64(s)))
		update(t, a, h)
		update(t, b, h)
	}
	same(t, "states", snapshot(t, a), snapshot(t, b))
	same(t, "the snapshot, before and after more training,", middle, kept)

	// Back to the middle, in the same engine; without velocities they are zeros.
	if err := a.Restore(model.State{Weights: middle.Weights}); err != nil {
		t.Fatal(err)
	}
	for i, v := range snapshot(t, a).Velocity {
		compare(t, v.Name, v.Data, make([]float64, len(v.Data)), 0)
		same(t, "weights", snapshot(t, a).Weights[i], middle.Weights[i])
	}
}

// TestNaN: a loss that is not a number is the caller's to see.
func TestNaN(t *testing.T) {
	net := tinyNet()
	images, labels := examples(net, 3, 1, 11)
	e := newEngine(t, net, Options{Batch: 3})
	st := snapshot(t, e)
	st.Weights[0].Data[0] = float32(math.NaN())
	if err := e.Restore(st); err != nil {
		t.Fatal(err)
	}
	score := backward(t, e, images, labels, 0)
	if !math.IsNaN(score.Loss) || score.N != 3 || score.Top1 != 0 {
		t.Errorf("score %+v, want a loss that is not a number", score)
	}
}

func TestErrors(t *testing.T) {
	net := tinyNet()
	images, labels := examples(net, 3, 1, 12)
	st := model.State{Weights: net.Init(1)}
	wrong := model.State{Weights: append([]model.Tensor{}, st.Weights...)}
	wrong.Weights[2].Shape = []int{1}
	broken := tinyNet()
	broken.Layers[5].Groups = 5
	e := newEngine(t, net, Options{Batch: 3})
	before := snapshot(t, e)
	probs := make([]float32, 3*7)
	newErr := func(n *model.Net, st model.State, o Options) func() error {
		return func() error {
			e, err := New(n, st, o)
			if e != nil {
				t.Error("an engine in spite of the error")
			}
			return err
		}
	}
	back := func(labels ...int32) func() error {
		return func() error { _, err := e.Backward(images, labels, 0); return err }
	}
	for _, c := range []struct {
		name string
		do   func() error
		want string
	}{
		{"update first", func() error { return e.Update(model.Hyper{LearningRate: 1}) }, "update: there is no gradient: call Backward first"},
		{"no batch", newErr(net, st, Options{}), "a batch of 0 images: there must be 1..2147483647"},
		{"threads", newErr(net, st, Options{Batch: 1, Threads: -1}), "-1 threads"},
		{"net", newErr(broken, model.State{}, Options{Batch: 1}), "net tiny: conv2: 5 groups do not divide"},
		{"weights", newErr(net, wrong, Options{Batch: 1}), "weights do not fit net tiny: local1.weight is [1], the net needs [12 4 36]"},
		{"restore", func() error { return e.Restore(wrong) }, "weights do not fit net tiny"},
		{"restore velocity", func() error { return e.Restore(model.State{Weights: before.Weights, Velocity: before.Velocity[1:]}) },
			"velocity: weights do not fit net tiny: conv1.bias stands where conv1.weight is expected"},
		{"no labels", back(), "backward: 0 images for an engine with a batch of 3"},
		{"too many", back(0, 0, 0, 0), "backward: 4 images for an engine with a batch of 3"},
		{"label", back(0, 7), "backward: label 7 of image 1 is not in [0, 7)"},
		{"negative label", back(-2), "backward: label -2 of image 0"},
		{"few values", func() error { _, err := e.Backward(images[:100], labels, 0); return err }, "backward: 100 values for 3 images of 160"},
		{"predict none", func() error { return e.Predict(images, 0, probs) }, "predict: 0 images"},
		{"predict room", func() error { return e.Predict(images, 3, probs[:20]) }, "predict: room for 20 probabilities of 3 images with 7 classes"},
		{"learning rate", func() error {
			if err := back(0)(); err != nil {
				return err
			}
			return e.Update(model.Hyper{LearningRate: float32(math.NaN())})
		}, "update: learning rate NaN"},
		{"momentum", func() error { return e.Update(model.Hyper{Momentum: -1}) }, "momentum -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	same(t, "state before and after the errors", before, snapshot(t, e))
	// Two updates for one gradient would be one too many.
	backward(t, e, images, labels, 0)
	update(t, e, model.Hyper{LearningRate: 0.01})
	if err := e.Update(model.Hyper{LearningRate: 0.01}); err == nil {
		t.Error("a second update without a gradient was taken")
	}
}

func TestClosed(t *testing.T) {
	net := tinyNet()
	images, labels := examples(net, 2, 1, 13)
	e := newEngine(t, net, Options{Batch: 2, Threads: 2})
	backward(t, e, images, labels, 0)
	for range 2 {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, backErr := e.Backward(images, labels, 0)
	_, snapErr := e.Snapshot()
	for name, err := range map[string]error{
		"Backward": backErr, "Snapshot": snapErr, "Update": e.Update(model.Hyper{}),
		"Predict": e.Predict(images, 1, make([]float32, 7)), "Restore": e.Restore(model.State{}),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if e.Net().Name != "tiny" || e.Batch() != 2 || e.Memory() != 0 {
		t.Errorf("net %v, batch %d, %d bytes after Close", e.Net(), e.Batch(), e.Memory())
	}
}

// panicKernel fails as a bug would: in a worker's goroutine when going forwards, if
// there is no good kernel to do that, and in gorgonia's when going backwards.
type panicKernel struct {
	m    *workers
	good kernel
}

func (k panicKernel) forward(c *call, t *buffers) {
	if k.good != nil {
		k.good.forward(c, t)
		return
	}
	k.m.each(8, func(_, unit int) {
		if unit == 5 {
			panic("a bug in unit 5")
		}
	})
}

func (k panicKernel) backward(c *call, t *buffers) { t.w[c.n] = 1 } // there are no weights

// TestPanicIsAnError: gorgonia runs ops in a goroutine of its own, where a panic
// would end the process.
func TestPanicIsAnError(t *testing.T) {
	net := tinyNet()
	images, labels := examples(net, 2, 1, 14)
	for _, threads := range []int{1, 3} {
		e := newEngine(t, net, Options{Batch: 2, Threads: threads})
		backward(t, e, images, labels, 0)
		var relu *layerPlan
		for _, l := range e.train.layers {
			if l.name == "relu3" {
				relu = l.plan
			}
		}
		good := relu.kernel
		for _, c := range []struct {
			kernel kernel
			want   string
		}{
			{panicKernel{&workers{threads}, nil}, "relu3 forward: a bug in unit 5"},
			{panicKernel{nil, good}, "relu3 backward: runtime error: index out of range [2]"},
		} {
			relu.kernel = c.kernel
			if _, err := e.Backward(images, labels, 0); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d threads: got %v, want %q", threads, err, c.want)
			}
			if err := e.Update(model.Hyper{}); err == nil {
				t.Error("Update took the gradient of a Backward that failed")
			}
		}
		relu.kernel = good
		backward(t, e, images, labels, 0)
	}
}

// TestMemory: the engine counts at least its parameters and activations, and makes
// the programs when they are needed.
func TestMemory(t *testing.T) {
	net := tinyNet()
	images, labels := examples(net, 2, 1, 15)
	e := newEngine(t, net, Options{Batch: 2})
	start := e.Memory()
	if least := 4 * (2*net.ParamCount() + 2*int64(net.Input.Size())); start < least || start > 2*least {
		t.Errorf("%d bytes for %d of weights, velocities and images", start, least)
	}
	if err := e.Predict(images, 2, make([]float32, 14)); err != nil {
		t.Fatal(err)
	}
	predict := e.Memory()
	backward(t, e, images, labels, 0)
	if train := e.Memory(); start >= predict || predict >= train {
		t.Errorf("%d, %d, %d bytes at first, with prediction, with training", start, predict, train)
	}
}

// TestNetIsCopied: changing the net afterwards does not reach the engine.
func TestNetIsCopied(t *testing.T) {
	net := tinyNet()
	e := newEngine(t, net, Options{Batch: 1})
	net.Layers[0].Out = 99
	if e.Net().Layers[0].Out != 4 {
		t.Error("the engine shares its net with the caller")
	}
}

// TestMemoryIsFreed: engines that nobody holds any more are collected, closed or
// not, and steps leave nothing behind.
func TestMemoryIsFreed(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // the first queues finalizers
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	net := tinyNet()
	const batch = 512
	images, labels := examples(net, batch, 1, 16)
	probs := make([]float32, batch*net.Classes)
	var size int64
	use := func(steps int, closed bool) {
		e, err := New(net, model.State{}, Options{Batch: batch})
		if err != nil {
			t.Fatal(err)
		}
		for s := range steps {
			backward(t, e, images, labels, uint64(s))
			update(t, e, model.Hyper{LearningRate: 0.001})
			if err := e.Predict(images, batch, probs); err != nil {
				t.Fatal(err)
			}
		}
		size = e.Memory()
		if closed {
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	use(1, true)
	before := heap()
	for i := range 6 {
		use(1, i%2 == 0)
	}
	if grown := heap() - before; grown > size {
		t.Errorf("six engines of %d bytes left %d behind", size, grown)
	}
}

// TestImagesInPlace: images are used where they are if they lie well, and copied
// otherwise; the results are the same bits, and the images are left as they were.
func TestImagesInPlace(t *testing.T) {
	for path, o := range goldenPaths() {
		net := tinyNet()
		o.Batch = 4
		images, labels := examples(net, 4, 1, 6)
		e := newEngine(t, net, o)
		if _, err := e.Backward(images, labels, 0); err != nil {
			t.Fatal(err)
		}
		var want [][]float32
		var probs []float32
		seen := map[bool]bool{}
		for _, offset := range []int{0, 1, 2, 5} {
			room := make([]float32, len(images)+64)
			for uintptr(unsafe.Pointer(&room[0]))%64 != 0 {
				room = room[1:]
			}
			own := room[offset:][:len(images)]
			copy(own, images)
			in, err := e.load(own, 4)
			if err != nil {
				t.Fatal(err)
			}
			seen[&in[0] == &own[0]] = true
			backward(t, e, own, labels, 7)
			gs := gradients(t, e)
			p := make([]float32, 4*net.Classes)
			if err := e.Predict(own, 4, p); err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want, probs = gs, p
			}
			if !reflect.DeepEqual(gs, want) || !slices.Equal(p, probs) {
				t.Errorf("%s: images at %d give other results", path, offset)
			}
			if !slices.Equal(own, images) {
				t.Errorf("%s: the images at %d were changed", path, offset)
			}
		}
		if !seen[true] || !seen[false] {
			t.Errorf("%s: the test sees one case only: %v", path, seen)
		}
	}
}
