package main

import (
	"sync"

	"alexnet/model/gpu/device"
)

// counted is a device that counts the memory that is allocated of it, in whole grains of
// what addresses are multiples of.
type counted struct {
	device.Device
	mu    sync.Mutex // pipelines allocate beside the engine
	sizes map[device.Ptr]int
	bytes int64 // of the device
	host  int64 // page-locked
}

func count(d device.Device) *counted { return &counted{Device: d, sizes: map[device.Ptr]int{}} }

// Alloc implements device.Device.
func (c *counted) Alloc(bytes int) (device.Ptr, error) {
	p, err := c.Device.Alloc(bytes)
	c.mu.Lock()
	defer c.mu.Unlock()
	const grain = 256
	bytes = (bytes + grain - 1) / grain * grain
	if err == nil {
		c.sizes[p] = bytes
		c.bytes += int64(bytes)
	}
	return p, err
}

// Release implements device.Device.
func (c *counted) Release(p device.Ptr) error {
	c.mu.Lock()
	c.bytes -= int64(c.sizes[p])
	delete(c.sizes, p)
	c.mu.Unlock()
	return c.Device.Release(p)
}

// AllocHost implements device.Device.
func (c *counted) AllocHost(bytes int) ([]byte, error) {
	b, err := c.Device.AllocHost(bytes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.host += int64(len(b))
	return b, err
}

// ReleaseHost implements device.Device.
func (c *counted) ReleaseHost(b []byte) error {
	c.mu.Lock()
	c.host -= int64(len(b))
	c.mu.Unlock()
	return c.Device.ReleaseHost(b)
}

// held returns the bytes that are allocated of the device and of page-locked memory.
func (c *counted) held() (bytes, host int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes, c.host
}
