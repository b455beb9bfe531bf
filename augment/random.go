package augment

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// purpose keeps this package's random bits apart from those that other parts of
// the project draw from the same seed.
const purpose = "augment\x00"

// stream is a source of random numbers that is keyed, not seeded from a clock:
// the same key gives the same numbers on every machine and in every release of
// Go. math/rand/v2 promises so much for ChaCha8's Uint64 only, so everything
// else is made from that here.
type stream struct {
	bits rand.ChaCha8
}

// seed keys the stream with the four words of the project's random draws:
// purpose, seed, epoch, index, little-endian.
func (s *stream) seed(seed, epoch, index uint64) {
	var key [32]byte
	copy(key[:8], purpose)
	binary.LittleEndian.PutUint64(key[8:], seed)
	binary.LittleEndian.PutUint64(key[16:], epoch)
	binary.LittleEndian.PutUint64(key[24:], index)
	s.bits.Seed(key)
}

// symmetric returns a float64 in [-1, 1), a multiple of 2^-52.
func (s *stream) symmetric() float64 {
	return float64(int64(s.bits.Uint64())>>11) * 0x1p-52
}

// normals returns two independent draws from the standard normal distribution,
// by Marsaglia's polar method.
//
// The conversions to float64 round each product before it is added, which the
// language otherwise lets a compiler skip (a fused multiply-add has one
// rounding); with them, square roots and logarithm included, every machine
// gets the same bits.
func (s *stream) normals() (float64, float64) {
	for {
		u, v := s.symmetric(), s.symmetric()
		q := float64(u*u) + float64(v*v)
		if q >= 1 || q == 0 {
			continue
		}
		f := math.Sqrt(-2 * ln(q) / q)
		return float64(u * f), float64(v * f)
	}
}

// ln is the natural logarithm of a positive, normal x, within a few units in
// the last place. math.Log will not do: it is assembly on one architecture, Go
// on the next, and fuses multiply-adds where the machine has them, so its last
// bits differ from machine to machine.
//
// With x = 2^e * m and m in [sqrt(1/2), sqrt(2)), it sums the series
// ln m = 2 artanh z = 2 (z + z^3/3 + z^5/5 + ...), z = (m-1)/(m+1), |z| < 0.172.
func ln(x float64) float64 {
	m, e := math.Frexp(x) // m in [1/2, 1)
	if m < math.Sqrt2/2 {
		m *= 2
		e--
	}
	z := (m - 1) / (m + 1)
	zz := float64(z * z)
	sum := 0.0
	for k := 21; k >= 3; k -= 2 {
		sum = float64((sum + 1/float64(k)) * zz)
	}
	return float64(float64(e)*math.Ln2) + float64(2*z*(1+sum))
}
