//go:build linux && (amd64 || arm64) && !static

package dnnl

import "unsafe"

// Release 2 has a structure for each operation, which one function fills in and
// another makes a primitive descriptor of; from release 3 one function does both.
// Here, and in describe, is all that is different otherwise.

// opDesc is room for release 2's description of an operation.
type opDesc = [opBytes]byte

// newOp returns the room, emptied.
func (s *state) newOp() *opDesc {
	s.op = opDesc{}
	return &s.op
}

// operation makes a primitive descriptor. relu appends a ReLU. hint is the forward
// primitive, nil for a forward one itself. Of args, those that are none() are for
// release 3 only.
func (s *state) operation(name string, relu bool, hint *Primitive, args ...uintptr) (uintptr, error) {
	attr, free, err := s.attributes(relu)
	if err != nil {
		return 0, err
	}
	defer free()
	if s.lib.opaque {
		all := append([]uintptr{s.engine}, args...)
		if hint != nil {
			all = append(all, hint.desc)
		}
		return s.make("dnnl_"+name+"_primitive_desc_create", append(all, attr)...)
	}
	all := []uintptr{address(&s.newOp()[0])}
	for _, a := range args {
		if a != s.none() {
			all = append(all, a)
		}
	}
	if err := s.lib.call("dnnl_"+name+"_desc_init", all...); err != nil {
		return 0, err
	}
	return s.fromOp(attr, hint)
}

// fromOp makes a primitive descriptor of the description in the room.
func (s *state) fromOp(attr uintptr, hint *Primitive) (uintptr, error) {
	var forward uintptr
	if hint != nil {
		forward = hint.desc
	}
	return s.make("dnnl_primitive_desc_create", address(&s.op[0]), attr, s.engine, forward)
}

// none is a list of zeros: no dilation.
func (s *state) none() uintptr { return address(&s.zeros[0]) }

// attributes makes the attributes of an operation: memory for its work is given to
// it, and a ReLU follows, if so wanted.
func (s *state) attributes(relu bool) (attr uintptr, free func(), err error) {
	if attr, err = s.make("dnnl_primitive_attr_create"); err != nil {
		return 0, nil, err
	}
	free = func() { _ = s.lib.call("dnnl_primitive_attr_destroy", attr) }
	if err = s.lib.call("dnnl_primitive_attr_set_scratchpad_mode", attr, scratchUser); err == nil && relu {
		err = s.appendReLU(attr)
	}
	if err != nil {
		free()
		return 0, nil, err
	}
	return attr, free, nil
}

func (s *state) appendReLU(attr uintptr) error {
	ops, err := s.make("dnnl_post_ops_create")
	if err != nil {
		return err
	}
	defer func() { _ = s.lib.call("dnnl_post_ops_destroy", ops) }()
	var status int32
	if s.lib.opaque {
		status = s.lib.appendElt3(ops, s.lib.relu, 0, 0)
	} else {
		status = s.lib.appendElt(ops, 1, s.lib.relu, 0, 0)
	}
	if err := check("dnnl_post_ops_append_eltwise", status); err != nil {
		return err
	}
	return s.lib.call("dnnl_primitive_attr_set_post_ops", attr, ops)
}

// withFloats is operation for those that take floats. f3 fills in s.out.
func (s *state) withFloats(name string, hint *Primitive, f2 func(op unsafe.Pointer) int32, f3 func(out, attr uintptr) int32) (uintptr, error) {
	attr, free, err := s.attributes(false)
	if err != nil {
		return 0, err
	}
	defer free()
	if s.lib.opaque {
		s.out = 0
		err := check("dnnl_"+name+"_primitive_desc_create", f3(address(&s.out), attr))
		return s.out, err
	}
	if err := check("dnnl_"+name+"_desc_init", f2(unsafe.Pointer(s.newOp()))); err != nil {
		return 0, err
	}
	return s.fromOp(attr, hint)
}

// algorithm is the library's number for it.
func (v *Norm) algorithm() int32 {
	if v.Within {
		return lrnWithin
	}
	return lrnAcross
}

func (s *state) lrnForward(v *Norm, src *Desc) (uintptr, error) {
	p := int32(prop(v.Training))
	return s.withFloats("lrn_forward", nil, func(op unsafe.Pointer) int32 {
		return s.lib.lrnForward(op, p, v.algorithm(), src.md, int64(v.Size), v.Alpha, v.Beta, v.K)
	}, func(out, attr uintptr) int32 {
		return s.lib.lrnForward3(out, s.engine, p, v.algorithm(), src.md, src.md, int64(v.Size), v.Alpha, v.Beta, v.K, attr)
	})
}

func (s *state) lrnBackward(v *Norm, forward *Primitive) (uintptr, error) {
	src := forward.Desc(Src).md
	return s.withFloats("lrn_backward", forward, func(op unsafe.Pointer) int32 {
		return s.lib.lrnBackward(op, v.algorithm(), src, src, int64(v.Size), v.Alpha, v.Beta, v.K)
	}, func(out, attr uintptr) int32 {
		return s.lib.lrnBackward3(out, s.engine, v.algorithm(), src, src, src, int64(v.Size), v.Alpha, v.Beta, v.K, forward.desc, attr)
	})
}

func (s *state) eltwiseForward(alg int32, src *Desc) (uintptr, error) {
	return s.withFloats("eltwise_forward", nil, func(op unsafe.Pointer) int32 {
		return s.lib.eltForward(op, propTraining, alg, src.md, 0, 0)
	}, func(out, attr uintptr) int32 {
		return s.lib.eltForward3(out, s.engine, propTraining, alg, src.md, src.md, 0, 0, attr)
	})
}

func (s *state) eltwiseBackward(alg int32, forward *Primitive) (uintptr, error) {
	src := forward.Desc(Src).md
	return s.withFloats("eltwise_backward", forward, func(op unsafe.Pointer) int32 {
		return s.lib.eltBackward(op, alg, src, src, 0, 0)
	}, func(out, attr uintptr) int32 {
		return s.lib.eltBackward3(out, s.engine, alg, src, src, src, 0, 0, forward.desc, attr)
	})
}
