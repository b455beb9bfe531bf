package ptx

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Limits on what a text may ask for, so that a wrong one is refused and not served.
const (
	maxVariable  = 1 << 26 // bytes of a module's array
	maxRegisters = 1 << 16 // used in one entry, its functions included
	maxCode      = 1 << 20 // instructions of one entry, its functions included
	maxFrame     = 1 << 19 // bytes of local memory of a thread
	maxStatic    = 48 << 10
	maxShared    = 227 << 10 // bytes of shared memory of a block on compute capability 9.0
)

// parser reads a module.
type parser struct {
	toks   []token
	at     int
	module *Module
	lines  []string
	files  map[uint64]string
	source string // of .loc
	total  int    // bytes of the module's arrays
}

// failure carries an error out of the parser's depth, to where Parse returns it.
type failure struct{ err error }

func (p *parser) fail(line int, format string, args ...any) {
	panic(failure{&SyntaxError{line, fmt.Sprintf(format, args...)}})
}

func (p *parser) unsupported(line int, what string) {
	panic(failure{&UnsupportedError{line, what}})
}

// catch turns a failure into an error.
func catch(err *error) {
	switch r := recover().(type) {
	case nil:
	case failure:
		*err = r.err
	default:
		panic(r)
	}
}

func (p *parser) peek() token { return p.toks[p.at] }

func (p *parser) next() token {
	t := p.toks[p.at]
	if t.kind != tokEOF {
		p.at++
	}
	return t
}

func (p *parser) accept(punct string) bool {
	if p.peek().is(punct) {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(punct string) {
	if t := p.next(); !t.is(punct) {
		p.fail(t.line, "%s where %q should be", describe(t), punct)
	}
}

func describe(t token) string {
	switch t.kind {
	case tokEOF:
		return "the end"
	case tokDot:
		return fmt.Sprintf("%q", "."+t.text)
	}
	return fmt.Sprintf("%.40q", t.text)
}

func (p *parser) identifier() token {
	t := p.next()
	if t.kind != tokName {
		p.fail(t.line, "%s where a name should be", describe(t))
	}
	return t
}

// integer reads a number that is at most limit.
func (p *parser) integer(limit uint64) int {
	t := p.next()
	if t.kind != tokInt {
		p.fail(t.line, "%s where a number should be", describe(t))
	}
	if t.bits > limit {
		p.fail(t.line, "%s is too large: at most %d", t.text, limit)
	}
	return int(t.bits)
}

// parse reads all of a module.
func (p *parser) parse() (err error) {
	defer catch(&err)
	version := false
	for p.peek().kind != tokEOF {
		t := p.next()
		if t.kind != tokDot {
			p.fail(t.line, "%s where a directive should be", describe(t))
		}
		switch t.text {
		case "version":
			version = true
			p.next()
		case "target":
			p.target(p.next())
			for p.accept(",") {
				p.next()
			}
		case "address_size":
			if n := p.integer(64); n != 64 {
				p.unsupported(t.line, fmt.Sprintf(".address_size %d", n))
			}
		case "file":
			p.file()
		case "section":
			p.skipSection()
		case "pragma":
			p.skipTo(";")
		default:
			p.declaration(t)
		}
	}
	if !version {
		p.fail(1, "there is no .version")
	}
	return nil
}

// target reads sm_80 or sm_90a.
func (p *parser) target(t token) {
	digits, ok := strings.CutPrefix(t.text, "sm_")
	n, err := strconv.Atoi(strings.TrimRight(digits, "af"))
	if !ok || err != nil {
		p.unsupported(t.line, ".target "+describe(t))
	}
	p.module.target = n
}

// file reads .file 1 "a.cu", of which .loc speaks.
func (p *parser) file() {
	n, name := p.next(), p.next()
	if n.kind != tokInt || name.kind != tokText {
		p.fail(n.line, ".file wants a number and a name")
	}
	p.files[n.bits] = name.text[strings.LastIndexAny(name.text, `/\`)+1:]
	for p.accept(",") {
		p.next()
	}
}

func (p *parser) skipSection() {
	for t := p.next(); !t.is("{"); t = p.next() {
		if t.kind == tokEOF {
			p.fail(t.line, "a .section without {")
		}
	}
	for t := p.next(); !t.is("}"); t = p.next() {
		if t.kind == tokEOF {
			p.fail(t.line, "a .section without }")
		}
	}
}

func (p *parser) skipTo(punct string) {
	for t := p.next(); !t.is(punct); t = p.next() {
		if t.kind == tokEOF {
			p.fail(t.line, "the end where %q should be", punct)
		}
	}
}

// declaration reads a variable, entry or function of the module.
func (p *parser) declaration(t token) {
	extern := false
	for t.kind == tokDot && (t.text == "visible" || t.text == "extern" || t.text == "weak" || t.text == "common") {
		extern = extern || t.text == "extern"
		t = p.next()
	}
	switch {
	case t.isDot("entry"), t.isDot("func"):
		p.function(t)
	case t.isDot("global"), t.isDot("const"), t.isDot("shared"):
		for _, v := range p.variables(spaceTable[t.text], extern) {
			if p.module.scope.vars[v.name] != nil && !p.module.scope.vars[v.name].extern {
				p.fail(v.line, "%s is declared twice", v.name)
			}
			p.module.scope.vars[v.name] = v
			p.module.vars = append(p.module.vars, v)
		}
	case t.kind == tokDot:
		p.unsupported(t.line, "directive ."+t.text)
	default:
		p.fail(t.line, "%s where a directive should be", describe(t))
	}
}

// variables reads .align 4 .b8 a[16] = {...}, b; after the space.
func (p *parser) variables(s space, extern bool) []*variable {
	first := p.variable(s, extern)
	all := []*variable{first}
	for p.accept(",") {
		v := &variable{space: s, typ: first.typ, align: first.align, extern: extern}
		p.declarator(v, first.typ.bytes)
		all = append(all, v)
	}
	p.expect(";")
	return all
}

// variable reads .align 4 .b8 a[16] = {...}.
func (p *parser) variable(s space, extern bool) *variable {
	v := &variable{space: s, extern: extern}
	lanes := 1
	for p.peek().kind == tokDot {
		switch t := p.next(); t.text {
		case "align":
			v.align = p.integer(1 << 16)
			if v.align == 0 || v.align&(v.align-1) != 0 {
				p.fail(t.line, "an alignment of %d", v.align)
			}
		case "v2":
			lanes = 2
		case "v4":
			lanes = 4
		case "ptr", "global", "shared", "const", "local": // .param .u64 .ptr .global .align 4 a
		case "attribute":
			p.skipTo(")")
		default:
			typ, ok := scalarTable[t.text]
			if !ok || typ.class == predicate && s != param {
				p.unsupported(t.line, "a variable of type ."+t.text)
			}
			v.typ = typ
		}
	}
	if v.typ.bytes == 0 {
		p.fail(p.peek().line, "a variable without a type")
	}
	if v.align == 0 {
		v.align = v.typ.bytes * lanes
	}
	p.declarator(v, v.typ.bytes*lanes)
	return v
}

// declarator reads a[16] = {...}.
func (p *parser) declarator(v *variable, unit int) {
	t := p.identifier()
	v.name, v.line = t.text, t.line
	size := uint64(unit)
	open := false
	for p.accept("[") {
		if p.accept("]") {
			open = true
			continue
		}
		size *= uint64(p.integer(maxVariable))
		if size > maxVariable {
			p.fail(t.line, "%s is too large", v.name)
		}
		p.expect("]")
	}
	v.size = int(size)
	if p.accept("=") {
		if v.space != global && v.space != constant {
			p.fail(t.line, "%s cannot have an initial value", v.name)
		}
		var b []byte
		b = p.initialiser(v, b)
		if open {
			v.size = len(b)
		}
		if len(b) > v.size {
			p.fail(t.line, "%s has %d bytes and an initial value of %d", v.name, v.size, len(b))
		}
		v.init = b
	} else if open {
		if !v.extern {
			p.fail(t.line, "%s has no length", v.name)
		}
		v.size = 0
	}
	if p.total += v.size; p.total > maxVariable {
		p.fail(t.line, "the variables are too large")
	}
}

// initialiser reads a value or {values} and appends it to b.
func (p *parser) initialiser(v *variable, b []byte) []byte {
	if p.accept("{") {
		for !p.accept("}") {
			b = p.initialiser(v, b)
			if !p.peek().is("}") {
				p.expect(",")
			}
		}
		return b
	}
	o := p.operand(nil, p.module.scope)
	if len(b)+8 > maxVariable {
		p.fail(v.line, "%s is too large", v.name)
	}
	word := make([]byte, 8)
	switch o.kind {
	case nameOperand:
		name := o.name
		if name == "generic" && p.accept("(") {
			name = p.identifier().text
			p.expect(")")
			if p.accept("+") {
				o.off = int64(p.integer(math.MaxInt32))
			}
		}
		if v.typ.bytes < 8 {
			p.unsupported(v.line, "an address in an array of ."+v.typ.name)
		}
		v.links = append(v.links, link{len(b), 8, name, uint64(o.off)})
	case intOperand, f32Operand, f64Operand:
		putWord(word, immediate(o, v.typ))
	default:
		p.fail(v.line, "%s has an initial value that is no number", v.name)
	}
	return append(b, word[:v.typ.bytes]...)
}

// immediate returns the bits of a number as a value of a type.
func immediate(o operand, t scalar) uint64 {
	switch {
	case o.kind == f32Operand && t.bytes == 8:
		return math.Float64bits(float64(math.Float32frombits(uint32(o.bits))))
	case o.kind == f64Operand && t.class == float && t.bytes == 4 && t.packs == 1:
		return uint64(math.Float32bits(float32(math.Float64frombits(o.bits))))
	case o.kind == f64Operand && t.isFloat() && t.bytes == 2:
		return halfOf(t).fromFloat(math.Float64frombits(o.bits), nearest)
	case t.class == predicate:
		return min(o.bits, 1)
	}
	return truncate(o.bits, t.bits())
}

// function reads an entry or a device function.
func (p *parser) function(kind token) {
	f := &function{entry: kind.text == "entry", scope: newScope(p.module.scope)}
	if !f.entry && p.peek().is("(") {
		f.rets = p.parameters(f)
	}
	t := p.identifier()
	f.name, f.line = t.text, t.line
	if p.peek().is("(") {
		f.params = p.parameters(f)
	}
	p.tuning(f)
	if old := p.module.functions[f.name]; old != nil && old.body && !p.peek().is(";") {
		p.fail(t.line, "%s is defined twice", f.name)
	}
	if !p.accept(";") {
		f.body = true
		p.source = ""
		p.expect("{")
		p.block(f, f.scope)
	}
	if old := p.module.functions[f.name]; old == nil || !old.body {
		if old == nil {
			p.module.order = append(p.module.order, f.name)
		}
		p.module.functions[f.name] = f
	}
}

// parameters reads (.param .u64 a, .param .u32 b).
func (p *parser) parameters(f *function) []*variable {
	var all []*variable
	p.expect("(")
	for !p.accept(")") {
		t := p.next()
		if t.isDot("reg") {
			p.unsupported(t.line, "a parameter in a register")
		}
		if !t.isDot("param") {
			p.fail(t.line, "%s where .param should be", describe(t))
		}
		v := p.variable(param, false)
		if f.scope.vars[v.name] != nil {
			p.fail(v.line, "%s is declared twice", v.name)
		}
		f.scope.vars[v.name] = v
		all = append(all, v)
		if !p.peek().is(")") {
			p.expect(",")
		}
	}
	return all
}

// tuning reads the directives between a function's parameters and its body.
func (p *parser) tuning(f *function) {
	for p.peek().kind == tokDot {
		t := p.next()
		var n [3]int
		switch t.text {
		case "noreturn":
			continue
		case "maxntid", "reqntid", "minnctapersm", "maxnctapersm", "maxnreg":
			n = [3]int{p.integer(1 << 16), 1, 1}
			for i := 1; i < 3 && p.accept(","); i++ {
				n[i] = p.integer(1 << 16)
			}
		case "pragma":
			p.skipTo(";")
		default:
			p.unsupported(t.line, "directive ."+t.text)
		}
		switch t.text {
		case "maxntid":
			f.maxTid = n
		case "reqntid":
			f.reqTid = n
		}
	}
}

// block reads what stands between braces, the closing one included.
func (p *parser) block(f *function, s *scope) {
	for depth := []*scope{s}; len(depth) > 0; {
		s := depth[len(depth)-1]
		t := p.next()
		switch {
		case t.is("}"):
			depth = depth[:len(depth)-1]
		case t.is("{"):
			depth = append(depth, newScope(s))
		case t.is(";"):
		case t.kind == tokDot:
			p.bodyDirective(f, s, t)
		case t.kind == tokName && p.peek().is(":"):
			p.next()
			p.label(f, s, t)
		case t.kind == tokName, t.is("@"):
			p.instruction(f, s, t)
		default:
			p.fail(t.line, "%s where an instruction should be", describe(t))
		}
	}
}

func (p *parser) label(f *function, s *scope, t token) {
	if _, ok := s.labels[t.text]; ok {
		p.fail(t.line, "label %s is defined twice", t.text)
	}
	if !p.peek().isDot("branchtargets") {
		s.labels[t.text] = len(f.stmts)
		return
	}
	p.next()
	for {
		s.targets[t.text] = append(s.targets[t.text], p.identifier().text)
		if !p.accept(",") {
			break
		}
	}
	p.expect(";")
}

func (p *parser) bodyDirective(f *function, s *scope, t token) {
	switch t.text {
	case "reg":
		p.registers(s)
	case "local", "shared", "param", "global", "const":
		for _, v := range p.variables(spaceTable[t.text], false) {
			if s.vars[v.name] != nil {
				p.fail(v.line, "%s is declared twice", v.name)
			}
			s.vars[v.name] = v
			if v.space == global || v.space == constant {
				p.module.vars = append(p.module.vars, v)
			} else {
				f.vars = append(f.vars, v)
			}
		}
	case "pragma":
		p.skipTo(";")
	case "loc":
		file, line := p.next(), p.next()
		p.source = fmt.Sprintf("%s:%d", p.files[file.bits], line.bits)
		// The column, and what function it was inlined from.
		for p.peek().line == t.line && p.peek().kind != tokEOF {
			p.next()
		}
	default:
		p.unsupported(t.line, "directive ."+t.text)
	}
}

// registers reads .reg .b32 %r<100>, %a;
func (p *parser) registers(s *scope) {
	t := p.next()
	typ, ok := scalarTable[t.text]
	if t.kind != tokDot || !ok {
		p.unsupported(t.line, "a register of type "+describe(t))
	}
	for {
		name := p.identifier()
		if p.accept("<") {
			s.ranges = append(s.ranges, registerRange{name.text, p.integer(math.MaxInt32), typ})
			p.expect(">")
		} else {
			if _, ok := s.types[name.text]; ok {
				p.fail(name.line, "%s is declared twice", name.text)
			}
			s.types[name.text] = typ
		}
		if !p.accept(",") {
			break
		}
	}
	p.expect(";")
}

// instruction reads one with its guard.
func (p *parser) instruction(f *function, s *scope, t token) {
	st := statement{line: t.line, source: p.source, scope: s}
	if t.is("@") {
		st.negated = p.accept("!")
		name := p.identifier()
		if st.guard = f.register(s, name.text); st.guard == nil || st.guard.typ.class != predicate {
			p.fail(name.line, "%s is no predicate", name.text)
		}
		t = p.identifier()
		st.line = t.line
	}
	st.op = t.text
	for p.peek().kind == tokDot {
		st.mods = append(st.mods, p.next().text)
	}
	for !p.accept(";") {
		st.args = append(st.args, p.operand(f, s))
		if !p.peek().is(";") {
			p.expect(",")
		}
	}
	st.text = strings.TrimSuffix(strings.Join(strings.Fields(p.lines[st.line-1]), " "), ";")
	if len(f.stmts) >= maxCode {
		p.fail(st.line, "%s has too many instructions", f.name)
	}
	f.stmts = append(f.stmts, st)
}

// operand reads one. f is nil outside functions.
func (p *parser) operand(f *function, s *scope) operand {
	t := p.peek()
	var o operand
	switch {
	case p.accept("["):
		o = p.simple(f, s)
		o.address = true
		p.expect("]")
	case t.is("{"), t.is("("):
		closing := map[string]string{"{": "}", "(": ")"}[p.next().text]
		o.kind = vectorOperand
		for !p.accept(closing) {
			o.list = append(o.list, p.simple(f, s))
			if !p.peek().is(closing) {
				p.expect(",")
			}
		}
	default:
		o = p.simple(f, s)
	}
	if p.accept("|") {
		pair := p.simple(f, s)
		o.pair = &pair
	}
	return o
}

// simple reads a register, number or name, perhaps with something added.
func (p *parser) simple(f *function, s *scope) operand {
	t := p.next()
	var o operand
	switch {
	case t.is("!"):
		o = p.simpleName(f, s, p.identifier())
		o.negated = true
		return o
	case t.is("-"):
		o = p.number(p.next())
		switch o.kind {
		case intOperand:
			o.bits = -o.bits
		case f32Operand:
			o.bits ^= 1 << 31
		default:
			o.bits ^= 1 << 63
		}
	case t.kind == tokName:
		o = p.simpleName(f, s, t)
	default:
		o = p.number(t)
	}
	for p.peek().is("+") || p.peek().is("-") {
		minus := p.next().is("-")
		if p.accept("-") {
			minus = !minus
		}
		n := p.next()
		if n.kind != tokInt {
			p.fail(n.line, "%s where a number should be", describe(n))
		}
		if minus {
			n.bits = -n.bits
		}
		if o.kind == intOperand {
			o.bits += n.bits
		} else {
			o.off += int64(n.bits)
		}
	}
	return o
}

func (p *parser) number(t token) operand {
	kind, ok := map[tokenKind]operandKind{tokInt: intOperand, tokF32: f32Operand, tokF64: f64Operand}[t.kind]
	if !ok {
		p.fail(t.line, "%s where an operand should be", describe(t))
	}
	return operand{kind: kind, bits: t.bits}
}

func (p *parser) simpleName(f *function, s *scope, t token) operand {
	name := t.text
	if p.peek().kind == tokDot && strings.HasPrefix(name, "%") {
		name += "." + p.next().text
	}
	if name == "_" {
		return operand{kind: sinkOperand}
	}
	if name == "WARP_SZ" {
		return operand{kind: intOperand, bits: warpSize}
	}
	if f != nil {
		if r := f.register(s, name); r != nil {
			return operand{kind: registerOperand, reg: r}
		}
	}
	return operand{kind: nameOperand, name: name}
}
