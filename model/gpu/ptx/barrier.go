package ptx

import "fmt"

// barriers is how many a block has.
const barriers = 16

// barrier compiles bar.sync and its kin.
func (c *compiler) barrier() {
	m := c.mods()
	if m.take("warp") {
		if !m.take("sync") || c.st.op != "bar" {
			c.unsupported()
		}
		m.done(0)
		mask := c.in(c.args(1)[0], scalarTable["u32"])
		c.emit(op{kind: collective, index: mask, run: func(w *warp, _ uint32) *trouble {
			w.block.tick++
			w.sync = w.block.tick
			return nil
		}})
		return
	}
	m.take("cta")
	o := op{kind: barrierOp, count: -1, aligned: c.st.op == "bar"}
	if m.take("aligned") {
		o.aligned = true
	}
	kind := m.oneOf("sync", "arrive", "red")
	reduce := m.oneOf("popc", "and", "or")
	u32 := scalarTable["u32"]
	a := c.st.args
	switch {
	case kind == "red" && len(a) >= 3 && len(a) <= 4:
		t := m.one()
		o.source = c.in(a[len(a)-1], scalarTable["pred"])
		o.reduce = reduction(reduce, c.out(a[0], t))
		if o.reduce == nil || (reduce == "popc") != (t.name == "u32") {
			c.unsupported()
		}
		a = a[1 : len(a)-1]
	case kind == "sync" && len(a) >= 1 && len(a) <= 2, kind == "arrive" && len(a) == 2:
		m.done(0)
	default:
		c.unsupported()
	}
	if kind != "red" && reduce != "" {
		c.unsupported()
	}
	o.arrive = kind == "arrive"
	o.index = c.in(a[0], u32)
	if len(a) == 2 {
		o.count = c.in(a[1], u32)
	}
	c.emit(o)
}

// reduction returns what bar.red makes of the predicates of all threads.
func reduction(name string, d int) func(w *warp, m uint32, all []bool) {
	return func(w *warp, m uint32, all []bool) {
		n := 0
		for _, p := range all {
			n += int(truth(p))
		}
		v := uint64(n)
		switch name {
		case "and":
			v = truth(n == len(all))
		case "or":
			v = truth(n > 0)
		}
		lanes(m, func(i int) { w.rows[d][i] = v })
		w.set(d, m)
	}
}

// waiting is what is known of a barrier at which threads wait.
type waiting struct {
	at      []uint32 // by warp
	o       *op      // of the first
	w       *warp
	lane    int
	threads int // that count as arrived
	live    int
	want    int // -1: all that did not leave
}

// release lets go on those who wait at a barrier that all have reached. All threads
// wait, or left.
func (r *runner) release() error {
	ops, live := r.code.ops, 0
	var found [barriers]*waiting
	var stuck *waiting // at an instruction of a warp
	for _, w := range r.warps {
		var partial [barriers]bool
		for n := w.live; n != 0; n &= n - 1 {
			live++
			i := first(n)
			o := &ops[w.pcs[i]]
			if o.kind != barrierOp {
				if stuck == nil {
					stuck = &waiting{o: o, w: w, lane: i}
				}
				continue
			}
			id := w.rows[o.index][i]
			b := found[id]
			if b == nil {
				b = &waiting{at: make([]uint32, len(r.warps)), o: o, w: w, lane: i, want: -1}
				if o.count >= 0 {
					if b.want = int(w.rows[o.count][i]); b.want%warpSize != 0 || b.want == 0 {
						return w.fault(o, &trouble{i, Divergence, fmt.Sprintf("a barrier of %d threads, which are no whole warps", b.want), nil})
					}
				}
				found[id] = b
			}
			if (o.aligned || b.o.aligned) && o != b.o {
				return w.fault(o, &trouble{i, Divergence, fmt.Sprintf("others wait at the same barrier in line %d: thread %v",
					b.o.st.line, r.thread(b.w.index*warpSize+b.lane)), nil})
			}
			b.at[w.index] |= 1 << i
			b.live++
			if !partial[id] {
				partial[id] = true
				b.threads += warpSize // partial warps count as whole ones
			}
		}
	}
	released := false
	for id, b := range found {
		if b == nil {
			continue
		}
		arrived := b.threads
		for _, w := range r.warps {
			arrived += w.arrived[id]
		}
		if b.want < 0 && b.live == live || b.want >= 0 && arrived >= b.want {
			r.open(id, b)
			released = true
		}
	}
	if released {
		r.tick++
		r.sync = r.tick
		return nil
	}
	return r.deadlock(found, stuck, live)
}

// open lets go on those who wait at a barrier.
func (r *runner) open(id int, b *waiting) {
	if b.o.reduce != nil {
		var all []bool
		for i, m := range b.at {
			lanes(m, func(k int) {
				w := r.warps[i]
				o := &r.code.ops[w.pcs[k]]
				all = append(all, w.rows[o.source][k] != 0)
			})
		}
		for i, m := range b.at {
			b.o.reduce(r.warps[i], m, all)
		}
	}
	for i, m := range b.at {
		w := r.warps[i]
		lanes(m, func(k int) { w.pcs[k]++ })
		w.ready |= m
	}
	for _, w := range r.warps {
		w.arrived[id] = 0
	}
}

// deadlock tells who waits in vain.
func (r *runner) deadlock(found [barriers]*waiting, stuck *waiting, live int) error {
	if stuck != nil {
		msg := "other threads that its mask names never come here"
		for _, b := range found {
			if b == nil {
				continue
			}
			msg += fmt.Sprintf("; thread %v waits at the barrier in line %d", r.thread(b.w.index*warpSize+b.lane), b.o.st.line)
		}
		return stuck.w.fault(stuck.o, &trouble{stuck.lane, Divergence, msg, nil})
	}
	var least *waiting
	for _, b := range found {
		if b != nil && (least == nil || b.o.st.line < least.o.st.line) {
			least = b
		}
	}
	msg := fmt.Sprintf("%d of %d threads reach the barrier", least.live, live)
	for _, b := range found {
		if b != nil && b != least {
			msg += fmt.Sprintf(", %d wait at another one in line %d: thread %v", b.live, b.o.st.line, r.thread(b.w.index*warpSize+b.lane))
		}
	}
	return least.w.fault(least.o, &trouble{least.lane, Divergence, msg, nil})
}

// fence compiles membar and fence. Within a block nothing is in need of them here; for
// other blocks they say that data is passed on.
func (c *compiler) fence() {
	m := c.mods()
	m.oneOf("sc", "acq_rel", "acquire", "release")
	if scope := m.oneOf("gl", "sys", "gpu", "cta", "cluster"); scope == "" {
		c.unsupported()
	} else if scope != "cta" {
		c.fences = true
	}
	m.done(0)
	c.args(0)
}
