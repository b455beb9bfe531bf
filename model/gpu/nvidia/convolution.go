//go:build linux && (amd64 || arm64) && !static

package nvidia

import (
	"errors"
	"fmt"

	"alexnet/model/gpu/device"
)

// convolver is a planned convolution.
type convolver struct {
	l       *library
	sizes   device.Convolution
	x, y, w uintptr // descriptors of the images, the result and the weights
	ways    [3]*way // by direction, nil for those that are not wanted

	workspace int
	closed    bool
}

// way is how one direction is computed.
type way struct {
	*direction
	conv    uintptr  // descriptor, with the first choice's kind of multiplications
	a, b, c uintptr  // descriptors of the operands and the result
	choices []choice // the first is used
	settled bool     // it has run: it stays
}

// Convolution plans a convolution: it asks cuDNN's heuristics for algorithms and keeps
// those that are within the limits.
func (l *library) Convolution(c device.Convolution) (device.Convolver, error) {
	if err := checkConvolution(&c); err != nil {
		return nil, err
	}
	v := &convolver{l: l, sizes: c}
	err := l.do(func() error {
		l.open++
		err := v.describe()
		if err == nil {
			err = v.plan()
		}
		if err != nil {
			return errors.Join(err, v.free())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// describe makes the descriptors and lets cuDNN say what sizes it makes of them.
func (v *convolver) describe() (err error) {
	c, f := &v.sizes, v.l.dnn
	kind := enum(dnnType(c.Arithmetic))
	tensor := func(at *uintptr, n, h, w, channels int) error {
		if *at, err = v.l.create(f, "cudnnCreateTensorDescriptor"); err != nil {
			return err
		}
		return f.call("cudnnSetTensor4dDescriptor", *at, dnnNHWC, kind, uintptr(n), uintptr(channels), uintptr(h), uintptr(w))
	}
	if err := tensor(&v.x, c.N, c.H, c.W, c.C); err != nil {
		return err
	}
	if err := tensor(&v.y, c.N, c.OutH(), c.OutW(), c.Out); err != nil {
		return err
	}
	if v.w, err = v.l.create(f, "cudnnCreateFilterDescriptor"); err != nil {
		return err
	}
	if err := f.call("cudnnSetFilter4dDescriptor", v.w, kind, dnnNHWC,
		uintptr(c.Out), uintptr(c.C/c.Groups), uintptr(c.Kernel), uintptr(c.Kernel)); err != nil {
		return err
	}
	operands := [3][3]uintptr{forward: {v.x, v.w, v.y}, backwardWeights: {v.x, v.y, v.w}, backwardData: {v.w, v.y, v.x}}
	for i, wanted := range [3]bool{forward: true, backwardWeights: c.NeedWeights, backwardData: c.NeedData} {
		if !wanted {
			continue
		}
		v.ways[i] = &way{direction: &directionTable[i], a: operands[i][0], b: operands[i][1], c: operands[i][2]}
		if err := v.describeWay(v.ways[i]); err != nil {
			return err
		}
	}
	return v.confirm()
}

// describeWay makes the descriptor of a direction.
func (v *convolver) describeWay(w *way) (err error) {
	c, f := &v.sizes, v.l.dnn
	if w.conv, err = v.l.create(f, "cudnnCreateConvolutionDescriptor"); err != nil {
		return err
	}
	pad, stride := uintptr(c.Pad), uintptr(c.Stride)
	if err := f.call("cudnnSetConvolution2dDescriptor", w.conv, pad, pad, stride, stride, 1, 1, dnnCrossCorrelation, dnnFloat); err != nil {
		return err
	}
	if err := f.call("cudnnSetConvolutionGroupCount", w.conv, uintptr(c.Groups)); err != nil {
		return err
	}
	return f.call("cudnnSetConvolutionMathType", w.conv, enum(dnnMath(c.Arithmetic)))
}

// confirm compares the sizes of the result with cuDNN's own, so that no call writes past
// the memory that it is given.
func (v *convolver) confirm() error {
	c, n := &v.sizes, &v.l.ints
	if err := v.l.dnn.call("cudnnGetConvolution2dForwardOutputDim", v.ways[forward].conv, v.x, v.w,
		address(&n[0]), address(&n[1]), address(&n[2]), address(&n[3])); err != nil {
		return err
	}
	if want := [4]int32{int32(c.N), int32(c.Out), int32(c.OutH()), int32(c.OutW())}; *n != want {
		return fmt.Errorf("nvidia: cuDNN makes %v (N, C, H, W) of the convolution of %s instead of %v", *n, sizes(c), want)
	}
	return nil
}

// plan chooses an algorithm for each direction.
func (v *convolver) plan() error {
	for _, w := range v.ways {
		if w == nil {
			continue
		}
		if err := v.choose(w); err != nil {
			return err
		}
		v.workspace = max(v.workspace, w.reserve())
	}
	return nil
}

// spareBytes is the memory that those algorithms may need which are there for the case that
// the first one is refused when it is to run.
const spareBytes = 64 << 20

// reserve returns the workspace for the first choice, and for those of the others that need
// little.
func (w *way) reserve() int {
	bytes := w.choices[0].memory
	for _, k := range w.choices[1:] {
		if k.memory <= spareBytes {
			bytes = max(bytes, k.memory)
		}
	}
	return bytes
}

// choose ranks the algorithms of a direction.
func (v *convolver) choose(w *way) error {
	l, f := v.l, v.l.dnn
	rank := w.heuristic
	if l.options.Measure {
		rank = w.measure
	}
	clear(l.ranks[:])
	l.ints[0] = 0
	var e *Error
	refused := f.call(rank, l.dnnHandle, w.a, w.b, w.conv, w.c, uintptr(len(l.ranks)), address(&l.ints[0]), address(&l.ranks[0]))
	if refused != nil && !(errors.As(refused, &e) && e.refused()) {
		return refused
	}
	found := 0
	if refused == nil {
		found = min(max(int(l.ints[0]), 0), len(l.ranks))
	}
	list, why := shortlist(l.ranks[:found], &v.sizes, w.direction)
	errs := []error{refused, why}
	for _, k := range list {
		switch memory, err := v.memory(w, k); {
		case errors.As(err, &e) && e.refused():
			errs = append(errs, fmt.Errorf("%s: %w", w.label(k.algorithm), err))
		case err != nil:
			return err
		case memory > uint64(v.sizes.Workspace):
			errs = append(errs, fmt.Errorf("%s needs %d MiB of workspace, of %d MiB allowed", w.label(k.algorithm), memory>>20, v.sizes.Workspace>>20))
		default:
			k.memory = int(memory)
			w.choices = append(w.choices, k)
		}
	}
	if w.choices == nil {
		return &UnsupportedError{What: w.name + " of " + sizes(&v.sizes), Err: errors.Join(errs...)}
	}
	return v.multiply(w)
}

// memory asks what workspace an algorithm needs. cuDNN has been seen to answer with more
// than 2^63.
func (v *convolver) memory(w *way, k choice) (uint64, error) {
	f := v.l.dnn
	if err := f.call("cudnnSetConvolutionMathType", w.conv, enum(k.math)); err != nil {
		return 0, err
	}
	v.l.size = 0
	err := f.call(w.workspace, v.l.dnnHandle, w.a, w.b, w.conv, w.c, enum(k.algorithm), address(&v.l.size))
	return v.l.size, err
}

// multiply sets the kind of multiplications of the first choice.
func (v *convolver) multiply(w *way) error {
	return v.l.dnn.call("cudnnSetConvolutionMathType", w.conv, enum(w.choices[0].math))
}

// Workspace returns the bytes that the methods need beside their operands.
func (v *convolver) Workspace() int { return v.workspace }

// Algorithms names the chosen ones.
func (v *convolver) Algorithms() string {
	v.l.mu.Lock()
	defer v.l.mu.Unlock()
	text := ""
	for _, w := range v.ways {
		if w == nil {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += w.describe(w.choices[0])
	}
	return text
}

// Forward queues y = x * w.
func (v *convolver) Forward(s device.Stream, y, x, w, work device.Ptr) error {
	return v.run(forward, s, x, w, y, work)
}

// BackwardWeights queues dw.
func (v *convolver) BackwardWeights(s device.Stream, dw, x, dy, work device.Ptr) error {
	return v.run(backwardWeights, s, x, dy, dw, work)
}

// BackwardData queues dx.
func (v *convolver) BackwardData(s device.Stream, dx, dy, w, work device.Ptr) error {
	return v.run(backwardData, s, w, dy, dx, work)
}

// run queues a direction. The first time it may find that an algorithm which was ranked
// and has a workspace is refused all the same: then it goes on to the next that has
// enough in the workspace.
func (v *convolver) run(dir int, s device.Stream, a, b, c, work device.Ptr) error {
	name := directionTable[dir].name
	switch {
	case v.ways[dir] == nil:
		return fmt.Errorf("nvidia: convolution of %s: %s was not planned", sizes(&v.sizes), name)
	case a == 0 || b == 0 || c == 0 || work == 0 && v.workspace > 0:
		return fmt.Errorf("nvidia: convolution of %s: %s: an operand or the workspace has no address", sizes(&v.sizes), name)
	}
	return v.l.do(func() error {
		if v.closed {
			return ErrClosed
		}
		if err := v.l.dnn.call("cudnnSetStream", v.l.dnnHandle, s.Handle()); err != nil {
			return err
		}
		return v.settle(v.ways[dir], func(w *way) error { return v.queue(w, a, b, c, work) })
	})
}

// settle calls queue with one choice after the other until one is taken.
func (v *convolver) settle(w *way, queue func(*way) error) error {
	var errs []error
	for {
		err := queue(w)
		if err == nil {
			w.settled = true
			return nil
		}
		var e *Error
		if w.settled || !errors.As(err, &e) || !e.refused() {
			return err
		}
		errs = append(errs, fmt.Errorf("%s: %w", w.label(w.choices[0].algorithm), err))
		next := w.next(v.workspace)
		if next == nil {
			return &UnsupportedError{What: w.name + " of " + sizes(&v.sizes), Err: errors.Join(errs...)}
		}
		w.choices = next
		if err := v.multiply(w); err != nil {
			return err
		}
	}
}

// next returns the choices after the first one, as far as they make do with a workspace.
func (w *way) next(workspace int) []choice {
	for i, k := range w.choices[1:] {
		if k.memory <= workspace {
			return w.choices[1+i:]
		}
	}
	return nil
}

// queue calls the library.
func (v *convolver) queue(w *way, a, b, c, work device.Ptr) error {
	k := w.choices[0]
	return v.l.dnn.call(w.execute, v.l.dnnHandle, address(&v.l.one), w.a, uintptr(a), w.b, uintptr(b), w.conv, enum(k.algorithm),
		uintptr(work), uintptr(k.memory), address(&v.l.zero), w.c, uintptr(c))
}

// Close frees the descriptors.
func (v *convolver) Close() error {
	err := v.l.do(func() error {
		if v.closed {
			return nil
		}
		return v.free()
	})
	if errors.Is(err, ErrClosed) {
		return fmt.Errorf("nvidia: a convolution is closed after its library: %w", err)
	}
	return err
}

// free is Close within a call.
func (v *convolver) free() error {
	v.closed = true
	v.l.open--
	var errs []error
	drop := func(name string, descriptor *uintptr) {
		if *descriptor != 0 {
			errs = append(errs, v.l.dnn.call(name, *descriptor))
		}
		*descriptor = 0
	}
	for _, w := range v.ways {
		if w != nil {
			drop("cudnnDestroyConvolutionDescriptor", &w.conv)
		}
	}
	drop("cudnnDestroyFilterDescriptor", &v.w)
	drop("cudnnDestroyTensorDescriptor", &v.y)
	drop("cudnnDestroyTensorDescriptor", &v.x)
	return errors.Join(errs...)
}
