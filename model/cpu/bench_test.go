package cpu

import (
	"testing"

	"alexnet/model"
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
