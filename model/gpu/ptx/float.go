package ptx

import "math"

func float32of(v uint64) float32 { return math.Float32frombits(uint32(v)) }

// bits32 returns a float32's bits. Arithmetic gives one NaN only.
func bits32(x float32) uint64 {
	if x != x {
		return 0x7fffffff
	}
	return uint64(math.Float32bits(x))
}

// floatMods are the modifiers of floating-point arithmetic.
type floatMods struct {
	t        scalar
	mode     rounding
	ftz, sat bool
	nan      bool // .NaN of min and max
	relu     bool
}

func (c *compiler) floatMods(m *mods) floatMods {
	f := floatMods{ftz: m.take("ftz"), sat: m.take("sat"), nan: m.take("NaN"), relu: m.take("relu")}
	given := m.oneOf("rn", "rz", "rm", "rp")
	f.mode = roundingTable[given]
	rough := m.oneOf("approx", "full")
	f.t = m.one()
	if !c.legal(&f, given, rough) {
		c.unsupported()
	}
	return f
}

// legal tells whether the modifiers are for arithmetic of a type.
func (c *compiler) legal(f *floatMods, given, rough string) bool {
	op, half := c.st.op, f.t.bytes/f.t.packs == 2
	double := f.t.bytes == 8
	if f.t.class == brain && c.module.target < 90 && op != "fma" && op != "min" && op != "max" && op != "abs" && op != "neg" {
		return false
	}
	if f.ftz && (double || f.t.class == brain) && (op != "rcp" || rough == "") && op != "rsqrt" {
		return false
	}
	if f.mode != nearest && (half || double) {
		return false
	}
	if f.relu && (op != "fma" || !half) || f.nan && (op != "min" && op != "max" || double) || f.sat && (double || f.t.class == brain) {
		return false
	}
	switch op {
	case "div", "rcp", "sqrt":
		if (given == "") == (rough == "") || rough == "full" && op != "div" || f.sat || half {
			return false
		}
		return !double || rough == "" || op == "rcp" && f.ftz
	case "fma", "mad":
		return given != "" && rough == "" && !(half && op == "mad")
	case "rsqrt", "ex2", "lg2", "sin", "cos", "tanh":
		if given != "" || rough != "approx" || double && op != "rsqrt" || f.ftz && (op == "tanh" || op == "ex2" && half) {
			return false
		}
		return !half || op == "ex2" || op == "tanh"
	case "add", "sub", "mul":
		return rough == ""
	}
	return given == "" && rough == "" && !f.sat
}

// plain tells whether a float32's result is as Go gives it.
func (f *floatMods) plain() bool { return f.mode == nearest && !f.ftz && !f.sat && !f.relu }

// value reads a number of at most 32 bits.
func (f *floatMods) value(v uint64) float64 {
	x := halfOf(f.t).toFloat(v)
	if f.ftz {
		x = f.flush(x)
	}
	return x
}

func (f *floatMods) flush(x float64) float64 {
	if f.t.class == float && (f.t.bytes == 2 || f.t.packs == 2) {
		if math.Abs(x) < 0x1p-14 {
			return math.Copysign(0, x)
		}
		return x
	}
	return flush(x)
}

// result rounds what was computed and returns its bits.
func (f *floatMods) result(x float64) uint64 {
	form := halfOf(f.t)
	if f.sat {
		x = saturate(x)
	}
	if f.relu && x < 0 {
		x = 0
	}
	v := form.fromFloat(x, f.mode)
	if f.ftz {
		if y := form.toFloat(v); y != 0 && f.flush(y) == 0 {
			v = form.fromFloat(math.Copysign(0, y), nearest)
		}
	}
	return v
}

func saturate(x float64) float64 {
	if !(x > 0) {
		return 0
	}
	return min(x, 1)
}

// both applies a function to the two numbers of a word.
func both1(f fun1) fun1 {
	return func(a uint64) uint64 { return f(a&0xffff) | f(a>>16)<<16 }
}

func both2(f fun2) fun2 {
	return func(a, b uint64) uint64 { return f(a&0xffff, b&0xffff) | f(a>>16, b>>16)<<16 }
}

func both3(f fun3) fun3 {
	return func(a, b, c uint64) uint64 {
		return f(a&0xffff, b&0xffff, c&0xffff) | f(a>>16, b>>16, c>>16)<<16
	}
}

func (c *compiler) floatBinary(m *mods) {
	f := c.floatMods(m)
	g := floatOp2(c.st.op, &f)
	if g == nil {
		c.unsupported()
	}
	if f.t.packs == 2 {
		g = both2(g)
	}
	a := c.args(3)
	d, x, y := c.out(a[0], f.t), c.in(a[1], f.t), c.in(a[2], f.t)
	c.emit2(d, x, y, g)
}

// floatOp2 returns a function of two numbers, or nil.
func floatOp2(op string, f *floatMods) fun2 {
	if f.t.name == "f64" {
		return doubleOp2(op, f)
	}
	if f.t.name == "f32" && f.plain() {
		switch op {
		case "add":
			return func(a, b uint64) uint64 { return bits32(float32of(a) + float32of(b)) }
		case "sub":
			return func(a, b uint64) uint64 { return bits32(float32of(a) - float32of(b)) }
		case "mul":
			return func(a, b uint64) uint64 { return bits32(float32of(a) * float32of(b)) }
		case "div":
			return func(a, b uint64) uint64 { return bits32(float32of(a) / float32of(b)) }
		}
	}
	switch op {
	case "add":
		return func(a, b uint64) uint64 { return f.result(f.zero(addOdd(f.value(a), f.value(b)), f.value(a))) }
	case "sub":
		return func(a, b uint64) uint64 { return f.result(f.zero(addOdd(f.value(a), -f.value(b)), f.value(a))) }
	case "mul":
		return func(a, b uint64) uint64 { return f.result(f.value(a) * f.value(b)) }
	case "div":
		if f.t.bytes != 4 || f.t.packs != 1 {
			return nil
		}
		return func(a, b uint64) uint64 { return f.result(divOdd(f.value(a), f.value(b))) }
	case "min", "max":
		pick := extremum(op == "max", f.nan)
		return func(a, b uint64) uint64 { return f.result(pick(f.value(a), f.value(b))) }
	case "copysign":
		if f.t.name != "f32" {
			return nil
		}
		return func(a, b uint64) uint64 { return b&^(1<<31) | a&(1<<31) }
	}
	return nil
}

// zero gives a sum that is zero its sign when rounding downward: x + -x is -0 then.
func (f *floatMods) zero(sum, a float64) float64 {
	if sum == 0 && a != 0 && f.mode == downward {
		return math.Copysign(0, -1)
	}
	return sum
}

// extremum returns minimum or maximum. A NaN loses unless nan is set; -0 is below 0.
func extremum(most, nan bool) func(a, b float64) float64 {
	return func(a, b float64) float64 {
		switch {
		case math.IsNaN(a) && !nan:
			return b
		case math.IsNaN(b) && !nan:
			return a
		case most:
			return max(a, b)
		}
		return min(a, b)
	}
}

func doubleOp2(op string, _ *floatMods) fun2 {
	var g func(a, b float64) float64
	switch op {
	case "add":
		g = func(a, b float64) float64 { return a + b }
	case "sub":
		g = func(a, b float64) float64 { return a - b }
	case "mul":
		g = func(a, b float64) float64 { return a * b }
	case "div":
		g = func(a, b float64) float64 { return a / b }
	case "min", "max":
		g = extremum(op == "max", false)
	case "copysign":
		return func(a, b uint64) uint64 { return b&^(1<<63) | a&(1<<63) }
	default:
		return nil
	}
	return func(a, b uint64) uint64 {
		return math.Float64bits(g(math.Float64frombits(a), math.Float64frombits(b)))
	}
}

// floatMultiplyAdd compiles fma, and mad, which is the same for compute capability 2.0
// and later.
func (c *compiler) floatMultiplyAdd(m *mods) {
	f := c.floatMods(m)
	var g fun3
	switch {
	case f.t.name == "f64":
		g = func(a, b, c uint64) uint64 {
			return math.Float64bits(math.FMA(math.Float64frombits(a), math.Float64frombits(b), math.Float64frombits(c)))
		}
	case f.t.name == "f32" && f.plain():
		g = fma32
	default:
		g = func(a, b, c uint64) uint64 {
			product := f.value(a) * f.value(b)
			return f.result(f.zero(addOdd(product, f.value(c)), product))
		}
	}
	if f.t.packs == 2 {
		g = both3(g)
	}
	a := c.args(4)
	c.emit3(c.out(a[0], f.t), c.in(a[1], f.t), c.in(a[2], f.t), c.in(a[3], f.t), g)
}

// fma32 multiplies and adds with one rounding. The product is exact in float64; the sum
// is rounded twice, which matters only when the first rounding gave a number halfway
// between two of float32, or one that is too small to be normal: those are done with
// care.
func fma32(a, b, c uint64) uint64 {
	product, addend := float64(float32of(a))*float64(float32of(b)), float64(float32of(c))
	sum := product + addend
	if bits := math.Float64bits(sum); bits&(1<<29-1) != 1<<28 && (sum >= 0x1p-120 || sum <= -0x1p-120) {
		return bits32(float32(sum))
	}
	return bits32(float32(addOdd(product, addend)))
}

func (c *compiler) floatUnary(m *mods) {
	f := c.floatMods(m)
	g := floatOp1(c.st.op, &f)
	if g == nil {
		c.unsupported()
	}
	if f.t.packs == 2 {
		g = both1(g)
	}
	a := c.args(2)
	c.emit1(c.out(a[0], f.t), c.in(a[1], f.t), g)
}

// floatOp1 returns a function of a number, or nil.
func floatOp1(op string, f *floatMods) fun1 {
	sign := uint64(1) << (f.t.bits()/f.t.packs - 1)
	switch op {
	case "neg", "abs":
		clear := op == "abs"
		return func(a uint64) uint64 {
			if f.ftz && f.value(a) == 0 {
				a &= sign
			}
			if clear {
				return a &^ sign
			}
			return a ^ sign
		}
	}
	g := function1(op, f.t.name == "f64", f.mode)
	switch {
	case g == nil:
		return nil
	case f.t.name == "f64":
		return func(a uint64) uint64 { return math.Float64bits(g(math.Float64frombits(a))) }
	case f.t.name == "f32", op == "tanh", op == "ex2":
		return func(a uint64) uint64 { return f.result(g(f.value(a))) }
	}
	return nil
}

// function1 returns a function that float64 computes.
func function1(op string, double bool, mode rounding) func(a float64) float64 {
	switch op {
	case "sqrt":
		if mode == nearest {
			return math.Sqrt
		}
		return sqrtOdd
	case "rcp":
		if double {
			return func(a float64) float64 { return 1 / a }
		}
		return func(a float64) float64 { return divOdd(1, a) }
	case "rsqrt":
		return func(a float64) float64 { return 1 / math.Sqrt(a) }
	case "ex2":
		return math.Exp2
	case "lg2":
		return math.Log2
	case "sin":
		return math.Sin
	case "cos":
		return math.Cos
	case "tanh":
		return math.Tanh
	}
	return nil
}
