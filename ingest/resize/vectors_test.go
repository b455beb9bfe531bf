//go:build amd64 && !noasm && !purego

package resize

import (
	"bytes"
	"fmt"
	"testing"

	"alexnet/ingest/decode"
)

// sets are the instruction sets that this processor has.
func sets() map[string]vectors {
	var best vectors
	best.detect()
	all := map[string]vectors{"plain": {set: none}}
	if best.set >= avx2 {
		all["AVX2"] = vectors{set: avx2}
	}
	if best.set >= avx512 {
		all["AVX-512"] = vectors{set: avx512}
	}
	return all
}

// same compares all kernels on one picture.
func same(t *testing.T, o Options, src *decode.Image, size int) {
	t.Helper()
	want := made(t, vectors{set: none}, o, src, size, 3)
	for name, set := range sets() {
		if got := made(t, set, o, src, size, 3); !bytes.Equal(got, want) {
			at := 0
			for got[at] == want[at] {
				at++
			}
			t.Errorf("%s, %s, %dx%d to %d: sample %d is %d, the plain kernels have %d", name, o.Name(), src.W, src.H, size, at, got[at], want[at])
		}
	}
}

// TestKernelsAgree compares the vector kernels with the plain ones over shapes
// that leave every remainder.
func TestKernelsAgree(t *testing.T) {
	for _, f := range []Filter{Triangle, Box, Bicubic} {
		for size := 32; size <= 66; size += 1 + int(f) {
			for _, shape := range [][2]int{{16, 16}, {33 + size, 40}, {size, size}, {size + 1, size + 3}, {17, 3 * size}, {4 * size, 18}, {5, 700}} {
				same(t, Options{Filter: f}, noise(shape[0], shape[1]), size)
				same(t, Options{Filter: f, Warp: true}, blocks(shape[0], shape[1]), size)
			}
		}
		for w := 60; w < 80; w++ {
			same(t, Options{Filter: f}, noise(w, 50), 40)
			same(t, Options{Filter: f, Warp: true}, noise(50, w), 40)
		}
		same(t, Options{Filter: f}, blocks(500, 375), 256)
		same(t, Options{Filter: f}, blocks(2000, 1500), 256)
	}
}

// TestNoSlack gives the kernels a picture that ends with its memory.
func TestNoSlack(t *testing.T) {
	src := noise(99, 64)
	tight := *src
	tight.Pix = bytes.Clone(src.Pix)[:len(src.Pix):len(src.Pix)]
	for name, set := range sets() {
		if !bytes.Equal(made(t, set, Options{}, &tight, 64, 3), made(t, set, Options{}, src, 64, 3)) {
			t.Errorf("%s: another result without memory behind the picture", name)
		}
	}
}

// FuzzKernels compares all kernels on shapes that nobody thought of.
func FuzzKernels(f *testing.F) {
	f.Add(uint16(50), uint16(37), uint8(32), uint8(0))
	f.Add(uint16(1), uint16(900), uint8(200), uint8(5))
	f.Fuzz(func(t *testing.T, w, h uint16, size, kind uint8) {
		src := noise(int(w)%1000+1, int(h)%1000+1)
		if kind&8 != 0 {
			src = blocks(src.W, src.H)
		}
		same(t, Options{Filter: Filter(kind % 3), Warp: kind&4 != 0}, src, int(size)+1)
	})
}

func BenchmarkSquare(b *testing.B) {
	for _, size := range [][2]int{{500, 375}, {1600, 1200}, {224, 224}} {
		for name, set := range sets() {
			b.Run(fmt.Sprintf("%dx%d/%s", size[0], size[1], name), func(b *testing.B) {
				r := Resizer{vectors: set}
				src, dst := noise(size[0], size[1]), make([]uint8, 3*256*256)
				b.SetBytes(int64(len(src.Pix)))
				b.ReportAllocs()
				for b.Loop() {
					if err := r.Square(dst, src, 256); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
