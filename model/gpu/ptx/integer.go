package ptx

import (
	"math/bits"
)

type (
	fun1 = func(a uint64) uint64
	fun2 = func(a, b uint64) uint64
	fun3 = func(a, b, c uint64) uint64
)

// binary compiles the arithmetic of two operands.
func (c *compiler) binary() {
	m := c.mods()
	op := c.st.op
	if len(m.types) == 1 && m.types[0].isFloat() {
		c.floatBinary(m)
		return
	}
	if op == "add" || op == "sub" {
		if m.take("sat") {
			c.saturating(m.one())
			return
		}
	}
	how := ""
	if op == "mul" {
		if how = m.oneOf("lo", "hi", "wide"); how == "" {
			c.unsupported()
		}
	}
	t := m.one()
	a := c.args(3)
	if op == "shl" || op == "shr" {
		if !t.isInteger() || t.bytes == 1 || op == "shl" && t.class != bitsClass {
			c.unsupported()
		}
		c.emit2(c.out(a[0], t), c.in(a[1], t), c.in(a[2], scalarTable["u32"]), shift(op, t))
		return
	}
	logic := op == "and" || op == "or" || op == "xor"
	if logic != (t.class == bitsClass || t.class == predicate) {
		c.unsupported()
	}
	to := t
	if how == "wide" {
		to = c.wide(t)
	}
	f := integer2(op+how, t)
	if f == nil {
		c.unsupported()
	}
	d, x, y := c.out(a[0], to), c.in(a[1], t), c.in(a[2], t)
	if t.class == predicate && op != "xor" {
		c.emit(logicOp(d, x, y, op == "or"))
		return
	}
	c.emit2(d, x, y, f)
}

// logicOp is and or or of predicates, whose result may be known when only one of them
// is: compilers make a && b so, where b has a value only if a holds.
func logicOp(d, x, y int, or bool) op {
	return op{run: func(w *warp, m uint32) *trouble {
		dr, xr, yr := &w.rows[d], &w.rows[x], &w.rows[y]
		xs, ys := uint32(0), uint32(0)
		for i := range dr {
			xs |= uint32(xr[i]&1) << i
			ys |= uint32(yr[i]&1) << i
		}
		r, sure := xs&ys, w.init[x]&^xs|w.init[y]&^ys
		if or {
			r, sure = xs|ys, w.init[x]&xs|w.init[y]&ys
		}
		in := w.init[x]&w.init[y] | sure
		if or {
			r |= sure
		} else {
			r &^= sure
		}
		for n := m; n != 0; n &= n - 1 {
			i := bits.TrailingZeros32(n) & (warpSize - 1)
			dr[i] = uint64(r >> i & 1)
		}
		w.init[d] = w.init[d]&^m | in&m
		return nil
	}}
}

// emit1, emit2 and emit3 add ops that compute each thread's result from its operands.
func (c *compiler) emit1(d, a int, f fun1) {
	c.emit(op{run: each1(d, a, f)})
	c.hasten(d, a)
}

func (c *compiler) emit2(d, a, b int, f fun2) {
	c.emit(op{run: each2(d, a, b, f)})
	c.hasten(d, a, b)
}

func (c *compiler) emit3(d, a, b, e int, f fun3) {
	c.emit(op{run: each3(d, a, b, e, f)})
	c.hasten(d, a, b, e)
}

// wide returns the type of twice the bits.
func (c *compiler) wide(t scalar) scalar {
	to, ok := scalarTable[map[string]string{"u16": "u32", "s16": "s32", "u32": "u64", "s32": "s64"}[t.name]]
	if !ok {
		c.unsupported()
	}
	return to
}

// integer2 returns a function of two operands, or nil.
func integer2(op string, t scalar) fun2 {
	switch op {
	case "and":
		return func(a, b uint64) uint64 { return a & b }
	case "or":
		return func(a, b uint64) uint64 { return a | b }
	case "xor":
		return func(a, b uint64) uint64 { return a ^ b }
	}
	switch t.name {
	case "u16":
		return unsignedOp[uint16](op, 16)
	case "u32":
		return unsignedOp[uint32](op, 32)
	case "u64":
		return unsignedOp[uint64](op, 64)
	case "s16":
		return signedOp[int16, uint16](op, 16)
	case "s32":
		return signedOp[int32, uint32](op, 32)
	case "s64":
		return signedOp[int64, uint64](op, 64)
	}
	return nil
}

func unsignedOp[U uint16 | uint32 | uint64](op string, width int) fun2 {
	switch op {
	case "add":
		return func(a, b uint64) uint64 { return uint64(U(a) + U(b)) }
	case "sub":
		return func(a, b uint64) uint64 { return uint64(U(a) - U(b)) }
	case "mullo":
		return func(a, b uint64) uint64 { return uint64(U(a) * U(b)) }
	case "mulwide":
		return func(a, b uint64) uint64 { return uint64(U(a)) * uint64(U(b)) }
	case "mulhi":
		if width == 64 {
			return func(a, b uint64) uint64 { hi, _ := bits.Mul64(a, b); return hi }
		}
		return func(a, b uint64) uint64 { return uint64(U(a)) * uint64(U(b)) >> width }
	case "div":
		// Division by zero is not defined; GPUs give all ones.
		return func(a, b uint64) uint64 {
			if U(b) == 0 {
				return uint64(^U(0))
			}
			return uint64(U(a) / U(b))
		}
	case "rem":
		return func(a, b uint64) uint64 {
			if U(b) == 0 {
				return a
			}
			return uint64(U(a) % U(b))
		}
	case "min":
		return func(a, b uint64) uint64 { return min(a, b) }
	case "max":
		return func(a, b uint64) uint64 { return max(a, b) }
	}
	return nil
}

func signedOp[S int16 | int32 | int64, U uint16 | uint32 | uint64](op string, width int) fun2 {
	switch op {
	case "mulwide":
		return func(a, b uint64) uint64 { return truncate(uint64(int64(S(a))*int64(S(b))), min(2*width, 64)) }
	case "mulhi":
		if width == 64 {
			return func(a, b uint64) uint64 {
				hi, _ := bits.Mul64(a, b)
				return hi - uint64(int64(a)>>63)&b - uint64(int64(b)>>63)&a
			}
		}
		return func(a, b uint64) uint64 { return uint64(U(int64(S(a)) * int64(S(b)) >> width)) }
	case "div":
		return func(a, b uint64) uint64 {
			if S(b) == 0 {
				return uint64(^U(0))
			}
			return uint64(U(S(a) / S(b)))
		}
	case "rem":
		return func(a, b uint64) uint64 {
			if S(b) == 0 {
				return a
			}
			return uint64(U(S(a) % S(b)))
		}
	case "min":
		return func(a, b uint64) uint64 { return uint64(U(min(S(a), S(b)))) }
	case "max":
		return func(a, b uint64) uint64 { return uint64(U(max(S(a), S(b)))) }
	}
	return unsignedOp[U](op, width)
}

// saturating compiles add.sat.s32 and sub.sat.s32.
func (c *compiler) saturating(t scalar) {
	if t.name != "s32" {
		c.unsupported()
	}
	a := c.args(3)
	sign := int64(1)
	if c.st.op == "sub" {
		sign = -1
	}
	c.emit2(c.out(a[0], t), c.in(a[1], t), c.in(a[2], t), func(a, b uint64) uint64 {
		return uint64(uint32(min(max(int64(int32(a))+sign*int64(int32(b)), -1<<31), 1<<31-1)))
	})
}

// shift returns shl or shr, which shift everything out when the count is large.
func shift(op string, t scalar) fun2 {
	width := t.bits()
	switch {
	case op == "shl":
		return func(a, b uint64) uint64 { return truncate(a<<min(b, 64), width) }
	case t.isSigned():
		return func(a, b uint64) uint64 { return truncate(uint64(signExtend(a, width)>>min(b, 63)), width) }
	}
	return func(a, b uint64) uint64 { return a >> min(b, 64) }
}

// multiplyAdd compiles mad and fma.
func (c *compiler) multiplyAdd() {
	m := c.mods()
	if len(m.types) == 1 && m.types[0].isFloat() {
		c.floatMultiplyAdd(m)
		return
	}
	how := m.oneOf("lo", "hi", "wide")
	sat := m.take("sat")
	t := m.one()
	if c.st.op != "mad" || how == "" || sat || !t.isInteger() || t.class == bitsClass {
		c.unsupported()
	}
	to := t
	if how == "wide" {
		to = c.wide(t)
	}
	a := c.args(4)
	mul, add := integer2("mul"+how, t), integer2("add", to)
	d, x, y, z := c.out(a[0], to), c.in(a[1], t), c.in(a[2], t), c.in(a[3], to)
	if to.bytes == 4 && how == "lo" {
		c.emit3(d, x, y, z, func(a, b, c uint64) uint64 { return uint64(uint32(a)*uint32(b) + uint32(c)) })
		return
	}
	c.emit3(d, x, y, z, func(a, b, c uint64) uint64 { return add(mul(a, b), c) })
}

// unary compiles the arithmetic of one operand.
func (c *compiler) unary() {
	m := c.mods()
	if len(m.types) == 1 && m.types[0].isFloat() {
		c.floatUnary(m)
		return
	}
	amount := m.take("shiftamt")
	t := m.one()
	f := integer1(c.st.op, t, amount)
	bitwise := c.st.op != "abs" && c.st.op != "neg" && c.st.op != "bfind"
	if f == nil || bitwise != (t.class == bitsClass || t.class == predicate) || !bitwise && !t.isInteger() {
		c.unsupported()
	}
	if t.bytes == 1 && t.class != predicate || t.bytes == 2 && bitwise && c.st.op != "not" && c.st.op != "cnot" || amount && c.st.op != "bfind" || t.bytes == 2 && c.st.op == "bfind" {
		c.unsupported()
	}
	a := c.args(2)
	to := t
	switch c.st.op {
	case "popc", "clz", "bfind":
		to = scalarTable["u32"]
	}
	c.emit1(c.out(a[0], to), c.in(a[1], t), f)
}

// integer1 returns a function of one operand, or nil.
func integer1(op string, t scalar, amount bool) fun1 {
	width := t.bits()
	if t.class == predicate {
		if op != "not" {
			return nil
		}
		return func(a uint64) uint64 { return a ^ 1 }
	}
	switch op {
	case "not":
		return func(a uint64) uint64 { return truncate(^a, width) }
	case "cnot":
		return func(a uint64) uint64 { return truth(a == 0) }
	case "popc":
		return func(a uint64) uint64 { return uint64(bits.OnesCount64(a)) }
	case "clz":
		return func(a uint64) uint64 { return uint64(bits.LeadingZeros64(a) - (64 - width)) }
	case "brev":
		return func(a uint64) uint64 { return bits.Reverse64(a) >> (64 - width) }
	case "abs":
		if !t.isSigned() {
			return nil
		}
		return func(a uint64) uint64 {
			if signExtend(a, width) < 0 {
				return truncate(-a, width)
			}
			return a
		}
	case "neg":
		if !t.isSigned() {
			return nil
		}
		return func(a uint64) uint64 { return truncate(-a, width) }
	case "bfind":
		return func(a uint64) uint64 {
			if t.isSigned() && signExtend(a, width) < 0 {
				a = truncate(^a, width)
			}
			if a == 0 {
				return 1<<32 - 1
			}
			at := bits.Len64(a) - 1
			if amount {
				at = width - 1 - at
			}
			return uint64(at)
		}
	}
	return nil
}

// bitwise compiles what works on the bits of three operands or more.
func (c *compiler) bitwise() {
	m := c.mods()
	u32 := scalarTable["u32"]
	if len(m.types) != 1 {
		c.unsupported()
	}
	switch t := m.types[0]; c.st.op {
	case "sad", "bfe":
		if t.class != signed && t.class != unsigned || t.bytes == 1 || c.st.op == "bfe" && t.bytes == 2 {
			c.unsupported()
		}
	default:
		if t.class != bitsClass || t.bytes < 4 || t.bytes == 8 && c.st.op != "bfi" {
			c.unsupported()
		}
	}
	switch c.st.op {
	case "sad":
		t := m.one()
		a := c.args(4)
		c.emit3(c.out(a[0], t), c.in(a[1], t), c.in(a[2], t), c.in(a[3], t), sad(t))
	case "lop3":
		t := m.one()
		a := c.args(5)
		if a[4].kind != intOperand || t.bytes != 4 {
			c.unsupported()
		}
		table := a[4].bits
		c.emit3(c.out(a[0], t), c.in(a[1], t), c.in(a[2], t), c.in(a[3], t), func(a, b, c uint64) uint64 {
			return lop3(uint32(a), uint32(b), uint32(c), table)
		})
	case "prmt":
		mode := m.oneOf("f4e", "b4e", "rc8", "ecl", "ecr", "rc16")
		t := m.one()
		a := c.args(4)
		if mode != "" || t.bytes != 4 {
			c.unsupported()
		}
		c.emit3(c.out(a[0], t), c.in(a[1], t), c.in(a[2], t), c.in(a[3], t), prmt)
	case "shf":
		way, end := m.oneOf("l", "r"), m.oneOf("wrap", "clamp")
		left, wrap := way == "l", end == "wrap"
		t := m.one()
		if way == "" || end == "" {
			c.unsupported()
		}
		a := c.args(4)
		c.emit3(c.out(a[0], t), c.in(a[1], t), c.in(a[2], t), c.in(a[3], u32), funnel(left, wrap))
	case "bfe":
		t := m.one()
		a := c.args(4)
		c.emit3(c.out(a[0], t), c.in(a[1], t), c.in(a[2], u32), c.in(a[3], u32), bfe(t))
	case "bfi":
		t := m.one()
		a := c.args(5)
		c.bfi(c.out(a[0], t), c.in(a[1], t), c.in(a[2], t), c.in(a[3], u32), c.in(a[4], u32), t.bits())
	}
}

func sad(t scalar) fun3 {
	width := t.bits()
	return func(a, b, c uint64) uint64 {
		less := a < b
		if t.isSigned() {
			less = signExtend(a, width) < signExtend(b, width)
		}
		if less {
			a, b = b, a
		}
		return truncate(c+a-b, width)
	}
}

// lop3 looks each bit's three operands up in a table of eight.
func lop3(a, b, c uint32, table uint64) uint64 {
	r := uint32(0)
	for k := range 8 {
		if table>>k&1 != 0 {
			x, y, z := a, b, c
			if k&4 == 0 {
				x = ^x
			}
			if k&2 == 0 {
				y = ^y
			}
			if k&1 == 0 {
				z = ^z
			}
			r |= x & y & z
		}
	}
	return uint64(r)
}

// prmt picks four of the eight bytes of two words.
func prmt(a, b, c uint64) uint64 {
	from := b<<32 | a
	r := uint64(0)
	for k := range 4 {
		pick := c >> (4 * k)
		v := from >> (8 * (pick & 7)) & 0xff
		if pick&8 != 0 {
			v = uint64(int8(v)>>7) & 0xff // its sign, eight times
		}
		r |= v << (8 * k)
	}
	return r
}

func funnel(left, wrap bool) fun3 {
	return func(a, b, c uint64) uint64 {
		n := min(c, 32)
		if wrap {
			n = c & 31
		}
		v := b<<32 | a
		if left {
			return v << n >> 32 & (1<<32 - 1)
		}
		return v >> n & (1<<32 - 1)
	}
}

// bfe extracts bits and extends them: signed ones by the highest bit that there is.
func bfe(t scalar) fun3 {
	width := t.bits()
	return func(a, b, c uint64) uint64 {
		pos, n := int(b&255), int(c&255)
		if n == 0 {
			return 0
		}
		if !t.isSigned() {
			if pos >= width {
				return 0
			}
			v := a >> pos
			if n < 64 {
				v &= 1<<n - 1
			}
			return v
		}
		v := uint64(signExtend(a, width) >> min(pos, 63))
		if n < width-min(pos, width) {
			v = uint64(signExtend(v, n))
		}
		return truncate(v, width)
	}
}

// bfi inserts bits of a into b.
func (c *compiler) bfi(d, a, b, pos, n, width int) {
	c.emit(op{run: func(w *warp, m uint32) *trouble {
		lanes(m, func(i int) {
			p, n := w.rows[pos][i]&255, w.rows[n][i]&255
			mask := uint64(0)
			if p < 64 {
				mask = ^uint64(0) << p
				if p+n < 64 {
					mask &= 1<<(p+n) - 1
				}
			}
			w.rows[d][i] = truncate(w.rows[b][i]&^mask|w.rows[a][i]<<min(p, 64)&mask, width)
		})
		w.init[d] = w.init[d]&^m | w.init[a]&w.init[b]&w.init[pos]&w.init[n]&m
		return nil
	}})
}
