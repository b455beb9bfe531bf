package vector

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// guarded returns n values with nothing before them, or nothing behind them: to
// touch a byte there is a fault.
func guarded(t *testing.T, n int, behind bool) []float32 {
	t.Helper()
	page := unix.Getpagesize()
	size := (4*n + page - 1) / page * page
	all, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(all); err != nil {
			t.Error(err)
		}
	})
	for _, guard := range [][]byte{all[:page], all[page+size:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	first := page
	if behind {
		first = page + size - 4*n
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&all[first])), n)
}

// TestLoopsStayInside puts all slices where memory ends.
func TestLoopsStayInside(t *testing.T) {
	for _, behind := range []bool{true, false} {
		for n := 1; n < 100; n += 3 {
			a, b, c := guarded(t, n, behind), guarded(t, n, behind), guarded(t, n, behind)
			for _, l := range loops {
				l.kernel(a, b, c)
			}
			Mask{Rate: 0.5}.Write(a, 0)
		}
	}
}
