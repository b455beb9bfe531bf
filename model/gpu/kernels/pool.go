package kernels

import (
	"math"

	"alexnet/model/gpu/device"
)

// checkPool returns an error if maps of in cannot be pooled to out.
func checkPool(method string, in, out Map, kernel, stride int) error {
	switch {
	case in.N != out.N || in.C != out.C || in.N < 0 || in.C < 1 || in.size() > math.MaxInt32:
		return fault(method, "maps of %d x %d x %d x %d become %d x %d x %d x %d", in.N, in.H, in.W, in.C, out.N, out.H, out.W, out.C)
	case kernel < 1 || kernel > 16 || stride < 1:
		return fault(method, "windows of %d with stride %d: 1 to 16 and at least 1 there may be", kernel, stride)
	case out.H < 1 || out.W < 1 || (out.H-1)*stride >= in.H || (out.W-1)*stride >= in.W:
		return fault(method, "%d x %d windows with stride %d do not begin within maps of %d x %d", out.H, out.W, stride, in.H, in.W)
	case in.N > mostBlocksYZ || in.H > mostBlocksYZ:
		return fault(method, "%d images of %d rows are too many", in.N, in.H)
	}
	return nil
}

// poolGrid is the grid for maps of m whose channels are units.
func poolGrid(m Map, units int) device.Grid {
	at := columnsOf(units).limit(m.W)
	return device.Grid{Blocks: [3]int{over(m.W, at.y), m.H, m.N}, Threads: [3]int{at.x, at.y}}
}

// MaxPoolForward computes the maxima y of windows of kernel x kernel values of x. Windows
// may hang over the end. If index is not 0 it gets a byte for each maximum: its place
// row*kernel+column in the window. Of equal values the first in this order counts; the
// first NaN is larger than all.
func (k *Set) MaxPoolForward(s device.Stream, t Type, y, index, x device.Ptr, in, out Map, kernel, stride int) error {
	if err := checkPool("MaxPoolForward", in, out, kernel, stride); err != nil || in.N == 0 {
		return err
	}
	lanes, suffix := poolWidth(t, in.C, index, y, x)
	name := "pool_forward"
	if kernel == 3 && lanes > 1 {
		name += "3"
	}
	return k.launch(s, name+suffix, poolGrid(out, in.C/lanes),
		device.Args(nil).Ptr(y, index, x).Int(in.H, in.W, out.H, out.W, in.C/lanes, kernel, stride))
}

// MaxPoolBackward computes the gradient dx of MaxPoolForward's x from that of its result
// and the places of the maxima. It writes all of dx.
func (k *Set) MaxPoolBackward(s device.Stream, t Type, dx, dy, index device.Ptr, in, out Map, kernel, stride int) error {
	if err := checkPool("MaxPoolBackward", in, out, kernel, stride); err != nil || in.N == 0 {
		return err
	}
	lanes, suffix := poolWidth(t, in.C, index, dx, dy)
	args := device.Args(nil).Ptr(dx, dy, index).Int(in.H, in.W, out.H, out.W, in.C/lanes)
	if kernel == 3 && stride == 2 && lanes > 1 {
		cells := Map{in.N, over(in.H, 2), over(in.W, 2), in.C}
		return k.launch(s, "pool_backward3"+suffix, poolGrid(cells, in.C/lanes), args)
	}
	return k.launch(s, "pool_backward"+suffix, poolGrid(in, in.C/lanes), args.Int(kernel).Word(divisor(stride)...))
}

// poolWidth is width with an index, of which a thread reads and writes a byte a value.
func poolWidth(t Type, c int, index device.Ptr, at ...device.Ptr) (lanes int, suffix string) {
	if !aligned(t.lanes(), index) {
		return width(t, 1)
	}
	return width(t, c, at...)
}
