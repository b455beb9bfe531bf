package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

// A pickle is a program for a stack machine. This one knows the instructions that
// torch.save uses for a dict of tensors (protocol 2, and the ones of protocol 4 for
// the same values) and nothing that imports, calls or builds anything else: a
// "global" is a name, and the only call is one that notes which storage a tensor
// lies in. https://github.com/python/cpython/blob/main/Lib/pickletools.py names the
// instructions.

const (
	maxPickle  = 4 << 20 // bytes; AlexNet's has 2 KB
	maxPickled = 1 << 18 // values on the stack or in the memo
)

// What a pickle may hold, beside nil, bool, int64, float64 and string.
type (
	tuple  []any
	list   struct{ items []any }
	global string // module.name
	mark   struct{}

	// dict keeps its order. Keys that are not strings are only counted: state dicts
	// have none that matter.
	dict struct {
		keys   []string
		values []any
		other  int
	}

	// storage is memory of its own in the file.
	storage struct {
		kind global
		key  string // names the file data/KEY
		size int64  // values
	}

	// tensorRef says where in a storage a tensor lies.
	tensorRef struct {
		storage *storage
		offset  int64
		shape   []int64
		strides []int64
	}
)

// get returns the last value of a key, as in Python.
func (d *dict) get(key string) any {
	for i := len(d.keys) - 1; i >= 0; i-- {
		if d.keys[i] == key {
			return d.values[i]
		}
	}
	return nil
}

// The names that a pickle may refer to. OrderedDict() is an empty dict.
const (
	orderedDict   = global("collections.OrderedDict")
	rebuildTensor = global("torch._utils._rebuild_tensor_v2")
)

// storageBytes returns the size of a value in a storage of a kind, 0 if unknown.
func storageBytes(kind global) int {
	switch kind {
	case "torch.DoubleStorage":
		return 8
	case "torch.FloatStorage":
		return 4
	case "torch.HalfStorage", "torch.BFloat16Storage":
		return 2
	}
	return 0
}

// unpickler is the machine.
type unpickler struct {
	in    []byte
	pos   int
	stack []any
	memo  map[uint32]any
}

// unpickle runs the program in data and returns what it leaves.
func unpickle(data []byte) (any, error) {
	u := &unpickler{in: data, memo: make(map[uint32]any)}
	for {
		start := u.pos
		op, err := u.take(1)
		if err == nil {
			if op[0] == '.' {
				return u.pop()
			}
			err = u.step(op[0])
		}
		if err == nil && len(u.stack) > maxPickled {
			err = u.bad("more than %d values on the stack", maxPickled)
		}
		if err != nil {
			switch e := err.(type) { //nolint:errorlint // made here, not wrapped
			case *FormatError:
				e.Where = fmt.Sprintf("data.pkl, byte %d", start)
			case *UnsupportedError:
				e.Where = fmt.Sprintf("data.pkl, byte %d", start)
			}
			return nil, err
		}
	}
}

func (u *unpickler) bad(format string, a ...any) error {
	return &FormatError{Format: torchFormat, Problem: fmt.Sprintf(format, a...)}
}

func (u *unpickler) no(format string, a ...any) error {
	return &UnsupportedError{Format: torchFormat, Problem: fmt.Sprintf(format, a...)}
}

// take returns the next n bytes of the program.
func (u *unpickler) take(n uint64) ([]byte, error) {
	if n > uint64(len(u.in)-u.pos) {
		return nil, u.bad("it ends early")
	}
	b := u.in[u.pos : u.pos+int(n)]
	u.pos += int(n)
	return b, nil
}

// number reads an unsigned little-endian number of n bytes.
func (u *unpickler) number(n uint64) (uint64, error) {
	b, err := u.take(n)
	if err != nil {
		return 0, err
	}
	var full [8]byte
	copy(full[:], b)
	return binary.LittleEndian.Uint64(full[:]), nil
}

// line reads text up to a line feed.
func (u *unpickler) line() (string, error) {
	for i := u.pos; i < len(u.in); i++ {
		if u.in[i] == '\n' {
			s := string(u.in[u.pos:i])
			u.pos = i + 1
			return s, nil
		}
	}
	return "", u.bad("it ends early")
}

func (u *unpickler) push(v any) error {
	u.stack = append(u.stack, v)
	return nil
}

func (u *unpickler) pop() (any, error) {
	if len(u.stack) == 0 {
		return nil, u.bad("the stack is empty")
	}
	v := u.stack[len(u.stack)-1]
	u.stack = u.stack[:len(u.stack)-1]
	if v == (any)(mark{}) {
		return nil, u.bad("a mark stands where a value is needed")
	}
	return v, nil
}

// popN pops n values into a tuple.
func (u *unpickler) popN(n int) (tuple, error) {
	t := make(tuple, n)
	for i := n - 1; i >= 0; i-- {
		v, err := u.pop()
		if err != nil {
			return nil, err
		}
		t[i] = v
	}
	return t, nil
}

// popMark pops the values above the last mark, and it.
func (u *unpickler) popMark() (tuple, error) {
	for i := len(u.stack) - 1; i >= 0; i-- {
		if _, ok := u.stack[i].(mark); ok {
			t := append(tuple(nil), u.stack[i+1:]...)
			u.stack = u.stack[:i]
			return t, nil
		}
	}
	return nil, u.bad("there is no mark on the stack")
}

// step does one instruction.
func (u *unpickler) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := u.number(1)
		if err == nil && (v < 2 || v > 5) {
			err = u.no("pickle protocol %d (2 to 5 are read)", v)
		}
		return err
	case 0x95: // FRAME: a length that only readers of streams need
		_, err := u.number(8)
		return err
	case '(': // MARK
		return u.push(mark{})
	case 'N':
		return u.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		return u.push(op == 0x88)
	case '}':
		return u.push(&dict{})
	case ']':
		return u.push(&list{})
	case ')':
		return u.push(tuple{})
	case 'J', 'K', 'M', 0x8a, 'G': // BININT, BININT1, BININT2, LONG1, BINFLOAT
		return u.scalar(op)
	case 'X', 0x8c, 0x8d: // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
		return u.text(map[byte]uint64{'X': 4, 0x8c: 1, 0x8d: 8}[op])
	case 0x85, 0x86, 0x87, 't': // TUPLE1, TUPLE2, TUPLE3, TUPLE
		return u.tuple(op)
	case 'q', 'r', 0x94, 'h', 'j': // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
		return u.remember(op)
	case 's', 'u', 'a', 'e': // SETITEM, SETITEMS, APPEND, APPENDS
		return u.fill(op)
	case 'c', 0x93: // GLOBAL, STACK_GLOBAL
		return u.global(op)
	case 'Q': // BINPERSID
		return u.storage()
	case 'R': // REDUCE
		return u.call()
	case 'b': // BUILD: attributes, of an OrderedDict at most (its _metadata)
		t, err := u.popN(2)
		if err != nil {
			return err
		}
		if _, ok := t[0].(*dict); !ok {
			return u.no("attributes for a %T", t[0])
		}
		return u.push(t[0])
	}
	return u.no("pickle instruction %s: only a plain state dict is read; nothing in a file is executed", strconv.QuoteToASCII(string([]byte{op})))
}

func (u *unpickler) scalar(op byte) error {
	size := map[byte]uint64{'J': 4, 'K': 1, 'M': 2, 'G': 8, 0x8a: 1}[op]
	v, err := u.number(size)
	if err != nil {
		return err
	}
	switch op {
	case 'J':
		return u.push(int64(int32(uint32(v))))
	case 'G': // big-endian, alone among them
		return u.push(math.Float64frombits(binary.BigEndian.Uint64(u.in[u.pos-8 : u.pos])))
	case 0x8a: // so many bytes of two's complement
		if v > 8 {
			return u.no("an integer of %d bytes", v)
		}
		n := v
		if v, err = u.number(n); err != nil {
			return err
		}
		return u.push(int64(v<<(64-8*n)) >> (64 - 8*n))
	}
	return u.push(int64(v))
}

func (u *unpickler) text(size uint64) error {
	n, err := u.number(size)
	if err != nil {
		return err
	}
	b, err := u.take(n)
	if err != nil {
		return err
	}
	return u.push(string(b))
}

func (u *unpickler) tuple(op byte) (err error) {
	var t tuple
	if op == 't' {
		t, err = u.popMark()
	} else {
		t, err = u.popN(int(op-0x85) + 1)
	}
	if err != nil {
		return err
	}
	return u.push(t)
}

// remember copies between the stack and the memo.
func (u *unpickler) remember(op byte) error {
	at := uint64(len(u.memo)) // MEMOIZE
	if size := map[byte]uint64{'q': 1, 'h': 1, 'r': 4, 'j': 4}[op]; size > 0 {
		var err error
		if at, err = u.number(size); err != nil {
			return err
		}
	}
	if op == 'h' || op == 'j' {
		v, ok := u.memo[uint32(at)]
		if !ok {
			return u.bad("the memo has no entry %d", at)
		}
		return u.push(v)
	}
	v, err := u.pop()
	if err != nil {
		return err
	}
	if u.memo[uint32(at)] = v; len(u.memo) > maxPickled {
		return u.bad("more than %d values in the memo", maxPickled)
	}
	return u.push(v)
}

// fill puts items into the dict or list below them.
func (u *unpickler) fill(op byte) (err error) {
	var items tuple
	switch op {
	case 's':
		items, err = u.popN(2)
	case 'a':
		items, err = u.popN(1)
	default:
		items, err = u.popMark()
	}
	if err != nil {
		return err
	}
	top, err := u.pop()
	if err != nil {
		return err
	}
	switch c := top.(type) {
	case *list:
		if op == 's' || op == 'u' {
			return u.bad("a list gets items of a dict")
		}
		c.items = append(c.items, items...)
	case *dict:
		if op == 'a' || op == 'e' || len(items)%2 != 0 {
			return u.bad("a dict gets items that are not pairs")
		}
		for i := 0; i < len(items); i += 2 {
			key, ok := items[i].(string)
			if !ok {
				c.other++
				continue
			}
			c.keys, c.values = append(c.keys, key), append(c.values, items[i+1])
		}
	default:
		return u.bad("items for a %T", top)
	}
	return u.push(top)
}

// global pushes a name, if it is one of the few that a state dict needs.
func (u *unpickler) global(op byte) error {
	var module, name string
	var err error
	if op == 'c' {
		if module, err = u.line(); err == nil {
			name, err = u.line()
		}
	} else {
		var t tuple
		if t, err = u.popN(2); err == nil {
			var ok, ok2 bool
			module, ok = t[0].(string)
			if name, ok2 = t[1].(string); !ok || !ok2 {
				err = u.bad("the name of a global is not text")
			}
		}
	}
	if err != nil {
		return err
	}
	g := global(module + "." + name)
	if g != orderedDict && g != rebuildTensor && storageBytes(g) == 0 {
		return u.no("it refers to %q; only state dicts of float tensors are read, and nothing in a file is executed: "+
			"save model.state_dict() with torch.save, or use safetensors", string(g))
	}
	return u.push(g)
}

// storage pops the persistent id ("storage", kind, key, device, size) and pushes
// the storage.
func (u *unpickler) storage() error {
	v, err := u.pop()
	if err != nil {
		return err
	}
	id, _ := v.(tuple)
	if len(id) != 5 || id[0] != any("storage") {
		return u.bad("a persistent id is not that of a storage")
	}
	kind, ok := id[1].(global)
	key, ok2 := id[2].(string)
	size, ok3 := id[4].(int64)
	if !ok || !ok2 || !ok3 || storageBytes(kind) == 0 || size < 0 || size > maxValues {
		return u.bad("a storage without type, key or a size of at most %d values", maxValues)
	}
	return u.push(&storage{kind: kind, key: key, size: size})
}

// call stands in for the two functions that state dicts call.
func (u *unpickler) call() error {
	t, err := u.popN(2)
	if err != nil {
		return err
	}
	args, ok := t[1].(tuple)
	switch {
	case !ok:
		return u.bad("the arguments of a call are not a tuple")
	case t[0] == any(orderedDict) && len(args) == 0:
		return u.push(&dict{})
	case t[0] == any(rebuildTensor) && len(args) >= 4:
		r := &tensorRef{}
		var err, err2 error
		r.storage, _ = args[0].(*storage)
		r.offset, ok = args[1].(int64)
		r.shape, err = u.sizes(args[2])
		r.strides, err2 = u.sizes(args[3])
		if r.storage == nil || !ok || err != nil || err2 != nil || len(r.shape) != len(r.strides) {
			return u.bad("a tensor without storage, offset, sizes or strides")
		}
		return u.push(r)
	}
	return u.no("a call of %v with %d arguments", t[0], len(args))
}

// sizes returns a tuple of at most eight integers.
func (u *unpickler) sizes(v any) ([]int64, error) {
	t, ok := v.(tuple)
	if !ok || len(t) > 8 {
		return nil, u.bad("sizes are not a tuple of at most 8")
	}
	out := make([]int64, len(t))
	for i := range t {
		if out[i], ok = t[i].(int64); !ok {
			return nil, u.bad("a size is not an integer")
		}
	}
	return out, nil
}
