package kernels

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"alexnet/model"
	"alexnet/model/gpu/device"
)

// TestDropout compares with model.DropoutMask, with positions in the usual order, of whole
// batches and of slices: also where an image does not begin with a word of the generator.
func TestDropout(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	g := newGPU(t)
	const seed, step, layer = 1<<40 + 5, 3<<33 + 9, 17
	const most = 1<<20 + 3
	firsts := []uint64{0, 1, most}
	controls := make([]device.Ptr, len(firsts))
	for i, first := range firsts {
		controls[i] = g.control(Control{Step: step, First: first})
	}
	// At this rate the word of the position after the first is no longer less than the limit.
	words := model.Philox4x32([4]uint32{0, layer, step & (1<<32 - 1), step >> 32}, [2]uint32{seed & (1<<32 - 1), seed >> 32})
	limit := float64(words[1]) / (1 << 32)
	for _, typ := range types() {
		for _, m := range []Map{{N: 3, H: 1, W: 1, C: 344}, {N: 2, H: 1, W: 1, C: 4104}, {N: 5, H: 1, W: 1, C: 7}, {N: 8, H: 1, W: 1, C: 5}, {N: 2, H: 1, W: 1, C: 12}, {N: 2, H: 3, W: 2, C: 24}, {N: 3, H: 2, W: 5, C: 3}, {N: 1, H: 2, W: 2, C: 300}} {
			for i, rate := range []float64{0.5, 0.1, 0.9, limit, 0, 1} {
				count, area := m.N*m.size(), m.H*m.W
				place := i % len(firsts)
				first := firsts[place] * uint64(m.size())
				mask := make([]float32, count+4)
				model.DropoutMask(mask, seed, step, layer, first&^3, rate)
				mask = mask[first&3:]
				x := random(r, typ, count, 1)
				want := make([]float32, count)
				for i := range x {
					image, within := i/m.size(), i%m.size()
					want[i] = x[i] * mask[image*m.size()+within%m.C*area+within/m.C]
				}
				p := g.values(typ, x, 0)
				g.do(g.set.Dropout(g, typ, p, p, controls[place], m, layer, seed, rate))
				compare(g, fmt.Sprint(typ, m, rate, firsts[place]), typ, g.read(typ, p, count), want, 0, 0)
			}
		}
	}
}
