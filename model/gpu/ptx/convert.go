package ptx

import "math"

// cvt compiles the conversion between types.
func (c *compiler) cvt() {
	m := c.mods()
	f := floatMods{ftz: m.take("ftz"), sat: m.take("sat"), relu: m.take("relu")}
	given := m.oneOf("rn", "rz", "rm", "rp", "rna", "rni", "rzi", "rmi", "rpi")
	f.mode = roundingTable[given]
	whole := len(given) == 3 && given[2] == 'i'
	m.done(2)
	to, from := m.types[0], m.types[1]
	if to.packs == 2 {
		c.cvtPacked(f, to, from, given)
		return
	}
	a := c.args(2)
	if !c.convertible(f, to, from, given) {
		c.unsupported()
	}
	var g fun1
	switch {
	case from.packs == 2 || to.class == bitsClass || from.class == bitsClass || from.class == tensor || to.class == predicate || from.class == predicate:
		c.unsupported()
	case !from.isFloat() && !to.isFloat():
		if given != "" {
			c.unsupported()
		}
		g = integerToInteger(to, from, f.sat)
	case !from.isFloat():
		c.needs(given, false)
		g = integerToFloat(f, to, from)
	case !to.isFloat() && to.name != "tf32":
		c.needs(given, true)
		g = floatToInteger(f, to, from)
	default:
		if to.bytes < from.bytes {
			c.needs(given, false)
		}
		g = floatToFloat(f, to, from, whole)
	}
	s := c.wideIn(a[1], from)
	d := c.output(a[0], to, true)
	if have := a[0].reg; to.isSigned() && have != nil && have.typ.bytes > to.bytes {
		narrow := g
		g = func(a uint64) uint64 { return truncate(uint64(signExtend(narrow(a), to.bits())), have.typ.bits()) }
	}
	c.emit1(d, s, g)
}

// convertible tells whether the modifiers are for a conversion between two types.
func (c *compiler) convertible(f floatMods, to, from scalar, given string) bool {
	whole := len(given) == 3 && given[2] == 'i'
	single := to.name == "f32" || from.name == "f32"
	switch {
	case f.ftz && !single, f.relu && (from.name != "f32" || !to.isFloat() || to.bytes != 2 || given != "rn" && given != "rz"):
		return false
	case given == "rna" && to.name != "tf32", to.name == "tf32" && (from.name != "f32" || given != "rna" || f.ftz || f.sat || f.relu):
		return false
	case to.class == brain && (from.name != "f32" || f.sat), from.class == brain && to.name != "f32":
		return c.module.target >= 90 && from.class != to.class
	case to.isFloat() && from.isFloat() && to.name == from.name:
		return given == "" || whole
	case to.isFloat() && from.isFloat() && to.bytes >= from.bytes:
		return given == "" || from.class == brain && !whole
	}
	return true
}

// needs refuses a conversion whose rounding is not given, or not of its kind.
func (c *compiler) needs(given string, whole bool) {
	if given == "" || (len(given) == 3 && given[2] == 'i') != whole {
		c.fail("the rounding is missing or not of the conversion's kind")
	}
}

// wideIn returns the row of an operand whose register may be wider than what is read
// of it.
func (c *compiler) wideIn(o operand, t scalar) int {
	if o.kind == registerOperand && !o.negated && !o.address && o.pair == nil {
		if !c.fits(o.reg.typ, t, true) {
			c.fail("%s is .%s where .%s should be", o.reg.name, o.reg.typ.name, t.name)
		}
		return c.regRow(o.reg)
	}
	return c.in(o, t)
}

func integerToInteger(to, from scalar, sat bool) fun1 {
	if !sat {
		if from.isSigned() {
			return func(a uint64) uint64 { return truncate(uint64(signExtend(a, from.bits())), to.bits()) }
		}
		return func(a uint64) uint64 { return truncate(truncate(a, from.bits()), to.bits()) }
	}
	low, high := limits(to)
	return func(a uint64) uint64 {
		a = truncate(a, from.bits())
		if from.isSigned() {
			v := signExtend(a, from.bits())
			if v < low {
				return truncate(uint64(low), to.bits())
			}
			if v < 0 {
				return truncate(uint64(v), to.bits())
			}
		}
		return min(a, high)
	}
}

// limits returns the least and the greatest number of an integer type.
func limits(t scalar) (low int64, high uint64) {
	if t.isSigned() {
		return -1 << (t.bits() - 1), 1<<(t.bits()-1) - 1
	}
	return 0, truncate(math.MaxUint64, t.bits())
}

func integerToFloat(f floatMods, to, from scalar) fun1 {
	f.t = to
	exact := func(a uint64) (float64, float64) {
		if from.isSigned() {
			v := signExtend(a, from.bits())
			return float64(v >> 32 << 32), float64(v & (1<<32 - 1))
		}
		a = truncate(a, from.bits())
		return float64(a >> 32 << 32), float64(a & (1<<32 - 1))
	}
	if to.bytes == 8 {
		return func(a uint64) uint64 {
			high, low := exact(a)
			sum := high + low
			if f.mode != nearest {
				sum = directed(high, low, f.mode)
			}
			if f.sat {
				sum = saturate(sum)
			}
			return math.Float64bits(sum)
		}
	}
	return func(a uint64) uint64 { return f.result(addOdd(exact(a))) }
}

// directed adds two numbers and rounds in a direction.
func directed(a, b float64, mode rounding) float64 {
	sum := a + b
	missing := b - (sum - a)
	if missing == 0 {
		return sum
	}
	switch {
	case missing > 0 && (mode == upward || mode == towardZero && sum < 0):
		return math.Nextafter(sum, math.Inf(1))
	case missing < 0 && (mode == downward || mode == towardZero && sum > 0):
		return math.Nextafter(sum, math.Inf(-1))
	}
	return sum
}

// numbers returns how the bits of a type are read.
func numbers(t scalar, ftz bool) func(v uint64) float64 {
	if t.bytes == 8 {
		return math.Float64frombits
	}
	form := halfOf(t)
	return func(v uint64) float64 {
		x := form.toFloat(truncate(v, form.width))
		if ftz && form == f32Format {
			x = flush(x)
		}
		return x
	}
}

func floatToInteger(f floatMods, to, from scalar) fun1 {
	read := numbers(from, f.ftz)
	low, high := limits(to)
	none := uint64(0)
	if from.bytes == 8 || to.bytes == 8 {
		none = 1 << (to.bits() - 1)
	}
	return func(a uint64) uint64 {
		x := read(a)
		if math.IsNaN(x) {
			return none
		}
		x = roundToInteger(x, f.mode)
		switch {
		case x <= float64(low):
			return truncate(uint64(low), to.bits())
		case x >= float64(high):
			return high
		case x < 0:
			return truncate(uint64(int64(x)), to.bits())
		}
		return uint64(x)
	}
}

func floatToFloat(f floatMods, to, from scalar, whole bool) fun1 {
	read := numbers(from, f.ftz)
	f.t = to
	mode := f.mode
	if to.name == "tf32" {
		return func(a uint64) uint64 { return tf32Format.fromFloat(read(a), mode) }
	}
	if whole {
		f.mode = nearest
	}
	return func(a uint64) uint64 {
		x := read(a)
		if whole {
			x = math.Copysign(roundToInteger(x, mode), x)
		}
		if to.bytes == 8 {
			if f.sat {
				x = saturate(x)
			}
			return math.Float64bits(x)
		}
		return f.result(x)
	}
}

// cvtPacked compiles the conversion of two float32 to a word of two numbers, the first
// operand in the high half.
func (c *compiler) cvtPacked(f floatMods, to, from scalar, given string) {
	if from.name != "f32" || given != "rn" && given != "rz" || f.ftz || f.sat {
		c.unsupported()
	}
	f.t = scalarTable[to.name[:len(to.name)-2]]
	read := numbers(from, f.ftz)
	half := func(v uint64) uint64 { return f.result(read(v)) }
	a := c.args(3)
	d, x, y := c.out(a[0], to), c.in(a[1], from), c.in(a[2], from)
	c.emit2(d, x, y, func(a, b uint64) uint64 { return half(a)<<16 | half(b) })
}
