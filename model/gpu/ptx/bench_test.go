package ptx

import (
	"testing"
)

// benchmarkKernel runs a kernel again and again and reports how many instructions of
// threads are executed in a second.
func benchmarkKernel(b *testing.B, name string, l Launch, mem Memory, args ...uint64) {
	e := entry(b, parse(b, kernelsSource), name)
	counted := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		r := newRunner(e, mem, l, args)
		r.l.Budget = 1 << 26
		r.count = &counted
		if err := r.run(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(counted)/b.Elapsed().Seconds()/1e6, "Minstr/s")
}

func BenchmarkRun(b *testing.B) {
	const n = 1 << 16
	var a arena
	x, y, w := a.floats(randomFloats(n)...), a.floats(make([]float32, n)...), a.words(make([]uint32, 4*n)...)
	for _, noRaces := range []bool{false, true} {
		how := map[bool]string{false: "/watched", true: "/unwatched"}[noRaces]
		grid := func(blocks, threads int) Launch {
			return Launch{Blocks: [3]int{blocks, 1, 1}, Threads: [3]int{threads, 1, 1}, NoRaces: noRaces}
		}
		b.Run("philox"+how, func(b *testing.B) { benchmarkKernel(b, "philox", grid(n/256, 256), &a, w, 5, 6, 7, n) })
		b.Run("block_sum"+how, func(b *testing.B) { benchmarkKernel(b, "block_sum", grid(16, 256), &a, y, x, n) })
		b.Run("axpy4"+how, func(b *testing.B) { benchmarkKernel(b, "axpy4", grid(n/4/256, 256), &a, y, x, 0, n/4) })
		b.Run("odds"+how, func(b *testing.B) { benchmarkKernel(b, "odds", grid(n/256, 256), &a, y, n, 7) })
		b.Run("transpose"+how, func(b *testing.B) {
			l := grid(8, 32)
			l.Blocks[1], l.Threads[1] = 8, 8
			benchmarkKernel(b, "transpose", l, &a, y, x, 256, 256)
		})
	}
}
