package augment

import (
	"math"
	"math/big"
	"testing"
)

// nearest rounds x to a binary format of 16 bits that has fraction bits of
// fraction and exponents from least to most: to the nearest value, ties to the
// even one. It is slow, and uses nothing but exact rational numbers.
func nearest(x float32, fraction, least, most int) uint16 {
	var sign uint16
	if math.Signbit(float64(x)) {
		sign, x = 0x8000, -x
	}
	// The unit of x's last place, in powers of two.
	_, exponent := math.Frexp(float64(x)) // x < 2^exponent
	exponent = max(exponent-1, least)
	unit := exponent - fraction
	// x in units.
	r := new(big.Rat).SetFloat64(float64(x))
	scale := new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(max(unit, -unit))))
	if unit < 0 {
		r.Mul(r, scale)
	} else {
		r.Quo(r, scale)
	}
	whole, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	switch twice := rest.Lsh(rest, 1).Cmp(r.Denom()); {
	case twice > 0, twice == 0 && whole.Bit(0) == 1:
		whole.Add(whole, big.NewInt(1))
	}
	n := int(whole.Int64())
	if n == 2<<fraction {
		n, exponent = 1<<fraction, exponent+1
	}
	if exponent > most {
		return sign | uint16((most-least+2)<<fraction) // infinity
	}
	if n < 1<<fraction {
		return sign | uint16(n) // denormal
	}
	return sign | uint16((exponent-least)<<fraction+n)
}

func halfSlowly(x float32) uint16  { return nearest(x, 10, -14, 15) }
func brainSlowly(x float32) uint16 { return nearest(x, 7, -126, 127) }

// float is the value of a binary16.
func float(h uint16) float32 {
	exponent, fraction := int(h>>10&31), float64(h&0x3ff)
	x := math.Ldexp(1024+fraction, exponent-25)
	if exponent == 0 {
		x = math.Ldexp(fraction, -24)
	}
	if h>>15 != 0 {
		x = -x
	}
	return float32(x)
}

// TestHalf takes all 65536 values of binary16, what lies in the middle between
// two, and the two next to that.
func TestHalf(t *testing.T) {
	check := func(x float32, want uint16) {
		t.Helper()
		if got, slow := half(x), halfSlowly(x); got != want || slow != want {
			t.Fatalf("%v (%#x): half %#04x, slowly %#04x, want %#04x", x, math.Float32bits(x), got, slow, want)
		}
	}
	for h := range uint16(0x7c00) {
		for _, sign := range []uint16{0, 0x8000} {
			x := float(sign | h)
			check(x, sign|h)
			next := float(h + 1) // of the greatest, 65536, where infinity starts
			if sign != 0 {
				next = -next
			}
			middle := x/2 + next/2
			even := h + h&1
			check(middle, sign|even)
			check(math.Nextafter32(middle, x), sign|h)
			check(math.Nextafter32(middle, next), sign|(h+1))
		}
	}
	for x, want := range map[float32]uint16{65519.996: 0x7bff, 65520: 0x7c00, 1e30: 0x7c00, -math.MaxFloat32: 0xfc00, 1e-30: 0, -1e-45: 0x8000} {
		check(x, want)
	}
}

// TestBrain does the same for bfloat16, whose values are float32s.
func TestBrain(t *testing.T) {
	check := func(b uint32, want uint16) {
		t.Helper()
		x := math.Float32frombits(b)
		if got, slow := brain(x), brainSlowly(x); got != want || slow != want {
			t.Fatalf("%v (%#x): brain %#04x, slowly %#04x, want %#04x", x, b, got, slow, want)
		}
	}
	for h := range uint16(0x7f80) {
		for _, sign := range []uint32{0, 0x80000000} {
			b, s := sign|uint32(h)<<16, uint16(sign>>16)
			check(b, s|h)
			check(b+0x7fff, s|h)
			check(b+0x8000, s|(h+h&1))
			check(b+0x8001, s|(h+1))
		}
	}
}

// TestHalfRandomly compares with the slow conversions on numbers of all sizes.
func TestHalfRandomly(t *testing.T) {
	var s stream
	s.seed(1, 2, 3)
	for range 20000 {
		x := number(uint32(s.below(1 << 32)))
		if s.below(2) == 0 {
			x = float32(math.Ldexp(s.symmetric(), int(s.below(48))-30))
		}
		if got, want := half(x), halfSlowly(x); got != want {
			t.Fatalf("half(%v) = %#04x, want %#04x", x, got, want)
		}
		if got, want := brain(x), brainSlowly(x); got != want {
			t.Fatalf("brain(%v) = %#04x, want %#04x", x, got, want)
		}
	}
}
