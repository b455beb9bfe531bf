// Package ptx executes PTX, the assembly language that NVIDIA's drivers compile kernels
// from, on the CPU. It is for tests: the very text that a GPU would be given runs where
// there is no GPU, and what is wrong with it is found and told with its place - accesses
// out of bounds or misaligned, barriers that not all threads reach, values that nobody
// wrote, loops without end, and races between threads.
//
// It follows NVIDIA's "Parallel Thread Execution ISA", as far as compilers use it for
// compute capability 8.0. Arithmetic is that of IEEE 754 where PTX says so; instructions
// that PTX calls approximate give the correctly rounded value, or nearly so, which no
// GPU does exactly. Nothing can be learnt from it about speed.
//
// The 32 threads of a warp go through the code together where they can. Blocks follow
// one another, so that none can wait for one that comes later; a seed (Launch.Seed)
// shuffles blocks, warps and threads. Memory is in order: that a fence is missing is
// found as a race between blocks, not by other values.
//
// Two accesses of the same bytes are a race when one of them writes, when not both are
// atomic, volatile or of a given order (ld.acquire and its kin), and when nothing is
// between them: a barrier of the block, or bar.warp.sync within a warp. Shuffles and
// votes order nothing. Nothing orders blocks, but in kernels with a fence (membar.gl)
// they may pass data on, and only plain writes are compared. Threads that have left need
// not come to a barrier, as of compute capability 7.0.
//
// Instructions and the types of their operands are checked about as an assembler does,
// and arithmetic of bfloat16 is refused below compute capability 9.0. Whether the version
// of PTX that the text names has all that it uses is not checked.
package ptx

import (
	"errors"
	"fmt"
	"strings"
)

// Memory is the device's global memory.
type Memory interface {
	// Bytes returns the n bytes at an address, which may be read, and written if write
	// is set, or an error when they do not lie wholly in one allocation. Addresses are
	// below 1<<46: those above belong to the interpreter.
	Bytes(at uint64, n int, write bool) ([]byte, error)
}

// Module is a text of PTX that was read.
type Module struct {
	scope     *scope // of the module's variables
	vars      []*variable
	functions map[string]*function
	order     []string
	entries   map[string]*Entry
	memory    []byte // of .global and .const variables
	target    int    // 80 for compute capability 8.0
}

// Entry is a kernel. Run may be called from several goroutines.
type Entry struct {
	name   string
	module *Module
	f      *function
	code   *code
}

// Param is a parameter of a kernel.
type Param struct {
	Name  string
	Bytes int
}

// Launch is how a kernel is run. A zero in Blocks or Threads counts as one.
type Launch struct {
	Blocks  [3]int
	Threads [3]int // of a block, at most 1024 in all
	Shared  int    // bytes of dynamic shared memory of a block

	// Seed shuffles the order of blocks, of warps and of the threads of a warp. Zero
	// takes them in order.
	Seed uint64
	// Budget is the most instructions that a warp may execute. Zero stands for 1<<26.
	Budget int
	// NoRaces leaves out the search for races and for shared memory that is read before
	// it is written, which about halves the speed.
	NoRaces bool
}

// Parse reads a module and compiles its entries. An error is a *SyntaxError or an
// *UnsupportedError and names the line.
func Parse(src string) (*Module, error) {
	toks, err := lex(src)
	if err != nil {
		return nil, err
	}
	m := &Module{scope: newScope(nil), functions: map[string]*function{}, entries: map[string]*Entry{}}
	p := &parser{toks: toks, module: m, lines: strings.Split(src, "\n"), files: map[uint64]string{}}
	if err := p.parse(); err != nil {
		return nil, err
	}
	if err := m.layOut(); err != nil {
		return nil, err
	}
	for _, name := range m.order {
		f := m.functions[name]
		if !f.body {
			continue
		}
		code, err := compile(m, f)
		if err != nil {
			return nil, err
		}
		if f.entry {
			m.entries[name] = &Entry{name, m, f, code}
		}
	}
	return m, nil
}

// layOut gives the module's variables their addresses and values.
func (m *Module) layOut() error {
	size := int64(0)
	for _, v := range m.vars {
		if v.space != shared && !v.extern {
			size = alignUp(size, v.align)
			v.at = moduleWindow + size
			size += int64(v.size) + redZone
		}
	}
	m.memory = make([]byte, size)
	for _, v := range m.vars {
		if v.space == shared || v.extern {
			continue
		}
		copy(m.memory[v.at-moduleWindow:], v.init)
		for _, l := range v.links {
			to := m.scope.vars[l.name]
			if to == nil || to.space == shared || to.extern {
				return &UnsupportedError{v.line, "the address of " + l.name + " in an initial value"}
			}
			putWord(m.memory[v.at-moduleWindow+int64(l.offset):][:l.bytes], uint64(to.at)+l.add)
		}
	}
	return nil
}

func alignUp(n int64, align int) int64 { return (n + int64(align) - 1) &^ (int64(align) - 1) }

// Entry finds a kernel by its name.
func (m *Module) Entry(name string) (*Entry, bool) {
	e, ok := m.entries[name]
	return e, ok
}

// Entries returns the names of the kernels in the order of the text.
func (m *Module) Entries() []string {
	var names []string
	for _, name := range m.order {
		if m.entries[name] != nil {
			names = append(names, name)
		}
	}
	return names
}

// Symbol returns the address and the bytes of a .global or .const variable of the
// module. The address is one of the interpreter's own.
func (m *Module) Symbol(name string) (at uint64, bytes []byte, ok bool) {
	v := m.scope.vars[name]
	if v == nil || v.space == shared || v.extern {
		return 0, nil, false
	}
	from := v.at - moduleWindow
	return uint64(v.at), m.memory[from : from+int64(v.size) : from+int64(v.size)], true
}

// Name returns the kernel's name.
func (e *Entry) Name() string { return e.name }

// Params returns the kernel's parameters.
func (e *Entry) Params() []Param {
	all := make([]Param, len(e.f.params))
	for i, v := range e.f.params {
		all[i] = Param{v.name, v.size}
	}
	return all
}

// Static returns the bytes of shared memory that a block has beside Launch.Shared.
func (e *Entry) Static() int { return e.code.static }

// Run executes the kernel. args has one word for each parameter, narrower ones in the
// low bits; parameters of more than eight bytes are not supported. An error is a
// *LaunchError when it cannot be started so, or a *Fault when it did something wrong.
func (e *Entry) Run(mem Memory, l Launch, args []uint64) error {
	if err := e.check(&l, args); err != nil {
		return err
	}
	r := newRunner(e, mem, l, args)
	return r.run()
}

func (e *Entry) check(l *Launch, args []uint64) error {
	refuse := func(format string, args ...any) error {
		return &LaunchError{e.name, fmt.Sprintf(format, args...)}
	}
	threads, blocks := 1, 1
	limits := [3]int{1<<31 - 1, 65535, 65535}
	for i := range 3 {
		l.Blocks[i] = orOne(l.Blocks[i])
		l.Threads[i] = orOne(l.Threads[i])
		if l.Blocks[i] < 1 || l.Blocks[i] > limits[i] {
			return refuse("%v blocks: CUDA allows 1 to %d, %d and %d", l.Blocks, limits[0], limits[1], limits[2])
		}
		if l.Threads[i] < 1 || l.Threads[i] > maxThreads {
			return refuse("%v threads: a block has 1 to %d", l.Threads, maxThreads)
		}
		blocks *= l.Blocks[i]
		threads *= l.Threads[i]
	}
	if threads > maxThreads || l.Threads[2] > 64 {
		return refuse("%v threads: a block has at most %d, and 64 along z", l.Threads, maxThreads)
	}
	if n := e.f.maxTid; n[0] != 0 && threads > n[0]*n[1]*n[2] {
		return refuse("%v threads: .maxntid says %v", l.Threads, n)
	}
	if n := e.f.reqTid; n[0] != 0 && l.Threads != n {
		return refuse("%v threads: .reqntid says %v", l.Threads, n)
	}
	if l.Shared < 0 || l.Shared+e.code.static > maxShared {
		return refuse("%d + %d bytes of shared memory: a block has at most %d", l.Shared, e.code.static, maxShared)
	}
	if len(args) != len(e.f.params) {
		return refuse("%d arguments for %d parameters", len(args), len(e.f.params))
	}
	for i, v := range e.f.params {
		if v.size > 8 {
			return refuse("parameter %d, %s, has %d bytes: at most 8 are supported", i, v.name, v.size)
		}
	}
	if l.Budget <= 0 {
		l.Budget = 1 << 26
	}
	return nil
}

func orOne(n int) int {
	if n == 0 {
		return 1
	}
	return n
}

// FaultOf returns the fault that an error is or wraps, or nil.
func FaultOf(err error) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return nil
}
