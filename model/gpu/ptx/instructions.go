package ptx

import (
	"math/bits"
	"slices"
)

// statement compiles an instruction.
func (c *compiler) statement() {
	switch c.st.op {
	case "mov":
		c.mov()
	case "add", "sub", "mul", "div", "rem", "min", "max", "and", "or", "xor", "shl", "shr", "mul24", "copysign":
		c.binary()
	case "mad", "fma":
		c.multiplyAdd()
	case "abs", "neg", "not", "cnot", "popc", "clz", "brev", "bfind", "sqrt", "rsqrt", "rcp", "ex2", "lg2", "sin", "cos", "tanh":
		c.unary()
	case "sad", "lop3", "prmt", "shf", "bfe", "bfi":
		c.bitwise()
	case "setp":
		c.setp()
	case "set":
		c.set()
	case "selp":
		c.selp()
	case "slct":
		c.slct()
	case "testp":
		c.testp()
	case "cvt":
		c.cvt()
	case "cvta":
		c.cvta()
	case "isspacep":
		c.isspacep()
	case "ld", "ldu":
		c.load()
	case "st":
		c.store()
	case "atom", "red":
		c.atomic()
	default:
		c.control()
	}
}

// control compiles what decides which instruction comes next, or which thread goes on.
func (c *compiler) control() {
	switch c.st.op {
	case "bra":
		m := c.mods()
		m.take("uni")
		m.done(0)
		c.branch(c.args(1)[0])
	case "brx":
		c.branchIndexed()
	case "ret":
		m := c.mods()
		m.take("uni")
		m.done(0)
		c.args(0)
		c.leave()
	case "exit":
		c.mods().done(0)
		c.args(0)
		c.emit(op{kind: exitOp})
	case "trap", "brkpt":
		c.mods().done(0)
		c.args(0)
		what := c.st.op
		c.emit(op{run: func(_ *warp, m uint32) *trouble { return &trouble{first(m), Trap, what, nil} }})
	case "call":
		c.call()
	case "bar", "barrier":
		c.barrier()
	case "membar", "fence":
		c.fence()
	case "shfl":
		c.shuffle()
	case "vote":
		c.vote()
	case "match":
		c.match()
	case "redux":
		c.redux()
	case "activemask":
		if c.mods().one().name != "b32" {
			c.unsupported()
		}
		d := c.out(c.args(1)[0], scalarTable["b32"])
		c.emit(op{run: func(w *warp, m uint32) *trouble {
			lanes(m, func(i int) { w.rows[d][i] = uint64(m) })
			w.set(d, m)
			return nil
		}})
	case "nanosleep", "pmevent", "prefetch", "prefetchu", "applypriority", "discard", "griddepcontrol":
		if c.st.op == "discard" {
			c.unsupported()
		}
	default:
		c.unsupported()
	}
}

func (c *compiler) labelAt(name string) int {
	at, ok := c.st.scope.label(name)
	if !ok {
		c.fail("label %s is not defined", name)
	}
	return at
}

func (c *compiler) branch(to operand) {
	if to.kind != nameOperand {
		c.fail("the target is no label")
	}
	c.gaps = append(c.gaps, gap{len(c.ops), -1, c.labelAt(to.name)})
	c.emit(op{kind: branchOp})
}

// branchIndexed compiles brx.idx, a switch.
func (c *compiler) branchIndexed() {
	m := c.mods()
	if !m.take("idx") {
		c.unsupported()
	}
	m.take("uni")
	m.done(0)
	a := c.args(2)
	index := c.in(a[0], scalarTable["u32"])
	names := c.st.scope.branchTargets(a[1].name)
	if len(names) == 0 {
		c.fail("%s is no list of targets", a[1].name)
	}
	for i, name := range names {
		c.gaps = append(c.gaps, gap{len(c.ops), i, c.labelAt(name)})
	}
	c.emit(op{kind: switchOp, index: index, targets: make([]int, len(names))})
}

// leave compiles ret: out of the entry, or to what follows the call.
func (c *compiler) leave() {
	if c.top().f.entry {
		c.emit(op{kind: exitOp})
		return
	}
	fr := c.top()
	fr.returns = append(fr.returns, len(c.ops))
	c.emit(op{kind: branchOp})
}

// call compiles a call of a device function by putting the function's code in its place.
func (c *compiler) call() {
	m := c.mods()
	m.take("uni")
	m.done(0)
	a := c.st.args
	var rets, params []operand
	if len(a) > 0 && a[0].kind == vectorOperand {
		rets, a = a[0].list, a[1:]
	}
	if len(a) == 0 || a[0].kind != nameOperand {
		c.unsupported() // through a pointer
	}
	f := c.module.functions[a[0].name]
	if f == nil || !f.body || f.entry {
		panic(failure{&UnsupportedError{c.st.line, "call of " + a[0].name + ", which the module does not define,"}})
	}
	if len(a) > 1 {
		params = a[1].list
	}
	if len(rets) != len(f.rets) || len(params) != len(f.params) {
		c.fail("%s has %d parameters and %d results", f.name, len(f.params), len(f.rets))
	}
	frame := map[*variable]int64{}
	pass := func(o operand, v *variable) {
		if o.kind != nameOperand {
			c.fail("an argument that is no .param variable")
		}
		mine := c.st.scope.variable(o.name)
		if mine == nil || mine.space != param || mine.size < v.size {
			c.fail("argument %s is no .param variable of %d bytes", o.name, v.size)
		}
		frame[v], _ = c.variableAt(o.name)
	}
	for i, o := range rets {
		pass(o, f.rets[i])
	}
	for i, o := range params {
		pass(o, f.params[i])
	}
	skip := -1
	if c.st.guard != nil {
		skip = len(c.ops)
		c.emit(op{kind: branchOp})
		c.ops[skip].negated = !c.ops[skip].negated
	}
	st := c.st
	c.function(f, frame)
	c.st = st
	if skip >= 0 {
		c.ops[skip].target = len(c.ops)
	}
}

// mov compiles a copy, the address of a variable, and the packing and unpacking of
// vectors.
func (c *compiler) mov() {
	t := c.wholeType(c.mods())
	a := c.args(2)
	switch {
	case a[0].kind == vectorOperand:
		c.unpack(a[0], a[1], t)
	case a[1].kind == vectorOperand:
		c.pack(a[0], a[1], t)
	case a[1].kind == nameOperand && slices.Contains([]string{"%clock", "%clock64", "%globaltimer", "%clock_hi", "%globaltimer_lo", "%globaltimer_hi"}, a[1].name):
		d, wide := c.out(a[0], t), t.bits()
		c.emit(op{run: func(w *warp, m uint32) *trouble {
			lanes(m, func(i int) { w.rows[d][i] = truncate(uint64(w.steps), wide) })
			w.set(d, m)
			return nil
		}})
	default:
		s := c.in(a[1], t)
		c.emit(op{run: copyRow(c.out(a[0], t), s)})
	}
}

func (c *compiler) parts(v operand, t scalar) scalar {
	n := len(v.list)
	if n != 2 && n != 4 || t.bytes%n != 0 || t.bytes/n < 1 {
		c.fail("a vector of %d in .%s", n, t.name)
	}
	return scalarTable[[...]string{1: "b8", 2: "b16", 4: "b32"}[t.bytes/n]]
}

func (c *compiler) unpack(to, from operand, t scalar) {
	part := c.parts(to, t)
	s := c.in(from, t)
	var d []int
	for _, o := range to.list {
		d = append(d, c.out(o, part))
	}
	// The source may be one of the results.
	c.emit(op{run: func(w *warp, m uint32) *trouble {
		a, in := w.rows[s], w.init[s]
		for k, d := range d {
			dr, shift := &w.rows[d], part.bits()*k
			lanes(m, func(i int) { dr[i] = truncate(a[i]>>shift, part.bits()) })
			w.init[d] = w.init[d]&^m | in&m
		}
		return nil
	}})
}

func (c *compiler) pack(to, from operand, t scalar) {
	part := c.parts(from, t)
	var s []int
	for _, o := range from.list {
		s = append(s, c.in(o, part))
	}
	d := c.out(to, t)
	c.emit(op{run: func(w *warp, m uint32) *trouble {
		in := m
		for _, s := range s {
			in &= w.init[s]
		}
		lanes(m, func(i int) {
			v := uint64(0)
			for k, s := range s {
				v |= w.rows[s][i] << (part.bits() * k)
			}
			w.rows[d][i] = v
		})
		w.init[d] = w.init[d]&^m | in
		return nil
	}})
}

// wholeType returns the one type of an instruction that moves values: none of 8 bits or
// of half precision, which move as bits.
func (c *compiler) wholeType(m *mods) scalar {
	t := m.one()
	if t.bytes == 1 && t.class != predicate || t.class == tensor || t.isFloat() && t.bytes/t.packs == 2 {
		c.unsupported()
	}
	return t
}

func (c *compiler) selp() {
	t := c.wholeType(c.mods())
	if t.class == predicate {
		c.unsupported()
	}
	a := c.args(4)
	p, x, y, d := c.in(a[3], scalarTable["pred"]), c.in(a[1], t), c.in(a[2], t), c.out(a[0], t)
	c.emit(op{run: func(w *warp, m uint32) *trouble {
		dr, xr, yr, pr := &w.rows[d], &w.rows[x], &w.rows[y], &w.rows[p]
		picked := uint32(0)
		for n := m; n != 0; n &= n - 1 {
			i := bits.TrailingZeros32(n) & (warpSize - 1)
			if pr[i] != 0 {
				picked |= 1 << i
				dr[i] = xr[i]
			} else {
				dr[i] = yr[i]
			}
		}
		in := (w.init[x]&picked | w.init[y]&^picked) & w.init[p]
		w.init[d] = w.init[d]&^m | in&m
		return nil
	}})
}

func (c *compiler) slct() {
	m := c.mods()
	m.take("ftz")
	m.done(2)
	t, by := m.types[0], m.types[1]
	if t.bytes == 1 || t.class == tensor || t.isFloat() && t.bytes/t.packs == 2 {
		c.unsupported()
	}
	a := c.args(4)
	var pick func(a, b, s uint64) uint64
	switch by.name {
	case "s32":
		pick = func(a, b, s uint64) uint64 {
			if int32(s) >= 0 {
				return a
			}
			return b
		}
	case "f32":
		pick = func(a, b, s uint64) uint64 {
			if float32of(s) >= 0 {
				return a
			}
			return b
		}
	default:
		c.unsupported()
	}
	c.emit3(c.out(a[0], t), c.in(a[1], t), c.in(a[2], t), c.in(a[3], by), pick)
}

// cvta compiles the conversion of an address to a generic one or back.
func (c *compiler) cvta() {
	m := c.mods()
	back := m.take("to")
	of, ok := spaceTable[m.oneOf("global", "shared", "shared::cta", "local", "const", "param")]
	t := m.one()
	if !ok || t.name != "u64" {
		c.unsupported()
	}
	a := c.args(2)
	window := uint64(0)
	switch of {
	case shared:
		window = sharedWindow
	case local, param:
		window = localWindow
	}
	if back {
		window = -window
	}
	s := c.in(a[1], t)
	c.emit1(c.out(a[0], t), s, func(a uint64) uint64 { return a + window })
}

func (c *compiler) isspacep() {
	m := c.mods()
	of, ok := spaceTable[m.oneOf("global", "shared", "shared::cta", "local", "const")]
	m.done(0)
	if !ok {
		c.unsupported()
	}
	a := c.args(2)
	s := c.in(a[1], scalarTable["u64"])
	c.emit1(c.out(a[0], scalarTable["pred"]), s, func(a uint64) uint64 {
		is := global
		switch a >> 40 << 40 {
		case sharedWindow:
			is = shared
		case localWindow:
			is = local
		}
		return truth(is == of)
	})
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
