package cpu

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"alexnet/model"
	"alexnet/train/collective"
)

// benchEngine makes an engine and a batch for a benchmark.
func benchEngine(b *testing.B, name string, batch int) (*Engine, []float32, []int32) {
	net, err := model.Preset(name, 10)
	if err != nil {
		b.Fatal(err)
	}
	images, labels := examples(net, batch, 60, 1)
	return newEngine(b, net, Options{Batch: batch}), images, labels
}

// perImage reports images/s and sets the bytes of a batch of images.
func perImage(b *testing.B, images []float32, batch int) {
	b.SetBytes(int64(4 * len(images)))
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "images/s")
}

var benchNets = []struct {
	name  string
	batch int
}{{"alexnet-small", 64}, {"alexnet", 16}}

// BenchmarkTrain measures whole steps: Backward and Update.
func BenchmarkTrain(b *testing.B) {
	for _, c := range benchNets {
		b.Run(c.name, func(b *testing.B) {
			e, images, labels := benchEngine(b, c.name, c.batch)
			step := func(s uint64) {
				backward(b, e, images, labels, s)
				update(b, e, model.Hyper{LearningRate: 1e-6, Momentum: 0.9, WeightDecay: 0.0005})
			}
			step(0) // builds the graph
			b.ReportAllocs()
			s := uint64(0)
			for b.Loop() {
				s++
				step(s)
			}
			perImage(b, images, c.batch)
		})
	}
}

// BenchmarkPredict measures Predict.
func BenchmarkPredict(b *testing.B) {
	for _, c := range benchNets {
		b.Run(c.name, func(b *testing.B) {
			e, images, _ := benchEngine(b, c.name, c.batch)
			probs := make([]float32, c.batch*e.net.Classes)
			predict := func() {
				if err := e.Predict(images, c.batch, probs); err != nil {
					b.Fatal(err)
				}
			}
			predict()
			b.ReportAllocs()
			for b.Loop() {
				predict()
			}
			perImage(b, images, c.batch)
		})
	}
}

// link is a group whose sums take the time that a network of some speed needs for them,
// and no processor's: they are not made at all.
type link struct {
	collective.Group
	bitsPerSecond float64 // of each rank, in each direction
}

func (l link) AllReduce(values []float32) error {
	if err := l.Barrier(); err != nil {
		return err
	}
	world := float64(l.World())
	time.Sleep(time.Duration(2 * (world - 1) / world * 32 * float64(len(values)) / l.bitsPerSecond * float64(time.Second)))
	return nil
}

// BenchmarkReducing measures a step's gradient of two ranks of AlexNet, of one thread
// each, that are a network away from each other: summed during the backward pass, and
// after it. waited is the time in which nothing was computed.
func BenchmarkReducing(b *testing.B) {
	const batch = 16
	net, err := model.Preset("alexnet", 10)
	if err != nil {
		b.Fatal(err)
	}
	images, labels := examples(net, batch, 60, 1)
	for _, gbits := range []float64{1, 10, 100} {
		for _, when := range []string{"during", "after"} {
			b.Run(fmt.Sprintf("%gGbit/%s", gbits, when), func(b *testing.B) {
				var took, waited atomic.Int64
				step := func(e *Engine, r *collective.Reducer, s uint64) error {
					if _, err := e.Backward(images, labels, s); err != nil || e.Reduces() {
						return err
					}
					grads, err := e.gradients()
					if err != nil {
						return err
					}
					for _, bucket := range collective.Buckets(grads) {
						r.Start(bucket)
					}
					return r.Wait()
				}
				groups, errs := collective.Goroutines(2), make([]error, 2)
				var ready, done sync.WaitGroup
				begin := make(chan bool)
				for i, g := range groups {
					r, o := collective.NewReducer(link{g, gbits * 1e9}), Options{Batch: batch, Threads: 1, Backend: OneDNN}
					if when == "during" {
						o.Reducer = r
					}
					e := newEngine(b, net, o)
					ready.Add(1)
					done.Go(func() {
						errs[i] = step(e, r, 0) // builds the graph
						r.Times()
						ready.Done()
						<-begin
						for s := range b.N {
							errs[i] = errors.Join(errs[i], step(e, r, uint64(s+1)))
						}
						t, w := r.Times()
						took.Add(int64(t))
						waited.Add(int64(w))
					})
				}
				ready.Wait()
				b.ResetTimer()
				close(begin)
				done.Wait()
				if err := errors.Join(errs...); err != nil {
					b.Fatal(err)
				}
				perStep := func(d *atomic.Int64) float64 { return time.Duration(d.Load()).Seconds() * 1e3 / 2 / float64(b.N) }
				b.ReportMetric(perStep(&took), "sum-ms/op")
				b.ReportMetric(perStep(&waited), "waited-ms/op")
			})
		}
	}
}
