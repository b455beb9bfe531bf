package ptx

import "math/bits"

// mayMeet tells whether the threads em, all that are left of the warp, do a collective
// instruction together: each names the same threads, itself among them.
func (w *warp) mayMeet(o *op, em uint32) bool {
	if w.init[o.index]&em != em {
		return false
	}
	mask := &w.rows[o.index]
	for n := em; n != 0; n &= n - 1 {
		if uint32(mask[first(n)])&w.live != em {
			return false
		}
	}
	return true
}

// meet lets threads that wait for others of the warp go on, if all that they wait for
// have come. It reports whether some went on.
func (w *warp) meet() (bool, error) {
	ops := w.block.code.ops
	for n := w.live; n != 0; n &= n - 1 {
		i := first(n)
		pc := w.pcs[i]
		o := &ops[pc]
		if o.kind != collective {
			continue
		}
		if t := w.need(o.index, 1<<i, "the mask"); t != nil {
			return false, w.fault(o, t)
		}
		mask := uint32(w.rows[o.index][i])
		if mask>>i&1 == 0 {
			return false, w.fault(o, &trouble{i, Divergence, "the mask does not name the thread itself", nil})
		}
		here := uint32(0)
		for k := w.live; k != 0; k &= k - 1 {
			if j := first(k); w.pcs[j] == pc && uint32(w.rows[o.index][j]) == mask {
				here |= 1 << j
			}
		}
		if mask&w.live != here {
			continue
		}
		if t := o.run(w, here); t != nil {
			return false, w.fault(o, t)
		}
		w.goTo(here, pc+1)
		w.ready |= here
		return true, nil
	}
	return false, nil
}

// shuffle compiles shfl.sync.
func (c *compiler) shuffle() {
	m := c.mods()
	sync, mode := m.take("sync"), m.oneOf("up", "down", "bfly", "idx")
	t := m.one()
	if !sync || mode == "" || t.name != "b32" {
		c.unsupported()
	}
	a := c.args(5)
	u32 := scalarTable["u32"]
	to := a[0]
	to.pair = nil
	d, p := c.out(to, t), -1
	if a[0].pair != nil {
		p = c.out(*a[0].pair, scalarTable["pred"])
	}
	s, by, clamp, st := c.in(a[1], t), c.in(a[2], u32), c.in(a[3], u32), c.st
	c.emit(op{kind: collective, index: c.in(a[4], u32), run: func(w *warp, m uint32) *trouble {
		if t := w.need(by, m, "the lane"); t != nil {
			return t
		}
		if t := w.need(clamp, m, "the width"); t != nil {
			return t
		}
		from, in := w.rows[s], w.init[s]
		for n := m; n != 0; n &= n - 1 {
			i := first(n)
			j, ok := shuffled(mode, i, int(w.rows[by][i]&31), int(w.rows[clamp][i]))
			w.rows[d][i] = from[j]
			// What a thread has that does not take part is not defined.
			w.init[d] = w.init[d]&^(1<<i) | (in&m)>>j&1<<i
			if (in&m)>>j&1 == 0 {
				w.origin = st
			}
			if p >= 0 {
				w.rows[p][i] = truth(ok)
				w.set(p, 1<<i)
			}
		}
		return nil
	}})
}

// shuffled returns the thread whose value thread i gets, and whether it is in range.
func shuffled(mode string, i, by, c int) (int, bool) {
	clamp, segment := c&31, c>>8&31
	most := i&segment | clamp&^segment
	least := i & segment
	j, ok := i, false
	switch mode {
	case "up":
		j, ok = i-by, i-by >= most
	case "down":
		j, ok = i+by, i+by <= most
	case "bfly":
		j, ok = i^by, i^by <= most
	case "idx":
		j = least | by&^segment
		ok = j <= most
	}
	if !ok {
		return i, false
	}
	return j & 31, true
}

// vote compiles vote.sync.
func (c *compiler) vote() {
	m := c.mods()
	sync, mode := m.take("sync"), m.oneOf("all", "any", "uni", "ballot")
	t := m.one()
	pred := scalarTable["pred"]
	if !sync || mode == "" || (mode == "ballot") != (t.name == "b32") || mode != "ballot" && t.class != predicate {
		c.unsupported()
	}
	a := c.args(3)
	d, s := c.out(a[0], t), c.in(a[1], pred)
	c.emit(op{kind: collective, index: c.in(a[2], scalarTable["u32"]), run: func(w *warp, m uint32) *trouble {
		if t := w.need(s, m, "the predicate"); t != nil {
			return t
		}
		yes := uint32(0)
		lanes(m, func(i int) { yes |= uint32(w.rows[s][i]) << i })
		v := uint64(yes)
		switch mode {
		case "all":
			v = truth(yes == m)
		case "any":
			v = truth(yes != 0)
		case "uni":
			v = truth(yes == m || yes == 0)
		}
		lanes(m, func(i int) { w.rows[d][i] = v })
		w.set(d, m)
		return nil
	}})
}

// match compiles match.sync: which threads have the same value.
func (c *compiler) match() {
	m := c.mods()
	mode := m.oneOf("any", "all")
	sync := m.take("sync")
	t := m.one()
	if !sync || mode == "" || t.class != bitsClass || t.bytes < 4 {
		c.unsupported()
	}
	a := c.args(3)
	to := a[0]
	to.pair = nil
	d, p := c.out(to, scalarTable["b32"]), -1
	if a[0].pair != nil {
		p = c.out(*a[0].pair, scalarTable["pred"])
	}
	s := c.in(a[1], t)
	c.emit(op{kind: collective, index: c.in(a[2], scalarTable["u32"]), run: func(w *warp, m uint32) *trouble {
		if t := w.need(s, m, "the value"); t != nil {
			return t
		}
		from := w.rows[s]
		for n := m; n != 0; n &= n - 1 {
			i := first(n)
			same := uint32(0)
			lanes(m, func(j int) { same |= uint32(truth(from[i] == from[j])) << j })
			if mode == "all" && same != m {
				same = 0
			}
			w.rows[d][i] = uint64(same)
			if p >= 0 {
				w.rows[p][i] = truth(same != 0)
			}
		}
		w.set(d, m)
		if p >= 0 {
			w.set(p, m)
		}
		return nil
	}})
}

// redux compiles redux.sync, which reduces over the threads of a warp.
func (c *compiler) redux() {
	m := c.mods()
	sync, name := m.take("sync"), m.oneOf("add", "min", "max", "and", "or", "xor")
	t := m.one()
	f := integer2(name, t)
	if logic := name == "and" || name == "or" || name == "xor"; !sync || f == nil || t.bytes != 4 || logic != (t.class == bitsClass) {
		c.unsupported()
	}
	a := c.args(3)
	d, s := c.out(a[0], t), c.in(a[1], t)
	c.emit(op{kind: collective, index: c.in(a[2], scalarTable["u32"]), run: func(w *warp, m uint32) *trouble {
		if t := w.need(s, m, "the value"); t != nil {
			return t
		}
		v := w.rows[s][bits.TrailingZeros32(m)]
		lanes(m&(m-1), func(i int) { v = f(v, w.rows[s][i]) })
		lanes(m, func(i int) { w.rows[d][i] = v })
		w.set(d, m)
		return nil
	}})
}
