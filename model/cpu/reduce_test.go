package cpu

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"testing"

	"alexnet/model"
	"alexnet/train/collective"
)

// summing is a Reducer that notes what is started, by its place in the gradient.
type summing struct {
	model.Reducer
	e      *Engine
	starts []string
	began  func() // at the first start
}

func (s *summing) Start(values []float32) {
	if len(s.starts) == 0 && s.began != nil {
		s.began()
	}
	from, all := -1, s.e.train.reduction.gradient
	for i := range all {
		if &all[i] == &values[0] {
			from = i
		}
	}
	s.starts = append(s.starts, fmt.Sprintf("%d-%d", from, from+len(values)))
	s.Reducer.Start(values)
}

// rank is one of the engines of a test.
type rank struct {
	*Engine
	group   collective.Group
	reducer *summing
}

// asRanks makes an engine for each of some ranks.
func asRanks(t *testing.T, world int, net *model.Net, o Options) []*rank {
	ranks := make([]*rank, world)
	for r, g := range collective.Goroutines(world) {
		ranks[r] = &rank{group: g, reducer: &summing{Reducer: collective.NewReducer(g)}}
		o.Reducer = ranks[r].reducer
		ranks[r].Engine = newEngine(t, net, o)
		ranks[r].reducer.e = ranks[r].Engine
	}
	return ranks
}

// onRanks has each rank do something at the same time. One that fails ends the others.
func onRanks(ranks []*rank, f func(r int, e *rank) error) []error {
	errs := make([]error, len(ranks))
	var wg sync.WaitGroup
	for r, e := range ranks {
		wg.Go(func() {
			if errs[r] = f(r, e); errs[r] != nil {
				e.group.Abort(1)
			}
		})
	}
	wg.Wait()
	return errs
}

// Engines that sum while they compute have the gradient of the whole batch, and that of
// engines that are summed afterwards: also where images, or all of a rank, have no label.
func TestReducing(t *testing.T) {
	backends(t, func(t *testing.T, o Options, tolerance float64) {
		const n, step = 7, 5
		net := tinyNet()
		images, labels := examples(net, n, 1, 8)
		labels[2] = -1 // all that the second of three ranks has
		o.Batch = n
		whole := newEngine(t, net, o)
		backward(t, whole, images, labels, step)
		want := gradients(t, whole)
		for _, cuts := range [][]int{{0, 4, 7}, {0, 2, 3, 7}} {
			world := len(cuts) - 1
			o.Batch, o.leastSum = 4, 200
			ranks := asRanks(t, world, net, o)
			alone, own := newEngine(t, net, o), make([]model.Score, world)
			for range 2 { // the second pass finds the sums of the first in memory
				errs := onRanks(ranks, func(r int, e *rank) (err error) {
					e.SetFirst(cuts[r])
					own[r], err = e.Backward(images[cuts[r]*net.Input.Size():], labels[cuts[r]:cuts[r+1]], step)
					return err
				})
				if err := errors.Join(errs...); err != nil {
					t.Fatal(err)
				}
			}
			afterwards := make([][]float32, len(want))
			for r := range world {
				alone.SetFirst(cuts[r])
				score := backward(t, alone, images[cuts[r]*net.Input.Size():], labels[cuts[r]:cuts[r+1]], step)
				if score != own[r] {
					t.Errorf("rank %d of %d: score %+v, want its own, %+v", r, world, own[r], score)
				}
				for i, g := range gradients(t, alone) {
					if afterwards[i] == nil {
						afterwards[i] = make([]float32, len(g))
					}
					for j, v := range g {
						afterwards[i][j] += v * float32(score.N) / (n - 1)
					}
				}
			}
			for r, e := range ranks {
				what := fmt.Sprintf("rank %d of %v", r, cuts)
				checkNear(t, what, net, gradients(t, e.Engine), want, tolerance)
				if o.Precision != BF16 { // whose divisor is rounded into every product
					checkNear(t, what+", summed afterwards", net, gradients(t, e.Engine), afterwards, 1e-6)
				}
				if !reflect.DeepEqual(gradients(t, e.Engine), gradients(t, ranks[0].Engine)) {
					t.Errorf("%s: not the bits of rank 0", what)
				}
			}
		}
	})
}

// Of two ranks with as many labels each the sums are the same bits as afterwards.
func TestReducingBits(t *testing.T) {
	backends(t, func(t *testing.T, o Options, _ float64) {
		const n, step = 8, 3
		net := tinyNet()
		images, labels := examples(net, n, 1, 8)
		o.Batch = n / 2
		ranks := asRanks(t, 2, net, o)
		alone := newEngine(t, net, o)
		slice := func(r int) ([]float32, []int32) { return images[r*n/2*net.Input.Size():], labels[r*n/2:][:n/2] }
		if err := errors.Join(onRanks(ranks, func(r int, e *rank) error {
			e.SetFirst(r * n / 2)
			x, l := slice(r)
			_, err := e.Backward(x, l, step)
			return err
		})...); err != nil {
			t.Fatal(err)
		}
		var want [][]float32
		for r := range 2 {
			alone.SetFirst(r * n / 2)
			x, l := slice(r)
			backward(t, alone, x, l, step)
			for i, g := range gradients(t, alone) {
				if r == 0 {
					want = append(want, make([]float32, len(g)))
				}
				for j, v := range g {
					want[i][j] += v * 0.5
				}
			}
		}
		if got := gradients(t, ranks[1].Engine); !reflect.DeepEqual(got, want) {
			t.Error("not the bits of gradients that are summed afterwards")
		}
	})
}

// Sums are started as the pass comes to them, the same on all ranks: the last layers
// while the first has no gradient yet, and small ones together.
func TestReducingOrder(t *testing.T) {
	backends(t, func(t *testing.T, o Options, _ float64) {
		net := tinyNet()
		images, labels := examples(net, 4, 1, 8)
		o.Batch, o.leastSum = 4, 200
		ranks := asRanks(t, 2, net, o)
		for step := range uint64(2) {
			errs := onRanks(ranks, func(_ int, e *rank) error {
				e.reducer.starts = nil
				if step > 0 { // the gradient has its place
					e.train.reduction.gradient[0] = float32(math.NaN())
					e.reducer.began = func() {
						if !math.IsNaN(float64(e.train.reduction.gradient[0])) {
							t.Error("the first layer had its gradient before the sums began")
						}
					}
				}
				_, err := e.Backward(images, labels, step)
				return err
			})
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			// fc4 with fc3, conv2 with local1, and conv1, with 72 and 4 values and room to a
			// multiple of 16 of each.
			want := []string{"1872-2160", "96-1872", "0-96"}
			for r, e := range ranks {
				if !reflect.DeepEqual(e.reducer.starts, want) {
					t.Errorf("rank %d started %v, want %v", r, e.reducer.starts, want)
				}
			}
		}
	})
}

// counting is a Reducer that notes how much is started.
type counting struct {
	model.Reducer
	sizes []int
}

func (c *counting) Start(values []float32) { c.sizes = append(c.sizes, len(values)) }

// AlexNet's gradient is summed in six parts: by far the most of it before the gradient
// of any convolution is begun, and next to nothing at the end.
func TestReducingAlexNet(t *testing.T) {
	net, err := model.Preset("alexnet", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var layers []int // where each begins
	total := 0
	for i, p := range net.Params() {
		if i%2 == 0 {
			layers = append(layers, total)
		}
		total += p.Len()
	}
	c := &counting{}
	r := &reduction{reducer: c, least: leastSum, gradient: make([]float32, total)}
	r.begin()
	for i := range layers {
		r.complete(layers[len(layers)-1-i])
		r.complete(layers[len(layers)-1-i])
	}
	fc8, fc7, fc6 := 4096*1000+1000, 4096*4096+4096, 9216*4096+4096
	conv5, conv4, conv3, conv2, conv1 := 256*192*9+256, 384*192*9+384, 384*256*9+384, 256*48*25+256, 96*363+96
	if want := []int{fc8, fc7, fc6, conv5 + conv4, conv3 + conv2, conv1}; !reflect.DeepEqual(c.sizes, want) {
		t.Errorf("sums of %v values, want %v", c.sizes, want)
	}
}

// failing is a layer whose backward pass fails, one way or the other.
type failing struct {
	kernel
	fail func(c *call)
}

func (k *failing) backward(c *call, _ *buffers) {
	k.fail(c)
	c.split()
}

// A rank that fails in the middle of a pass returns its error when its own sums are over,
// and those that wait for the rest are told when it gives up.
func TestReducingFails(t *testing.T) {
	errKernel := errors.New("kernel failed")
	for name, tc := range map[string]struct {
		fail    func(c *call)
		started int // sums of fc4, fc3 and, where only its input's gradient fails, conv2
	}{
		"error":                  {func(c *call) { c.err = errKernel }, 2},
		"panic":                  {func(*call) { panic(errKernel.Error()) }, 2},
		"error, second gradient": {func(c *call) { c.split(); c.err = errKernel }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			net := tinyNet()
			images, labels := examples(net, 4, 1, 8)
			ranks := asRanks(t, 3, net, Options{Batch: 4, Threads: 1, Backend: Plain, leastSum: 1})
			pass := func(_ int, e *rank) error {
				_, err := e.Backward(images, labels, 1)
				return err
			}
			if err := errors.Join(onRanks(ranks, pass)...); err != nil {
				t.Fatal(err)
			}
			ranks[1].reducer.starts = nil
			for _, l := range ranks[1].train.layers {
				if l.name == "conv2" {
					l.plan.kernel = &failing{l.plan.kernel, tc.fail}
				}
			}
			errs := onRanks(ranks, pass)
			for r, err := range errs {
				var aborted *collective.AbortedError
				if r == 1 && (err == nil || errors.As(err, &aborted)) || r != 1 && (!errors.As(err, &aborted) || aborted.Rank != 1) {
					t.Errorf("rank %d: %v", r, err)
				}
			}
			if starts := ranks[1].reducer.starts; len(starts) != tc.started {
				t.Errorf("the rank that failed in conv2 had started %v, want %d sums", starts, tc.started)
			}
			if err := ranks[0].Update(model.Hyper{}); err == nil {
				t.Error("an update by half a gradient")
			}
		})
	}
}

// What does not come to a pass, comes to no sum.
func TestReducingRefuses(t *testing.T) {
	net := tinyNet()
	images, _ := examples(net, 2, 1, 8)
	e := asRanks(t, 1, net, Options{Batch: 2, Threads: 1, Backend: Plain})[0]
	if _, err := e.Backward(images, []int32{1, 99}, 1); err == nil || len(e.reducer.starts) > 0 {
		t.Errorf("%v, after %v", err, e.reducer.starts)
	}
	if !e.Reduces() || newEngine(t, net, Options{Batch: 1}).Reduces() {
		t.Error("the engine of a rank must say so, and one on its own must not")
	}
}
