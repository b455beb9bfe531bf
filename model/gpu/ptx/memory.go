package ptx

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// access is how an instruction uses memory.
type access struct {
	space  space
	bytes  int // of one thread
	write  bool
	strong bool // atomic, volatile, or with an order: not a race with others that are
	cached bool // ld.global.nc: the kernel must not write it
	hollow bool // what is written was itself never written
}

// bytes returns the memory that a thread uses at an address.
func (w *warp) bytes(a *access, lane int, at uint64) ([]byte, *trouble) {
	if at&uint64(a.bytes-1) != 0 {
		return nil, &trouble{lane, Misaligned, fmt.Sprintf("%d bytes at %s", a.bytes, place(a.space, at)), nil}
	}
	s, to := a.space, at
	if s == generic {
		switch at >> 40 << 40 {
		case sharedWindow:
			s, to = shared, at-sharedWindow
		case localWindow:
			s, to = local, at-localWindow
		default:
			s = global
		}
	}
	switch s {
	case shared:
		return w.sharedBytes(a, lane, to)
	case local, param:
		return w.localBytes(a, lane, to)
	}
	if at>>40<<40 == moduleWindow {
		return w.moduleBytes(a, s, lane, at)
	}
	if s == constant {
		return nil, outside(a, lane, at, "no .const variable is there")
	}
	if a.hollow {
		return nil, &trouble{lane, Uninitialised, w.never("what is stored"), nil}
	}
	b, err := w.block.mem.Bytes(at, a.bytes, a.write)
	if err != nil || len(b) < a.bytes {
		return nil, &trouble{lane, OutOfBounds, fmt.Sprintf("%s %d bytes at %s", verb(a), a.bytes, place(a.space, at)), err}
	}
	if w.block.pages != nil {
		if t := w.watchGlobal(a, lane, at); t != nil {
			return nil, t
		}
	}
	return b, nil
}

func verb(a *access) string {
	if a.write {
		return "writes"
	}
	return "reads"
}

func place(s space, at uint64) string { return fmt.Sprintf("%s address %#x", s, at) }

func outside(a *access, lane int, at uint64, why string) *trouble {
	return &trouble{lane, OutOfBounds, fmt.Sprintf("%s %d bytes at %s: %s", verb(a), a.bytes, place(a.space, at), why), nil}
}

// within tells whether an access lies in one of some regions.
func within(regions []region, at uint64, n int) bool {
	for i := range regions {
		if r := &regions[i]; at >= uint64(r.from) && at+uint64(n) <= uint64(r.to) && at < uint64(r.to) {
			return true
		}
	}
	return false
}

func known(regions []region) string {
	if len(regions) == 0 {
		return "there is none"
	}
	var all []string
	for _, r := range regions {
		all = append(all, fmt.Sprintf("%s is %#x to %#x", r.name, r.from, r.to))
	}
	return strings.Join(all, ", ")
}

func (w *warp) sharedBytes(a *access, lane int, at uint64) ([]byte, *trouble) {
	b := w.block
	if !within(b.regions, at, a.bytes) {
		return nil, outside(a, lane, at, known(b.regions))
	}
	if b.cells != nil {
		g := uint64(b.code.watch[1])
		for i := at / g; i < (at+uint64(a.bytes)+g-1)/g; i++ {
			if t := w.watch(&b.cells[i], a, lane, at, true); t != nil {
				return nil, t
			}
		}
	}
	return b.shared[at : at+uint64(a.bytes)], nil
}

func (w *warp) localBytes(a *access, lane int, at uint64) ([]byte, *trouble) {
	if !within(w.block.code.locals, at, a.bytes) {
		return nil, outside(a, lane, at, known(w.block.code.locals))
	}
	from := lane*int(w.block.code.frame-lowest) + int(at-lowest)
	written := w.written[from : from+a.bytes]
	if a.write {
		for i := range written {
			written[i] = !a.hollow
		}
	} else if !slices.Contains(written, true) {
		// Copies of structs with gaps read more than was written, and may.
		w.poison |= 1 << lane
	}
	return w.local[from : from+a.bytes], nil
}

func (w *warp) moduleBytes(a *access, s space, lane int, at uint64) ([]byte, *trouble) {
	m := w.block.e.module
	for _, v := range m.vars {
		from := uint64(v.at)
		if v.space == shared || v.extern || at < from || at+uint64(a.bytes) > from+uint64(v.size) {
			continue
		}
		if v.space == constant && (a.write || s == global && a.space == global) || v.space == global && s == constant {
			return nil, outside(a, lane, at, v.name+" is in "+v.space.String()+" memory")
		}
		if w.block.pages != nil && v.space == global {
			if t := w.watchGlobal(a, lane, at); t != nil {
				return nil, t
			}
		}
		return m.memory[at-moduleWindow:][:a.bytes], nil
	}
	return nil, outside(a, lane, at, "no variable of the module is there")
}

// address is an operand in brackets.
type address struct {
	row   int
	off   uint64
	space space
}

// addressOf compiles an operand in brackets.
func (c *compiler) addressOf(o operand, s space) address {
	if !o.address || o.pair != nil || o.negated {
		c.fail("an operand that is no address in brackets")
	}
	switch o.kind {
	case registerOperand:
		if t := o.reg.typ; t.bytes < 4 || t.isFloat() || t.bytes < 8 && s != shared && s != local {
			c.fail("%s is .%s where an address should be", o.reg.name, t.name)
		}
		return address{c.regRow(o.reg), uint64(o.off), s}
	case intOperand:
		return address{c.constRow(o.bits), uint64(o.off), s}
	case nameOperand:
		at, of := c.variableAt(o.name)
		if s == generic {
			s = of
		}
		if s != of {
			c.fail("%s is in %s memory", o.name, of)
		}
		return address{c.constRow(uint64(at)), uint64(o.off), s}
	}
	c.fail("an operand that is no address")
	return address{}
}

// memoryMods takes the modifiers of loads and stores.
func (m *mods) memory() (a access, lanes int) {
	lanes = 1
	var rest []string
	for _, f := range m.flags {
		if s, ok := spaceTable[f]; ok {
			a.space = s
			continue
		}
		switch f {
		case "v2":
			lanes = 2
		case "v4":
			lanes = 4
		case "volatile", "relaxed", "acquire", "release":
			a.strong = true
		case "nc":
			a.cached = true
		case "weak", "ca", "cg", "cs", "lu", "cv", "wb", "wt", "gpu", "sys", "cta", "cluster", "unified":
		default:
			if !strings.HasPrefix(f, "L1::") && !strings.HasPrefix(f, "L2::") {
				rest = append(rest, f)
			}
		}
	}
	m.flags = rest
	t := m.one()
	a.bytes = t.bytes * lanes
	if a.cached && a.space != global || a.strong && (a.space == constant || a.space == local) {
		m.c.unsupported()
	}
	if t.class == predicate || t.class == tensor || t.packs == 2 || t.bytes == 2 && t.isFloat() || a.bytes > 16 {
		m.c.unsupported()
	}
	return a, lanes
}

// watched tells the compiler that memory is used in units of so many bytes.
func (c *compiler) watched(a *access) {
	for i, s := range [...]space{global, shared} {
		if (a.space == s || a.space == generic) && (c.watch[i] == 0 || a.bytes < c.watch[i]) {
			c.watch[i] = a.bytes
		}
	}
}

// vector returns the operands of a vector, or one as a vector of one.
func (c *compiler) vector(o operand, n int) []operand {
	if o.kind != vectorOperand {
		o = operand{kind: vectorOperand, list: []operand{o}}
	}
	if len(o.list) != n {
		c.fail("%d values where %d should be", len(o.list), n)
	}
	return o.list
}

// load compiles ld.
func (c *compiler) load() {
	m := c.mods()
	a, n := m.memory()
	t := m.types[0]
	args := c.args(2)
	if c.loadParam(args, &a, n, t) {
		return
	}
	from := c.addressOf(args[1], a.space)
	a.space = from.space
	c.watched(&a)
	var d, extend []int
	for _, o := range c.vector(args[0], n) {
		d = append(d, c.output(o, t, true))
		to := 0
		if t.isSigned() && o.reg != nil {
			to = o.reg.typ.bits()
		}
		extend = append(extend, to)
	}
	unit, st := t.bytes, c.st
	c.emit(op{run: func(w *warp, m uint32) *trouble {
		if t := w.need(from.row, m, "the address"); t != nil {
			return t
		}
		w.poison = 0
		addr := w.rows[from.row] // which the load may overwrite
		if all := w.together(&a, m, addr[0]+from.off, &addr); all != nil {
			for k, d := range d {
				loadRow(&w.rows[d], all[k*unit:], a.bytes, unit, extend[k])
				w.init[d] = everyLane
			}
			return nil
		}
		for n := m; n != 0; n &= n - 1 {
			i := bits.TrailingZeros32(n) & (warpSize - 1)
			b, t := w.bytes(&a, i, addr[i]+from.off)
			if t != nil {
				return t
			}
			for k, d := range d {
				w.rows[d][i] = loadOne(b[k*unit:], unit, extend[k])
			}
		}
		for _, d := range d {
			w.init[d] = (w.init[d] | m) &^ w.poison
		}
		if w.poison != 0 {
			w.origin = st
		}
		return nil
	}})
}

func loadOne(b []byte, unit, extend int) uint64 {
	v := getWord(b[:unit])
	if extend > 0 {
		v = truncate(uint64(signExtend(v, 8*unit)), extend)
	}
	return v
}

// loadRow reads a value for each thread of a warp, so many bytes apart.
func loadRow(r *row, b []byte, stride, unit, extend int) {
	switch {
	case unit == 4 && extend == 0:
		for i := range r {
			r[i] = uint64(binary.LittleEndian.Uint32(b[i*stride:]))
		}
	case unit == 2 && extend == 0:
		for i := range r {
			r[i] = uint64(binary.LittleEndian.Uint16(b[i*stride:]))
		}
	default:
		for i := range r {
			r[i] = loadOne(b[i*stride:], unit, extend)
		}
	}
}

// storeRow is loadRow's opposite.
func storeRow(r *row, b []byte, stride, unit int) {
	switch unit {
	case 4:
		for i := range r {
			binary.LittleEndian.PutUint32(b[i*stride:], uint32(r[i]))
		}
	case 2:
		for i := range r {
			binary.LittleEndian.PutUint16(b[i*stride:], uint16(r[i]))
		}
	default:
		for i := range r {
			putWord(b[i*stride:][:unit], r[i])
		}
	}
}

// together returns the memory of all threads of a warp when it is global and lies in
// their order without gaps, and nobody watches. That is a common case, and fast.
func (w *warp) together(a *access, m uint32, first uint64, addr *row) []byte {
	if m != everyLane || a.space != global && a.space != generic || first >= moduleWindow || first&uint64(a.bytes-1) != 0 {
		return nil
	}
	for i := range addr {
		if addr[i] != addr[0]+uint64(i*a.bytes) {
			return nil
		}
	}
	b, err := w.block.mem.Bytes(first, warpSize*a.bytes, a.write)
	if err != nil || len(b) < warpSize*a.bytes {
		return nil // one by one, to see which thread it is
	}
	if w.block.pages != nil {
		for i := range addr {
			if w.watchGlobal(a, i, first+uint64(i*a.bytes)) != nil {
				return nil // the same: it will be found again
			}
		}
	}
	return b
}

// loadParam compiles ld.param of an entry's parameter, which is a constant.
func (c *compiler) loadParam(args []operand, a *access, n int, t scalar) bool {
	o := args[1]
	if o.kind != nameOperand || !o.address || !c.top().f.entry {
		return false
	}
	v := c.st.scope.variable(o.name)
	index := -1
	for i, p := range c.top().f.params {
		if p == v {
			index = i
		}
	}
	if index < 0 {
		return false
	}
	if a.space != param {
		c.fail("%s is a parameter", o.name)
	}
	for k, to := range c.vector(args[0], n) {
		p := paramRow{index: index, offset: int(o.off) + k*t.bytes, bytes: t.bytes}
		if o.off < 0 || p.offset+p.bytes > v.size || p.offset%t.bytes != 0 {
			c.fail("%d bytes at %d of parameter %s, which has %d", p.bytes, p.offset, v.name, v.size)
		}
		if t.isSigned() && to.reg != nil {
			p.signTo = to.reg.typ.bits()
		}
		row, ok := c.pars[p]
		if !ok {
			row = c.newRow()
			c.pars[p] = row
			p.row = row
			c.params = append(c.params, p)
		}
		c.emit(op{run: copyRow(c.output(to, t, true), row)})
	}
	return true
}

// store compiles st.
func (c *compiler) store() {
	m := c.mods()
	a, n := m.memory()
	a.write = true
	t := m.types[0]
	if a.space == constant {
		c.unsupported()
	}
	args := c.args(2)
	to := c.addressOf(args[0], a.space)
	a.space = to.space
	c.watched(&a)
	if a.space == param && c.top().f.entry && c.st.scope.variable(args[0].name) != nil {
		for _, p := range c.top().f.params {
			if p.name == args[0].name {
				c.fail("%s is a parameter of the entry", p.name)
			}
		}
	}
	var s []int
	for _, o := range c.vector(args[1], n) {
		s = append(s, c.wideIn(o, t))
	}
	unit := t.bytes
	c.emit(op{run: func(w *warp, m uint32) *trouble {
		if t := w.need(to.row, m, "the address"); t != nil {
			return t
		}
		in := m
		for _, s := range s {
			in &= w.init[s]
		}
		if in != m {
			if t := w.storeHollow(&a, to, s, unit, m&^in); t != nil {
				return t
			}
		}
		addr := &w.rows[to.row]
		if all := w.together(&a, in, addr[0]+to.off, addr); all != nil {
			for k, s := range s {
				storeRow(&w.rows[s], all[k*unit:], a.bytes, unit)
			}
			return nil
		}
		for n := in; n != 0; n &= n - 1 {
			i := bits.TrailingZeros32(n) & (warpSize - 1)
			b, t := w.bytes(&a, i, addr[i]+to.off)
			if t != nil {
				return t
			}
			for k, s := range s {
				storeOne(b[k*unit:], unit, w.rows[s][i])
			}
		}
		return nil
	}})
}

// storeHollow stores values some of which were never written, as copies of structs with
// gaps are. Shared and local memory remember that; it is a fault when such a value gets
// into global memory, or decides something.
func (w *warp) storeHollow(a *access, to address, s []int, unit int, m uint32) *trouble {
	for n := m; n != 0; n &= n - 1 {
		i := first(n)
		for k, s := range s {
			part := *a
			part.bytes = unit
			part.hollow = w.init[s]>>i&1 == 0
			b, t := w.bytes(&part, i, w.rows[to.row][i]+to.off+uint64(k*unit))
			if t != nil {
				return t
			}
			storeOne(b, unit, w.rows[s][i])
		}
	}
	return nil
}

func storeOne(b []byte, unit int, v uint64) {
	if unit == 4 {
		binary.LittleEndian.PutUint32(b, uint32(v))
		return
	}
	putWord(b[:unit], v)
}

// need refuses a row of which threads have no value.
func (w *warp) need(r int, m uint32, what string) *trouble {
	if w.init[r]&m == m {
		return nil
	}
	return &trouble{first(m &^ w.init[r]), Uninitialised, w.never(what), nil}
}

// never says that something has no value, and which instruction may be why.
func (w *warp) never(what string) string {
	msg := what + " was never written"
	if w.origin != nil {
		msg += fmt.Sprintf(", or made of what was not; line %d, %s, was the last to find such a value", w.origin.line, w.origin.text)
	}
	return msg
}
