package ptx

import (
	"math/bits"
	"strings"
)

// atomic compiles atom and red.
func (c *compiler) atomic() {
	m := c.mods()
	a := access{write: true, strong: true}
	name, noftz := "", false
	var rest []string
	for _, f := range m.flags {
		s, isSpace := spaceTable[f]
		switch {
		case isSpace:
			a.space = s
		case f == "relaxed", f == "acquire", f == "release", f == "acq_rel", f == "gpu", f == "cta", f == "sys", f == "cluster":
		case strings.HasPrefix(f, "L2::"):
		case f == "noftz":
			noftz = true
		case name == "":
			name = f
		default:
			rest = append(rest, f)
		}
	}
	m.flags = rest
	t := m.one()
	f := atomicOp(name, t)
	if f == nil || (a.space != generic && a.space != global && a.space != shared) || t.isFloat() && noftz != (t.bytes/t.packs == 2) || noftz && !t.isFloat() || t.class == brain && c.module.target < 90 || t.name == "s64" && name == "add" {
		c.unsupported()
	}
	n := 2
	if name == "cas" {
		n++
	}
	d := -1
	if c.st.op == "atom" {
		n++
	}
	args := c.args(n)
	if c.st.op == "atom" {
		d = c.out(args[0], t)
		args = args[1:]
	} else if name == "cas" || name == "exch" {
		c.unsupported()
	}
	at := c.addressOf(args[0], a.space)
	a.space, a.bytes = at.space, t.bytes
	c.watched(&a)
	x := c.in(args[1], t)
	y := x
	if name == "cas" {
		y = c.in(args[2], t)
	}
	c.emit(op{run: func(w *warp, m uint32) *trouble { return w.atomic(&a, at, d, x, y, m, f) }})
}

func (w *warp) atomic(a *access, at address, d, x, y int, m uint32, f func(old, x, y uint64) uint64) *trouble {
	for _, r := range [...]int{at.row, x, y} {
		if t := w.need(r, m, "an operand"); t != nil {
			return t
		}
	}
	w.poison = 0
	for n := m; n != 0; n &= n - 1 {
		i := bits.TrailingZeros32(n) & (warpSize - 1)
		if w.block.cells != nil && a.space != global && w.unwritten(a, w.rows[at.row][i]+at.off) {
			return &trouble{i, Uninitialised, "the shared memory was never written", nil}
		}
		b, t := w.bytes(a, i, w.rows[at.row][i]+at.off)
		if t != nil {
			return t
		}
		old := getWord(b)
		putWord(b, f(old, w.rows[x][i], w.rows[y][i]))
		if d >= 0 {
			w.rows[d][i] = old
		}
	}
	if d >= 0 {
		w.init[d] |= m
	}
	return nil
}

// atomicOp returns what an atomic instruction makes of the old value, or nil.
func atomicOp(name string, t scalar) func(old, x, y uint64) uint64 {
	logic := name == "and" || name == "or" || name == "xor" || name == "exch" || name == "cas"
	if t.bytes < 2 || t.bytes == 2 && !t.isFloat() && name != "cas" || logic != (t.class == bitsClass) ||
		(name == "inc" || name == "dec") && t.name != "u32" {
		return nil
	}
	switch name {
	case "exch":
		return func(_, x, _ uint64) uint64 { return x }
	case "cas":
		return func(old, x, y uint64) uint64 {
			if old == x {
				return y
			}
			return old
		}
	case "inc":
		return func(old, x, _ uint64) uint64 {
			if old >= x {
				return 0
			}
			return old + 1
		}
	case "dec":
		return func(old, x, _ uint64) uint64 {
			if old == 0 || old > x {
				return x
			}
			return old - 1
		}
	}
	if t.isFloat() {
		if name != "add" {
			return nil
		}
		fm := &floatMods{t: t}
		f := floatOp2("add", fm)
		if t.packs == 2 {
			f = both2(f)
		}
		return func(old, x, _ uint64) uint64 { return f(old, x) }
	}
	f := integer2(name, t)
	if f == nil || name == "div" || name == "rem" || name == "sub" {
		return nil
	}
	return func(old, x, _ uint64) uint64 { return f(old, x) }
}
