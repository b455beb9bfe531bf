package drawn

import (
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
)

// draws are the random choices of one picture.
type draws struct{ *rand.ChaCha8 }

// newDraws keys the generator with what a picture is a function of.
func newDraws(seed uint64, class, index int) *draws {
	key := [32]byte{'d', 'r', 'a', 'w', 'n'}
	binary.LittleEndian.PutUint64(key[8:], seed)
	binary.LittleEndian.PutUint64(key[16:], uint64(class))
	binary.LittleEndian.PutUint64(key[24:], uint64(index))
	return &draws{rand.NewChaCha8(key)}
}

// intn draws from 0 to n-1. The bias, n in 2^64, does not matter here.
func (r *draws) intn(n int) int {
	high, _ := bits.Mul64(r.Uint64(), uint64(n))
	return int(high)
}

// between draws from low to high, both included.
func (r *draws) between(low, high int) int { return low + r.intn(high-low+1) }

// Fixed-point numbers: coordinates and distances have 8 binary digits after the
// point, sines 14, and a full turn has 1,024 steps.
const (
	one  = 256
	turn = 1024
)

// sines is one turn of the sine. Rounding to 14 digits hides what the last digit
// of math.Sin may differ by between machines.
var sines = func() (table [turn]int32) { //nolint:gochecknoglobals // read only
	for i := range table {
		table[i] = int32(math.Round(math.Sin(2*math.Pi*float64(i)/turn) * (1 << 14)))
	}
	return table
}()

// sin and cos take steps of a turn and return 14 binary digits.
func sin(a int) int { return int(sines[a&(turn-1)]) }
func cos(a int) int { return sin(a + turn/4) }

// root is the integer square root of a number below 2^52.
func root(n int) int { return int(math.Sqrt(float64(n))) }

// mod is the remainder that is never negative.
func mod(a, n int) int {
	if a %= n; a < 0 {
		a += n
	}
	return a
}
