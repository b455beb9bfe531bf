package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"alexnet/model/gpu/device"
)

// maxPool is max-pooling and its gradient.
func maxPool(x, dy []float32, in, out Map, kernel, stride int) (y, dx []float32, index []byte) {
	dx = make([]float32, len(x))
	at := func(m Map, n, h, w, c int) int { return ((n*m.H+h)*m.W+w)*m.C + c }
	for n := range in.N {
		for oy := range out.H {
			for ox := range out.W {
				for c := range in.C {
					first := at(in, n, oy*stride, ox*stride, c)
					best, place := first, 0
					for ky := range min(kernel, in.H-oy*stride) {
						for kx := range min(kernel, in.W-ox*stride) {
							i := at(in, n, oy*stride+ky, ox*stride+kx, c)
							if x[i] > x[best] || x[i] != x[i] && x[best] == x[best] {
								best, place = i, ky*kernel+kx
							}
						}
					}
					y, index = append(y, x[best]), append(index, byte(place))
					dx[best] += dy[at(out, n, oy, ox, c)]
				}
			}
		}
	}
	return y, dx, index
}

func TestMaxPool(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	g := newGPU(t)
	for number, p := range []struct {
		in             Map
		outH, outW     int
		kernel, stride int
		off            int
	}{
		{Map{2, 7, 9, 16}, 3, 4, 3, 2, 0},
		{Map{1, 8, 6, 24}, 4, 3, 3, 2, 0}, // hang over
		{Map{1, 7, 5, 264}, 3, 2, 3, 2, 0},
		{Map{2, 6, 6, 8}, 3, 3, 2, 2, 0},
		{Map{1, 5, 5, 8}, 3, 3, 2, 2, 0}, // hang over
		{Map{1, 5, 6, 8}, 3, 4, 3, 1, 0},
		{Map{1, 7, 7, 8}, 2, 2, 3, 3, 0},    // some in no window
		{Map{1, 9, 9, 8}, 2, 2, 7, 2, 0},    // many windows each
		{Map{1, 13, 14, 8}, 1, 2, 12, 2, 0}, // places above 127
		{Map{2, 7, 7, 8}, 3, 3, 3, 2, 1},
		{Map{2, 7, 7, 5}, 3, 3, 3, 2, 0},
		{Map{1, 3, 3, 3}, 1, 1, 5, 2, 0}, // larger than the map
		{Map{1, 1, 1, 8}, 1, 1, 3, 2, 0},
	} {
		for _, typ := range types() {
			in, out := p.in, Map{p.in.N, p.outH, p.outW, p.in.C}
			x, dy := random(r, typ, in.N*in.size(), 1), random(r, typ, out.N*out.size(), 1)
			nan := math.Float32frombits(0x7fc00000 | uint32(number%2)<<31)
			for i := range x { // ties, NaNs of either sign and infinities
				switch i % 7 {
				case 0, 1:
					x[i] = 1
				case 2:
					x[i] = float32(math.Inf(-1))
				}
				if i%31 == 0 {
					x[i] = nan
				}
			}
			testMaxPool(g, fmt.Sprint(typ, p), typ, x, dy, in, out, p.kernel, p.stride, p.off, number%4/3)
		}
	}
}

func testMaxPool(g *gpu, what string, typ Type, x, dy []float32, in, out Map, kernel, stride, off, indexOff int) {
	g.t.Helper()
	wantY, wantDX, wantIndex := maxPool(x, dy, in, out, kernel, stride)
	src, index := g.values(typ, x, off), g.bytes(len(dy), indexOff)
	for _, index := range []device.Ptr{0, index} {
		y := g.room(typ, len(dy), off)
		g.do(g.set.MaxPoolForward(g, typ, y, index, src, in, out, kernel, stride))
		compare(g, what, typ, g.read(typ, y, len(dy)), wantY, 0, 0)
	}
	for i, got := range g.view(index, len(dy)) {
		if got != wantIndex[i] {
			g.t.Fatalf("%s: maximum %d is at place %d, want %d", what, i, got, wantIndex[i])
		}
	}
	dx := g.room(typ, len(x), off)
	g.do(g.set.MaxPoolBackward(g, typ, dx, g.values(typ, dy, off), index, in, out, kernel, stride))
	compare(g, what+" dx", typ, g.read(typ, dx, len(x)), wantDX, 0, 0)
}
