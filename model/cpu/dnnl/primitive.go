//go:build linux && (amd64 || arm64) && !static

package dnnl

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"
)

// Constants of dnnl_types.h, the same in releases 2 and 3.
const (
	typeBF16, typeF32 = 2, 3

	tagAny = 1 // the order is the library's choice

	propTraining, propInference = 64, 96

	convolutionDirect, poolingMax, lrnAcross, lrnWithin = 1, 0x1ff, 0xaff, 0xbff

	querySrc, queryDiffSrc, queryWeights, queryDiffWeights = 129, 130, 131, 132
	queryDst, queryDiffDst, queryWorkspace, queryScratch   = 133, 134, 135, 136

	scratchUser = 1

	tanhByOutput = 0x101 // whose backward pass reads the output
)

// Desc says how values lie in memory: their dimensions, and an order, which is
// row-major or one of oneDNN's own.
type Desc struct {
	floats int
	md     uintptr
	own    *[descBytes]byte // of release 2, holds md unless a primitive does
}

// Floats returns the size of the memory in float32s, which may be more than the
// values take: some orders fill up channels with zeros.
func (d *Desc) Floats() int { return d.floats }

// Plain describes float32 in row-major order.
func (c *Context) Plain(dims ...int) (*Desc, error) { return c.PlainOf(Float32, dims...) }

// PlainOf describes values in row-major order.
func (c *Context) PlainOf(t Type, dims ...int) (d *Desc, err error) {
	err = c.do(func() (err error) {
		d, err = c.describe(t, false, dims)
		return err
	})
	return d, err
}

// ChannelsLast describes feature maps in the order [image][row][column][channel].
func (c *Context) ChannelsLast(t Type, n, channels, h, w int) (d *Desc, err error) {
	err = c.do(func() (err error) {
		d, err = c.strided(t, []int{n, channels, h, w}, []int{channels * h * w, 1, w * channels, channels})
		return err
	})
	return d, err
}

// describe makes a description, of any order or of row-major order. That is given as
// strides, because the numbers of tags differ between releases.
func (s *state) describe(t Type, anyOrder bool, dims []int) (*Desc, error) {
	if anyOrder {
		return s.descOf("tag", t, dims, tagAny)
	}
	strides := make([]int, len(dims))
	stride := 1
	for i := len(dims) - 1; i >= 0; i-- {
		strides[i] = stride
		stride *= dims[i]
	}
	return s.strided(t, dims, strides)
}

// strided makes a description of the order that the strides give.
func (s *state) strided(t Type, dims, strides []int) (*Desc, error) {
	d, err := s.descOf("strides", t, dims, s.list(1, strides...))
	if err == nil {
		d.floats = (s.size(d.md) + 3) / 4
	}
	return d, err
}

// descOf calls the release's function with the order as tag or strides.
func (s *state) descOf(name string, t Type, dims []int, order uintptr) (*Desc, error) {
	d, number := &Desc{}, uintptr(typeF32)
	if t == BFloat16 {
		number = typeBF16
	}
	args := []uintptr{uintptr(len(dims)), s.list(0, dims...), number, order}
	var err error
	if s.lib.opaque {
		d.md, err = s.make("dnnl_memory_desc_create_with_"+name, args...)
	} else {
		d.own = new([descBytes]byte)
		d.md = address(&d.own[0])
		err = s.lib.call("dnnl_memory_desc_init_by_"+name, append([]uintptr{d.md}, args...)...)
	}
	if err != nil {
		return nil, err
	}
	s.descs = append(s.descs, d) // the library is given the bare address
	return d, nil
}

// size returns the bytes of a memory.
func (s *state) size(md uintptr) int {
	return int(s.lib.value("dnnl_memory_desc_get_size", md))
}

// Same reports whether two descriptions are of the same dimensions, type and order.
func (c *Context) Same(a, b *Desc) bool {
	same := a == b
	if !same {
		_ = c.do(func() error {
			same = c.lib.value("dnnl_memory_desc_equal", a.md, b.md) != 0
			return nil
		})
	}
	return same
}

// memory is one buffer of a primitive.
type memory struct {
	arg    Arg
	handle uintptr
	at     uintptr // what the library thinks its address is; holds nothing in memory
	floats int
}

// execArg is dnnl_exec_arg_t.
type execArg struct {
	arg    int32
	memory uintptr
}

// Primitive is a computation of fixed sizes.
type Primitive struct {
	c        *state
	name     string
	desc     uintptr
	handle   uintptr
	memories []memory
	args     []execArg
	roles    map[Arg]*Desc
}

// Desc returns the order in which a buffer must be, nil if the primitive has no
// such buffer.
func (p *Primitive) Desc(a Arg) *Desc { return p.roles[a] }

// Run computes. The buffers must be those that the primitive was made for, each at
// least as long as its Desc says, and allocated on the heap.
func (c *Context) Run(p *Primitive, buffers ...Buffer) error {
	return c.do(func() error { return p.run(buffers) })
}

func (p *Primitive) run(buffers []Buffer) error {
	found := 0
	for i := range p.memories {
		m := &p.memories[i]
		data := p.c.scratch
		if m.arg != argScratch {
			at := slices.IndexFunc(buffers, func(b Buffer) bool { return b.Arg == m.arg })
			if at < 0 {
				return fmt.Errorf("dnnl: %s: no buffer for argument %d", p.name, m.arg)
			}
			data = buffers[at].Data
			found++
		}
		if len(data) < m.floats {
			return fmt.Errorf("dnnl: %s: argument %d has %d values instead of %d", p.name, m.arg, len(data), m.floats)
		}
		if err := p.c.attach(m, uintptr(unsafe.Pointer(unsafe.SliceData(data)))); err != nil {
			return err
		}
	}
	if found != len(buffers) {
		return fmt.Errorf("dnnl: %s: %d buffers of %d are none of its", p.name, len(buffers)-found, len(buffers))
	}
	err := p.c.lib.call("dnnl_primitive_execute", p.handle, p.c.stream, uintptr(len(p.args)), address(&p.args[0]))
	if err == nil {
		err = p.c.lib.call("dnnl_stream_wait", p.c.stream)
	}
	runtime.KeepAlive(buffers)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// attach tells the library where a buffer is.
func (s *state) attach(m *memory, at uintptr) error {
	if m.at == at {
		return nil
	}
	m.at = at
	return s.lib.call("dnnl_memory_set_data_handle", m.handle, at)
}

// role is a buffer that a kind of primitive has.
type role struct {
	arg   Arg
	query uintptr // which of the primitive's descriptors it is
}

// finish makes the primitive of a primitive descriptor. given are the descriptors
// that cannot be asked for.
func (s *state) finish(name string, desc uintptr, given map[Arg]*Desc, roles ...role) (*Primitive, error) {
	p := &Primitive{c: s, name: name, desc: desc, roles: make(map[Arg]*Desc)}
	s.primitives = append(s.primitives, p)
	var err error
	if p.handle, err = s.make("dnnl_primitive_create", desc); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for a, d := range given {
		p.roles[a] = d
	}
	for _, r := range append(roles, role{argScratch, queryScratch}) {
		md := s.lib.value("dnnl_primitive_desc_query_md", desc, r.query, 0)
		if md == 0 {
			continue
		}
		if size := s.size(md); size > 0 {
			p.roles[r.arg] = &Desc{md: md, floats: (size + 3) / 4}
		}
	}
	for a, d := range p.roles {
		m := memory{arg: a, floats: d.floats}
		if m.handle, err = s.make("dnnl_memory_create", d.md, s.engine, 0); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		p.memories = append(p.memories, m)
		p.args = append(p.args, execArg{int32(a), m.handle})
	}
	if d := p.roles[argScratch]; d != nil {
		delete(p.roles, argScratch)
		if d.floats > len(s.scratch) {
			s.scratch = make([]float32, d.floats)
		}
	}
	return p, nil
}
