//go:build linux && (amd64 || arm64) && !static

package dnnl

// end returns the padding behind.
func end(in, out, kernel, stride, pad int) int { return (out-1)*stride + kernel - in - pad }

// descs returns what the library is told of a convolution: source, weights,
// biases and destination, and strides and padding.
func (s *state) convArgs(v *Conv, weights Type, src, dst *Desc) (mds [4]*Desc, lists [3]uintptr, err error) {
	for i, d := range []struct {
		given *Desc
		t     Type
		any   bool
		dims  []int
	}{
		{src, v.Type, true, []int{v.Batch, v.In, v.InH, v.InW}}, {nil, weights, true, v.WeightDims()},
		{nil, Float32, false, []int{v.Out}}, {dst, v.Type, true, []int{v.Batch, v.Out, v.OutH, v.OutW}},
	} {
		if mds[i] = d.given; d.given == nil {
			if mds[i], err = s.describe(d.t, d.any, d.dims); err != nil {
				return mds, lists, err
			}
		}
	}
	lists[0] = s.list(1, v.Stride, v.Stride)
	lists[1] = s.list(2, v.Pad, v.Pad)
	lists[2] = s.list(3, end(v.InH, v.OutH, v.Kernel, v.Stride, v.Pad), end(v.InW, v.OutW, v.Kernel, v.Stride, v.Pad))
	return mds, lists, nil
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
		m, l, err := c.convArgs(&v, v.Type, v.From, nil)
		if err != nil {
			return nil, err
		}
		desc, err := c.operation("convolution_forward", relu, nil, propTraining, convolutionDirect, m[0].md, m[1].md, m[2].md, m[3].md, l[0], c.none(), l[1], l[2])
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
		m, l, err := c.convArgs(&v, v.Type, forward.Desc(Src), forward.Desc(Dst))
		if err != nil {
			return nil, err
		}
		desc, err := c.operation("convolution_backward_data", false, forward, convolutionDirect, m[0].md, m[1].md, m[3].md, l[0], c.none(), l[1], l[2])
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
		m, l, err := c.convArgs(&v, Float32, forward.Desc(Src), forward.Desc(Dst))
		if err != nil {
			return nil, err
		}
		desc, err := c.operation("convolution_backward_weights", false, forward, convolutionDirect, m[0].md, m[1].md, m[2].md, m[3].md, l[0], c.none(), l[1], l[2])
		if err != nil {
			return nil, err
		}
		return c.finish("convolution backward weights", desc, map[Arg]*Desc{DiffBias: m[2]},
			role{Src, querySrc}, role{DiffWeights, queryDiffWeights}, role{DiffDst, queryDiffDst})
	})
}

// productArgs describes what a fully connected layer has, but for the weights.
func (s *state) productArgs(v *Product, out Type) (src, b, dst *Desc, err error) {
	for _, d := range []struct {
		to   **Desc
		t    Type
		dims []int
	}{{&src, v.Type, []int{v.Batch, v.In}}, {&b, Float32, []int{v.Out}}, {&dst, out, []int{v.Batch, v.Out}}} {
		if *d.to, err = s.describe(d.t, false, d.dims); err != nil {
			break
		}
	}
	return src, b, dst, err
}

// ProductForward makes y = x * transposed w + b, and the ReLU of it if so wanted.
// Src, Weights, Bias, Dst.
func (c *Context) ProductForward(v Product, relu bool) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		out := v.Type
		if v.Wide {
			out = Float32
		}
		src, b, dst, err := c.productArgs(&v, out)
		if err != nil {
			return nil, err
		}
		w, err := c.describe(v.Type, v.Type != Float32, []int{v.Out, v.In})
		if err != nil {
			return nil, err
		}
		desc, err := c.operation("inner_product_forward", relu, nil, propTraining, src.md, w.md, b.md, dst.md)
		if err != nil {
			return nil, err
		}
		return c.finish("inner product forward", desc, map[Arg]*Desc{Bias: b}, role{Src, querySrc}, role{Weights, queryWeights}, role{Dst, queryDst})
	})
}

// ProductBackwardData makes the gradient of the input, for weights in the order of
// the forward primitive. DiffSrc, Weights, DiffDst.
func (c *Context) ProductBackwardData(v Product, forward *Primitive) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		src, _, dst, err := c.productArgs(&v, v.Type)
		if err != nil {
			return nil, err
		}
		w := forward.Desc(Weights)
		desc, err := c.operation("inner_product_backward_data", false, forward, src.md, w.md, dst.md)
		if err != nil {
			return nil, err
		}
		return c.finish("inner product backward data", desc, nil, role{DiffSrc, queryDiffSrc}, role{Weights, queryWeights}, role{DiffDst, queryDiffDst})
	})
}

// ProductBackwardWeights makes the gradients of weights, in row-major order, and
// biases. Src, DiffDst, DiffWeights, DiffBias.
func (c *Context) ProductBackwardWeights(v Product, forward *Primitive) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		src, b, dst, err := c.productArgs(&v, v.Type)
		if err != nil {
			return nil, err
		}
		w, err := c.describe(Float32, false, []int{v.Out, v.In})
		if err != nil {
			return nil, err
		}
		desc, err := c.operation("inner_product_backward_weights", false, forward, src.md, w.md, b.md, dst.md)
		if err != nil {
			return nil, err
		}
		return c.finish("inner product backward weights", desc, map[Arg]*Desc{DiffBias: b},
			role{Src, querySrc}, role{DiffWeights, queryDiffWeights}, role{DiffDst, queryDiffDst})
	})
}

func (s *state) poolArgs(v *Pool) (dst *Desc, lists [4]uintptr, err error) {
	dst, err = s.describe(v.Type, true, []int{v.Batch, v.Channels, v.OutH, v.OutW})
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
		desc, err := c.operation("pooling_forward", false, nil, prop(v.Training), poolingMax, src.md, dst.md, l[0], l[1], c.none(), l[2], l[3])
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
		desc, err := c.operation("pooling_backward", false, forward, poolingMax, forward.Desc(Src).md, forward.Desc(Dst).md, l[0], l[1], c.none(), l[2], l[3])
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
		desc, err := c.lrnForward(&v, src)
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
		desc, err := c.lrnBackward(&v, forward)
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
		desc, err := c.eltwiseForward(c.lib.relu, src)
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
		desc, err := c.eltwiseBackward(c.lib.relu, forward)
		if err != nil {
			return nil, err
		}
		return c.finish("relu backward", desc, nil, role{Src, querySrc}, role{DiffSrc, queryDiffSrc}, role{DiffDst, queryDiffDst})
	})
}

// TanhForward makes the hyperbolic tangent of values in the given order; Dst may be
// Src. Src, Dst.
func (c *Context) TanhForward(src *Desc) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		desc, err := c.eltwiseForward(tanhByOutput, src)
		if err != nil {
			return nil, err
		}
		return c.finish("tanh forward", desc, nil, role{Src, querySrc}, role{Dst, queryDst})
	})
}

// TanhBackward makes the gradient of the input of a tanh; DiffSrc may be DiffDst.
// Dst, DiffSrc, DiffDst.
func (c *Context) TanhBackward(forward *Primitive) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		desc, err := c.eltwiseBackward(tanhByOutput, forward)
		if err != nil {
			return nil, err
		}
		return c.finish("tanh backward", desc, nil, role{Dst, queryDst}, role{DiffSrc, queryDiffSrc}, role{DiffDst, queryDiffDst})
	})
}

// Reorder makes a copy from one order, or type, to another. Src, Dst.
func (c *Context) Reorder(from, to *Desc) (*Primitive, error) {
	return c.made(func() (*Primitive, error) {
		attr, free, err := c.attributes(false)
		if err != nil {
			return nil, err
		}
		defer free()
		desc, err := c.make("dnnl_reorder_primitive_desc_create", from.md, c.engine, to.md, c.engine, attr)
		if err != nil {
			return nil, err
		}
		return c.finish("reorder", desc, map[Arg]*Desc{Src: from, Dst: to})
	})
}
