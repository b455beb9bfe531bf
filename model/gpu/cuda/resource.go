//go:build gpu && linux && cgo && (amd64 || arm64)

package cuda

import "sync"

// kind is what a resource is, in the order in which Close frees them.
type kind int

const (
	graphs kind = iota
	modules
	events
	streams
	memories
	hosts
	kinds
)

// resource is something of the driver's, which is freed once.
type resource struct {
	dev  *Device
	kind kind
	once sync.Once
	free func() error
	err  error
}

// add enters what free frees into the device's books.
func (d *Device) add(k kind, free func() error) *resource {
	r := &resource{dev: d, kind: k, free: free}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.live[k][r] = struct{}{}
	return r
}

// list returns the resources of a kind that are still there.
func (d *Device) list(k kind) []*resource {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []*resource
	for r := range d.live[k] {
		all = append(all, r)
	}
	return all
}

// Close frees the resource. A second time it does nothing.
func (r *resource) Close() error {
	r.once.Do(func() {
		r.dev.mu.Lock()
		delete(r.dev.live[r.kind], r)
		r.dev.mu.Unlock()
		r.err = r.dev.current(r.free)
	})
	return r.err
}

// Live is how many of each there are of a device that were not freed.
type Live struct {
	Memory, Host, Streams, Events, Modules, Graphs int
}

// Live counts what was made of the device and not freed, for tests.
func (d *Device) Live() Live {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Live{
		Memory: len(d.live[memories]), Host: len(d.live[hosts]), Streams: len(d.live[streams]),
		Events: len(d.live[events]), Modules: len(d.live[modules]), Graphs: len(d.live[graphs]),
	}
}
