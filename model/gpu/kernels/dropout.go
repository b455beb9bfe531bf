package kernels

import (
	"math"

	"alexnet/model/gpu/device"
)

// maskWords is how many positions of a mask one call of the generator decides.
const maskWords = 4

// Dropout computes y = x where model.DropoutMask keeps and 0 where it does not: with the
// step in control, positions from those of the image on that is the first there, layer's index in the net, seed and rate. Features count channel, row,
// column, as everywhere, not as they lie in memory. y may be x. The same call with
// gradients is its backward pass.
func (k *Set) Dropout(s device.Stream, t Type, y, x device.Ptr, control device.Ptr, m Map, layer uint32, seed uint64, rate float64) error {
	area := m.H * m.W
	switch {
	case m.N < 0 || m.H < 1 || m.W < 1 || m.C < 1 || !(rate >= 0 && rate <= 1):
		return fault("Dropout", "maps of %d x %d x %d x %d, rate %v", m.N, m.H, m.W, m.C, rate)
	case m.N*area > math.MaxInt32-(1<<16) || m.N*m.size() > 1<<34:
		return fault("Dropout", "maps of %d x %d x %d x %d are too large", m.N, m.H, m.W, m.C)
	case m.N == 0:
		return nil
	}
	threshold := uint64(math.Round(rate * (1 << 32)))
	count := m.N * m.size()
	if lanes, suffix := width(t, count, y, x); area == 1 && lanes > 1 && m.C%maskWords == 0 {
		return k.launch(s, "dropout_line"+suffix,
			device.Grid{Blocks: [3]int{over(count/lanes, blockThreads)}, Threads: [3]int{blockThreads}},
			device.Args(nil).Ptr(y, x, control).Int(count/lanes).Word(uint64(m.C/maskWords), uint64(layer), seed, threshold))
	}
	at := columnsOf(m.C)
	if at.tiles > mostBlocksYZ {
		return fault("Dropout", "%d channels are too many", m.C)
	}
	return k.launch(s, "dropout_map_"+t.String(),
		device.Grid{Blocks: [3]int{over(m.N*area, at.y), at.tiles}, Threads: [3]int{at.x, at.y}},
		device.Args(nil).Ptr(y, x, control).Int(m.N*area).Word(divisor(area)...).Int(m.C).Word(uint64(layer), seed, threshold))
}
