package ptx

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

const (
	warpSize   = 32
	maxThreads = 1024 // of a block
	everyLane  = 1<<warpSize - 1

	// Where the interpreter's own memory lies among generic addresses. An address of
	// shared or local memory is what its space calls it, added to the window's.
	moduleWindow = 0x7c << 40
	localWindow  = 0x7d << 40
	sharedWindow = 0x7e << 40

	// Variables are apart, so that reaching past the end of one is found.
	redZone = 64
	// The first addresses of shared and local memory are nobody's, as on GPUs.
	lowest = 1024
	// dynamicShared is where dynamic shared memory lies.
	dynamicShared = 128 << 10
)

// row is a register of the threads of a warp. A value narrower than 64 bits lies in the
// low ones, the others are zero.
type row [warpSize]uint64

type opKind uint8

const (
	plainOp    opKind = iota
	branchOp          // to target
	switchOp          // to one of targets
	exitOp            // the threads are done
	barrierOp         // threads wait for others of the block
	collective        // threads wait for others of the warp, then run does it
)

// op is an instruction, compiled.
type op struct {
	kind    opKind
	negated bool
	aligned bool // all threads that wait together must wait here
	guard   int  // row, or -1
	run     func(w *warp, m uint32) *trouble
	target  int
	targets []int
	index   int // row of a switch's index, a barrier's number, a collective's mask
	count   int // row of a barrier's number of threads, or -1
	arrive  bool
	reduce  func(w *warp, m uint32, all []bool) // bar.red
	source  int                                 // row of bar.red's predicate
	st      *statement
}

// code is a compiled entry.
type code struct {
	ops      []op
	rows     int
	constant []fixedRow
	special  map[string]int // rows of special registers
	params   []paramRow
	regions  []region // of static shared memory
	static   int      // bytes of it
	sharedTo int64    // end of it
	frame    int64    // bytes of local memory of a thread
	locals   []region
	watch    [2]int // bytes of global and shared memory that are watched together
	fences   bool   // it has fences for other blocks
}

type fixedRow struct {
	row   int
	value uint64
}

type paramRow struct {
	row, index, offset, bytes int
	signTo                    int // bits that a signed value is extended to, or 0
}

// region is where a variable lies.
type region struct {
	from, to int64
	name     string
}

// compiler turns an entry and the functions that it calls into one list of ops.
type compiler struct {
	*code
	module *Module
	stack  []*frame
	consts map[uint64]int
	pars   map[paramRow]int
	shared map[*variable]int64
	st     *statement
	gaps   []gap
}

// frame is a function that is being compiled into its caller.
type frame struct {
	f       *function
	regs    map[*register]int
	vars    map[*variable]int64 // addresses in local memory
	labels  map[int]int         // statement to op
	returns []int               // ops that leave it
}

// gap is a branch whose target is not known yet.
type gap struct {
	op, which int
	stmt      int
}

func (c *compiler) fail(format string, args ...any) {
	panic(failure{&SyntaxError{c.st.line, c.st.name() + ": " + fmt.Sprintf(format, args...)}})
}

func (c *compiler) unsupported() {
	panic(failure{&UnsupportedError{c.st.line, "instruction " + c.st.name()}})
}

// compile compiles a function as an entry.
func compile(m *Module, f *function) (made *code, err error) {
	defer catch(&err)
	c := &compiler{
		code:   &code{special: map[string]int{}, sharedTo: lowest, frame: lowest},
		module: m, consts: map[uint64]int{}, pars: map[paramRow]int{}, shared: map[*variable]int64{},
		st: &statement{line: f.line, op: f.name},
	}
	c.function(f, nil)
	for i, n := range c.watch {
		if n == 0 {
			c.watch[i] = 16
		}
	}
	return c.code, nil
}

func (c *compiler) top() *frame { return c.stack[len(c.stack)-1] }

func (c *compiler) newFrame(f *function, vars map[*variable]int64) *frame {
	fr := &frame{f: f, regs: map[*register]int{}, vars: map[*variable]int64{}, labels: map[int]int{}}
	for v, at := range vars {
		fr.vars[v] = at
	}
	return fr
}

// function compiles a function's body. args are where its parameters and results lie.
func (c *compiler) function(f *function, args map[*variable]int64) {
	for _, other := range c.stack {
		if other.f == f {
			panic(failure{&UnsupportedError{c.st.line, "recursion of " + f.name}})
		}
	}
	fr := c.newFrame(f, args)
	if !f.entry && args == nil {
		// Compiled by itself, to see whether it can be.
		for _, v := range append(slices.Clone(f.params), f.rets...) {
			fr.vars[v] = c.allocLocal(v)
		}
	}
	c.stack = append(c.stack, fr)
	gaps := c.gaps
	c.gaps = nil
	for i := range f.stmts {
		fr.labels[i] = len(c.ops)
		c.st = &f.stmts[i]
		if len(c.ops) >= maxCode || c.rows > maxRegisters {
			c.fail("%s is too long", c.stack[0].f.name)
		}
		c.statement()
	}
	fr.labels[len(f.stmts)] = len(c.ops)
	for _, g := range c.gaps {
		if to := fr.labels[g.stmt]; g.which < 0 {
			c.ops[g.op].target = to
		} else {
			c.ops[g.op].targets[g.which] = to
		}
	}
	c.gaps = gaps
	c.stack = c.stack[:len(c.stack)-1]
	if len(c.stack) == 0 {
		// Falling off the end leaves, too.
		c.ops = append(c.ops, op{kind: exitOp, guard: -1, st: c.st})
	}
	for _, at := range fr.returns {
		c.ops[at].target = len(c.ops)
	}
}

func (c *compiler) newRow() int {
	c.rows++
	return c.rows - 1
}

// constRow returns a row that has the same value in all threads.
func (c *compiler) constRow(v uint64) int {
	at, ok := c.consts[v]
	if !ok {
		at = c.newRow()
		c.consts[v] = at
		c.constant = append(c.constant, fixedRow{at, v})
	}
	return at
}

func (c *compiler) regRow(r *register) int {
	fr := c.top()
	at, ok := fr.regs[r]
	if !ok {
		at = c.newRow()
		fr.regs[r] = at
	}
	return at
}

// in returns the row of an operand that is read as a type.
func (c *compiler) in(o operand, t scalar) int {
	if o.address || o.pair != nil {
		c.fail("an operand in brackets or with | where a value should be")
	}
	switch o.kind {
	case registerOperand:
		if !c.fits(o.reg.typ, t, false) {
			c.fail("%s is .%s where .%s should be", o.reg.name, o.reg.typ.name, t.name)
		}
		at := c.regRow(o.reg)
		if o.negated {
			return c.not(at)
		}
		return at
	case intOperand, f32Operand, f64Operand:
		if o.kind != intOperand && !(t.isFloat() || t.class == bitsClass) || o.kind == f32Operand && t.bytes < 4 {
			c.fail("a floating-point number where .%s should be", t.name)
		}
		return c.constRow(immediate(o, t))
	case nameOperand:
		if c.st.op != "mov" {
			c.fail("%s where a register or a number should be", o.name)
		}
		if strings.HasPrefix(o.name, "%") {
			return c.specialRow(o.name, t)
		}
		at, _ := c.variableAt(o.name)
		if !t.isInteger() || t.bytes < 4 {
			c.fail("the address of %s where .%s should be", o.name, t.name)
		}
		return c.constRow(truncate(uint64(at+o.off), t.bits()))
	}
	c.fail("an operand that is no value")
	return 0
}

// not negates a predicate into a row of its own.
func (c *compiler) not(a int) int {
	d := c.newRow()
	c.emit(op{run: each1(d, a, func(a uint64) uint64 { return a ^ 1 })})
	c.ops[len(c.ops)-1].guard = -1
	return d
}

// fits tells whether a register may be used as a type. Loads, stores and conversions
// may use wider ones.
func (c *compiler) fits(have, want scalar, wider bool) bool {
	if (have.class == predicate) != (want.class == predicate) {
		return false
	}
	for _, half := range [...]scalar{have, want} {
		if half.isFloat() && half.bytes/half.packs == 2 && have.class != bitsClass && want.class != bitsClass && have.name != want.name {
			return false
		}
	}
	if have.bytes == want.bytes || wider && have.bytes > want.bytes {
		return have.class == bitsClass || want.class == bitsClass || wider || have.isFloat() == want.isFloat()
	}
	return false
}

// out returns the row of an operand that is written.
func (c *compiler) out(o operand, t scalar) int { return c.output(o, t, false) }

func (c *compiler) output(o operand, t scalar, wider bool) int {
	switch {
	case o.kind == sinkOperand:
		if !slices.Contains([]string{"ld", "ldu", "atom", "setp", "shfl", "match"}, c.st.op) && (c.st.op != "mov" || c.st.args[0].kind != vectorOperand) {
			c.fail("the result is not used")
		}
		return c.newRow()
	case o.kind == nameOperand && !o.address:
		c.fail("%s is not declared", o.name)
	case o.kind != registerOperand || o.address || o.negated || o.pair != nil:
		c.fail("the result is no register")
	case !c.fits(o.reg.typ, t, wider):
		c.fail("%s is .%s where .%s should be", o.reg.name, o.reg.typ.name, t.name)
	}
	return c.regRow(o.reg)
}

// specialRow returns the row of a special register.
func (c *compiler) specialRow(name string, t scalar) int {
	switch name {
	case "%tid.x", "%tid.y", "%tid.z", "%ntid.x", "%ntid.y", "%ntid.z", "%ctaid.x", "%ctaid.y", "%ctaid.z",
		"%nctaid.x", "%nctaid.y", "%nctaid.z", "%laneid", "%warpid", "%nwarpid", "%gridid", "%smid", "%nsmid",
		"%lanemask_eq", "%lanemask_lt", "%lanemask_le", "%lanemask_gt", "%lanemask_ge",
		"%dynamic_smem_size", "%total_smem_size":
	default:
		c.fail("%s is not declared, or is a special register that is not supported", name)
	}
	if t.bytes < 4 && t.bytes != 2 {
		c.fail("%s where .%s should be", name, t.name)
	}
	at, ok := c.special[name]
	if !ok {
		at = c.newRow()
		c.special[name] = at
	}
	return at
}

// variableAt returns the address of a variable in its space.
func (c *compiler) variableAt(name string) (int64, space) {
	v := c.st.scope.variable(name)
	switch {
	case v == nil:
		c.fail("%s is not declared", name)
	case v.space == shared:
		return c.sharedAt(v), shared
	case v.space == local || v.space == param:
		fr := c.top()
		at, ok := fr.vars[v]
		if !ok {
			if fr.f.entry && slices.Contains(fr.f.params, v) {
				c.fail("the address of parameter %s is not supported", name)
			}
			at = c.allocLocal(v)
			fr.vars[v] = at
		}
		return at, v.space
	case v.extern:
		c.fail("%s is not defined", name)
	}
	return v.at, v.space
}

func (c *compiler) allocLocal(v *variable) int64 {
	at := alignUp(c.frame, max(v.align, 8))
	c.frame = at + int64(v.size) + redZone
	if c.frame > maxFrame {
		c.fail("%s needs too much local memory", v.name)
	}
	c.locals = append(c.locals, region{at, at + int64(v.size), v.name})
	return at
}

func (c *compiler) sharedAt(v *variable) int64 {
	if v.extern {
		return dynamicShared
	}
	if at, ok := c.shared[v]; ok {
		return at
	}
	at := alignUp(c.sharedTo, max(v.align, 16))
	c.sharedTo = at + int64(v.size) + redZone
	c.static += v.size
	if c.static > maxStatic || c.sharedTo > dynamicShared {
		c.fail("more than %d bytes of static shared memory", maxStatic)
	}
	c.regions = append(c.regions, region{at, at + int64(v.size), v.name})
	c.shared[v] = at
	return at
}

// emit adds an op with the statement's guard.
func (c *compiler) emit(o op) {
	o.st = c.st
	o.guard = -1
	if c.st.guard != nil {
		o.guard = c.regRow(c.st.guard)
		o.negated = c.st.negated
	}
	c.ops = append(c.ops, o)
}

// args checks the number of operands.
func (c *compiler) args(n int) []operand {
	if len(c.st.args) != n {
		c.fail("%d operands where %d should be", len(c.st.args), n)
	}
	return c.st.args
}

// mods are an instruction's modifiers: its types in order, and the others.
type mods struct {
	c     *compiler
	types []scalar
	flags []string
}

func (c *compiler) mods() *mods {
	m := &mods{c: c}
	for _, name := range c.st.mods {
		if t, ok := scalarTable[name]; ok {
			m.types = append(m.types, t)
		} else {
			m.flags = append(m.flags, name)
		}
	}
	return m
}

// take tells whether a modifier is there, and removes it.
func (m *mods) take(name string) bool {
	at := slices.Index(m.flags, name)
	if at < 0 {
		return false
	}
	m.flags = slices.Delete(m.flags, at, at+1)
	return true
}

// oneOf takes the first of some modifiers that is there, or returns "".
func (m *mods) oneOf(names ...string) string {
	for _, name := range names {
		if m.take(name) {
			return name
		}
	}
	return ""
}

// done refuses what was not taken, and a number of types other than n.
func (m *mods) done(n int) {
	if len(m.flags) > 0 || len(m.types) != n {
		m.c.unsupported()
	}
}

// one is done for instructions of one type.
func (m *mods) one() scalar {
	m.done(1)
	return m.types[0]
}

// lanes calls f for each thread of a mask.
func lanes(m uint32, f func(i int)) {
	for ; m != 0; m &= m - 1 {
		f(bits.TrailingZeros32(m))
	}
}
