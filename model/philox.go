package model

import "math"

// Philox4x32 is the counter-based generator Philox4x32-10 of Salmon, Moraes, Dror
// and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): four random
// words that are a function of counter and key alone. CUDA's libraries have the
// same generator.
func Philox4x32(counter [4]uint32, key [2]uint32) [4]uint32 {
	c, k := counter, key
	for range 10 {
		p0 := uint64(0xD2511F53) * uint64(c[0])
		p1 := uint64(0xCD9E8D57) * uint64(c[2])
		c = [4]uint32{uint32(p1>>32) ^ c[1] ^ k[0], uint32(p1), uint32(p0>>32) ^ c[3] ^ k[1], uint32(p0)}
		k[0] += 0x9E3779B9
		k[1] += 0xBB67AE85
	}
	return c
}

// DropoutMask writes 0 to the positions that dropout zeroes and 1 to those that it
// keeps. layer is the layer's index in Net.Layers. mask holds the positions from
// first on, where position is image*features + feature, image counts within the
// batch, and feature counts in the order channel, row, column. first must be a
// multiple of four, and mask must not reach past position 2^34.
//
// The word for position p is word p%4 of Philox4x32 with the counter {p/4, layer,
// low half of step, high half of step} and the key {low half of seed, high half of
// seed}; p is zeroed if the word is less than rate * 2^32.
func DropoutMask(mask []float32, seed, step uint64, layer uint32, first uint64, rate float64) {
	threshold := uint64(math.Round(rate * (1 << 32)))
	key := [2]uint32{uint32(seed), uint32(seed >> 32)}
	counter := [4]uint32{uint32(first / 4), layer, uint32(step), uint32(step >> 32)}
	for i := 0; i < len(mask); i += 4 {
		words := Philox4x32(counter, key)
		counter[0]++
		for j, w := range words[:min(4, len(mask)-i)] {
			keep := float32(1)
			if uint64(w) < threshold {
				keep = 0
			}
			mask[i+j] = keep
		}
	}
}
