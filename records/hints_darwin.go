package records

import "golang.org/x/sys/unix"

// adviseWillNeed starts reading pages of a mapping.
func adviseWillNeed(pages []byte) {
	_ = unix.Madvise(pages, unix.MADV_WILLNEED) // only a hint
}

// adviseDontNeed says that pages of a mapping are the ones to give up first.
func adviseDontNeed(_ string, mapping []byte, pages span) {
	_ = unix.Madvise(mapping[pages.lo:pages.hi], unix.MADV_DONTNEED) // only a hint
}

// adviseHuge does nothing: no such call is known here.
func adviseHuge([]byte) bool { return false }
