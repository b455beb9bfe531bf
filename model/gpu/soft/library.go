package soft

import (
	"errors"
	"fmt"

	"alexnet/model/gpu/device"
)

// Library computes convolutions and products of matrices by loops of plain Go, as work of
// a Device's streams. Sums are of float32, in a fixed order.
type Library struct {
	d      *Device
	handle *handle
	plans  int // convolvers that are not closed
}

var _ device.Library = (*Library)(nil)

// NewLibrary returns a library for a device.
func NewLibrary(d *Device) *Library {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Library{d: d, handle: d.open("library")}
}

// Name names the package.
func (l *Library) Name() string { return "plain Go" }

// Close reports convolvers that were not closed.
func (l *Library) Close() error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	if err := l.d.ready("Close"); err != nil {
		return err
	}
	if l.plans > 0 {
		return fmt.Errorf("soft: Close of the library: %d convolvers are not closed", l.plans)
	}
	return l.d.close(l.handle)
}

// stream returns the device's own stream.
func (l *Library) stream(s device.Stream, call string) (*Stream, error) {
	own, ok := s.(*Stream)
	if !ok || own.d != l.d {
		return nil, fmt.Errorf("soft: %s in a stream: %w", call, errForeign)
	}
	return own, nil
}

// known returns an error for arithmetic that there is not.
func known(a device.Arithmetic) error {
	if a < device.Float32 || a > device.BFloat16 {
		return fmt.Errorf("soft: there is no arithmetic %d", a)
	}
	return nil
}

// aligned returns an error for an address that is no multiple of n.
func aligned(call string, n int, addresses ...device.Ptr) error {
	for _, p := range addresses {
		if int(p)%n != 0 {
			return &UseError{Work: call, What: fmt.Sprintf("an operand at %#x, which is no multiple of %d", uint64(p), n)}
		}
	}
	return nil
}

// Product queues c = op(a) op(b).
func (l *Library) Product(s device.Stream, p device.Product, c, a, b device.Ptr) error {
	own, err := l.stream(s, Product)
	if err != nil {
		return err
	}
	if err := errors.Join(known(p.Arithmetic), l.usable(Product)); err != nil {
		return err
	}
	if p.M <= 0 || p.N <= 0 || p.K <= 0 {
		return fmt.Errorf("soft: Product of %d x %d x %d: must be positive", p.M, p.N, p.K)
	}
	result := p.Arithmetic
	if p.Wide {
		result = device.Float32
	}
	if err := errors.Join(aligned(Product, p.Bytes(), a, b), aligned(Product, result.Bytes(), c)); err != nil {
		return err
	}
	return own.put(piece{
		kind: Product, label: &label{what: fmt.Sprintf("Product of %d x %d x %d", p.M, p.N, p.K)},
		uses: []use{
			{c, p.M * p.N * result.Bytes(), true},
			{a, p.M * p.K * p.Bytes(), false},
			{b, p.K * p.N * p.Bytes(), false},
		},
		do: func(x *execution) error {
			a, b := load(p.Arithmetic, x.data[1]), load(p.Arithmetic, x.data[2])
			if p.TransA {
				a = transpose(a, p.K, p.M)
			}
			if !p.TransB {
				b = transpose(b, p.K, p.N)
			}
			y := make([]float32, p.M*p.N)
			dots(y, a, b, p.M, p.N, p.K)
			store(result, x.data[0], y)
			return nil
		},
	})
}

// Forget does nothing: the library has nothing for a stream.
func (l *Library) Forget(device.Stream) {}

// usable returns an error when the library was closed.
func (l *Library) usable(call string) error {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	return l.handle.usable(call)
}

// Convolver computes a convolution of a Library.
type Convolver struct {
	l         *Library
	c         device.Convolution
	workspace int
	closed    bool
}

var _ device.Convolver = (*Convolver)(nil)

// operandAlignment is what cuDNN asks of the addresses of tensors.
const operandAlignment = 16

// Convolution plans a convolution. It takes as much workspace as it may, up to what the
// windows of an image are, and fills it with nonsense, as real ones do.
func (l *Library) Convolution(c device.Convolution) (device.Convolver, error) {
	if err := errors.Join(known(c.Arithmetic), l.usable("Convolution")); err != nil {
		return nil, err
	}
	if min(c.N, c.H, c.W, c.C, c.Out, c.Kernel, c.Stride, c.Groups) <= 0 || c.Pad < 0 || c.Workspace < 0 {
		return nil, fmt.Errorf("soft: Convolution %+v: a size is not positive", c)
	}
	if c.C%c.Groups != 0 || c.Out%c.Groups != 0 {
		return nil, fmt.Errorf("soft: Convolution of %d to %d channels: not divisible into %d groups", c.C, c.Out, c.Groups)
	}
	if c.H+2*c.Pad < c.Kernel || c.W+2*c.Pad < c.Kernel {
		return nil, fmt.Errorf("soft: Convolution of %d x %d with a window of %d, padding %d: the window does not fit", c.H, c.W, c.Kernel, c.Pad)
	}
	windows := c.OutH() * c.OutW() * c.Kernel * c.Kernel * c.C * c.Bytes()
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	l.plans++
	return &Convolver{l: l, c: c, workspace: min(c.Workspace, windows)}, nil
}

// Workspace returns the bytes of memory that the methods fill with nonsense.
func (v *Convolver) Workspace() int { return v.workspace }

// Algorithms names the one way it has.
func (v *Convolver) Algorithms() string { return "plain Go loops" }

// Close frees the plan.
func (v *Convolver) Close() error {
	v.l.d.mu.Lock()
	defer v.l.d.mu.Unlock()
	if v.closed {
		return errors.New("soft: Close of a convolver that was closed")
	}
	v.closed = true
	v.l.plans--
	return nil
}

// Forward queues y = x * w.
func (v *Convolver) Forward(s device.Stream, y, x, w, work device.Ptr) error {
	return v.put(s, Forward, true, work, v.outputs(y, true), v.images(x, false), v.weights(w, false), forward)
}

// BackwardWeights queues dw. It is an error when the plan is not for it.
func (v *Convolver) BackwardWeights(s device.Stream, dw, x, dy, work device.Ptr) error {
	return v.put(s, BackwardWeights, v.c.NeedWeights, work, v.weights(dw, true), v.images(x, false), v.outputs(dy, false), backwardWeights)
}

// BackwardData queues dx. It is an error when the plan is not for it.
func (v *Convolver) BackwardData(s device.Stream, dx, dy, w, work device.Ptr) error {
	return v.put(s, BackwardData, v.c.NeedData, work, v.images(dx, true), v.outputs(dy, false), v.weights(w, false), backwardData)
}

func (v *Convolver) images(p device.Ptr, write bool) use {
	return use{p, v.c.N * v.c.H * v.c.W * v.c.C * v.c.Bytes(), write}
}

func (v *Convolver) outputs(p device.Ptr, write bool) use {
	return use{p, v.c.N * v.c.OutH() * v.c.OutW() * v.c.Out * v.c.Bytes(), write}
}

func (v *Convolver) weights(p device.Ptr, write bool) use {
	return use{p, v.c.Out * v.c.Kernel * v.c.Kernel * v.c.C / v.c.Groups * v.c.Bytes(), write}
}

// put queues one of the three computations: the first operand is the result.
func (v *Convolver) put(s device.Stream, kind string, planned bool, work device.Ptr, result, a, b use, compute func(c *device.Convolution, result, a, b []float32)) error {
	own, err := v.l.stream(s, kind)
	if err != nil {
		return err
	}
	if err := v.l.usable(kind); err != nil {
		return err
	}
	if v.isClosed() || !planned {
		return fmt.Errorf("soft: %s of a convolution: it was closed, or is not planned for it", kind)
	}
	if err := aligned(kind, operandAlignment, result.at, a.at, b.at, work); err != nil {
		return err
	}
	c := v.c
	seed := uint64(work)
	return own.put(piece{
		kind: kind, label: &label{what: fmt.Sprintf("%s of %d x %d x %d x %d to %d channels", kind, c.N, c.H, c.W, c.C, c.Out)},
		uses: []use{result, a, b, {work, v.workspace, true}},
		do: func(x *execution) error {
			nonsense(x.data[3], seed)
			y := make([]float32, len(x.data[0])/c.Bytes())
			compute(&c, y, load(c.Arithmetic, x.data[1]), load(c.Arithmetic, x.data[2]))
			store(c.Arithmetic, x.data[0], y)
			return nil
		},
	})
}

func (v *Convolver) isClosed() bool {
	v.l.d.mu.Lock()
	defer v.l.d.mu.Unlock()
	return v.closed
}

// nonsense fills memory with what nobody can use.
func nonsense(b []byte, seed uint64) {
	for i := range b {
		seed = seed*6364136223846793005 + 1442695040888963407
		b[i] = byte(seed >> 56)
	}
}
