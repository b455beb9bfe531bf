package cpu

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugeBytes is the size of a buffer from which huge pages are worth asking for.
const hugeBytes = 4 << 20

// adviseHuge asks for huge pages behind a large buffer that nobody has touched yet:
// with small ones the processor spends part of its time looking addresses up.
func adviseHuge(buf []float32) {
	if 4*len(buf) < hugeBytes {
		return
	}
	page := unix.Getpagesize()
	start := uintptr(unsafe.Pointer(unsafe.SliceData(buf)))
	skip := int(-start & uintptr(page-1)) // to the first whole page
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(buf))), 4*len(buf))[skip:]
	_ = unix.Madvise(bytes[:len(bytes)/page*page], unix.MADV_HUGEPAGE) // without them it is slower, no more
}
