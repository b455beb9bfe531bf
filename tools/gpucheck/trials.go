package main

import (
	"encoding/binary"
	"fmt"
	"math"

	"alexnet/model/gpu/device"
	"alexnet/model/gpu/kernels"
)

// trials returns uses of all our kernels: both types, channels that are a multiple of what
// a thread reads at once and such that are not.
func trials() []trial {
	var all []trial
	for _, t := range []kernels.Type{kernels.Float32, kernels.BFloat16} {
		for _, c := range []int{48, 21} {
			all = append(all, activationTrials(t, c)...)
			all = append(all, normTrials(t, c)...)
			all = append(all, poolTrials(t, c)...)
			all = append(all, dropoutTrials(t, c)...)
		}
		all = append(all, lossTrial(t), withinTrial(t, kernels.Map{N: 1, H: 65, W: 67, C: 2}, kernels.LRN{C: 2, Size: 3, Alpha: 0.1, Beta: 0.75, K: 1}))
		all = append(all, prepareTrials(t)...)
	}
	return append(all, plainTrials()...)
}

// kindOf returns the kind of a type's values.
func kindOf(t kernels.Type) kind {
	if t == kernels.BFloat16 {
		return bfloat
	}
	return float
}

func named(name string, t kernels.Type, c int) string {
	return fmt.Sprintf("%s, %v, %d channels", name, t, c)
}

// activationTrials: bias, activation and their gradients.
func activationTrials(t kernels.Type, c int) (all []trial) {
	const rows, many = 150, 400 // many are summed up by more than one block
	k := kindOf(t)
	for _, act := range []kernels.Act{kernels.None, kernels.ReLU, kernels.Tanh} {
		all = append(all,
			trial{named(fmt.Sprintf("bias and %v", act), t, c), []memory{{kind: k, values: rows * c, out: true}, {kind: float, values: c}},
				func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
					return s.BiasAct(on, t, at[0], at[1], rows, c, act)
				}},
			trial{named(fmt.Sprintf("gradient of bias and %v", act), t, c),
				[]memory{{kind: k, values: many * c, out: true}, {kind: k, values: many * c}, {kind: k, values: many * c},
					{kind: float, values: c, out: true}, {kind: octets, values: max(kernels.BiasScratch(many, c), 4)}},
				func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
					return s.ActBackward(on, t, at[0], at[1], at[2], at[3], at[4], many, c, act)
				}},
			trial{named(fmt.Sprintf("%v and scale", act), t, c), []memory{{kind: k, values: rows * c, out: true}, {kind: k, values: rows * c}},
				func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
					if err := s.Activate(on, t, at[0], at[1], rows*c, act); err != nil {
						return err
					}
					return s.Scale(on, t, at[0], at[0], rows*c, 0.3)
				}})
	}
	return all
}

// normTrials: both response normalisations, the paper's and others.
func normTrials(t kernels.Type, c int) (all []trial) {
	k, m := kindOf(t), kernels.Map{N: 2, H: 7, W: 5, C: c}
	size := m.N * m.H * m.W * c
	for _, p := range []kernels.LRN{
		{C: c, Groups: 1, Size: 5, Alpha: 0.1, Beta: 0.75, K: 2},
		{C: c, Groups: 3, Size: 3, Alpha: 0.3, Beta: 0.5, K: 1},
	} {
		all = append(all, trial{named(fmt.Sprintf("normalisation over %d", p.Size), t, c),
			[]memory{{kind: k, values: size, out: true}, {kind: k, values: size, out: true}, {kind: k, values: size}, {kind: k, values: size}},
			func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
				if err := s.LRNForward(on, t, at[0], at[2], size/c, p); err != nil {
					return err
				}
				return s.LRNBackward(on, t, at[1], at[3], at[2], size/c, p, p.Groups == 1)
			}},
			withinTrial(t, m, p))
		if p.TakesBias(t) {
			all = append(all, trial{named(fmt.Sprintf("normalisation over %d with bias and ReLU", p.Size), t, c),
				[]memory{{kind: k, values: size, out: true}, {kind: k, values: size, out: true}, {kind: k, values: size}, {kind: k, values: size}, {kind: float, values: c}},
				func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
					q := p
					q.Bias = at[4]
					if err := s.LRNForward(on, t, at[0], at[2], size/c, q); err != nil {
						return err
					}
					return s.LRNBackward(on, t, at[1], at[3], at[2], size/c, q, true)
				}})
		}
	}
	return all
}

// withinTrial: the normalisation within channels; large maps have a kernel of their own.
func withinTrial(t kernels.Type, m kernels.Map, p kernels.LRN) trial {
	k, size := kindOf(t), m.N*m.H*m.W*m.C
	return trial{named(fmt.Sprintf("normalisation within %dx%d by %d", m.H, m.W, p.Size), t, m.C),
		[]memory{{kind: k, values: size, out: true}, {kind: k, values: size, out: true}, {kind: k, values: size}, {kind: k, values: size}},
		func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
			if err := s.LRNWithinForward(on, t, at[0], at[2], m, p); err != nil {
				return err
			}
			return s.LRNWithinBackward(on, t, at[1], at[3], at[2], m, p)
		}}
}

// poolTrials: windows that overlap, that do not, and that hang over the end.
func poolTrials(t kernels.Type, c int) (all []trial) {
	k, in := kindOf(t), kernels.Map{N: 2, H: 10, W: 7, C: c}
	for _, p := range []struct{ kernel, stride, h, w int }{{3, 2, 5, 3}, {2, 2, 5, 4}, {3, 1, 8, 5}} {
		out := kernels.Map{N: 2, H: p.h, W: p.w, C: c}
		from, to := in.N*in.H*in.W*c, out.N*out.H*out.W*c
		all = append(all, trial{named(fmt.Sprintf("pooling %d/%d", p.kernel, p.stride), t, c),
			[]memory{{kind: k, values: to, out: true}, {kind: octets, values: to, out: true}, {kind: k, values: from, out: true}, {kind: k, values: from}, {kind: k, values: to}},
			func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
				if err := s.MaxPoolForward(on, t, at[0], at[1], at[3], in, out, p.kernel, p.stride); err != nil {
					return err
				}
				return s.MaxPoolBackward(on, t, at[2], at[4], at[1], in, out, p.kernel, p.stride)
			}})
	}
	return all
}

// dropoutTrials: of maps and of lines.
func dropoutTrials(t kernels.Type, c int) (all []trial) {
	k := kindOf(t)
	for _, m := range []kernels.Map{{N: 2, H: 5, W: 4, C: c}, {N: 9, H: 1, W: 1, C: c}} {
		size := m.N * m.H * m.W * m.C
		all = append(all, trial{named(fmt.Sprintf("dropout of %dx%d", m.H, m.W), t, c), []memory{{kind: k, values: size, out: true}, {kind: k, values: size}, controlled(nil)},
			func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
				return s.Dropout(on, t, at[0], at[1], at[2], m, 17, 1<<40+3, 0.4)
			}})
	}
	return all
}

// controlled is the memory of settings, which fill completes with addresses.
func controlled(fill func(c *kernels.Control, at []device.Ptr)) memory {
	return memory{kind: octets, values: kernels.ControlBytes, bytes: func(at []device.Ptr) []byte {
		c := kernels.Control{Step: 1<<33 + 9, First: 3, LossScale: 0.125, Rate: 0.01, Momentum: 0.9, Decay: 0.0005}
		if fill != nil {
			fill(&c, at)
		}
		b := make([]byte, kernels.ControlBytes)
		c.Put(b)
		return b
	}}
}

// integers is memory that holds numbers of 32 bits.
func integers(out bool, v ...int32) memory {
	return memory{kind: words, values: len(v), out: out, bytes: func([]device.Ptr) []byte {
		var b []byte
		for _, x := range v {
			b = binary.LittleEndian.AppendUint32(b, uint32(x))
		}
		return b
	}}
}

// floats is memory that holds numbers of float32.
func floats(v ...float32) memory {
	return memory{kind: float, values: len(v), bytes: func([]device.Ptr) []byte {
		var b []byte
		for _, x := range v {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
		return b
	}}
}

// lossTrial: softmax, cross-entropy, ranks, and the gradient.
func lossTrial(t kernels.Type) trial {
	const n, classes = 6, 301
	return trial{fmt.Sprintf("softmax and loss, %v", t),
		[]memory{{kind: kindOf(t), values: n * classes, out: true}, {kind: float, values: n * classes, out: true}, {kind: float, values: n, out: true},
			integers(true, make([]int32, n)...), {kind: float, values: n * classes}, integers(false, 3, 300, -1, 0, 77, 150),
			controlled(func(c *kernels.Control, at []device.Ptr) { c.Labels = at[5] })},
		func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
			return s.SoftmaxLoss(on, t, at[0], at[1], at[2], at[3], at[4], at[6], n, classes)
		}}
}

// prepareTrials: images of all four sources, in blocks and not.
func prepareTrials(t kernels.Type) (all []trial) {
	const n, c, side, picture = 3, 3, 30, 37
	for _, src := range []kernels.Source{kernels.PlanarFloat32, kernels.PlanarBFloat16, kernels.StoredUint8, kernels.StoredInt16} {
		for _, p := range []kernels.Preparation{
			{Pad: 1, Block: 1, Out: kernels.Map{N: n, H: 33, W: 33, C: 4}},
			{Pad: 2, Block: 4, Out: kernels.Map{N: n, H: 9, W: 9, C: 48}},
		} {
			p.Source, p.Type, p.C, p.H, p.W = src, t, c, side, side
			p.Height, p.Width = picture, picture
			images := memory{kind: octets, values: n * c * side * side * src.Bytes()}
			switch src {
			case kernels.PlanarFloat32:
				images = memory{kind: float, values: n * c * side * side}
			case kernels.PlanarBFloat16:
				images = memory{kind: bfloat, values: n * c * side * side}
			}
			all = append(all, trial{fmt.Sprintf("images of source %d in blocks of %d, to %v", src, p.Block, t),
				[]memory{{kind: kindOf(t), values: n * p.Out.H * p.Out.W * p.Out.C, out: true}, images, {kind: float, values: c * picture * picture}, places(n),
					controlled(func(s *kernels.Control, at []device.Ptr) { s.Source, s.Views = at[1], at[3] })},
				func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
					q := p
					q.Sub = at[2]
					return s.Prepare(on, at[4], at[0], q)
				}})
		}
	}
	return all
}

// places is memory of placements.
func places(n int) memory {
	return memory{kind: octets, values: n * kernels.PlacementBytes, bytes: func([]device.Ptr) []byte {
		b := make([]byte, n*kernels.PlacementBytes)
		for i := range n {
			kernels.Placement{Top: int32(3 * i), Left: int32(7 - 2*i), Flip: int32(i % 2), Shift: [3]float32{0.5, -3.25, float32(i)}}.Put(b[i*kernels.PlacementBytes:])
		}
		return b
	}}
}

// plainTrials: kernels that have one type only.
func plainTrials() []trial {
	const count, chunks = 1003, 3
	return []trial{
		{"widening and narrowing", []memory{{kind: float, values: count, out: true}, {kind: bfloat, values: count, out: true}, {kind: bfloat, values: count}, {kind: float, values: count}},
			func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
				if err := s.Widen(on, at[0], at[2], count); err != nil {
					return err
				}
				return s.Narrow(on, at[1], at[3], count)
			}},
		{"keeping", []memory{{kind: float, values: count, out: true}, {kind: octets, values: count, bytes: func([]device.Ptr) []byte {
			b := make([]byte, count)
			for i := range b {
				b[i] = byte(i % 3)
			}
			return b
		}}},
			func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
				return s.Keep(on, at[0], at[1], count)
			}},
		{"settings", []memory{{kind: octets, values: kernels.ControlBytes, out: true}},
			func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
				return s.SetControl(on, at[0], kernels.Control{Step: 1<<40 + 5, First: 7, Source: 1<<33 + 8, Views: 24, Labels: 1 << 45, LossScale: 0.5, Rate: 0.01, Momentum: 0.9, Decay: 1e-4})
			}},
		{"update", []memory{{kind: float, values: chunks * kernels.Chunk, out: true}, {kind: float, values: chunks * kernels.Chunk, out: true},
			{kind: float, values: chunks * kernels.Chunk}, {kind: bfloat, values: chunks * kernels.Chunk, out: true},
			integers(false, 0, 1, 1), floats(1, 1, 2, 0), integers(true, 0, 0), controlled(nil)},
			func(s *kernels.Set, on device.Stream, at []device.Ptr) error {
				return s.Update(on, at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], chunks)
			}},
	}
}
