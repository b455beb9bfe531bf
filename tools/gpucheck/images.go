package main

import (
	"encoding/binary"
	"math/rand/v2"

	"alexnet/model"
)

// noise makes up pictures, labels and weights' neighbours: always the same for a seed.
type noise struct{ bits *rand.ChaCha8 }

func newNoise(seed uint64) noise {
	var key [32]byte
	copy(key[:], "gpucheck")
	binary.LittleEndian.PutUint64(key[8:], seed)
	return noise{rand.NewChaCha8(key)}
}

// fill fills bytes.
func (n noise) fill(b []byte) { _, _ = n.bits.Read(b) } // never fails

// batch makes images with values like those of pictures less their mean, and labels. With
// holes, the second image has none.
func (n noise) batch(net *model.Net, images int, holes bool) ([]float32, []int32) {
	x, labels := make([]float32, images*net.Input.Size()), make([]int32, images)
	bytes := make([]byte, len(x))
	n.fill(bytes)
	for i, b := range bytes {
		x[i] = (float32(b) - 127.5) * scaleOf(net)
	}
	for i := range labels {
		labels[i] = int32(n.bits.Uint64() % uint64(net.Classes))
	}
	if holes && images > 1 {
		labels[1] = -1
	}
	return x, labels
}

// scaleOf returns what pixels are multiplied with. The weights of the goldens' small nets
// are for images in +-2: larger ones would make steps that only magnify differences.
func scaleOf(net *model.Net) float32 {
	if net.Input.H < 64 {
		return 1. / 64
	}
	return 1
}

// hyper is the update rule of the checks.
func hyper() model.Hyper {
	return model.Hyper{LearningRate: 0.001, Momentum: 0.9, WeightDecay: 0.0005}
}

// steps trains from step first on and returns the scores.
func steps(e model.Engine, seed uint64, first, n, batch int) ([]model.Score, error) {
	var scores []model.Score
	for s := first; s < first+n; s++ {
		images, labels := newNoise(seed^uint64(s)<<32).batch(e.Net(), batch, true)
		score, err := e.Backward(images, labels, uint64(s))
		if err != nil {
			return scores, err
		}
		scores = append(scores, score)
		if err := e.Update(hyper()); err != nil {
			return scores, err
		}
	}
	return scores, nil
}

// small draws values in +-1/8.
func (n noise) small(x []float32) {
	for i := range x {
		x[i] = (float32(n.bits.Uint64()>>40)/(1<<24) - 0.5) / 4
	}
}
