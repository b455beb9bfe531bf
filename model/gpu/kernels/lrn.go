package kernels

import (
	"cmp"
	"math"

	"alexnet/model/gpu/device"
)

// LRN is a response normalisation, as model.Layer describes it: x divided by
// (K + Alpha * sum of squares)^Beta.
type LRN struct {
	C      int // channels
	Groups int // channels see those of their own group only; 0 means 1
	// Size is the number of channels, or the side of the square of positions, that count:
	// Size/2 on either side.
	Size           int
	Alpha, Beta, K float32

	// Bias, if it is not 0, is a float32 a channel: x is then what a convolution gave, and
	// what is normalised is x + Bias after a ReLU, with the same bits as if BiasAct had made
	// it. Where TakesBias says so only.
	Bias device.Ptr
}

// TakesBias reports whether the kernels for p can add a bias themselves, for maps that lie
// at multiples of 16 bytes.
func (p LRN) TakesBias(t Type) bool {
	group, err := p.check("TakesBias", 0)
	return err == nil && p.fast(t, group) > 0 && p.C/t.lanes() <= blockThreads
}

// general returns an error if only the kernels for the paper's normalisation can do it.
func (p LRN) general(method string) error {
	if p.Bias != 0 {
		return fault(method, "a bias is for the paper's normalisation only, and for addresses that are multiples of 16")
	}
	return nil
}

// check returns an error if p cannot be, and otherwise the channels of a group.
func (p LRN) check(method string, rows int) (group int, err error) {
	groups := max(p.Groups, 1)
	switch {
	case p.C < 1 || p.Size < 1 || p.C%groups != 0:
		return 0, fault(method, "%d channels in %d groups, windows of %d", p.C, groups, p.Size)
	case rows < 0 || rows > math.MaxInt32-(1<<16):
		return 0, fault(method, "%d positions", rows)
	}
	return p.C / groups, nil
}

// fast returns how many channels a thread of the kernels for the paper's normalisation
// takes, or 0 if p is another one.
func (p LRN) fast(t Type, group int, at ...device.Ptr) int {
	lanes := t.lanes()
	if p.Size/2 != 2 || p.Beta != 0.75 || group%lanes != 0 || !aligned(16, at...) {
		return 0
	}
	return lanes
}

// window are the parameters of a normalisation of any kind.
func (p LRN) window() (half int, numbers []float32) {
	return p.Size / 2, []float32{p.Alpha, p.Beta, p.K}
}

// anyGrid is the grid of the kernels for any normalisation, with floats a channel in shared
// memory.
func (p LRN) anyGrid(method string, rows, floats int) (device.Grid, error) {
	at := columnsOf(p.C)
	most := mostShared / (4 * floats * p.C)
	if most == 0 {
		return device.Grid{}, fault(method, "%d channels are more than the %d there is room for", p.C, mostShared/(4*floats))
	}
	at.y = min(at.y, most)
	return device.Grid{Blocks: [3]int{over(rows, at.y)}, Threads: [3]int{at.x, at.y}, Shared: 4 * floats * p.C * at.y}, nil
}

// LRNForward normalises rows positions of p.C channels of t, over the channels. y must not
// be x.
func (k *Set) LRNForward(s device.Stream, t Type, y, x device.Ptr, rows int, p LRN) error {
	group, err := p.check("LRNForward", rows)
	if err != nil || rows == 0 {
		return err
	}
	if lanes := p.fast(t, group, y, x, p.Bias); lanes > 0 {
		at := columnsOf(p.C / lanes)
		return k.launch(s, "lrn_forward_"+t.String()+"v",
			device.Grid{Blocks: [3]int{over(rows, 2*at.y), at.tiles}, Threads: [3]int{at.x, at.y}},
			device.Args(nil).Ptr(y, x, p.Bias).Int(rows, p.C/lanes).Word(divisor(group/lanes)...).Float(p.Alpha, p.K))
	}
	grid, err := p.anyGrid("LRNForward", rows, 1)
	if err = cmp.Or(p.general("LRNForward"), err); err != nil {
		return err
	}
	half, numbers := p.window()
	return k.launch(s, "lrn_any_forward_"+t.String(), grid,
		device.Args(nil).Ptr(y, x).Int(rows, p.C).Word(divisor(group)...).Int(half).Float(numbers...))
}

// LRNBackward computes the gradient dx of LRNForward's x from the gradient dy of its
// result. With relu dx is 0 where x is not positive: then it is the gradient of what was
// put into the ReLU that made x. dx may be dy, but not x.
func (k *Set) LRNBackward(s device.Stream, t Type, dx, dy, x device.Ptr, rows int, p LRN, relu bool) error {
	group, err := p.check("LRNBackward", rows)
	if err != nil || rows == 0 {
		return err
	}
	factor, cut := 2*p.Alpha*p.Beta, 0
	if relu {
		cut = 1
	}
	if lanes := p.fast(t, group, dx, dy, x, p.Bias); lanes > 0 && p.C/lanes <= blockThreads {
		at := columnsOf(p.C / lanes)
		return k.launch(s, "lrn_backward_"+t.String()+"v",
			device.Grid{Blocks: [3]int{over(rows, at.y)}, Threads: [3]int{at.x, at.y}},
			device.Args(nil).Ptr(dx, dy, x, p.Bias).Int(rows, p.C/lanes).Word(divisor(group/lanes)...).
				Float(p.Alpha, p.K, factor).Int(cut))
	}
	grid, err := p.anyGrid("LRNBackward", rows, 3)
	if err = cmp.Or(p.general("LRNBackward"), err); err != nil {
		return err
	}
	half, numbers := p.window()
	return k.launch(s, "lrn_any_backward_"+t.String(), grid,
		device.Args(nil).Ptr(dx, dy, x).Int(rows, p.C).Word(divisor(group)...).Int(half).Float(numbers...).
			Float(factor).Int(cut))
}

// withinGrid is the grid of the kernels within channels that have a position a thread.
func withinGrid(method string, m Map, p LRN) (device.Grid, error) {
	if m.N < 0 || m.H < 1 || m.W < 1 || m.C < 1 || m.size() > math.MaxInt32 || p.Size < 1 {
		return device.Grid{}, fault(method, "maps of %d x %d x %d x %d, windows of %d", m.N, m.H, m.W, m.C, p.Size)
	}
	if m.N > mostBlocksYZ || m.H > mostBlocksYZ {
		return device.Grid{}, fault(method, "%d images of %d rows are too many", m.N, m.H)
	}
	at := columnsOf(m.C).limit(m.W)
	return device.Grid{Blocks: [3]int{over(m.W, at.y), m.H, m.N}, Threads: [3]int{at.x, at.y}}, nil
}

// LRNWithinForward normalises feature maps of t within each channel. p.C and p.Groups do
// not count. y must not be x.
func (k *Set) LRNWithinForward(s device.Stream, t Type, y, x device.Ptr, m Map, p LRN) error {
	grid, err := withinGrid("LRNWithinForward", m, p)
	if err != nil || m.N == 0 {
		return err
	}
	half, numbers := p.window()
	return k.launch(s, "lrn_within_forward_"+t.String(), grid,
		device.Args(nil).Ptr(y, x).Int(m.H, m.W, m.C, half).Float(numbers...))
}

// LRNWithinBackward computes the gradient dx of LRNWithinForward's x from the gradient dy
// of its result. dx must be neither.
func (k *Set) LRNWithinBackward(s device.Stream, t Type, dx, dy, x device.Ptr, m Map, p LRN) error {
	grid, err := withinGrid("LRNWithinBackward", m, p)
	if err != nil || m.N == 0 {
		return err
	}
	half, numbers := p.window()
	name := "lrn_within_large_"
	// As many channels a block as there is room for.
	const most = 32
	if channels := min(mostShared/(12*m.H*m.W), most, m.C); channels > 0 {
		name = "lrn_within_backward_"
		grid = device.Grid{Blocks: [3]int{over(m.C, channels), 1, m.N}, Threads: [3]int{channels, blockThreads / channels},
			Shared: 12 * m.H * m.W * channels}
	}
	return k.launch(s, name+t.String(), grid,
		device.Args(nil).Ptr(dx, dy, x).Int(m.H, m.W, m.C, half).Float(numbers...).Float(2*p.Alpha*p.Beta))
}
