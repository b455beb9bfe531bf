package augment

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// guarded returns n bytes with nothing before them, or nothing behind them: to
// touch a byte there is a fault.
func guarded(t *testing.T, n int, behind bool) []byte {
	t.Helper()
	page := unix.Getpagesize()
	size := (n + page - 1) / page * page
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
	inside := all[page : page+size : page+size]
	if behind {
		return inside[size-n:]
	}
	return inside[:n:n]
}

// TestKernelsStayInside puts picture, mean and image where memory ends.
func TestKernelsStayInside(t *testing.T) {
	for side := 16; side <= 80; side++ {
		for _, crop := range []int{side, side - side%16, side - 1} {
			g := Geometry{Height: side, Width: side, Crop: crop}
			pic := newSources(3*side*side, 1)
			for _, behind := range []bool{true, false} {
				stays(t, g, pic, behind)
			}
		}
	}
}

// stays makes images of guarded pictures in guarded memory.
func stays(t *testing.T, g Geometry, pic sources, behind bool) {
	t.Helper()
	get := func(n int) []byte { return guarded(t, n, behind) }
	n := len(pic.raw)
	in := sources{
		raw:  get(n),
		less: unsafe.Slice((*int16)(unsafe.Pointer(&get(2 * n)[0])), n),
		sub:  unsafe.Slice((*float32)(unsafe.Pointer(&get(4 * n)[0])), n),
	}
	copy(in.raw, pic.raw)
	copy(in.less, pic.less)
	copy(in.sub, pic.sub)
	image := get(4 * n)
	specs(g, 3, in.sub, func(s Spec) {
		for _, k := range kernels(t, s) {
			dst := image[len(image)-k.ImageBytes():]
			if !behind {
				dst = image[:k.ImageBytes()]
			}
			for i := range 4 {
				in.call(k, dst, Params{Top: i / 2 * (g.Height - g.Crop), Left: i / 2 * (g.Width - g.Crop), Flip: i%2 == 1})
			}
		}
	})
}
