package main

import (
	"encoding/binary"
	"math/rand/v2"
)

// noise makes up pictures and batches.
type noise struct{ bits *rand.ChaCha8 }

// newNoise returns the noise of a seed.
func newNoise(seed uint64) noise {
	var key [32]byte
	copy(key[:], "bench")
	binary.LittleEndian.PutUint64(key[8:], seed)
	return noise{rand.NewChaCha8(key)}
}

// fill fills a picture.
func (n noise) fill(pixels []uint8) { _, _ = n.bits.Read(pixels) } // never fails

// batch fills images with values like those of pictures less their mean, and
// labels below classes.
func (n noise) batch(images []float32, labels []int32, classes int) {
	for i := range images {
		images[i] = float32(n.bits.Uint64()>>56) - 127.5
	}
	for i := range labels {
		labels[i] = int32(n.bits.Uint64() % uint64(classes))
	}
}
