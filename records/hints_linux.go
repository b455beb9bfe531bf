package records

import (
	"os"

	"golang.org/x/sys/unix"
)

// adviseWillNeed starts reading pages of a mapping.
func adviseWillNeed(pages []byte) {
	_ = unix.Madvise(pages, unix.MADV_WILLNEED) // only a hint
}

// adviseDontNeed drops pages of a file from its mapping, and from the system's
// cache, which keeps what is mapped: hence the order. The file is opened for
// it, as a split may have more shards than a process may have files open.
func adviseDontNeed(file string, mapping []byte, pages span) {
	_ = unix.Madvise(mapping[pages.lo:pages.hi], unix.MADV_DONTNEED) // only hints
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.Fadvise(int(f.Fd()), pages.lo, pages.hi-pages.lo, unix.FADV_DONTNEED)
}

// adviseHuge asks for huge pages, for anonymous memory or a mapped file: filling
// it and reading it then takes fewer faults and fewer page table look-ups. It
// reports whether the system has any.
func adviseHuge(memory []byte) bool {
	return unix.Madvise(memory, unix.MADV_HUGEPAGE) == nil
}
