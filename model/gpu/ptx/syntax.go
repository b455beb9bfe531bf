package ptx

import (
	"encoding/binary"
	"strings"
)

// variable is a declared piece of memory.
type variable struct {
	name   string
	space  space
	typ    scalar
	align  int
	size   int  // bytes; 0 for an extern array without a length
	extern bool // declared elsewhere; shared: the launch's dynamic memory
	init   []byte
	links  []link
	line   int
	at     int64 // offset or address, once it is known
}

// link is an address within an initialiser.
type link struct {
	offset, bytes int
	name          string
	add           uint64
}

// register is a declared register that is used.
type register struct {
	name string
	typ  scalar
	id   int // within its function
}

// registerRange is %r<100>.
type registerRange struct {
	prefix string
	count  int
	typ    scalar
}

// scope is what was declared between braces.
type scope struct {
	parent  *scope
	regs    map[string]*register
	types   map[string]scalar // of registers declared by name
	ranges  []registerRange
	vars    map[string]*variable
	labels  map[string]int // index of the statement that follows
	targets map[string][]string
}

func newScope(parent *scope) *scope {
	return &scope{
		parent: parent, regs: map[string]*register{}, types: map[string]scalar{}, vars: map[string]*variable{},
		labels: map[string]int{}, targets: map[string][]string{},
	}
}

// function is an entry or a device function.
type function struct {
	name   string
	entry  bool
	line   int
	params []*variable
	rets   []*variable
	body   bool
	maxTid [3]int // .maxntid, zero if none
	reqTid [3]int // .reqntid
	vars   []*variable
	nregs  int
	scope  *scope
	stmts  []statement
}

// register finds a register by its name and counts it among the function's when it is
// used for the first time. Ranges may be huge; what of them is used is not.
func (f *function) register(s *scope, name string) *register {
	for ; s != nil; s = s.parent {
		if r, ok := s.regs[name]; ok {
			return r
		}
		t, ok := s.types[name]
		if !ok {
			t, ok = s.inRange(name)
		}
		if ok {
			r := &register{name, t, f.nregs}
			f.nregs++
			s.regs[name] = r
			return r
		}
	}
	return nil
}

func (s *scope) inRange(name string) (scalar, bool) {
	stem := strings.TrimRight(name, "0123456789")
	digits := name[len(stem):]
	if digits == "" || len(digits) > 10 {
		return scalar{}, false
	}
	for _, r := range s.ranges {
		// The prefix may itself end in digits.
		if rest, ok := strings.CutPrefix(name, r.prefix); ok && len(r.prefix) >= len(stem) && rest != "" && (rest == "0" || rest[0] != '0') {
			n := 0
			for _, c := range rest {
				n = n*10 + int(c-'0')
			}
			if n < r.count {
				return r.typ, true
			}
		}
	}
	return scalar{}, false
}

func (s *scope) variable(name string) *variable {
	for ; s != nil; s = s.parent {
		if v, ok := s.vars[name]; ok {
			return v
		}
	}
	return nil
}

func (s *scope) label(name string) (int, bool) {
	for ; s != nil; s = s.parent {
		if at, ok := s.labels[name]; ok {
			return at, true
		}
	}
	return 0, false
}

func (s *scope) branchTargets(name string) []string {
	for ; s != nil; s = s.parent {
		if t, ok := s.targets[name]; ok {
			return t
		}
	}
	return nil
}

type operandKind uint8

const (
	sinkOperand     operandKind = iota // _
	registerOperand                    // %r1
	intOperand                         // 12
	f32Operand                         // 0f3F800000
	f64Operand                         // 0d..., 1.5
	nameOperand                        // a label, variable, function or special register, perhaps + off
	vectorOperand                      // {a, b}, or the (a, b) of a call
)

type operand struct {
	kind    operandKind
	address bool // it stands in brackets
	negated bool // !%p1
	reg     *register
	name    string
	bits    uint64
	off     int64 // added to an address or a variable
	list    []operand
	pair    *operand // what follows |
}

// statement is an instruction.
type statement struct {
	line    int
	source  string
	text    string
	guard   *register
	negated bool
	op      string
	mods    []string
	args    []operand
	scope   *scope
}

func (s *statement) name() string { return strings.Join(append([]string{s.op}, s.mods...), ".") }

func putWord(b []byte, v uint64) {
	var word [8]byte
	binary.LittleEndian.PutUint64(word[:], v)
	copy(b, word[:])
}

func getWord(b []byte) uint64 {
	switch len(b) {
	case 8:
		return binary.LittleEndian.Uint64(b)
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	}
	return uint64(b[0])
}
