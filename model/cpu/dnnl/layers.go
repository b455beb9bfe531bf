//go:build linux && (amd64 || arm64) && !static

package dnnl

import "unsafe"

// end returns the padding behind.
func end(in, out, kernel, stride, pad int) int { return (out-1)*stride + kernel - in - pad }

// descs returns what the library is told of a convolution: source, weights,
// biases and destination, and strides and padding.
func (s *state) convArgs(v *Conv, src, dst *Desc) (mds [4]*Desc, lists [3]uintptr, err error) {
	for i, d := range []struct {
		given *Desc
		tag   uintptr
		dims  []int
	}{
		{src, tagAny, []int{v.Batch, v.In, v.InH, v.InW}}, {nil, tagAny, v.WeightDims()},
		{nil, plainTag(1), []int{v.Out}}, {dst, tagAny, []int{v.Batch, v.Out, v.OutH, v.OutW}},
	} {
		if mds[i] = d.given; d.given == nil {
			if mds[i], err = s.describe(d.tag, d.dims); err != nil {
				return mds, lists, err
			}
		}
	}
	lists[0] = s.list(1, v.Stride, v.Stride)
	lists[1] = s.list(2, v.Pad, v.Pad)
	lists[2] = s.list(3, end(v.InH, v.OutH, v.Kernel, v.Stride, v.Pad), end(v.InW, v.OutW, v.Kernel, v.Stride, v.Pad))
	return mds, lists, nil
}

// opDesc is room for a description of an operation.
type opDesc = [opBytes]byte

// newOp returns the room, emptied.
func (s *state) newOp() *opDesc {
	s.op = opDesc{}
	return &s.op
}

// create makes a primitive descriptor of an operation's.
func (s *state) create(op *opDesc, relu bool, hint *Primitive) (uintptr, error) {
	attr, err := s.make("dnnl_primitive_attr_create")
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.lib.call("dnnl_primitive_attr_destroy", attr) }()
	if err := s.lib.call("dnnl_primitive_attr_set_scratchpad_mode", attr, scratchUser); err != nil {
		return 0, err
	}
	if relu {
		ops, err := s.make("dnnl_post_ops_create")
		if err != nil {
			return 0, err
		}
		defer func() { _ = s.lib.call("dnnl_post_ops_destroy", ops) }()
		if err := check("dnnl_post_ops_append_eltwise", s.lib.appendElt(ops, 1, eltwiseReLU, 0, 0)); err != nil {
			return 0, err
		}
		if err := s.lib.call("dnnl_primitive_attr_set_post_ops", attr, ops); err != nil {
			return 0, err
		}
	}
	var forward uintptr
	if hint != nil {
		forward = hint.desc
	}
	return s.make("dnnl_primitive_desc_create", address(&op[0]), attr, s.engine, forward)
}

// made runs f, which makes a primitive, on the context's thread.
func (c *Context) made(f func() (*Primitive, error)) (p *Primitive, err error) {
	err = c.do(func() (err error) {
		p, err = f()
		return err
	})
	return p, err
}

// ConvForward makes y = x * w + b, and the ReLU of it if so wanted. The order of
// all but the biases is the library's choice. Src, Weights, Bias, Dst.
func (c *Context) ConvForward(v Conv, relu bool) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		m, l, err := c.convArgs(&v, nil, nil)
		if err != nil {
			return nil, err
		}
		op := c.newOp()
		if err := c.lib.call("dnnl_convolution_forward_desc_init", address(&op[0]), propTraining, convolutionDirect,
			m[0].md, m[1].md, m[2].md, m[3].md, l[0], l[1], l[2]); err != nil {
			return nil, err
		}
		desc, err := c.create(op, relu, nil)
		if err != nil {
			return nil, err
		}
		return c.finish("convolution forward", desc, map[Arg]*Desc{Bias: m[2]}, role{Src, querySrc}, role{Weights, queryWeights}, role{Dst, queryDst})
	})
}

// ConvBackwardData makes the gradient of the input, for input and output in the
// orders of the forward primitive. DiffSrc, Weights, DiffDst.
func (c *Context) ConvBackwardData(v Conv, forward *Primitive) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		m, l, err := c.convArgs(&v, forward.Desc(Src), forward.Desc(Dst))
		if err != nil {
			return nil, err
		}
		op := c.newOp()
		if err := c.lib.call("dnnl_convolution_backward_data_desc_init", address(&op[0]), convolutionDirect,
			m[0].md, m[1].md, m[3].md, l[0], l[1], l[2]); err != nil {
			return nil, err
		}
		desc, err := c.create(op, false, forward)
		if err != nil {
			return nil, err
		}
		return c.finish("convolution backward data", desc, nil, role{DiffSrc, queryDiffSrc}, role{Weights, queryWeights}, role{DiffDst, queryDiffDst})
	})
}

// ConvBackwardWeights makes the gradients of weights and biases. Src, DiffDst,
// DiffWeights, DiffBias.
func (c *Context) ConvBackwardWeights(v Conv, forward *Primitive) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		m, l, err := c.convArgs(&v, forward.Desc(Src), forward.Desc(Dst))
		if err != nil {
			return nil, err
		}
		op := c.newOp()
		if err := c.lib.call("dnnl_convolution_backward_weights_desc_init", address(&op[0]), convolutionDirect,
			m[0].md, m[1].md, m[2].md, m[3].md, l[0], l[1], l[2]); err != nil {
			return nil, err
		}
		desc, err := c.create(op, false, forward)
		if err != nil {
			return nil, err
		}
		return c.finish("convolution backward weights", desc, map[Arg]*Desc{DiffBias: m[2]},
			role{Src, querySrc}, role{DiffWeights, queryDiffWeights}, role{DiffDst, queryDiffDst})
	})
}

func (s *state) productArgs(v *Product) (src, w, b, dst *Desc, err error) {
	for _, d := range []struct {
		to   **Desc
		dims []int
	}{{&src, []int{v.Batch, v.In}}, {&w, []int{v.Out, v.In}}, {&b, []int{v.Out}}, {&dst, []int{v.Batch, v.Out}}} {
		if *d.to, err = s.describe(plainTag(len(d.dims)), d.dims); err != nil {
			break
		}
	}
	return src, w, b, dst, err
}

// ProductForward makes y = x * transposed w + b, and the ReLU of it if so wanted.
// Src, Weights, Bias, Dst.
func (c *Context) ProductForward(v Product, relu bool) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		src, w, b, dst, err := c.productArgs(&v)
		if err != nil {
			return nil, err
		}
		op := c.newOp()
		if err := c.lib.call("dnnl_inner_product_forward_desc_init", address(&op[0]), propTraining, src.md, w.md, b.md, dst.md); err != nil {
			return nil, err
		}
		desc, err := c.create(op, relu, nil)
		if err != nil {
			return nil, err
		}
		return c.finish("inner product forward", desc, map[Arg]*Desc{Bias: b}, role{Src, querySrc}, role{Weights, queryWeights}, role{Dst, queryDst})
	})
}

// ProductBackwardData makes the gradient of the input. DiffSrc, Weights, DiffDst.
func (c *Context) ProductBackwardData(v Product, forward *Primitive) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		src, w, _, dst, err := c.productArgs(&v)
		if err != nil {
			return nil, err
		}
		op := c.newOp()
		if err := c.lib.call("dnnl_inner_product_backward_data_desc_init", address(&op[0]), src.md, w.md, dst.md); err != nil {
			return nil, err
		}
		desc, err := c.create(op, false, forward)
		if err != nil {
			return nil, err
		}
		return c.finish("inner product backward data", desc, nil, role{DiffSrc, queryDiffSrc}, role{Weights, queryWeights}, role{DiffDst, queryDiffDst})
	})
}

// ProductBackwardWeights makes the gradients of weights and biases. Src, DiffDst,
// DiffWeights, DiffBias.
func (c *Context) ProductBackwardWeights(v Product, forward *Primitive) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		src, w, b, dst, err := c.productArgs(&v)
		if err != nil {
			return nil, err
		}
		op := c.newOp()
		if err := c.lib.call("dnnl_inner_product_backward_weights_desc_init", address(&op[0]), src.md, w.md, b.md, dst.md); err != nil {
			return nil, err
		}
		desc, err := c.create(op, false, forward)
		if err != nil {
			return nil, err
		}
		return c.finish("inner product backward weights", desc, map[Arg]*Desc{DiffBias: b},
			role{Src, querySrc}, role{DiffWeights, queryDiffWeights}, role{DiffDst, queryDiffDst})
	})
}

func (s *state) poolArgs(v *Pool) (dst *Desc, lists [4]uintptr, err error) {
	dst, err = s.describe(tagAny, []int{v.Batch, v.Channels, v.OutH, v.OutW})
	lists[0] = s.list(0, v.Stride, v.Stride)
	lists[1] = s.list(1, v.Kernel, v.Kernel)
	lists[2] = s.list(2, 0, 0)
	lists[3] = s.list(3, end(v.InH, v.OutH, v.Kernel, v.Stride, 0), end(v.InW, v.OutW, v.Kernel, v.Stride, 0))
	return dst, lists, err
}

// PoolForward makes the maximum of each window, for input in the given order. Src,
// Dst and, when training, Workspace.
func (c *Context) PoolForward(v Pool, src *Desc) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		dst, l, err := c.poolArgs(&v)
		if err != nil {
			return nil, err
		}
		op := c.newOp()
		if err := c.lib.call("dnnl_pooling_forward_desc_init", address(&op[0]), prop(v.Training), poolingMax,
			src.md, dst.md, l[0], l[1], l[2], l[3]); err != nil {
			return nil, err
		}
		desc, err := c.create(op, false, nil)
		if err != nil {
			return nil, err
		}
		return c.finish("pooling forward", desc, nil, role{Src, querySrc}, role{Dst, queryDst}, role{Workspace, queryWorkspace})
	})
}

// prop is the kind of a forward pass.
func prop(training bool) uintptr {
	if training {
		return propTraining
	}
	return propInference
}

// PoolBackward makes the gradient of the input. DiffSrc, DiffDst, Workspace.
func (c *Context) PoolBackward(v Pool, forward *Primitive) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		_, l, err := c.poolArgs(&v)
		if err != nil {
			return nil, err
		}
		op := c.newOp()
		if err := c.lib.call("dnnl_pooling_backward_desc_init", address(&op[0]), poolingMax,
			forward.Desc(Src).md, forward.Desc(Dst).md, l[0], l[1], l[2], l[3]); err != nil {
			return nil, err
		}
		desc, err := c.create(op, false, forward)
		if err != nil {
			return nil, err
		}
		return c.finish("pooling backward", desc, nil, role{DiffSrc, queryDiffSrc}, role{DiffDst, queryDiffDst}, role{Workspace, queryWorkspace})
	})
}

// NormForward makes the normalisation of values in the given order. Src, Dst and,
// when training and if there is one, Workspace.
func (c *Context) NormForward(v Norm, src *Desc) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		op := c.newOp()
		if err := check("dnnl_lrn_forward_desc_init", c.lib.lrnForward(unsafe.Pointer(op), int32(prop(v.Training)), lrnAcross,
			src.md, int64(v.Size), v.Alpha, v.Beta, v.K)); err != nil {
			return nil, err
		}
		desc, err := c.create(op, false, nil)
		if err != nil {
			return nil, err
		}
		return c.finish("normalisation forward", desc, nil, role{Src, querySrc}, role{Dst, queryDst}, role{Workspace, queryWorkspace})
	})
}

// NormBackward makes the gradient of the input. Src, DiffSrc, DiffDst and, if there
// is one, Workspace.
func (c *Context) NormBackward(v Norm, forward *Primitive) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		src := forward.Desc(Src)
		op := c.newOp()
		if err := check("dnnl_lrn_backward_desc_init", c.lib.lrnBackward(unsafe.Pointer(op), lrnAcross,
			src.md, src.md, int64(v.Size), v.Alpha, v.Beta, v.K)); err != nil {
			return nil, err
		}
		desc, err := c.create(op, false, forward)
		if err != nil {
			return nil, err
		}
		return c.finish("normalisation backward", desc, nil, role{Src, querySrc}, role{DiffSrc, queryDiffSrc},
			role{DiffDst, queryDiffDst}, role{Workspace, queryWorkspace})
	})
}

// ReLUForward makes max(0, x) of values in the given order; Dst may be Src. Src, Dst.
func (c *Context) ReLUForward(src *Desc) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		op := c.newOp()
		if err := check("dnnl_eltwise_forward_desc_init", c.lib.eltForward(unsafe.Pointer(op), propTraining, eltwiseReLU, src.md, 0, 0)); err != nil {
			return nil, err
		}
		desc, err := c.create(op, false, nil)
		if err != nil {
			return nil, err
		}
		return c.finish("relu forward", desc, nil, role{Src, querySrc}, role{Dst, queryDst})
	})
}

// ReLUBackward makes the gradient of the input of a ReLU; DiffSrc may be DiffDst.
// Src, for which the output does as well, DiffSrc, DiffDst.
func (c *Context) ReLUBackward(forward *Primitive) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		src := forward.Desc(Src)
		op := c.newOp()
		if err := check("dnnl_eltwise_backward_desc_init", c.lib.eltBackward(unsafe.Pointer(op), eltwiseReLU, src.md, src.md, 0, 0)); err != nil {
			return nil, err
		}
		desc, err := c.create(op, false, forward)
		if err != nil {
			return nil, err
		}
		return c.finish("relu backward", desc, nil, role{Src, querySrc}, role{DiffSrc, queryDiffSrc}, role{DiffDst, queryDiffDst})
	})
}

// Reorder makes a copy from one order to another. Src, Dst.
func (c *Context) Reorder(from, to *Desc) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		attr, err := c.make("dnnl_primitive_attr_create")
		if err != nil {
			return nil, err
		}
		defer func() { _ = c.lib.call("dnnl_primitive_attr_destroy", attr) }()
		if err := c.lib.call("dnnl_primitive_attr_set_scratchpad_mode", attr, scratchUser); err != nil {
			return nil, err
		}
		desc, err := c.make("dnnl_reorder_primitive_desc_create", from.md, c.engine, to.md, c.engine, attr)
		if err != nil {
			return nil, err
		}
		return c.finish("reorder", desc, map[Arg]*Desc{Src: from, Dst: to})
	})
}
