package gpu

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"alexnet/model"
	"alexnet/model/gpu/device"
	"alexnet/model/gpu/kernels"
	"alexnet/model/gpu/soft"
	"alexnet/train/collective"
)

// lenet has LeNet's layers, and dropout of feature maps and of features whose number is no
// multiple of four.
func lenet() *model.Net {
	return &model.Net{Name: "lenet", Input: model.Shape{C: 1, H: 12, W: 12}, Classes: 5, Layers: []model.Layer{
		{Name: "conv1", Kind: model.Conv, Out: 6, Kernel: 5, Stride: 1, InitStd: 0.2},
		{Name: "tanh1", Kind: model.Tanh},
		{Name: "drop1", Kind: model.Dropout, Rate: 0.3},
		{Name: "pool1", Kind: model.MaxPool, Kernel: 2, Stride: 2},
		{Name: "fc2", Kind: model.FC, Out: 21, InitStd: 0.1},
		{Name: "relu2", Kind: model.ReLU},
		{Name: "drop2", Kind: model.Dropout, Rate: 0.5},
		{Name: "fc3", Kind: model.FC, Out: 5, InitStd: 0.2},
		{Name: "prob", Kind: model.Softmax},
	}}
}

// paperNet has the paper's layers.
func paperNet() *model.Net {
	return &model.Net{Name: "paper", Input: model.Shape{C: 3, H: 15, W: 15}, Classes: 4, Layers: []model.Layer{
		{Name: "conv1", Kind: model.Conv, Out: 8, Kernel: 5, Stride: 2, InitStd: 0.1},
		{Name: "relu1", Kind: model.ReLU},
		{Name: "norm1", Kind: model.LRN, Size: 5, Alpha: 1e-2, Beta: 0.75, K: 2},
		{Name: "pool1", Kind: model.MaxPool, Kernel: 2, Stride: 2},
		{Name: "conv2", Kind: model.Conv, Out: 8, Kernel: 3, Stride: 1, Pad: 1, Groups: 2, InitStd: 0.2},
		{Name: "relu2", Kind: model.ReLU},
		{Name: "fc3", Kind: model.FC, Out: 16, InitStd: 0.2},
		{Name: "relu3", Kind: model.ReLU},
		{Name: "drop3", Kind: model.Dropout, Rate: 0.5},
		{Name: "fc4", Kind: model.FC, Out: 4, InitStd: 0.2},
		{Name: "prob", Kind: model.Softmax},
	}}
}

// lessonOf returns images of uint8 and labels for a number of steps.
func lessonOf(net *model.Net, steps, batch int) (images [][]byte, labels [][]int32) {
	r := rand.New(rand.NewPCG(3, 9))
	for range steps {
		b, l := make([]byte, batch*net.Input.Size()), make([]int32, batch)
		for i := range b {
			b[i] = byte(r.IntN(5))
		}
		for i := range l {
			l[i] = int32(r.IntN(net.Classes+1) - 1)
		}
		images, labels = append(images, b), append(labels, l)
	}
	return images, labels
}

// feed lets an engine train on images from..to of a batch, as a slice of it: staged, or in
// the call. Of no image it gets one without a label, as of the trainer's.
func feed(e *Engine, images []byte, labels []int32, from, to int, step uint64) (model.Score, error) {
	size := e.net.Input.Size()
	e.SetFirst(from)
	staged := e.options.Travel == kernels.StoredUint8
	switch {
	case from == to:
		return e.Backward(make([]float32, size), []int32{-1}, step)
	case !staged:
		floats := make([]float32, (to-from)*size)
		for i := range floats {
			floats[i] = float32(images[from*size+i])
		}
		return e.Backward(floats, labels[from:to], step)
	}
	b, err := e.Alloc((to - from) * size)
	if err != nil {
		return model.Score{}, err
	}
	copy(b, images[from*size:])
	s, err := e.Stage(b, labels[from:to], make([]model.Placement, to-from))
	if err != nil {
		return model.Score{}, err
	}
	score, err := e.BackwardStaged(s, step)
	return score, errors.Join(err, e.Free(b))
}

// travelling are the options of an engine whose images travel as they were stored, or not.
func travelling(net *model.Net, m *Machine, batch int, stored bool) Options {
	o := Options{Machine: m, Batch: batch, Seed: 11}
	if in := net.Input; stored {
		o.Travel, o.Pictures = kernels.StoredUint8, Pictures{Height: in.H, Width: in.W, Sub: make([]float32, in.Size())}
	}
	return o
}

// near fails the test unless lists of values are the same but for rounding.
func near(t *testing.T, what string, got, want [][]float32) {
	t.Helper()
	for i := range want {
		var square, of float64
		for j, v := range want[i] {
			d := float64(got[i][j] - v)
			square, of = square+d*d, of+float64(v)*float64(v)
		}
		if distance := math.Sqrt(square / of); !(distance < 1e-5) {
			t.Errorf("%s: tensor %d is off by %.2g", what, i, distance)
		}
	}
}

// Slices of a batch have the dropout of the whole, also when the step is a graph and the
// slice is another one each time: their gradients add up to that of the whole.
func TestSlices(t *testing.T) {
	long(t)
	const batch, step = 7, 1<<33 + 1
	for _, stored := range []bool{false, true} {
		net := lenet()
		m, d := machine(t, soft.Options{Policy: soft.Late, NoRaces: true})
		images, labels := lessonOf(net, 1, batch)
		whole := newEngine(t, net, model.State{}, travelling(net, m, batch, stored))
		want, err := feed(whole, images[0], labels[0], 0, batch, step)
		if err != nil {
			t.Fatal(err)
		}
		grads, err := whole.Gradients()
		if err != nil {
			t.Fatal(err)
		}
		e := newEngine(t, net, model.State{}, travelling(net, m, 4, stored))
		var score model.Score
		sum := e.params.room()
		before := d.Counters()
		for _, cut := range [][2]int{{0, 2}, {2, 3}, {3, 7}} {
			s, err := feed(e, images[0], labels[0], cut[0], cut[1], step)
			if err != nil {
				t.Fatal(err)
			}
			score.Add(s)
			part, err := e.Gradients()
			if err != nil {
				t.Fatal(err)
			}
			for i := range part {
				for j, v := range part[i] {
					sum[i][j] += v * float32(s.N) / float32(want.N)
				}
			}
		}
		if got := d.Counters().Minus(before); got.Captures != 1 || got.Queued[soft.Run] != 2 {
			t.Errorf("%d captures, %d runs of graphs", got.Captures, got.Queued[soft.Run])
		}
		if score.N != want.N || score.Top1 != want.Top1 || math.Abs(score.Loss-want.Loss) > 1e-5*want.Loss {
			t.Errorf("the slices' score is %+v, of the whole %+v", score, want)
		}
		near(t, fmt.Sprintf("stored %v", stored), sum, grads)
	}
}

// counting is a Reducer that notes, for each Backward, what was queued: a graph that is run
// again queues nothing.
type counting struct {
	*soft.Reducer
	queued [][]int
}

func (c *counting) Labelled(own int) (int, error) {
	c.queued = append(c.queued, nil)
	return c.Reducer.Labelled(own)
}

func (c *counting) AllReduce(s device.Stream, at device.Ptr, values int) error {
	last := len(c.queued) - 1
	c.queued[last] = append(c.queued[last], values)
	return c.Reducer.AllReduce(s, at, values)
}

// thirsty is a library whose convolutions need more workspace for prediction than for
// training.
type thirsty struct{ device.Library }

func (l thirsty) Convolution(c device.Convolution) (device.Convolver, error) {
	v, err := l.Library.Convolution(c)
	if err == nil && !c.NeedWeights {
		v = drinker{v}
	}
	return v, err
}

type drinker struct{ device.Convolver }

func (v drinker) Workspace() int { return 2*v.Convolver.Workspace() + 1<<16 }

// ranked is what comes of a rank's training.
type ranked struct {
	state  model.State
	queued [][]int
	score  model.Score
	run    int // graphs
	err    error
}

// trainRanks trains with as many engines as groups, each on its slices.
func trainRanks(t *testing.T, net *model.Net, groups []collective.Group, images [][]byte, labels [][]int32, stored bool) []ranked {
	t.Helper()
	out := make([]ranked, len(groups))
	var wg sync.WaitGroup
	for i, g := range groups {
		m, d := machine(t, soft.Options{Policy: soft.Random, Seed: uint64(i), NoRaces: testing.Short()})
		m.Library = thirsty{m.Library}
		c := &counting{Reducer: soft.NewReducer(g)}
		most := (len(labels[0]) + len(groups) - 1) / len(groups)
		o := travelling(net, m, most, stored)
		o.Reducer = c
		e := newEngine(t, net, model.State{}, o)
		e.reduction.bucket = 1500 // several buckets
		wg.Go(func() {
			r := &out[i]
			defer func() {
				if r.err != nil {
					g.Abort(1)
				}
			}()
			for step := range images {
				n := len(labels[step])
				from, to := min(i*most, n), min((i+1)*most, n)
				s, err := feed(e, images[step], labels[step], from, to, uint64(step))
				if err == nil {
					err = e.Update(model.Hyper{LearningRate: 0.05, Momentum: 0.9, WeightDecay: 0.0005})
				}
				if r.score.Add(s); err == nil && i == 0 && step == 1 { // it alone validates
					err = e.Predict(make([]float32, net.Input.Size()), 1, make([]float32, net.Classes))
				}
				if err != nil {
					r.err = err
					return
				}
			}
			r.run = d.Counters().Queued[soft.Run]
			r.state, r.err = e.Snapshot()
			r.queued = c.queued
		})
	}
	wg.Wait()
	return out
}

// Several devices train as one does with the whole batches: with dropout, images without
// labels, and a last batch that leaves the last one no image. Their weights are the same
// bits. All queue the same sums, in the same steps.
func TestRanks(t *testing.T) {
	const steps, batch = 4, 6
	for _, test := range []struct {
		net    *model.Net
		world  int
		stored bool
	}{{lenet(), 2, false}, {paperNet(), 3, true}} {
		if testing.Short() && test.world > 2 {
			continue
		}
		images, labels := lessonOf(test.net, steps, batch)
		labels[2] = labels[2][:2]
		m, _ := machine(t, soft.Options{Policy: soft.Late, NoRaces: true})
		one := newEngine(t, test.net, model.State{}, travelling(test.net, m, batch, test.stored))
		var score model.Score
		for step := range images {
			s, err := feed(one, images[step], labels[step], 0, len(labels[step]), uint64(step))
			if err == nil {
				err = one.Update(model.Hyper{LearningRate: 0.05, Momentum: 0.9, WeightDecay: 0.0005})
			}
			if err != nil {
				t.Fatal(err)
			}
			score.Add(s)
		}
		want := stateOf(t, one)
		out := trainRanks(t, test.net, collective.Goroutines(test.world), images, labels, test.stored)
		var sum model.Score
		for i, r := range out {
			if r.err != nil {
				t.Fatalf("rank %d of %d: %v", i, test.world, r.err)
			}
			sum.Add(r.score)
			if !sameState(r.state, out[0].state) {
				t.Errorf("%s: the weights of rank %d are not those of rank 0", test.net.Name, i)
			}
			if fmt.Sprint(r.queued) != fmt.Sprint(out[0].queued) || len(r.queued[0]) < 2 || len(r.queued[2]) != 0 {
				t.Errorf("%s: rank %d queued the sums %v, rank 0 %v", test.net.Name, i, r.queued, out[0].queued)
			}
			if r.run != steps-1 {
				t.Errorf("%s: rank %d ran %d graphs", test.net.Name, i, r.run)
			}
		}
		if sum.N != score.N || sum.Top1 != score.Top1 || math.Abs(sum.Loss-score.Loss) > 1e-4*score.Loss {
			t.Errorf("%s: the ranks' score is %+v, of one %+v", test.net.Name, sum, score)
		}
		near(t, test.net.Name+", weights", data(out[0].state.Weights), data(want.Weights))
		near(t, test.net.Name+", velocities", data(out[0].state.Velocity), data(want.Velocity))
	}
}

// broken is a Reducer that fails in a call.
type broken struct {
	*soft.Reducer
	call string
}

var errBroken = errors.New("the cable is out")

func (b broken) fail(call string) error {
	if b.call == call {
		return errBroken
	}
	return nil
}

func (b broken) Labelled(own int) (int, error) { return own, b.fail("count") }

func (b broken) AllReduce(s device.Stream, at device.Ptr, values int) error { return b.fail("sum") }

func (b broken) Wait(s device.Stream) error { return errors.Join(s.Sync(), b.fail("wait")) }

// What a reducer returns says what was to be done, and the batch's memory can be given back
// afterwards; a rank that ends does not let the others wait.
func TestReducerFails(t *testing.T) {
	net := lenet()
	images, labels := lessonOf(net, 1, 2)
	for call, says := range map[string]string{
		"count": "counting the labelled images of all ranks: " + errBroken.Error(),
		"sum":   "values of the gradient over the ranks: " + errBroken.Error(),
		"wait":  "backward: " + errBroken.Error(),
	} {
		m, _ := machine(t, soft.Options{})
		o := travelling(net, m, 2, true)
		b := &broken{call: call}
		o.Reducer = b
		e := newEngine(t, net, model.State{}, o)
		if !e.Reduces() {
			t.Error("it does not say that it sums")
		}
		if _, err := feed(e, images[0], labels[0], 0, 2, 0); !errors.Is(err, errBroken) || !strings.HasSuffix(err.Error(), says) {
			t.Errorf("%s: %v", call, err)
		}
		b.call = ""
	}
	groups := collective.Goroutines(2)
	d := soft.Open(soft.Options{Code: &code, NoRaces: true}) // its problem is what is looked for
	m := &Machine{Device: d, Library: soft.NewLibrary(d)}
	o := travelling(net, m, 2, false)
	o.Reducer = soft.NewReducer(groups[0])
	e, err := New(net, model.State{}, o)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if _, err := soft.NewReducer(groups[1]).Labelled(1); err != nil {
			t.Error(err)
		}
		groups[1].Abort(1)
	}()
	_, err = feed(e, images[0], labels[0], 0, 2, 0)
	if aborted := (*collective.AbortedError)(nil); !errors.As(err, &aborted) || aborted.Rank != 1 {
		t.Errorf("%v", err)
	}
	_ = errors.Join(e.Close(), m.Close())
	if problems := d.Problems(); slices.ContainsFunc(problems, func(err error) bool { return !errors.As(err, new(*collective.AbortedError)) }) {
		t.Error(problems)
	}
}
