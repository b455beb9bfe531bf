package ptx

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"strings"
)

// trouble is a fault before its place is known.
type trouble struct {
	lane int
	kind Kind
	msg  string
	err  error
}

// runner executes a launch. It holds the state of the block that is at work.
type runner struct {
	e    *Entry
	code *code
	mem  Memory
	l    Launch
	args []uint64
	rng  *rand.Rand // nil: in order

	id      [3]int // of the block
	threads int
	warps   []*warp
	order   []int // of the warps
	regions []region
	shared  []byte

	tick, start, sync uint32
	cells             []cell // of shared memory
	pages             map[uint64][]cell
	pageKey           uint64
	page              []cell
	count             *int64 // of threads' instructions, for benchmarks; or nil
}

// warp is 32 threads of a block, or what is left of them.
type warp struct {
	block *runner
	index int
	rows  []row
	init  []uint32 // threads in which a row has a value

	all     uint32 // its threads
	live    uint32 // those that did not leave
	ready   uint32 // those that can go on
	pcs     [warpSize]int
	steps   int
	sync    uint32 // tick of the last bar.warp.sync
	local   []byte
	written []bool        // of local
	poison  uint32        // threads whose last load found memory that was never written
	origin  *statement    // the last that gave a thread what was never written
	arrived [barriers]int // by bar.arrive
}

func newRunner(e *Entry, mem Memory, l Launch, args []uint64) *runner {
	r := &runner{e: e, code: e.code, mem: mem, l: l, args: args, threads: l.Threads[0] * l.Threads[1] * l.Threads[2]}
	if l.Seed != 0 {
		r.rng = rand.New(rand.NewPCG(l.Seed, 0))
	}
	r.regions = append(r.regions, e.code.regions...)
	size := e.code.sharedTo
	if l.Shared > 0 {
		r.regions = append(r.regions, region{dynamicShared, dynamicShared + int64(l.Shared), "dynamic shared memory"})
		size = dynamicShared + int64(l.Shared)
	}
	if len(r.regions) > 0 {
		r.shared = make([]byte, size)
	}
	if !l.NoRaces {
		r.pages = map[uint64][]cell{}
		if r.shared != nil {
			r.cells = make([]cell, len(r.shared)/e.code.watch[1]+1)
		}
	}
	for i := range (r.threads + warpSize - 1) / warpSize {
		w := &warp{block: r, index: i, rows: make([]row, e.code.rows), init: make([]uint32, e.code.rows)}
		w.all = everyLane
		if rest := r.threads - i*warpSize; rest < warpSize {
			w.all = 1<<rest - 1
		}
		frame := int(e.code.frame - lowest)
		w.local, w.written = make([]byte, warpSize*frame), make([]bool, warpSize*frame)
		w.fill()
		r.warps = append(r.warps, w)
		r.order = append(r.order, i)
	}
	return r
}

func (r *row) fill(v uint64) {
	for i := range r {
		r[i] = v
	}
}

// fill sets the rows that are the same in all blocks.
func (w *warp) fill() {
	r := w.block
	for _, c := range r.code.constant {
		w.rows[c.row].fill(c.value)
	}
	for _, p := range r.code.params {
		v := truncate(r.args[p.index]>>(8*p.offset), 8*p.bytes)
		if p.signTo > 0 {
			v = truncate(uint64(signExtend(v, 8*p.bytes)), p.signTo)
		}
		w.rows[p.row].fill(v)
	}
	for name, at := range r.code.special {
		for i := range warpSize {
			w.rows[at][i] = w.specialValue(name, i)
		}
	}
}

func (w *warp) specialValue(name string, lane int) uint64 {
	r := w.block
	if base, axis, ok := strings.Cut(name, "."); ok {
		k := int(axis[0] - 'x')
		switch base {
		case "%tid":
			return uint64(r.thread(w.index*warpSize + lane)[k])
		case "%ntid":
			return uint64(r.l.Threads[k])
		case "%nctaid":
			return uint64(r.l.Blocks[k])
		}
		return uint64(r.id[k])
	}
	mask := uint64(1)<<lane - 1
	switch name {
	case "%laneid":
		return uint64(lane)
	case "%warpid":
		return uint64(w.index)
	case "%nwarpid":
		return maxThreads / warpSize
	case "%nsmid":
		return 1
	case "%lanemask_eq":
		return 1 << lane
	case "%lanemask_lt":
		return mask
	case "%lanemask_le":
		return mask | 1<<lane
	case "%lanemask_gt":
		return everyLane &^ (mask | 1<<lane)
	case "%lanemask_ge":
		return everyLane &^ mask
	case "%dynamic_smem_size":
		return uint64(r.l.Shared)
	case "%total_smem_size":
		return uint64(r.l.Shared + r.code.static)
	}
	return 0
}

// thread returns a thread's place in its block.
func (r *runner) thread(i int) [3]int {
	x, y := r.l.Threads[0], r.l.Threads[1]
	return [3]int{i % x, i / x % y, i / (x * y)}
}

// run executes all blocks.
func (r *runner) run() error {
	n := r.l.Blocks[0] * r.l.Blocks[1] * r.l.Blocks[2]
	var order []int
	if r.rng != nil {
		order = r.rng.Perm(min(n, 1<<20)) // of each 1<<20 blocks
	}
	for i := range n {
		k := i
		if from := i &^ (1<<20 - 1); order != nil && from+len(order) <= n {
			k = from + order[i-from]
		}
		x, y := r.l.Blocks[0], r.l.Blocks[1]
		r.id = [3]int{k % x, k / x % y, k / (x * y)}
		if err := r.runBlock(); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) runBlock() error {
	r.tick++
	r.start, r.sync = r.tick, r.tick
	for _, w := range r.warps {
		w.reset()
	}
	for {
		if r.rng != nil {
			r.rng.Shuffle(len(r.order), func(i, j int) { r.order[i], r.order[j] = r.order[j], r.order[i] })
		}
		live := false
		for _, i := range r.order {
			w := r.warps[i]
			if err := w.run(); err != nil {
				return err
			}
			live = live || w.live != 0
		}
		if !live {
			return nil
		}
		if err := r.release(); err != nil {
			return err
		}
	}
}

// reset puts a warp to the start of a block.
func (w *warp) reset() {
	c := w.block.code
	clear(w.init)
	for _, f := range c.constant {
		w.init[f.row] = everyLane
	}
	for _, p := range c.params {
		w.init[p.row] = everyLane
	}
	for name, at := range c.special {
		w.init[at] = everyLane
		if strings.HasPrefix(name, "%ctaid") {
			w.rows[at].fill(w.specialValue(name, 0))
		}
	}
	clear(w.written)
	clear(w.pcs[:])
	clear(w.arrived[:])
	w.origin = nil
	w.live, w.ready, w.steps, w.sync = w.all, w.all, 0, w.block.start
}

// fault gives a trouble its place.
func (w *warp) fault(o *op, t *trouble) error {
	r := w.block
	return &Fault{
		Kind: t.kind, Entry: r.e.name, Line: o.st.line, Text: o.st.text, Source: o.st.source,
		Block: r.id, Thread: r.thread(w.index*warpSize + t.lane), Msg: t.msg, Err: t.err,
	}
}

// run executes a warp until all its threads wait for others of the block, or left.
func (w *warp) run() error {
	for {
		if w.ready == 0 {
			done, err := w.meet()
			if err != nil {
				return err
			}
			if !done {
				return nil
			}
			continue
		}
		m, stop := w.choose()
		if err := w.runTogether(m, stop); err != nil {
			return err
		}
	}
}

// choose returns the threads to go on with, which are at the same instruction, and
// where they should stop: those that are behind go first, so that threads that parted
// come together again. With a seed, it takes any.
func (w *warp) choose() (m uint32, stop int) {
	rng := w.block.rng
	least, next := math.MaxInt, math.MaxInt
	if rng != nil {
		k := rng.IntN(bits.OnesCount32(w.ready))
		n := w.ready
		for ; k > 0; k-- {
			n &= n - 1
		}
		least = w.pcs[first(n)]
	}
	for n := w.ready; n != 0; n &= n - 1 {
		i := first(n)
		switch pc := w.pcs[i&(warpSize-1)]; {
		case pc == least:
			m |= 1 << i
		case rng != nil:
		case pc < least:
			least, next, m = pc, least, 1<<i
		case pc < next:
			next = pc
		}
	}
	if rng != nil {
		if some := m & rng.Uint32(); some != 0 && rng.IntN(4) == 0 {
			m = some
		}
		return m, -rng.IntN(64) - 1
	}
	return m, next
}

// guarded returns the threads of a mask that execute an op.
func (w *warp) guarded(o *op, m uint32) uint32 {
	p := &w.rows[o.guard]
	em := uint32(0)
	if m == everyLane {
		for i := range p {
			em |= uint32(p[i]) << i
		}
	} else {
		for n := m; n != 0; n &= n - 1 {
			i := bits.TrailingZeros32(n) & (warpSize - 1)
			em |= uint32(p[i]) << i
		}
	}
	if o.negated {
		em = ^em
	}
	return em & m
}

// runTogether executes threads that are at the same instruction until they part, wait,
// or reach stop. A negative stop is a number of instructions.
func (w *warp) runTogether(m uint32, stop int) error {
	ops, budget, counted := w.block.code.ops, w.block.l.Budget, w.block.count
	pc := w.pcs[first(m)]
	last := math.MaxInt
	if stop < 0 {
		last, stop = w.steps-stop, math.MaxInt
	}
	for pc < stop && w.steps < last {
		o := &ops[pc]
		if w.steps++; w.steps > budget {
			return w.fault(o, &trouble{first(m), Endless, fmt.Sprintf("the warp executed %d", budget), nil})
		}
		em := m
		if o.guard >= 0 {
			if t := w.need(o.guard, m, "the predicate"); t != nil {
				return w.fault(o, t)
			}
			em = w.guarded(o, m)
		}
		if counted != nil {
			*counted += int64(bits.OnesCount32(m))
		}
		if em == 0 {
			pc++
			continue
		}
		switch o.kind {
		case plainOp:
			if t := o.run(w, em); t != nil {
				return w.fault(o, t)
			}
			pc++
		case branchOp:
			if em != m {
				w.goTo(em, o.target)
				w.goTo(m&^em, pc+1)
				return nil
			}
			pc = o.target
		case collective:
			if em == w.live && w.mayMeet(o, em) {
				if t := o.run(w, em); t != nil {
					return w.fault(o, t)
				}
				pc++
				continue
			}
			w.ready &^= em
			w.goTo(em, pc)
			w.goTo(m&^em, pc+1)
			return nil
		default:
			return w.part(o, pc, m, em)
		}
	}
	w.goTo(m, pc)
	return nil
}

func (w *warp) goTo(m uint32, pc int) {
	for ; m != 0; m &= m - 1 {
		w.pcs[bits.TrailingZeros32(m)&(warpSize-1)] = pc
	}
}

// part executes what parts threads: those of em do it, the others of m go on.
func (w *warp) part(o *op, pc int, m, em uint32) error {
	w.goTo(m&^em, pc+1)
	switch o.kind {
	case exitOp:
		w.live &^= em
		w.ready &^= em
	case switchOp:
		if t := w.need(o.index, em, "the index"); t != nil {
			return w.fault(o, t)
		}
		for n := em; n != 0; n &= n - 1 {
			i := first(n)
			v := w.rows[o.index][i]
			if v >= uint64(len(o.targets)) {
				return w.fault(o, &trouble{i, OutOfBounds, fmt.Sprintf("target %d of %d", v, len(o.targets)), nil})
			}
			w.pcs[i] = o.targets[v]
		}
	case barrierOp:
		if t := w.need(o.index, em, "the barrier's number"); t != nil {
			return w.fault(o, t)
		}
		id := w.rows[o.index][first(em)]
		if id >= uint64(len(w.arrived)) {
			return w.fault(o, &trouble{first(em), Divergence, fmt.Sprintf("there is no barrier %d", id), nil})
		}
		if o.arrive {
			w.arrived[id] += warpSize
			w.goTo(em, pc+1)
			return nil
		}
		w.goTo(em, pc)
		w.ready &^= em
	}
	return nil
}
