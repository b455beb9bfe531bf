package nvidia

import (
	"errors"
	"fmt"
	"math"

	"alexnet/model/gpu/device"
)

// algorithmRank is cudnnConvolutionFwdAlgoPerf_t and its two sisters, which have the same
// fields (cudnn_cnn.h).
type algorithmRank struct {
	algorithm   int32
	status      int32
	_           float32 // time, in milliseconds
	memory      uint64
	determinism int32
	math        int32
	_           [3]int32
}

// choice is an algorithm that may be used.
type choice struct {
	algorithm int32
	math      int32
	memory    int // workspace, in bytes
}

// shortlist returns the algorithms that may be used, best first, with the kind of
// multiplications to use each with, and why it left out the others. What memory they take
// the library is asked again.
func shortlist(ranks []algorithmRank, c *device.Convolution, d *direction) ([]choice, error) {
	var list []choice
	var why []error
	seen := make(map[choice]bool)
	add := func(algorithm, math int32) {
		k := choice{algorithm: algorithm, math: math}
		if !seen[k] {
			seen[k] = true
			list = append(list, k)
		}
	}
	for _, r := range ranks {
		multiply := r.math
		if c.Arithmetic == device.Float32 || multiply < 0 || multiply == dnnConversion || multiply > dnnFMAMath {
			multiply = dnnMath(c.Arithmetic) // never narrower than what was asked for
		}
		switch {
		case r.status != 0:
			why = append(why, fmt.Errorf("%s has status %d", d.label(r.algorithm), r.status))
		case c.Repeatable && r.determinism != dnnDeterministic:
			why = append(why, fmt.Errorf("%s does not give the same bits each time", d.label(r.algorithm)))
		default:
			add(r.algorithm, multiply)
		}
	}
	for _, algorithm := range d.fallbacks {
		add(algorithm, dnnMath(c.Arithmetic))
	}
	for _, algorithm := range d.fallbacks {
		if c.Arithmetic == device.BFloat16 {
			add(algorithm, dnnTensorOpMath)
		}
	}
	for _, algorithm := range d.loose {
		if !c.Repeatable {
			add(algorithm, dnnMath(c.Arithmetic))
		}
	}
	return list, errors.Join(why...)
}

// label names an algorithm, one of a newer release too.
func (d *direction) label(algorithm int32) string {
	if algorithm >= 0 && int(algorithm) < len(d.algorithms) {
		return d.algorithms[algorithm]
	}
	return fmt.Sprintf("algorithm %d", algorithm)
}

// describe names the algorithm and how it multiplies.
func (d *direction) describe(c choice) string {
	how := [...]string{dnnDefaultMath: "default", dnnTensorOpMath: "tensor cores", dnnConversion: "conversion", dnnFMAMath: "FMA"}
	return fmt.Sprintf("%s %s (%s, %d KiB)", d.name, d.label(c.algorithm), how[c.math], (c.memory+1023)/1024)
}

// checkConvolution refuses sizes that are wrong or that cuDNN, which counts values with
// 32 bits, cannot take.
func checkConvolution(c *device.Convolution) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("nvidia: convolution of %s: %s", sizes(c), fmt.Sprintf(format, args...))
	}
	for _, v := range [...]struct {
		name string
		n    int
	}{{"N", c.N}, {"H", c.H}, {"W", c.W}, {"C", c.C}, {"Out", c.Out}, {"Kernel", c.Kernel}, {"Stride", c.Stride}, {"Groups", c.Groups}} {
		if v.n < 1 || v.n > math.MaxInt32 {
			return fail("%s is %d", v.name, v.n)
		}
	}
	switch {
	case c.Arithmetic < device.Float32 || c.Arithmetic > device.BFloat16:
		return fail("arithmetic %d is unknown", c.Arithmetic)
	case c.Pad < 0 || c.Pad > math.MaxInt32/4:
		return fail("Pad is %d", c.Pad)
	case c.C%c.Groups != 0 || c.Out%c.Groups != 0:
		return fail("the channels do not divide into %d groups", c.Groups)
	case c.H+2*c.Pad < c.Kernel || c.W+2*c.Pad < c.Kernel:
		return fail("the window is larger than the padded image")
	case c.Workspace < 0:
		return fail("Workspace is %d", c.Workspace)
	}
	for _, size := range [...][4]int{{c.N, c.H, c.W, c.C}, {c.N, c.OutH(), c.OutW(), c.Out}, {c.Out, c.Kernel, c.Kernel, c.C / c.Groups}} {
		values := 1
		for _, n := range size {
			if values > math.MaxInt32/n {
				return fail("%d x %d x %d x %d values are more than the %d that cuDNN counts: take a smaller batch",
					size[0], size[1], size[2], size[3], math.MaxInt32)
			}
			values *= n
		}
	}
	return nil
}

// sizes writes a convolution's sizes down.
func sizes(c *device.Convolution) string {
	kind := "float32"
	switch c.Arithmetic {
	case device.TensorFloat32:
		kind = "TF32"
	case device.BFloat16:
		kind = "bfloat16"
	}
	return fmt.Sprintf("%dx%dx%dx%d with %d windows of %dx%d (stride %d, pad %d, groups %d, %s)",
		c.N, c.H, c.W, c.C, c.Out, c.Kernel, c.Kernel, c.Stride, c.Pad, c.Groups, kind)
}

// checkProduct refuses sizes that are wrong or that cuBLAS cannot take.
func checkProduct(p *device.Product) error {
	for _, n := range [...]int{p.M, p.N, p.K} {
		if n < 1 || n > math.MaxInt32 {
			return fmt.Errorf("nvidia: product of %d x %d and %d x %d: sizes must be from 1 to %d", p.M, p.K, p.K, p.N, math.MaxInt32)
		}
	}
	if p.Arithmetic < device.Float32 || p.Arithmetic > device.BFloat16 {
		return fmt.Errorf("nvidia: product: arithmetic %d is unknown", p.Arithmetic)
	}
	return nil
}
