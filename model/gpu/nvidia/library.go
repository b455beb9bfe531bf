//go:build linux && (amd64 || arm64) && !static

package nvidia

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"alexnet/model/gpu/device"
)

// library is cuDNN and cuBLAS with a handle of each, which belong to one CUDA context.
type library struct {
	options   Options
	dnn, blas *functions

	mu     sync.Mutex // handles may be used by one call at a time
	closed bool
	open   int // convolutions that are not closed

	dnnHandle, blasHandle uintptr

	workspaces []device.Ptr    // of cuBLAS
	workspace  int             // bytes of each
	streams    map[uintptr]int // which workspace a stream has

	// Memory for arguments of calls.
	out   uintptr
	ints  [4]int32
	size  uint64
	ranks [16]algorithmRank
	one   float32
	zero  float32
}

// Open finds the libraries and makes them ready on the current CUDA context. The error is
// a *MissingError where one of them is not here.
func Open(o Options) (device.Library, error) {
	return openAt(herePlaces(runtime.GOARCH), o)
}

func openAt(p places, o Options) (device.Library, error) {
	if o.Bind == nil {
		o.Bind = func(f func() error) error {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			return f()
		}
	}
	if o.Streams == 0 {
		o.Streams = 2
	}
	l := &library{options: o, one: 1, streams: make(map[uintptr]int)}
	err := o.Bind(func() (err error) {
		runtime.LockOSThread() // the loader keeps its last error for each thread
		defer runtime.UnlockOSThread()
		l.dnn, l.blas, err = loadBoth(p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("nvidia: %w", err)
	}
	if err := errors.Join(l.allocate(), l.do(l.start)); err != nil {
		return nil, errors.Join(fmt.Errorf("nvidia: %s: %w", l.Name(), err), l.Close())
	}
	return l, nil
}

// allocate gets the workspaces.
func (l *library) allocate() error {
	d := l.options.Device
	if d == nil {
		return nil
	}
	l.workspace = 4 << 20
	if d.Info().Major >= 9 {
		l.workspace = 32 << 20
	}
	for range l.options.Streams {
		at, err := d.Alloc(l.workspace)
		if err != nil {
			return fmt.Errorf("a workspace for cuBLAS: %w", err)
		}
		l.workspaces = append(l.workspaces, at)
	}
	return nil
}

// start makes the handles.
func (l *library) start() (err error) {
	if l.dnnHandle, err = l.create(l.dnn, "cudnnCreate"); err != nil {
		return err
	}
	if l.blasHandle, err = l.create(l.blas, "cublasCreate_v2"); err != nil {
		return err
	}
	// Parts of sums are float32 even where the result is bfloat16.
	return l.blas.call("cublasSetMathMode", l.blasHandle, blasDefaultMath|blasWideReductions)
}

// Name names the libraries and their releases.
func (l *library) Name() string { return l.dnn.title() + ", " + l.blas.title() }

// do runs calls where the context is current, one caller after the other. What a call
// was refused for is looked into afterwards, because the device may have threads of its
// own.
func (l *library) do(f func() error) error {
	err := l.options.Bind(func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.closed {
			return ErrClosed
		}
		return f()
	})
	if err != nil {
		err = explain(err, l.options.Device)
	}
	runtime.KeepAlive(l)
	return err
}

// Close frees what the libraries hold. All work and all convolutions must be done with.
func (l *library) Close() error {
	err := l.do(func() error {
		l.closed = true
		var errs []error
		if l.open > 0 {
			errs = append(errs, fmt.Errorf("nvidia: closed with %d convolutions open", l.open))
		}
		if l.dnnHandle != 0 {
			errs = append(errs, l.dnn.call("cudnnDestroy", l.dnnHandle))
		}
		if l.blasHandle != 0 {
			errs = append(errs, l.blas.call("cublasDestroy_v2", l.blasHandle))
		}
		return errors.Join(errs...)
	})
	if errors.Is(err, ErrClosed) {
		return nil
	}
	errs := []error{err}
	for _, at := range l.workspaces {
		errs = append(errs, l.options.Device.Release(at))
	}
	l.workspaces = nil
	return errors.Join(errs...)
}

// create calls a function that makes something and leaves it at its argument.
func (l *library) create(f *functions, name string) (uintptr, error) {
	l.out = 0
	err := f.call(name, address(&l.out))
	return l.out, err
}

// Product queues c = op(a) op(b). cuBLAS's matrices lie column by column: to it ours are
// their transposes, and c' = op(b)' op(a)'.
func (l *library) Product(s device.Stream, p device.Product, c, a, b device.Ptr) error {
	if err := checkProduct(&p); err != nil {
		return err
	}
	if c == 0 || a == 0 || b == 0 {
		return errors.New("nvidia: product: an operand has no address")
	}
	opA, strideA := int32(blasNone), p.K
	if p.TransA {
		opA, strideA = blasTranspose, p.M
	}
	opB, strideB := int32(blasNone), p.N
	if p.TransB {
		opB, strideB = blasTranspose, p.K
	}
	in := blasType(p.Arithmetic)
	out := in
	if p.Wide {
		out = blasFloat
	}
	return l.do(func() error {
		if err := l.blasStream(s.Handle()); err != nil {
			return err
		}
		return l.blas.call("cublasGemmEx", l.blasHandle, enum(opB), enum(opA), uintptr(p.N), uintptr(p.M), uintptr(p.K),
			address(&l.one), uintptr(b), enum(in), uintptr(strideB), uintptr(a), enum(in), uintptr(strideA),
			address(&l.zero), uintptr(c), enum(out), uintptr(p.N), enum(blasCompute(p.Arithmetic)), enum(blasDefaultGemm))
	})
}

// blasStream makes cuBLAS use a stream, with the stream's workspace: setting a stream
// makes cuBLAS forget the one it had.
func (l *library) blasStream(stream uintptr) error {
	if err := l.blas.call("cublasSetStream_v2", l.blasHandle, stream); err != nil || l.workspaces == nil {
		return err
	}
	i, ok := l.streams[stream]
	if !ok {
		taken := make([]bool, len(l.workspaces))
		for _, j := range l.streams {
			taken[j] = true
		}
		if i = slices.Index(taken, false); i < 0 {
			return fmt.Errorf("nvidia: products are queued in more than %d streams: Forget those that are done with, or raise Options.Streams", len(taken))
		}
		l.streams[stream] = i
	}
	return l.blas.call("cublasSetWorkspace_v2", l.blasHandle, uintptr(l.workspaces[i]), uintptr(l.workspace))
}

// Forget makes the workspace of a stream free for another. The handles are taken off it,
// so that they never name one that is gone; that this may fail where the GPU is lost is
// for the next call to tell.
func (l *library) Forget(s device.Stream) {
	_ = l.do(func() error {
		delete(l.streams, s.Handle())
		return errors.Join(l.dnn.call("cudnnSetStream", l.dnnHandle, 0), l.blas.call("cublasSetStream_v2", l.blasHandle, 0))
	})
}

// address returns where a value on the heap is.
func address[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// enum makes an argument of a number of C's type int.
func enum(v int32) uintptr { return uintptr(v) }
