package ptx

import "math"

// rounding is the direction in which what does not fit is rounded.
type rounding uint8

const (
	nearest rounding = iota // to even
	towardZero
	downward
	upward
	nearestAway // .rna: halves away from zero
)

//nolint:gochecknoglobals // read only
var roundingTable = map[string]rounding{
	"rn": nearest, "rz": towardZero, "rm": downward, "rp": upward, "rna": nearestAway,
	"rni": nearest, "rzi": towardZero, "rmi": downward, "rpi": upward,
}

// format is a floating-point format of at most 32 bits.
type format struct {
	precision int // bits of a significand, the hidden one included
	width     int
	maxExp    int    // of the largest numbers
	nan       uint64 // the one that arithmetic gives
}

//nolint:gochecknoglobals // read only
var (
	f16Format  = &format{11, 16, 15, 0x7fff}
	bf16Format = &format{8, 16, 127, 0x7fff}
	f32Format  = &format{24, 32, 127, 0x7fffffff}
	tf32Format = &format{11, 32, 127, 0x7fffffff}
)

// halfOf returns the format of a number of 16 bits, or of f32.
func halfOf(t scalar) *format {
	switch {
	case t.name == "f32":
		return f32Format
	case t.class == brain:
		return bf16Format
	}
	return f16Format
}

// toFloat returns the value of a number. Every format's numbers are float64 as well.
func (f *format) toFloat(v uint64) float64 {
	switch f {
	case f32Format, tf32Format:
		return float64(math.Float32frombits(uint32(v)))
	case bf16Format:
		return float64(math.Float32frombits(uint32(v) << 16))
	}
	mant, exp := v&0x3ff, int(v>>10&31)
	var x float64
	switch exp {
	case 0:
		x = math.Ldexp(float64(mant), -24)
	case 31:
		x = math.Inf(1)
		if mant != 0 {
			return math.NaN()
		}
	default:
		x = math.Ldexp(float64(mant|0x400), exp-25)
	}
	if v&0x8000 != 0 {
		return -x
	}
	return x
}

// round rounds x to the format's numbers.
func (f *format) round(x float64, mode rounding) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	_, e := math.Frexp(x)
	unit := max(e-1, 1-f.maxExp) - (f.precision - 1)
	r := math.Ldexp(roundToInteger(math.Ldexp(x, -unit), mode), unit)
	largest := math.Ldexp(2-math.Ldexp(1, 1-f.precision), f.maxExp)
	if math.Abs(r) > largest {
		if mode == towardZero || mode == downward && x > 0 || mode == upward && x < 0 {
			return math.Copysign(largest, x)
		}
		return math.Copysign(math.Inf(1), x)
	}
	return math.Copysign(r, x)
}

func roundToInteger(x float64, mode rounding) float64 {
	switch mode {
	case towardZero:
		return math.Trunc(x)
	case downward:
		return math.Floor(x)
	case upward:
		return math.Ceil(x)
	case nearestAway:
		return math.Round(x)
	}
	return math.RoundToEven(x)
}

// fromFloat rounds x and returns the number's bits.
func (f *format) fromFloat(x float64, mode rounding) uint64 {
	if math.IsNaN(x) {
		return f.nan
	}
	if f != f32Format || mode != nearest {
		x = f.round(x, mode)
	}
	switch f {
	case f32Format, tf32Format:
		return uint64(math.Float32bits(float32(x)))
	case bf16Format:
		return uint64(math.Float32bits(float32(x)) >> 16)
	}
	return f16Bits(x)
}

// f16Bits returns the bits of a number that f16 has.
func f16Bits(x float64) uint64 {
	sign := math.Float64bits(x) >> 63 << 15
	x = math.Abs(x)
	switch {
	case math.IsInf(x, 0):
		return sign | 0x7c00
	case x < 0x1p-14:
		return sign | uint64(math.Ldexp(x, 24))
	}
	frac, e := math.Frexp(x)
	return sign | uint64(e+14)<<10 | uint64(math.Ldexp(frac, 11))&0x3ff
}

// flush makes a number that is too small to be normal in float32 a zero.
func flush(x float64) float64 {
	if math.Abs(x) < 0x1p-126 {
		return math.Copysign(0, x)
	}
	return x
}

// toOdd returns a sum that was rounded, given what is missing, with its last bit set if
// something is: rounded again to at most 51 bits, it gives what rounding the true sum
// once would have given.
func toOdd(sum, missing float64) float64 {
	bits := math.Float64bits(sum)
	if missing == 0 || math.IsNaN(missing) || math.IsInf(sum, 0) || bits&1 != 0 {
		return sum
	}
	// An even one is left in the direction of the true sum.
	if (missing > 0) == (sum > 0) {
		return math.Float64frombits(bits + 1)
	}
	return math.Float64frombits(bits - 1)
}

// addOdd adds and rounds to odd.
func addOdd(a, b float64) float64 {
	sum := a + b
	// What is missing, exactly (Knuth's TwoSum).
	t := sum - a
	return toOdd(sum, (a-(sum-t))+(b-t))
}

// divOdd divides and rounds to odd.
func divOdd(a, b float64) float64 {
	q := a / b
	if math.IsInf(q, 0) || math.IsNaN(q) || math.IsInf(b, 0) {
		return q
	}
	rest := math.FMA(-q, b, a)
	return toOdd(q, rest*math.Copysign(1, b))
}

// sqrtOdd takes the root and rounds to odd.
func sqrtOdd(a float64) float64 {
	r := math.Sqrt(a)
	if math.IsInf(r, 0) || math.IsNaN(r) {
		return r
	}
	return toOdd(r, math.FMA(-r, r, a))
}
