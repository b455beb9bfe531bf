package ptx

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA is a*b + c, rounded once.
func exactFMA(a, b, c float32) float32 {
	x, y, z := new(big.Float).SetFloat64(float64(a)), new(big.Float).SetFloat64(float64(b)), new(big.Float).SetFloat64(float64(c))
	x.SetPrec(2000).Mul(x, y)
	x.Add(x, z)
	f, _ := x.Float32()
	if f == 0 && x.Sign() == 0 {
		return float32(float64(a)*float64(b) + float64(c)) // its sign
	}
	if math.IsNaN(float64(f)) {
		return f
	}
	return f
}

// numbersFor are float32 of all sizes, and neighbours of what matters.
func numbersFor(rng *rand.Rand) uint32 {
	switch rng.IntN(8) {
	case 0:
		return []uint32{0, 1 << 31, 1, 0x7fffff, 0x800000, 0x7f7fffff, 0x3f800000, 0xbf800000, 0x7f800000}[rng.IntN(9)]
	case 1:
		return rng.Uint32() & 0x807fffff // too small to be normal
	case 2:
		return rng.Uint32()&0x807fffff | 0x3f800000
	case 3:
		return rng.Uint32()&0x80000fff | 0x3f800000
	case 4:
		return rng.Uint32()&0x80ff0000 | 0x10000000
	}
	return rng.Uint32()
}

func TestFMA32(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	loop := hot3("fma.rn.f32")
	for range 100000 {
		x, y, z := numbersFor(rng), numbersFor(rng), numbersFor(rng)
		if rng.IntN(3) == 0 {
			// A sum whose parts cancel, or are far apart.
			p := math.Float32frombits(x) * math.Float32frombits(y)
			z = math.Float32bits(-p) + uint32(rng.IntN(3)) - 1
		}
		a, b, c := math.Float32frombits(x), math.Float32frombits(y), math.Float32frombits(z)
		got := fma32(uint64(x), uint64(y), uint64(z))
		d, p, q, r := row{}, row{7: uint64(x)}, row{7: uint64(y)}, row{7: uint64(z)}
		if loop(&d, &p, &q, &r); d[7] != got {
			t.Fatalf("%v * %v + %v: the loop gives %#x, not %#x", a, b, c, d[7], got)
		}
		if s := float64(a)*float64(b) + float64(c); s != s || math.IsInf(float64(a), 0) || math.IsInf(float64(b), 0) || math.IsInf(float64(c), 0) {
			if want := bits32(float32(s)); got != want {
				t.Fatalf("%v * %v + %v: %#x, want %#x", a, b, c, got, want)
			}
			continue
		}
		if want := uint64(math.Float32bits(exactFMA(a, b, c))); got != want {
			t.Fatalf("%v * %v + %v: %#x, want %#x", a, b, c, got, want)
		}
	}
	// Rounding to float64 first would give the lower neighbour.
	a, b, c := uint64(0x3f800001), uint64(0x3f800001), f32(0x1p-60)
	if got, want := fma32(a, b, c), uint64(math.Float32bits(exactFMA(float32of(a), float32of(b), float32of(c)))); got != want {
		t.Errorf("%#x, want %#x", got, want)
	}
}

// TestRoundings compares arithmetic in all four directions with math/big.
func TestRoundings(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	modes := map[string]big.RoundingMode{"rn": big.ToNearestEven, "rz": big.ToZero, "rm": big.ToNegativeInf, "rp": big.ToPositiveInf}
	for name, mode := range modes {
		for _, op := range []string{"add", "sub", "mul", "div", "fma", "sqrt", "rcp"} {
			f := &floatMods{t: scalarTable["f32"], mode: roundingTable[name]}
			for range 3000 {
				// Sizes at which nothing is too large or too small to be normal.
				a, b, c := moderate(rng), moderate(rng), moderate(rng)
				x, y, z := bigOf(a), bigOf(b), bigOf(c)
				r := new(big.Float).SetPrec(24).SetMode(mode)
				var got uint64
				p := uint64(math.Float32bits(a))
				q := uint64(math.Float32bits(b))
				switch op {
				case "add":
					r.Add(x, y)
					got = floatOp2(op, f)(p, q)
				case "sub":
					r.Sub(x, y)
					got = floatOp2(op, f)(p, q)
				case "mul":
					r.Mul(x, y)
					got = floatOp2(op, f)(p, q)
				case "div":
					r.Quo(x, y)
					got = floatOp2(op, f)(p, q)
				case "fma":
					x.SetPrec(200).Mul(x, y)
					r.Add(x, z)
					product := f.value(p) * f.value(q)
					got = f.result(f.zero(addOdd(product, float64(c)), product))
				case "sqrt":
					p &^= 1 << 31
					exact := new(big.Float).SetPrec(200).Sqrt(bigOf(float32of(p)))
					r.Set(exact)
					got = floatOp1(op, f)(p)
				case "rcp":
					r.Quo(bigOf(1), x)
					got = floatOp1(op, f)(p)
				}
				want, _ := r.Float32()
				if want == 0 {
					continue
				}
				if got != uint64(math.Float32bits(want)) {
					t.Fatalf("%s.%s of %v, %v, %v: %v, want %v", op, name, a, b, c, float32of(got), want)
				}
			}
		}
	}
}

func bigOf(x float32) *big.Float { return new(big.Float).SetFloat64(float64(x)) }

func moderate(rng *rand.Rand) float32 {
	return math.Float32frombits(rng.Uint32()&0x807fffff | uint32(100+rng.IntN(50))<<23)
}

// TestHalves converts all numbers of 16 bits there and back, and numbers between two
// neighbours to one of them.
func TestHalves(t *testing.T) {
	for _, f := range []*format{f16Format, bf16Format} {
		infinite := f.fromFloat(math.Inf(1), nearest)
		for v := range uint64(1 << 16) {
			x := f.toFloat(v)
			if x != x {
				continue
			}
			if got := f.fromFloat(x, nearest); got != v {
				t.Fatalf("%#x is %v, and that %#x", v, x, got)
			}
			if v >= infinite { // the others are the same with a sign
				continue
			}
			next := f.toFloat(v + 1)
			if v+1 == infinite {
				next = math.Ldexp(1, f.maxExp+1)
			}
			middle := x/2 + next/2
			for _, test := range []struct {
				x    float64
				mode rounding
				want uint64
			}{
				{middle, nearest, v + v&1}, {math.Nextafter(middle, 0), nearest, v}, {math.Nextafter(middle, next), nearest, v + 1},
				{middle, towardZero, v}, {middle, downward, v}, {middle, upward, v + 1}, {middle, nearestAway, v + 1},
				{-middle, upward, v | 0x8000}, {-middle, downward, (v + 1) | 0x8000},
			} {
				if got := f.fromFloat(test.x, test.mode); got != test.want {
					t.Fatalf("%v, rounding %d: %#x, want %#x", test.x, test.mode, got, test.want)
				}
			}
		}
	}
}
