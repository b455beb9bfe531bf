package gpu

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/model/cpu"
	"alexnet/model/golden"
	"alexnet/model/gpu/device"
	"alexnet/model/gpu/kernels"
	"alexnet/model/gpu/soft"
)

// code is read once for all tests.
var code soft.Code //nolint:gochecknoglobals // a cache

// machine returns a GPU of package soft, which must be as it was when the test is over:
// nothing left behind, no memory touched that was not to be, no work out of order.
func machine(t testing.TB, o soft.Options) (*Machine, *soft.Device) {
	t.Helper()
	o.Code = &code
	d := soft.Open(o)
	m := &Machine{Device: d, Library: soft.NewLibrary(d)}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m, d
}

// long skips a test in short runs, such as those with the race detector, in which PTX is
// executed ten times as slowly.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("executes PTX for seconds, and ten times as long with the race detector")
	}
}

func newEngine(t testing.TB, net *model.Net, st model.State, o Options) *Engine {
	t.Helper()
	e, err := New(net, st, o)
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

// goldenEngine returns an engine with the weights of a case of package golden.
func goldenEngine(t testing.TB, c *golden.Case, o Options) *Engine {
	t.Helper()
	o.Batch, o.Seed = c.Batch, c.Seed
	return newEngine(t, c.Net, c.State(), o)
}

// eachGolden calls f with the small cases.
func eachGolden(t *testing.T, f func(t *testing.T, c *golden.Case)) {
	for _, name := range golden.SmallNames() {
		if testing.Short() && name != "paper-order" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			c, err := golden.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			f(t, c)
		})
	}
}

// Logits, gradients and the losses of ten steps are PyTorch's, with float32 within 1e-4,
// in whatever order the device does what has no order.
func TestGolden(t *testing.T) {
	eachGolden(t, func(t *testing.T, c *golden.Case) {
		m, _ := machine(t, soft.Options{Policy: soft.Random, Seed: 1, NoRaces: c.Net.Name == "alexnet-small"})
		e := goldenEngine(t, c, Options{Machine: m})
		const tolerance = 1e-4
		if d, err := c.LogitError(e); err != nil || !(d <= tolerance) {
			t.Errorf("logits are off by %.2g of the largest (%v)", d, err)
		}
		g, err := c.GradientErrors(e)
		if err != nil {
			t.Fatal(err)
		}
		if name, worst := g.Worst(); !(worst <= tolerance) || !(g.Loss <= tolerance) {
			t.Errorf("the loss is off by %.2g, the gradient of %s by %.2g", g.Loss, name, worst)
		}
		if c.Net.Name == "alexnet-small" {
			return // its ten steps take long, and the others have all of its layers
		}
		if err := c.Reset(e); err != nil {
			t.Fatal(err)
		}
		losses, err := c.LossErrors(e)
		if err != nil {
			t.Fatal(err)
		}
		if worst := slices.Max(losses); !(worst <= tolerance) {
			t.Errorf("losses are off by %.2g", losses)
		}
	})
}

// The same with the precisions that round factors, within 2e-2.
func TestGoldenRounded(t *testing.T) {
	long(t)
	for _, p := range []Precision{TF32, BF16} {
		eachGolden(t, func(t *testing.T, c *golden.Case) {
			if c.Net.Name != "paper-order" && (p == TF32 || c.Net.Name != "odd-shapes") {
				t.Skip("takes long, and float32 has it")
			}
			m, _ := machine(t, soft.Options{NoRaces: true})
			e := goldenEngine(t, c, Options{Machine: m, Precision: p})
			// As of the CPU's bfloat16: steps as large as the goldens' magnify distances.
			const tolerance, first, mean = 2e-2, 5e-3, 0.15
			if d, err := c.LogitDistance(e); err != nil || !(d <= tolerance) {
				t.Errorf("%s: logits are off by %.2g (%v)", p, d, err)
			}
			g, err := c.GradientErrors(e)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range g.Params {
				if !(d.Cosine >= 0.95) || !(math.Abs(d.Ratio-1) <= 0.1) {
					t.Errorf("%s: the gradient of %s has a cosine of %.4f with the golden's, and %.3f of its length", p, d.Name, d.Cosine, d.Ratio)
				}
			}
			if err := c.Reset(e); err != nil {
				t.Fatal(err)
			}
			losses, err := c.LossErrors(e)
			if err != nil {
				t.Fatal(err)
			}
			total := 0.0
			for _, off := range losses {
				total += off
			}
			if !(losses[0] <= first) || !(total <= mean*float64(len(losses))) {
				t.Errorf("%s: losses are off by %.2g", p, losses)
			}
		})
	}
}

// lesson is what tests train on: a net with everything that the paper's has, small.
func lesson(t testing.TB) *golden.Case {
	t.Helper()
	c, err := golden.Load("paper-order")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var step = model.Hyper{LearningRate: 0.01, Momentum: 0.9, WeightDecay: 0.0005}

// steps takes steps from one on, in turn on the batches of a case.
func steps(t testing.TB, c *golden.Case, e model.Engine, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		b := i % len(c.Labels)
		if _, err := e.Backward(c.Images(b), c.Labels[b], uint64(i)); err != nil {
			t.Fatal(err)
		}
		if err := e.Update(step); err != nil {
			t.Fatal(err)
		}
	}
}

func stateOf(t testing.TB, e model.Engine) model.State {
	t.Helper()
	st, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func sameState(a, b model.State) bool {
	same := func(x, y model.Tensor) bool { return x.Name == y.Name && slices.Equal(x.Data, y.Data) }
	return slices.EqualFunc(a.Weights, b.Weights, same) && slices.EqualFunc(a.Velocity, b.Velocity, same)
}

// Nothing is left to chance: runs give the same bits, work being done early, late or in
// any order; with a restored state they go on in the same way.
func TestRepeats(t *testing.T) {
	long(t)
	c := lesson(t)
	for p, orders := range map[Precision][]soft.Options{
		FP32: {{Policy: soft.Eager}, {Policy: soft.Random, Seed: 1}},
		BF16: {{Policy: soft.Eager}, {Policy: soft.Late}, {Policy: soft.Random, Seed: 2}},
	} {
		var want model.State
		for i, o := range orders {
			m, _ := machine(t, o)
			e := goldenEngine(t, c, Options{Machine: m, Precision: p})
			steps(t, c, e, 0, 2)
			if i > 0 {
				st := stateOf(t, e)
				e = goldenEngine(t, c, Options{Machine: m, Precision: p})
				if err := e.Restore(st); err != nil {
					t.Fatal(err)
				}
			}
			steps(t, c, e, 2, 2)
			got := stateOf(t, e)
			if i == 0 {
				want = got
			} else if !sameState(got, want) {
				t.Errorf("%s, %+v: other bits", p, o)
			}
		}
	}
}

// A run goes from the processor to the GPU and back, and stays where one that stayed on
// the processor is.
func TestBetweenDevices(t *testing.T) {
	c := lesson(t)
	onCPU := func(st model.State) *cpu.Engine {
		e, err := cpu.New(c.Net, st, cpu.Options{Batch: c.Batch, Seed: c.Seed, Threads: 1, Backend: cpu.Plain})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		return e
	}
	whole := onCPU(c.State())
	steps(t, c, whole, 0, 6)
	first := onCPU(c.State())
	steps(t, c, first, 0, 2)
	m, _ := machine(t, soft.Options{})
	second := newEngine(t, c.Net, stateOf(t, first), Options{Machine: m, Batch: c.Batch, Seed: c.Seed})
	if !sameState(stateOf(t, second), stateOf(t, first)) {
		t.Fatal("the GPU has another state than it was given")
	}
	steps(t, c, second, 2, 2)
	third := onCPU(stateOf(t, second))
	steps(t, c, third, 4, 2)
	want, got := stateOf(t, whole), stateOf(t, third)
	for i := range want.Weights {
		var square, of float64
		for j, v := range want.Weights[i].Data {
			d := float64(got.Weights[i].Data[j] - v)
			square, of = square+d*d, of+float64(v)*float64(v)
		}
		if !(math.Sqrt(square/of) < 1e-5) {
			t.Errorf("%s: off by %.2g", want.Weights[i].Name, math.Sqrt(square/of))
		}
	}
}

// After the first step, a step is a graph, an update, and what goes in and out; nothing is
// allocated.
func TestAStepIsAGraph(t *testing.T) {
	c := lesson(t)
	m, d := machine(t, soft.Options{Policy: soft.Late})
	e := goldenEngine(t, c, Options{Machine: m, Precision: BF16})
	steps(t, c, e, 0, 2)
	before, memory := d.Counters(), e.Memory()
	const more = 3
	steps(t, c, e, 2, more)
	got := d.Counters().Minus(before)
	// Launched are the update and, twice, the settings; copied in, as by one that might wait
	// for the next batches, the batch and its labels alone.
	if got.Queued[soft.Run] != more || got.Queued[soft.Launch] != 3*more || got.Queued[soft.CopyIn] != 2*more {
		t.Errorf("in %d steps: %v", more, got.Queued)
	}
	if got.Allocs+got.HostAllocs != 0 || e.Memory() != memory {
		t.Errorf("%d and %d allocations in %d steps", got.Allocs, got.HostAllocs, more)
	}
	if got.Syncs != 2*more { // for the loss, and for whether all is finite
		t.Errorf("%d waits in %d steps", got.Syncs, more)
	}
}

// A profile has every layer, and leaves the state as it was.
func TestProfile(t *testing.T) {
	long(t)
	c := lesson(t)
	m, _ := machine(t, soft.Options{Policy: soft.Late})
	e := goldenEngine(t, c, Options{Machine: m, Precision: BF16})
	if _, err := e.Profile(1); err == nil {
		t.Error("a profile of nothing")
	}
	steps(t, c, e, 0, 1)
	if _, err := e.Backward(c.Images(1), c.Labels[1], 1); err != nil {
		t.Fatal(err)
	}
	before := stateOf(t, e)
	parts, err := e.Profile(2)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range parts {
		seen[p.Layer+" "+p.Pass] = true
		if !(p.Milliseconds > 0) && p.Pass != PassBackward {
			t.Errorf("%+v", p)
		}
	}
	for _, want := range []string{" images", "conv1 forward", "conv1 bias", "conv1 weights", "conv2 data", "fc6 data", "norm1 backward", "prob forward", " update"} {
		if !seen[want] {
			t.Errorf("no part %q", want)
		}
	}
	if seen["conv1 data"] || !sameState(before, stateOf(t, e)) {
		t.Error("a gradient of the images, or another state")
	}
}

// Features of all layers are the CPU engine's.
func TestFeatures(t *testing.T) {
	long(t)
	c := lesson(t)
	m, _ := machine(t, soft.Options{})
	e := goldenEngine(t, c, Options{Machine: m})
	on, err := cpu.New(c.Net, c.State(), cpu.Options{Batch: c.Batch, Backend: cpu.Plain})
	if err != nil {
		t.Fatal(err)
	}
	defer on.Close()
	images, n := c.Images(0), len(c.Labels[0])
	for _, l := range c.Net.Layers {
		if l.Kind == model.Softmax {
			continue
		}
		_, shape, err := c.Net.FeatureLayer(l.Name)
		if err != nil {
			t.Fatal(err)
		}
		want, got := make([]float32, n*shape.Size()), make([]float32, n*shape.Size())
		if err := errors.Join(on.Features(l.Name, images, n, want), e.Features(l.Name, images, n, got)); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if d := math.Abs(float64(got[i] - want[i])); !(d <= 1e-4*(1+math.Abs(float64(want[i])))) {
				t.Errorf("%s: value %d is %g, want %g", l.Name, i, got[i], want[i])
				break
			}
		}
	}
	if err := e.Features("none", images, n, nil); err == nil {
		t.Error("features of a layer that is not there")
	}
}

// A gradient that was looked at and changed is the one that Update takes.
func TestGradientsAreTakenBack(t *testing.T) {
	c := lesson(t)
	m, d := machine(t, soft.Options{})
	e := goldenEngine(t, c, Options{Machine: m})
	if _, err := e.Gradients(); err == nil {
		t.Error("gradients before a Backward")
	}
	if _, err := e.Backward(c.Images(0), c.Labels[0], 0); err != nil {
		t.Fatal(err)
	}
	grads, err := e.Gradients()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range grads {
		for i := range g {
			g[i] = float32(i%7) + 1
		}
	}
	st, err := e.State() // leaves them as they are, as Weights does
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Update(model.Hyper{LearningRate: 1}); err != nil {
		t.Fatal(err)
	}
	before := d.Counters()
	ws, err := e.Weights()
	if err != nil {
		t.Fatal(err)
	}
	if out := d.Counters().Minus(before).BytesOut; out == 0 || out > 4*int64(e.params.values()) {
		t.Errorf("%d bytes were copied to show %d weights", out, c.Net.ParamCount())
	}
	for i, w := range stateOf(t, e).Weights {
		if !slices.Equal(ws[i].Data, w.Data) || &ws[i].Data[0] != &st.Weights[i].Data[0] {
			t.Errorf("%s: other weights than State's, or other memory", w.Name)
		}
	}
	for i, v := range stateOf(t, e).Velocity {
		rate := float32(e.params.list[i].spec.LRMult)
		for j, got := range v.Data {
			if want := -rate * (float32(j%7) + 1); got != want {
				t.Fatalf("%s: velocity %d is %g, want %g", v.Name, j, got, want)
			}
		}
	}
	if _, err := e.Backward(c.Images(0), c.Labels[0], 1); err != nil {
		t.Fatal(err)
	}
	again, err := e.Gradients()
	if err != nil {
		t.Fatal(err)
	}
	if &again[0][0] != &grads[0][0] {
		t.Error("each step's gradients have memory of their own")
	}
}

// Values that are not finite are found, and where they are first.
func TestNotFinite(t *testing.T) {
	c := lesson(t)
	m, _ := machine(t, soft.Options{})
	e := goldenEngine(t, c, Options{Machine: m, Precision: BF16})
	if f := e.Fault(); f != "" {
		t.Errorf("fault %q before anything", f)
	}
	images := slices.Clone(c.Images(0))
	images[5] = float32(math.NaN())
	score, err := e.Backward(images, c.Labels[0], 0)
	if err != nil || !math.IsNaN(score.Loss) {
		t.Errorf("loss %g, %v", score.Loss, err)
	}
	if f := e.Fault(); f != "the images" {
		t.Errorf("fault %q, want the images", f)
	}
	var broken *model.NotFiniteError
	if err := e.Update(step); !errors.As(err, &broken) || !strings.HasPrefix(broken.Where, "the gradient of ") {
		t.Errorf("update: %v", err)
	}
	st := c.State()
	last := &st.Weights[len(st.Weights)-2]
	*last = last.Clone()
	last.Data[3] = float32(math.Inf(1))
	if err := e.Restore(st); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Backward(c.Images(0), c.Labels[0], 0); err != nil {
		t.Fatal(err)
	}
	if f := e.Fault(); f != last.Name {
		t.Errorf("fault %q, want %s", f, last.Name)
	}
}

// What does not fit is said with what would, and leaves nothing behind; what would fits.
func TestCapacity(t *testing.T) {
	long(t)
	c := lesson(t)
	batch := func(o soft.Options, n int) error {
		m, _ := machine(t, o)
		e, err := New(c.Net, c.State(), Options{Machine: m, Batch: n})
		if err != nil {
			return err
		}
		defer func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}()
		k := min(n, len(c.Labels[0]))
		_, err = e.Backward(c.Images(0), c.Labels[0][:k], 0)
		return err
	}
	o := soft.Options{Memory: 8 << 20, NoRaces: true}
	var small *CapacityError
	if err := batch(o, 4096); !errors.As(err, &small) || small.Fits < 1 || small.Fits >= 4096 || !strings.Contains(err.Error(), "use a batch of at most") {
		t.Fatalf("%v", err)
	}
	fits := small.Fits
	for errors.As(batch(o, fits), &small) { // New did not know yet what Backward needs
		if small.Fits >= fits || small.Fits < 8 {
			t.Fatalf("after %d a batch of %d is said to fit", fits, small.Fits)
		}
		fits = small.Fits
	}
	if err := batch(soft.Options{Memory: 200 << 10}, 1); !errors.As(err, &small) || small.Fits != 0 {
		t.Errorf("%v", err)
	}
}

// Whichever allocation fails, an error comes and everything is given back.
func TestAllocationsThatFail(t *testing.T) {
	long(t)
	c := lesson(t)
	for _, fail := range []func(*soft.Device, int){(*soft.Device).FailAlloc, (*soft.Device).FailAllocHost} {
		for n, failed := 1, true; failed; n++ {
			m, d := machine(t, soft.Options{NoRaces: true})
			fail(d, n)
			e, err := New(c.Net, c.State(), Options{Machine: m, Batch: c.Batch})
			if err == nil {
				_, err = e.Backward(c.Images(0), c.Labels[0], 0)
				if closed := e.Close(); closed != nil {
					t.Error(closed)
				}
			}
			failed = err != nil
			if n > 100 {
				t.Fatal("it never works")
			}
		}
	}
}

// A device that is lost is an error, not a hang, wherever it happens.
func TestLostDevice(t *testing.T) {
	c := lesson(t)
	d := soft.Open(soft.Options{Policy: soft.Late, Code: &code}) // it cannot be closed in order
	m := &Machine{Device: d, Library: soft.NewLibrary(d)}
	e, err := New(c.Net, c.State(), Options{Machine: m, Batch: c.Batch})
	if err != nil {
		t.Fatal(err)
	}
	steps(t, c, e, 0, 1)
	d.LoseAfter(3)
	var lost *device.LostError
	if _, err := e.Backward(c.Images(0), c.Labels[0], 1); !errors.As(err, &lost) || strings.Count(err.Error(), "lost") != 1 {
		t.Errorf("backward: %v", err)
	}
	if _, err := e.State(); !errors.As(err, &lost) {
		t.Errorf("state: %v", err)
	}
	_ = e.Close() // it cannot give anything back
	_ = m.Close()
}

// What cannot be computed is refused by name.
func TestUnsupported(t *testing.T) {
	m, _ := machine(t, soft.Options{})
	net, err := model.Preset("cifar-4layer", 10)
	if err != nil {
		t.Fatal(err)
	}
	var layer *model.LayerError
	if _, err := New(net, model.State{}, Options{Machine: m, Batch: 1}); !errors.As(err, &layer) || layer.Layer != "local3" {
		t.Errorf("%v", err)
	}
	if _, err := New(net, model.State{}, Options{Batch: 1}); err == nil {
		t.Error("an engine without a machine")
	}
	if _, err := New(net, model.State{}, Options{Machine: m, Batch: 1, Precision: "fp8"}); err == nil {
		t.Error("a precision that is none")
	}
}

// Every value of the gradient is summed over the devices once, when it is complete.
func TestReducer(t *testing.T) {
	c := lesson(t)
	m, _ := machine(t, soft.Options{Policy: soft.Late})
	r := &recorder{labelled: 2}
	e := goldenEngine(t, c, Options{Machine: m, Reducer: r})
	alone := goldenEngine(t, c, Options{Machine: m})
	for _, e := range []*Engine{e, alone} {
		if _, err := e.Backward(c.Images(0), c.Labels[0], 0); err != nil {
			t.Fatal(err)
		}
	}
	end := e.params.gradient.Add(4 * e.params.values())
	for _, s := range r.spans {
		if s.at.Add(4*s.values) != end {
			t.Errorf("a sum of %d values at %#x, but the last one began at %#x", s.values, s.at, end)
		}
		end = s.at
	}
	if end != e.params.gradient {
		t.Errorf("%d values were not summed", (end-e.params.gradient)/4)
	}
	got, err := e.Gradients()
	if err != nil {
		t.Fatal(err)
	}
	want, err := alone.Gradients()
	if err != nil {
		t.Fatal(err)
	}
	labelled, _ := e.checkLabels(c.Labels[0])
	for i := range want {
		for j := range want[i] {
			w := want[i][j] * float32(labelled) / 2
			if d := math.Abs(float64(got[i][j] - w)); !(d <= 1e-4*(1e-3+math.Abs(float64(w)))) {
				t.Fatalf("gradient %d of %s is %g, want %g", j, e.params.list[i].spec.Name, got[i][j], w)
			}
		}
	}
}

type recorder struct {
	labelled int
	spans    []struct {
		at     device.Ptr
		values int
	}
}

func (r *recorder) Labelled(int) (int, error)  { return r.labelled, nil }
func (r *recorder) Wait(s device.Stream) error { return s.Sync() }
func (r *recorder) AllReduce(_ device.Stream, at device.Ptr, values int) error {
	r.spans = append(r.spans, struct {
		at     device.Ptr
		values int
	}{at, values})
	return nil
}

// Large layers are summed while the others are still computed, in buckets.
func TestBuckets(t *testing.T) {
	net, err := model.Preset("alexnet", 1000)
	if err != nil {
		t.Fatal(err)
	}
	shapes, _ := net.Shapes()
	e := &Engine{net: net, reduction: reduction{bucket: bucketValues}}
	e.first = firstLayer(net, shapes, device.BFloat16)
	e.params = layParams(net.Params(), e.rowMaps())
	end, sums := e.params.values(), 0
	for weight := len(e.params.list) - 2; weight >= 0; weight -= 2 {
		from, to := e.bucket(weight)
		if from == to {
			continue
		}
		if to != end || weight > 0 && to-from < bucketValues {
			t.Errorf("%s: values %d to %d, the last sum began at %d", e.params.list[weight].spec.Name, from, to, end)
		}
		end, sums = from, sums+1
	}
	if end != 0 || sums != 3 { // fc8 and fc7; fc6; the convolutions
		t.Errorf("%d sums, down to %d", sums, end)
	}
}

// Batches that are staged ahead give what batches in the call give, whatever travels.
func TestStaging(t *testing.T) {
	long(t)
	c := lesson(t)
	in := c.Net.Input
	for _, travel := range []kernels.Source{kernels.PlanarFloat32, kernels.StoredUint8, kernels.StoredInt16} {
		p := pictures(in)
		m, _ := machine(t, soft.Options{Policy: soft.Random, Seed: 7})
		e := goldenEngine(t, c, Options{Machine: m, Travel: travel, Pictures: Pictures{Height: p.height, Width: p.width, Sub: p.sub}})
		direct := goldenEngine(t, c, Options{Machine: m})
		var queue []model.Staged
		var buffers [][]byte
		batches := 0
		stage := func() {
			image := in.Size() * travel.Bytes()
			b, err := e.Alloc(c.Batch * image)
			if err != nil {
				t.Fatal(err)
			}
			labels := c.Labels[batches%len(c.Labels)]
			placements := p.fill(b, travel, batches, len(labels))
			s, err := e.Stage(b[:len(labels)*image], labels, placements)
			if err != nil {
				t.Fatal(err)
			}
			queue, buffers, batches = append(queue, s), append(buffers, b), batches+1
		}
		for i := range 5 {
			for len(queue) < e.Stages() {
				stage()
			}
			if i == 1 {
				if _, err := e.Stage(nil, nil, nil); err == nil {
					t.Error("an empty batch was staged")
				}
			}
			if err := queue[0].Copied(); err != nil {
				t.Fatal(err)
			}
			for j := range buffers[0] { // it may be written from now on
				buffers[0][j] = 0xff
			}
			if err := e.Free(buffers[0]); err != nil {
				t.Error(err)
			}
			labels := c.Labels[i%len(c.Labels)]
			got, err := e.BackwardStaged(queue[0], uint64(i))
			if err != nil {
				t.Fatal(err)
			}
			want, err := direct.Backward(p.finished(travel, i, len(labels)), labels, uint64(i))
			if err != nil || got != want {
				t.Errorf("%v, batch %d: %+v, want %+v (%v)", travel, i, got, want, err)
			}
			if _, err := e.BackwardStaged(queue[0], 0); err == nil {
				t.Error("a batch was trained on twice")
			}
			queue, buffers = queue[1:], buffers[1:]
			if err := errors.Join(e.Update(step), direct.Update(step)); err != nil {
				t.Fatal(err)
			}
		}
		for i, s := range queue {
			if err := errors.Join(s.Drop(), s.Drop(), e.Free(buffers[i])); err != nil {
				t.Error(err)
			}
		}
		if !sameState(stateOf(t, e), stateOf(t, direct)) {
			t.Errorf("%v: staged batches train another net", travel)
		}
	}
}

// stored pictures of a test: every value a function of its place.
type testPictures struct {
	in            model.Shape
	height, width int
	sub           []float32
}

func pictures(in model.Shape) *testPictures {
	p := &testPictures{in: in, height: in.H + 3, width: in.W + 2}
	for i := range in.C * p.height * p.width {
		p.sub = append(p.sub, float32(i%97)/8)
	}
	return p
}

func (p *testPictures) placement(batch, image int) model.Placement {
	return model.Placement{Top: (batch + image) % 4, Left: image % 3, Flip: (batch+image)%2 == 1, Shift: [3]float32{float32(image), -1.5, 0.25 * float32(batch)}}
}

// value is what a stored picture has at a place, after cut and mirror.
func (p *testPictures) value(travel kernels.Source, batch, image, at int) int {
	v := (batch*31 + image*17 + at*7) % 251
	if travel == kernels.StoredInt16 {
		v = v*3 - 300
	}
	return v
}

// fill writes a batch and returns its placements.
func (p *testPictures) fill(b []byte, travel kernels.Source, batch, n int) (placements []model.Placement) {
	for i := range n {
		placements = append(placements, p.placement(batch, i))
	}
	if travel == kernels.PlanarFloat32 {
		copy(floats(b), p.finished(travel, batch, n))
		return placements
	}
	for i := range n * p.in.Size() {
		v := p.value(travel, batch, i/p.in.Size(), i%p.in.Size())
		if travel == kernels.StoredUint8 {
			b[i] = byte(v)
		} else {
			b[2*i], b[2*i+1] = byte(v), byte(v>>8)
		}
	}
	return placements
}

// finished returns the same batch as finished images.
func (p *testPictures) finished(travel kernels.Source, batch, n int) (images []float32) {
	for i := range n * p.in.Size() {
		image, at := i/p.in.Size(), i%p.in.Size()
		c, y, x := at/(p.in.H*p.in.W), at/p.in.W%p.in.H, at%p.in.W
		to := p.placement(batch, image)
		if to.Flip {
			x = p.in.W - 1 - x
		}
		v := float32(p.value(travel, batch, image, at)) - p.sub[(c*p.height+to.Top+y)*p.width+to.Left+x]
		if c < 3 {
			v += to.Shift[c]
		}
		images = append(images, v/16)
		if travel != kernels.PlanarFloat32 {
			images[i] = v
		}
	}
	return images
}

// streamsOf is a library that has something for each stream that it queued products in.
type streamsOf struct {
	device.Library
	has map[device.Stream]bool
	all int
}

func (l *streamsOf) Product(s device.Stream, p device.Product, c, a, b device.Ptr) error {
	if !l.has[s] {
		l.has[s] = true
		l.all++
	}
	return l.Library.Product(s, p, c, a, b)
}

func (l *streamsOf) Forget(s device.Stream) { delete(l.has, s) }

// Libraries have room for few streams: an engine tells them when it is done with its own.
func TestForget(t *testing.T) {
	c := lesson(t)
	m, _ := machine(t, soft.Options{NoRaces: true})
	l := &streamsOf{Library: m.Library, has: map[device.Stream]bool{}}
	e := goldenEngine(t, c, Options{Machine: &Machine{Device: m.Device, Library: l}})
	steps(t, c, e, 0, 1)
	if err := e.Close(); err != nil || l.all == 0 || len(l.has) != 0 {
		t.Errorf("%v; %d streams, of which %d are not forgotten", err, l.all, len(l.has))
	}
}

// In the paper's net the two normalisations add bias and take the ReLU of the convolutions
// before them, whatever the precision; what a caller asks to see is never without them.
func TestLent(t *testing.T) {
	net, err := model.Preset("alexnet", 1000)
	if err != nil {
		t.Fatal(err)
	}
	shapes, _ := net.Shapes()
	for _, a := range []device.Arithmetic{device.Float32, device.BFloat16} {
		e := &Engine{net: net, batch: 2, arithmetic: a}
		if a == device.BFloat16 {
			e.kind = kernels.BFloat16
		}
		e.first = firstLayer(net, shapes, a)
		e.params = layParams(net.Params(), e.rowMaps())
		for layers, want := range map[int]int{len(net.Layers): 2, 1: 0, 2: 0, 3: 1} {
			p, err := e.compile(layers == len(net.Layers), layers, true)
			if err != nil {
				t.Fatal(err)
			}
			bare, adds := 0, 0
			for i, n := range p.nodes {
				if n.bare {
					bare++
				}
				if n.adds != nil {
					adds++
					if n.adds != p.nodes[i-1] || !n.in.relu {
						t.Errorf("%s adds the bias of %s", n.name, n.adds.name)
					}
				}
			}
			if bare != want || adds != want {
				t.Errorf("arithmetic %d, %d layers: %d convolutions are without bias, %d normalisations add one, want %d", a, layers, bare, adds, want)
			}
		}
	}
}
