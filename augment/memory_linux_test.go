package augment

import (
	"testing"

	"golang.org/x/sys/unix"
)

// memory returns n bytes in huge pages, where the system gives them.
func memory(b *testing.B, n int) []byte {
	b.Helper()
	m, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := unix.Munmap(m); err != nil {
			b.Error(err)
		}
	})
	_ = unix.Madvise(m, unix.MADV_HUGEPAGE) // without them it is slower, no more
	return m
}
