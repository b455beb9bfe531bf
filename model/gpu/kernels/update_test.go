package kernels

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"alexnet/model"
	"alexnet/model/gpu/device"
)

// TestUpdate compares with model.Hyper.Apply, bit for bit, and provokes each flag.
func TestUpdate(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	g := newGPU(t)
	nan, huge, inf := float32(math.NaN()), float32(3e38), float32(math.Inf(-1))
	sizes := []int{1024, 2000, 1, 5, 1030, 3, 700}
	hyper := model.Hyper{LearningRate: 0.013, Momentum: 0.9, WeightDecay: 0.37}
	var w, v, grad []float32
	var owner []uint32
	var segments []float32
	var wantFlags []uint32
	var wantW, wantV []float32
	for i, n := range sizes {
		chunks := over(n, Chunk)
		x, y, z := make([]float32, chunks*Chunk), make([]float32, chunks*Chunk), make([]float32, chunks*Chunk)
		copy(x, random(r, Float32, n, 0.1))
		copy(y, random(r, Float32, n, 0.01))
		copy(z, random(r, Float32, n, 3))
		x[0], z[0] = 1e-39, 1e-41 // below the normal numbers
		flags := uint32(0)
		switch i {
		case 2:
			z[0], flags = nan, BadGradient|BadWeight // which goes into the weight
		case 3:
			x[4], flags = inf, BadWeight
		case 4:
			x[1029], y[1029], flags = huge, huge, BadWeight // overflows
		case 5:
			y[2], flags = nan, BadWeight
		}
		rate, decay := 1+0.3*float32(i%2), 0.7*float32(i%3)
		w, v, grad = append(w, x...), append(v, y...), append(grad, z...)
		for range chunks {
			owner = append(owner, uint32(i))
		}
		segments, wantFlags = append(segments, rate, decay), append(wantFlags, flags)
		hyper.Apply(x, y, z, rate, decay)
		wantW, wantV = append(wantW, x...), append(wantV, y...)
	}
	control := g.control(Control{Rate: hyper.LearningRate, Momentum: hyper.Momentum, Decay: hyper.WeightDecay})
	for _, withHalf := range []bool{true, false} {
		atW, atV, flags := g.values(Float32, w, 0), g.values(Float32, v, 0), words(g, make([]uint32, len(sizes))...)
		var half device.Ptr
		if withHalf {
			half = g.room(BFloat16, len(w), 0)
		}
		g.do(g.set.Update(g, atW, atV, g.values(Float32, grad, 0), half, words(g, owner...), g.values(Float32, segments, 0), flags, control, len(owner)))
		compare(g, "weights", Float32, g.read(Float32, atW, len(w)), wantW, 0, 0)
		compare(g, "velocities", Float32, g.read(Float32, atV, len(w)), wantV, 0, 0)
		if withHalf {
			compare(g, "half", BFloat16, g.read(BFloat16, half, len(w)), wantW, 0, 0)
		}
		for i, want := range wantFlags {
			if got := binary.LittleEndian.Uint32(g.view(flags.Add(4*i), 4)); got != want {
				t.Errorf("parameter %d has flags %d, want %d", i, got, want)
			}
		}
	}
}
