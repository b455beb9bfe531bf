package soft

import (
	"fmt"
	"sort"
	"unsafe"

	"alexnet/model/gpu/device"
)

const (
	// firstAddress is that of the first allocation. Addresses are far from those of the
	// host, and none is used twice: what was released stays known as that.
	firstAddress = 0x7f00_0000_0000
	// alignment is of what Alloc returns.
	alignment = 256
	// guard is at least how many addresses after an allocation belong to none.
	guard = 1 << 20
	// poison is what new memory is full of: a NaN in float32, bfloat16 and float16, and
	// no plausible integer.
	poison = 0x7fc17fc17fc17fc1
)

// block is an allocation, of the device's memory or the host's.
type block struct {
	what     string // "the allocation of 512 bytes of main.go:12"
	at       uint64
	data     []byte // nil when released
	size     int
	released string // where
	log      []access
}

// space has the blocks of the device's memory, by rising address.
type space struct {
	next   uint64
	blocks []*block
}

// find returns the block that begins at or before an address, or nil.
func (s *space) find(at uint64) *block {
	i := sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].at > at })
	if i == 0 {
		return nil
	}
	return s.blocks[i-1]
}

// lookup returns the block that has n bytes from an address on. The error says in words
// why there is none.
func (s *space) lookup(at uint64, n int) (*block, error) {
	b := s.find(at)
	if b == nil || n < 0 {
		return nil, fmt.Errorf("%d bytes at %#x are no memory of the device", n, at)
	}
	offset := at - b.at
	if offset > uint64(b.size) || uint64(n) > uint64(b.size)-offset {
		return nil, fmt.Errorf("%d bytes at %#x, byte %d of %s, end outside of it", n, at, offset, b.what)
	}
	if b.data == nil {
		return nil, fmt.Errorf("%d bytes at %#x, byte %d of %s, which was released at %s", n, at, offset, b.what, b.released)
	}
	return b, nil
}

func (s *space) leaks() (leaks []string) {
	for _, b := range s.blocks {
		if b.data != nil {
			leaks = append(leaks, b.what)
		}
	}
	return leaks
}

// roundUp returns n as a multiple of Alloc's alignment.
func roundUp(n int64) int64 { return (n + alignment - 1) &^ (alignment - 1) }

// poisoned returns memory full of NaNs, at a multiple of 64.
func poisoned(bytes int) []byte {
	words := make([]uint64, bytes/8+9)
	for i := range words {
		words[i] = poison
	}
	first := 0
	for uintptr(unsafe.Pointer(&words[first]))%64 != 0 {
		first++
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[first])), bytes)
}

// taint fills memory with NaNs.
func taint(b []byte) {
	for i := range b {
		b[i] = byte(uint64(poison) >> (i % 2 * 8))
	}
}

// Alloc returns memory that is full of NaNs.
func (d *Device) Alloc(bytes int) (device.Ptr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ready("Alloc"); err != nil {
		return 0, err
	}
	if err := d.unsafeNow("Alloc"); err != nil {
		return 0, err
	}
	if bytes <= 0 {
		return 0, fmt.Errorf("soft: Alloc of %d bytes: must be positive", bytes)
	}
	d.counters.Allocs++
	size := roundUp(int64(bytes))
	if free := d.options.Memory - d.used; due(&d.faults.alloc) || size > free {
		return 0, &device.MemoryError{Bytes: bytes, Free: free, Err: errMemory}
	}
	d.used += size
	b := &block{what: fmt.Sprintf("the allocation of %d bytes of %s", bytes, caller()), at: d.memory.next, data: poisoned(bytes), size: bytes}
	d.memory.next += uint64(size) + guard
	d.memory.blocks = append(d.memory.blocks, b)
	return device.Ptr(b.at), nil
}

// Release takes back what Alloc returned. It is an error when the host does not know, from
// a Sync or Done, that all work with it is done.
func (d *Device) Release(p device.Ptr) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ready("Release"); err != nil {
		return err
	}
	if err := d.unsafeNow("Release"); err != nil {
		return err
	}
	d.counters.Releases++
	b := d.memory.find(uint64(p))
	switch {
	case b == nil || b.at != uint64(p):
		return &UseError{Work: "Release", What: fmt.Sprintf("%#x is not what Alloc returned", uint64(p))}
	case b.data == nil:
		return &UseError{Work: "Release", What: b.what + " was released before, at " + b.released}
	}
	if err := d.unused(b); err != nil {
		return err
	}
	b.data, b.log, b.released = nil, nil, caller()
	d.used -= roundUp(int64(b.size))
	return nil
}

// unused returns an error when work with a block is not known to be done.
func (d *Device) unused(b *block) error {
	for _, a := range b.log {
		if !d.known.has(a.thread, a.seq) {
			return &UseError{Work: "Release", What: b.what + " is used by work that nobody waited for: " + a.work.String()}
		}
	}
	for _, s := range d.streams {
		for _, o := range s.queue {
			if o.uses(b) {
				return &UseError{Work: "Release", What: b.what + " is used by work that is queued: " + o.String()}
			}
		}
	}
	return nil
}
