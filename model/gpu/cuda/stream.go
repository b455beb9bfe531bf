//go:build gpu && linux && cgo && (amd64 || arm64)

package cuda

// #include <cuda.h>
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"gorgonia.org/cu"

	"alexnet/model/gpu/device"
)

// stream is a CUDA stream.
type stream struct {
	*resource
	cu cu.Stream
}

// NewStream makes a stream that does not wait for the default stream, nor it for this.
func (d *Device) NewStream() (device.Stream, error) {
	s := &stream{}
	err := d.do(func() (err error) {
		s.cu, err = cu.MakeStream(cu.NonBlocking)
		return check("cuStreamCreate", err)
	})
	if err != nil {
		return nil, err
	}
	s.resource = d.add(streams, func() error { return check("cuStreamDestroy", s.cu.Destroy()) })
	return s, nil
}

// Handle is the stream's CUstream.
func (s *stream) Handle() uintptr { return uintptr(unsafe.Pointer(s.cu.C())) }

// c is the stream for functions that cu lacks.
func (s *stream) c() C.CUstream { return C.CUstream(unsafe.Pointer(s.cu.C())) }

// CopyIn queues a copy from page-locked memory.
func (s *stream) CopyIn(to device.Ptr, from []byte) error {
	if len(from) == 0 {
		return nil
	}
	p, err := s.dev.locked(from)
	if err != nil {
		return err
	}
	return s.dev.do(func() error {
		return check("cuMemcpyHtoDAsync", cu.MemcpyHtoDAsync(cu.DevicePtr(to), p, int64(len(from)), s.cu))
	})
}

// CopyOut queues a copy to page-locked memory.
func (s *stream) CopyOut(to []byte, from device.Ptr) error {
	if len(to) == 0 {
		return nil
	}
	p, err := s.dev.locked(to)
	if err != nil {
		return err
	}
	return s.dev.do(func() error {
		return check("cuMemcpyDtoHAsync", cu.MemcpyDtoHAsync(p, cu.DevicePtr(from), int64(len(to)), s.cu))
	})
}

// Copy queues a copy within the device.
func (s *stream) Copy(to, from device.Ptr, bytes int) error {
	if bytes == 0 {
		return nil
	}
	return s.dev.do(func() error {
		return check("cuMemcpyDtoDAsync", cu.MemcpyDtoDAsync(cu.DevicePtr(to), cu.DevicePtr(from), int64(bytes), s.cu))
	})
}

// Clear queues zeros.
func (s *stream) Clear(at device.Ptr, bytes int) error {
	if bytes == 0 {
		return nil
	}
	return s.dev.do(func() error {
		return check("cuMemsetD8Async", cu.MemsetD8Async(cu.DevicePtr(at), 0, int64(bytes), s.cu))
	})
}

// Launch queues a kernel.
func (s *stream) Launch(k device.Kernel, g device.Grid, args []uint64) error {
	kern, ok := k.(*kernel)
	if !ok || kern.dev != s.dev {
		return fmt.Errorf("cuLaunchKernel: a kernel (%T) of another device", k)
	}
	if len(args) != kern.params {
		return fmt.Errorf("cuLaunchKernel: %s has %d parameters, not %d", kern.name, kern.params, len(args))
	}
	for i := range 3 {
		g.Blocks[i], g.Threads[i] = max(g.Blocks[i], 1), max(g.Threads[i], 1)
	}
	err := s.dev.do(func() error {
		if err := kern.share(g.Shared); err != nil {
			return err
		}
		return check("cuLaunchKernel", kern.cu.Launch(g.Blocks[0], g.Blocks[1], g.Blocks[2],
			g.Threads[0], g.Threads[1], g.Threads[2], g.Shared, s.cu, pointers(args)))
	})
	if err != nil {
		return fmt.Errorf("kernel %s, blocks %v, threads %v, %d bytes shared: %w", kern.name, g.Blocks, g.Threads, g.Shared, err)
	}
	return nil
}

// pointers returns where each parameter is. cu copies eight bytes from each.
func pointers(args []uint64) []unsafe.Pointer {
	p := make([]unsafe.Pointer, len(args))
	for i := range args {
		p[i] = unsafe.Pointer(&args[i])
	}
	return p
}

// Record lets the event stand for what was queued.
func (s *stream) Record(e device.Event) error {
	ev, err := s.dev.event(e)
	if err != nil {
		return err
	}
	return s.dev.do(func() error { return check("cuEventRecord", ev.cu.Record(s.cu)) })
}

// Wait holds back what is queued from now on until the event.
func (s *stream) Wait(e device.Event) error {
	ev, err := s.dev.event(e)
	if err != nil {
		return err
	}
	return s.dev.do(func() error { return check("cuStreamWaitEvent", s.cu.Wait(ev.cu, 0)) })
}

// Sync waits for all work.
func (s *stream) Sync() error {
	return s.dev.do(func() error { return check("cuStreamSynchronize", s.cu.Synchronize()) })
}

// Capture makes a graph of what f queues. The mode is relaxed: the others forbid what
// libraries do when they are first used, allocations above all, to this thread or to all.
func (s *stream) Capture(f func() error) (device.Graph, error) {
	err := s.dev.do(func() error {
		return failed("cuStreamBeginCapture", int(C.cuStreamBeginCapture(s.c(), C.CU_STREAM_CAPTURE_MODE_RELAXED)))
	})
	if err != nil {
		return nil, err
	}
	var recorded C.CUgraph
	end := func() error {
		return s.dev.do(func() error {
			return failed("cuStreamEndCapture", int(C.cuStreamEndCapture(s.c(), &recorded)))
		})
	}
	ended := false
	defer func() { // the stream is usable again even after a panic of f
		if !ended {
			_ = end()
			_ = s.dev.destroy(recorded)
		}
	}()
	err = f()
	ended = true
	if ferr := errors.Join(err, end()); ferr != nil {
		_ = s.dev.destroy(recorded) // there is another error
		if err != nil {
			return nil, err // and f's is the cause of that of the end
		}
		return nil, ferr
	}
	g, err := s.dev.instantiate(recorded)
	if derr := s.dev.destroy(recorded); err == nil && derr != nil {
		return nil, errors.Join(derr, g.Close())
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}

// Run queues a graph.
func (s *stream) Run(g device.Graph) error {
	gr, ok := g.(*graph)
	if !ok || gr.dev != s.dev {
		return fmt.Errorf("cuGraphLaunch: a graph (%T) of another device", g)
	}
	return s.dev.do(func() error { return failed("cuGraphLaunch", int(C.cuGraphLaunch(gr.exec, s.c()))) })
}

// graph is what was captured, ready to be launched.
type graph struct {
	*resource
	exec C.CUgraphExec
}

// instantiate makes a graph ready.
func (d *Device) instantiate(recorded C.CUgraph) (*graph, error) {
	g := &graph{}
	err := d.do(func() error {
		return failed("cuGraphInstantiate", int(C.cuGraphInstantiateWithFlags(&g.exec, recorded, 0)))
	})
	if err != nil {
		return nil, err
	}
	g.resource = d.add(graphs, func() error { return failed("cuGraphExecDestroy", int(C.cuGraphExecDestroy(g.exec))) })
	return g, nil
}

// destroy frees what a capture recorded.
func (d *Device) destroy(recorded C.CUgraph) error {
	if recorded == nil {
		return nil
	}
	return d.do(func() error { return failed("cuGraphDestroy", int(C.cuGraphDestroy(recorded))) })
}
