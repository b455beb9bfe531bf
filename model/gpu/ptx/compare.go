package ptx

import "math"

// comparison returns a function that compares two values of a type, or nil.
func comparison(op string, t scalar, ftz bool) func(a, b uint64) bool {
	if t.isFloat() {
		return floatComparison(op, t, ftz)
	}
	width := t.bits()
	switch op {
	case "eq":
		return func(a, b uint64) bool { return a == b }
	case "ne":
		return func(a, b uint64) bool { return a != b }
	}
	if t.class == bitsClass || t.class == predicate {
		return nil
	}
	if t.isSigned() {
		switch op {
		case "lt":
			return func(a, b uint64) bool { return signExtend(a, width) < signExtend(b, width) }
		case "le":
			return func(a, b uint64) bool { return signExtend(a, width) <= signExtend(b, width) }
		case "gt":
			return func(a, b uint64) bool { return signExtend(a, width) > signExtend(b, width) }
		case "ge":
			return func(a, b uint64) bool { return signExtend(a, width) >= signExtend(b, width) }
		}
		return nil
	}
	switch op {
	case "lt", "lo":
		return func(a, b uint64) bool { return a < b }
	case "le", "ls":
		return func(a, b uint64) bool { return a <= b }
	case "gt", "hi":
		return func(a, b uint64) bool { return a > b }
	case "ge", "hs":
		return func(a, b uint64) bool { return a >= b }
	}
	return nil
}

func floatComparison(op string, t scalar, ftz bool) func(a, b uint64) bool {
	var f func(a, b float64) bool
	switch op {
	case "eq":
		f = func(a, b float64) bool { return a == b }
	case "ne":
		f = func(a, b float64) bool { return a < b || a > b }
	case "lt":
		f = func(a, b float64) bool { return a < b }
	case "le":
		f = func(a, b float64) bool { return a <= b }
	case "gt":
		f = func(a, b float64) bool { return a > b }
	case "ge":
		f = func(a, b float64) bool { return a >= b }
	case "equ":
		f = func(a, b float64) bool { return !(a < b || a > b) }
	case "neu":
		f = func(a, b float64) bool { return a != b }
	case "ltu":
		f = func(a, b float64) bool { return !(a >= b) }
	case "leu":
		f = func(a, b float64) bool { return !(a > b) }
	case "gtu":
		f = func(a, b float64) bool { return !(a <= b) }
	case "geu":
		f = func(a, b float64) bool { return !(a < b) }
	case "num":
		f = func(a, b float64) bool { return a == a && b == b }
	case "nan":
		f = func(a, b float64) bool { return a != a || b != b }
	default:
		return nil
	}
	read := numbers(t, ftz)
	return func(a, b uint64) bool { return f(read(a), read(b)) }
}

// comparing takes the comparison's name and what joins it with another predicate.
func (m *mods) comparing() (op, join string) {
	op = m.oneOf("eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan")
	return op, m.oneOf("and", "or", "xor")
}

func joined(join string, a, b uint64) uint64 {
	switch join {
	case "and":
		return a & b
	case "or":
		return a | b
	case "xor":
		return a ^ b
	}
	return a
}

// setp compiles a comparison to a predicate, or to one and its opposite.
func (c *compiler) setp() {
	m := c.mods()
	name, join := m.comparing()
	ftz := m.take("ftz")
	t := m.one()
	f := comparison(name, t, ftz)
	if f == nil || !c.comparable(t, ftz) {
		c.unsupported()
	}
	pred := scalarTable["pred"]
	n := 3
	if join != "" {
		n = 4
	}
	a := c.args(n)
	x, y := c.in(a[1], t), c.in(a[2], t)
	if join == "" && a[0].pair == nil {
		c.emit2(c.out(a[0], pred), x, y, func(a, b uint64) uint64 { return truth(f(a, b)) })
		return
	}
	other := c.constRow(0)
	if join != "" {
		other = c.in(a[3], pred)
	}
	first := a[0]
	first.pair = nil
	p, q := c.out(first, pred), -1
	if a[0].pair != nil {
		q = c.out(*a[0].pair, pred)
	}
	c.emit(op{run: func(w *warp, m uint32) *trouble {
		in := w.init[x] & w.init[y] & w.init[other]
		lanes(m, func(i int) {
			yes, o := truth(f(w.rows[x][i], w.rows[y][i])), w.rows[other][i]
			w.rows[p][i] = joined(join, yes, o)
			if q >= 0 {
				w.rows[q][i] = joined(join, yes^1, o)
			}
		})
		w.init[p] = w.init[p]&^m | in&m
		if q >= 0 {
			w.init[q] = w.init[q]&^m | in&m
		}
		return nil
	}})
}

// comparable tells whether values of a type can be compared.
func (c *compiler) comparable(t scalar, ftz bool) bool {
	if ftz && (t.class != float || t.bytes == 8) || t.class == brain && c.module.target < 90 {
		return false
	}
	return t.packs == 1 && t.bytes > 1 && t.class != predicate && t.class != tensor
}

// set compiles a comparison to a number: all bits or 1.0 for true.
func (c *compiler) set() {
	m := c.mods()
	name, join := m.comparing()
	ftz := m.take("ftz")
	m.done(2)
	to, t := m.types[0], m.types[1]
	f := comparison(name, t, ftz)
	if f == nil || !c.comparable(t, ftz) || to.bytes != 4 || to.isFloat() && (to.name != "f32" || t.isFloat() && t.bytes == 2) {
		c.unsupported()
	}
	yes := uint64(math.MaxUint32)
	if to.name == "f32" {
		yes = uint64(math.Float32bits(1))
	}
	n, other := 3, c.constRow(0)
	if join != "" {
		n = 4
	}
	a := c.args(n)
	if join != "" {
		other = c.in(a[3], scalarTable["pred"])
	}
	c.emit3(c.out(a[0], to), c.in(a[1], t), c.in(a[2], t), other, func(a, b, o uint64) uint64 {
		return joined(join, truth(f(a, b)), o) * yes
	})
}

// testp compiles the test of a number's kind.
func (c *compiler) testp() {
	m := c.mods()
	name := m.oneOf("finite", "infinite", "number", "notanumber", "normal", "subnormal")
	t := m.one()
	if name == "" || t.name != "f32" && t.name != "f64" {
		c.unsupported()
	}
	read := numbers(t, false)
	least := 0x1p-126
	if t.bytes == 8 {
		least = 0x1p-1022
	}
	a := c.args(2)
	c.emit1(c.out(a[0], scalarTable["pred"]), c.in(a[1], t), func(a uint64) uint64 {
		x := math.Abs(read(a))
		finite := x <= math.MaxFloat64
		switch name {
		case "finite":
			return truth(finite)
		case "infinite":
			return truth(math.IsInf(x, 0))
		case "number":
			return truth(x == x)
		case "notanumber":
			return truth(x != x)
		case "normal":
			return truth(finite && x >= least)
		}
		return truth(x > 0 && x < least)
	})
}
