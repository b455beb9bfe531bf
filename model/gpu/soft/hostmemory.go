package soft

import (
	"errors"
	"fmt"
	"hash/maphash"
	"unsafe"
)

// hostMemory has the blocks of page-locked memory that are not released.
type hostMemory struct {
	blocks []*block
	seed   maphash.Seed // of checksums
}

var errHost = errors.New("the device: no more page-locked memory")

// address returns where in the host's memory bytes begin.
func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// lookup returns the block that has the bytes.
func (h *hostMemory) lookup(p []byte) (*block, error) {
	at := address(p)
	for _, b := range h.blocks {
		if at >= b.at && at <= b.at+uint64(b.size) {
			if at+uint64(len(p)) > b.at+uint64(b.size) {
				break
			}
			return b, nil
		}
	}
	return nil, fmt.Errorf("%d bytes of the host that are not of AllocHost, or were released", len(p))
}

func (h *hostMemory) leaks() (leaks []string) {
	for _, b := range h.blocks {
		leaks = append(leaks, b.what)
	}
	return leaks
}

// AllocHost returns memory of the host that streams may copy from and to. It is full of
// NaNs.
func (d *Device) AllocHost(bytes int) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ready("AllocHost"); err != nil {
		return nil, err
	}
	if err := d.unsafeNow("AllocHost"); err != nil {
		return nil, err
	}
	if bytes <= 0 {
		return nil, fmt.Errorf("soft: AllocHost of %d bytes: must be positive", bytes)
	}
	d.counters.HostAllocs++
	if due(&d.faults.allocHost) {
		return nil, fmt.Errorf("soft: AllocHost of %d bytes: %w", bytes, errHost)
	}
	data := poisoned(bytes)
	b := &block{what: fmt.Sprintf("the host's memory of %d bytes of %s", bytes, caller()), at: address(data), data: data, size: bytes}
	d.host.blocks = append(d.host.blocks, b)
	return data, nil
}

// ReleaseHost takes back what AllocHost returned. It is an error when the host does not
// know, from a Sync or Done, that all copies with it are done.
func (d *Device) ReleaseHost(p []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ready("ReleaseHost"); err != nil {
		return err
	}
	if err := d.unsafeNow("ReleaseHost"); err != nil {
		return err
	}
	d.counters.HostReleases++
	for i, b := range d.host.blocks {
		if b.at != address(p) || len(p) == 0 {
			continue
		}
		if err := d.unused(b); err != nil {
			return err
		}
		d.host.blocks = append(d.host.blocks[:i], d.host.blocks[i+1:]...)
		taint(b.data) // so that it shows when somebody goes on with it
		b.data, b.log, b.released = nil, nil, caller()
		return nil
	}
	return &UseError{Work: "ReleaseHost", What: "this is not what AllocHost returned, or was released before"}
}
