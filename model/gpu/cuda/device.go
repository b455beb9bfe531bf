//go:build gpu && linux && cgo && (amd64 || arm64)

package cuda

// #include <cuda.h>
import "C"

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"gorgonia.org/cu"

	"alexnet/model/gpu/device"
)

// Device is a GPU.
type Device struct {
	dev  cu.Device
	ctx  cu.CUContext
	info device.Info

	mu     sync.Mutex
	closed bool
	live   [kinds]map[*resource]struct{}
	memory map[device.Ptr]*resource
	host   map[*byte]*hostMemory
}

// hostMemory is what AllocHost returned.
type hostMemory struct {
	resource *resource
	first    uintptr
	bytes    int
}

var _ device.Device = (*Device)(nil)

// Count returns how many GPUs CUDA_VISIBLE_DEVICES leaves. Where there is no driver it
// returns a *NoGPUError.
func Count() (int, error) {
	if err := loadDriver(); err != nil {
		return 0, err
	}
	n, err := cu.NumDevices()
	return n, check("cuDeviceGetCount", err)
}

// Open returns the GPU of that number, counted from 0 among those that
// CUDA_VISIBLE_DEVICES leaves. Where there is none, and where there is no driver, it
// returns a *NoGPUError. It uses the device's primary context, which is also that of
// CUDA's runtime, and so of cuDNN, cuBLAS and NCCL.
func Open(ordinal int) (*Device, error) {
	n, err := Count()
	switch {
	case err != nil:
		return nil, err
	case n == 0:
		return nil, &NoGPUError{Reason: "no GPU: the NVIDIA driver has none (CUDA_VISIBLE_DEVICES may hide it)"}
	case ordinal < 0 || ordinal >= n:
		return nil, fmt.Errorf("no GPU %d: there are %d, counted from 0", ordinal, n)
	}
	dev, err := cu.GetDevice(ordinal)
	if err != nil {
		return nil, check("cuDeviceGet", err)
	}
	info, err := describe(dev)
	if err != nil {
		return nil, err
	}
	ctx, err := dev.RetainPrimaryCtx()
	if err != nil {
		return nil, check("cuDevicePrimaryCtxRetain", err)
	}
	d := &Device{dev: dev, ctx: ctx, info: info, memory: make(map[device.Ptr]*resource), host: make(map[*byte]*hostMemory)}
	for k := range d.live {
		d.live[k] = make(map[*resource]struct{})
	}
	return d, nil
}

// describe asks a device what it is.
func describe(dev cu.Device) (i device.Info, err error) {
	if i.Name, err = dev.Name(); err != nil {
		return i, check("cuDeviceGetName", err)
	}
	if i.Memory, err = dev.TotalMem(); err != nil {
		return i, check("cuDeviceTotalMem", err)
	}
	var domain, bus, slot int
	for _, a := range []struct {
		of cu.DeviceAttribute
		to *int
	}{{cu.ComputeCapabilityMajor, &i.Major}, {cu.ComputeCapabilityMinor, &i.Minor}, {cu.MultiprocessorCount, &i.Units},
		{cu.PciDomainID, &domain}, {cu.PciBusID, &bus}, {cu.PciDeviceID, &slot}} {
		if *a.to, err = dev.Attribute(a.of); err != nil {
			return i, check("cuDeviceGetAttribute", err)
		}
	}
	i.Bus = fmt.Sprintf("%04x:%02x:%02x", domain, bus, slot)
	i.Driver = cu.Version()
	i.Library = "CUDA " + version(i.Driver)
	return i, nil
}

// do calls f with the device's context current. CUDA keeps what is current for each
// thread of the operating system, and goroutines change theirs: so f has its thread for
// itself meanwhile. The context is set each time, since libraries change it, too, and
// costs little when it is the same.
func (d *Device) do(f func() error) error {
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed {
		return errClosed
	}
	return d.current(f)
}

// current is do for a device that is being closed.
func (d *Device) current(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := check("cuCtxSetCurrent", cu.SetCurrentContext(d.ctx)); err != nil {
		return err
	}
	return f()
}

// Do calls f, which calls a library for this device, on a thread of its own that the
// device's context is current on.
func (d *Device) Do(f func() error) error { return d.do(f) }

// Info says what the device is.
func (d *Device) Info() device.Info { return d.info }

// FreeMemory returns the bytes that are free.
func (d *Device) FreeMemory() (free int64, err error) {
	err = d.do(func() error {
		free, _, err = cu.MemInfo()
		return check("cuMemGetInfo", err)
	})
	return free, err
}

// Alloc allocates memory of the device.
func (d *Device) Alloc(bytes int) (device.Ptr, error) {
	if bytes <= 0 {
		return 0, fmt.Errorf("cuMemAlloc of %d bytes", bytes)
	}
	var p cu.DevicePtr
	err := d.do(func() (err error) {
		p, err = cu.MemAlloc(int64(bytes))
		return check("cuMemAlloc", err)
	})
	if isCode(err, C.CUDA_ERROR_OUT_OF_MEMORY) {
		free, _ := d.FreeMemory() // 0 where even that fails
		return 0, &device.MemoryError{Bytes: bytes, Free: free, Err: err}
	}
	if err != nil {
		return 0, err
	}
	r := d.add(memories, func() error { return check("cuMemFree", cu.MemFree(p)) })
	d.mu.Lock()
	d.memory[device.Ptr(p)] = r
	d.mu.Unlock()
	return device.Ptr(p), nil
}

// Release frees memory of the device.
func (d *Device) Release(p device.Ptr) error {
	d.mu.Lock()
	r := d.memory[p]
	delete(d.memory, p)
	d.mu.Unlock()
	if r == nil {
		return fmt.Errorf("cuMemFree: %#x is not what Alloc returned", uint64(p))
	}
	return r.Close()
}

// AllocHost allocates page-locked memory of the host.
func (d *Device) AllocHost(bytes int) ([]byte, error) {
	if bytes <= 0 {
		return nil, fmt.Errorf("cuMemHostAlloc of %d bytes", bytes)
	}
	var p unsafe.Pointer
	err := d.do(func() error {
		// Page-locked for all devices, not for this one only.
		return failed("cuMemHostAlloc", int(C.cuMemHostAlloc(&p, C.size_t(bytes), C.CU_MEMHOSTALLOC_PORTABLE)))
	})
	if err != nil {
		return nil, fmt.Errorf("%d MiB of page-locked memory: %w", bytes>>20, err)
	}
	b := unsafe.Slice((*byte)(p), bytes)
	r := d.add(hosts, func() error { return check("cuMemFreeHost", cu.MemFreeHost(p)) })
	d.mu.Lock()
	d.host[&b[0]] = &hostMemory{resource: r, first: uintptr(p), bytes: bytes}
	d.mu.Unlock()
	return b, nil
}

// ReleaseHost frees page-locked memory.
func (d *Device) ReleaseHost(b []byte) error {
	var h *hostMemory
	if cap(b) > 0 {
		at := unsafe.SliceData(b)
		d.mu.Lock()
		h = d.host[at]
		delete(d.host, at)
		d.mu.Unlock()
	}
	if h == nil {
		return fmt.Errorf("cuMemFreeHost: %d bytes that are not what AllocHost returned", len(b))
	}
	return h.resource.Close()
}

// locked returns the address of bytes in page-locked memory. Go's own memory must not be
// copied from and to: the copy goes on when the call has returned, and the driver would
// make it wait for all work before.
func (d *Device) locked(b []byte) (unsafe.Pointer, error) {
	p := unsafe.Pointer(unsafe.SliceData(b))
	at := uintptr(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.host {
		if at >= h.first && at-h.first <= uintptr(h.bytes) && len(b) <= h.bytes-int(at-h.first) {
			return p, nil
		}
	}
	return nil, fmt.Errorf("a copy of %d bytes of memory that is not of AllocHost", len(b))
}

// Close frees all that was made of the device.
func (d *Device) Close() error {
	d.mu.Lock()
	closed := d.closed
	d.closed = true
	d.mu.Unlock()
	if closed {
		return nil
	}
	var first error
	for k := range d.live {
		for _, r := range d.list(kind(k)) {
			if err := r.Close(); err != nil && first == nil {
				first = err
			}
		}
	}
	if err := check("cuDevicePrimaryCtxRelease", d.dev.ReleasePrimaryCtx()); err != nil && first == nil {
		first = err
	}
	return first
}
