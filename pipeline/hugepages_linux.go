package pipeline

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePages asks for huge pages under the whole pages of buf: batches are tens
// of megabytes and written line after line, and the small pages' addresses alone
// cost time. It is a hint; that it fails changes nothing.
func hugePages(buf []byte) {
	page := uintptr(os.Getpagesize())
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(buf))) % page
	if uintptr(len(buf)) < skip+hugePage {
		return
	}
	whole := buf[skip:]
	_ = unix.Madvise(whole[:uintptr(len(whole))/page*page], unix.MADV_HUGEPAGE)
}

// hugePage is the size of the huge pages of most processors.
const hugePage = 2 << 20
