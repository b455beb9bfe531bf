package records

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// Permutation returns the numbers 0 to n-1 in an order that is a function of
// its arguments and of nothing else: the same on every machine and with every
// version of Go. It is the one shuffle of the project; purpose ("deal",
// "order") keeps its uses apart.
//
// It is Fisher and Yates's shuffle, from the end, with random numbers from
// ChaCha8 (C2SP chacha8rand). The 32-byte key is the purpose, padded with zero
// bytes to 8 (a longer purpose is replaced by the first 8 bytes of its
// SHA-256), then seed, epoch and n as little-endian 64-bit integers. A number
// below m is the high half of the product of m and a 64-bit draw, drawn again
// where that would favour some numbers (Lemire 2019, "Fast Random Integer
// Generation in an Interval").
//
// n must be at most 2^32; n < 1 gives an empty order.
func Permutation(purpose string, seed, epoch uint64, n int) []uint32 {
	order := make([]uint32, max(n, 0))
	PermutationInto(order, purpose, seed, epoch)
	return order
}

// PermutationInto is Permutation for n = len(order), with memory that is there.
func PermutationInto(order []uint32, purpose string, seed, epoch uint64) {
	random := orderSource(purpose, seed, epoch, len(order))
	for i := range order {
		order[i] = uint32(i)
	}
	// The draws do not depend on the order: with many made at a time, the loop
	// that swaps has nothing to wait for but memory, and for several at once.
	var draws [256]uint32
	for i := len(order) - 1; i > 0; {
		some := draws[:min(i, len(draws))]
		for k := range some {
			some[k] = uint32(below(random, uint64(i-k)+1))
		}
		for _, j := range some {
			order[i], order[j] = order[j], order[i]
			i--
		}
	}
}

// orderSource returns the random numbers of a permutation.
func orderSource(purpose string, seed, epoch uint64, n int) *rand.ChaCha8 {
	var key [32]byte
	if len(purpose) > 8 {
		sum := sha256.Sum256([]byte(purpose))
		copy(key[:8], sum[:])
	} else {
		copy(key[:8], purpose)
	}
	binary.LittleEndian.PutUint64(key[8:], seed)
	binary.LittleEndian.PutUint64(key[16:], epoch)
	binary.LittleEndian.PutUint64(key[24:], uint64(n))
	return rand.NewChaCha8(key)
}

// below draws a number from 0 to m-1, each as likely as the others. m > 0.
func below(random *rand.ChaCha8, m uint64) uint64 {
	hi, lo := bits.Mul64(random.Uint64(), m)
	if lo < m {
		for tooLow := -m % m; lo < tooLow; {
			hi, lo = bits.Mul64(random.Uint64(), m)
		}
	}
	return hi
}
