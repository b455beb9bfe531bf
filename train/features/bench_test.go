package features

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkNearest compares queries with rows of the paper's 4096 values. Its time,
// but for the queries' packing, is in proportion to the number of pairs.
func BenchmarkNearest(b *testing.B) {
	const queries, rows, size = 2048, 16384, 4096
	r := rand.New(rand.NewPCG(1, 2))
	values := func(n int) []float32 {
		v := make([]float32, n*size)
		for i := range v {
			v[i] = max(0, float32(r.NormFloat64()))
		}
		return v
	}
	s, dir := Source{Split: "train", Size: size, Rows: rows}, b.TempDir()
	w := newWriter(s, dir, 0)
	features := values(rows)
	for row := range rows {
		if err := w.add("key", 0, features[row*size:][:size]); err != nil {
			b.Fatal(err)
		}
	}
	wanted := values(queries)
	b.SetBytes(4 * size * rows)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Nearest(b.Context(), dir, wanted, 6, SearchOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	pairs := queries * rows * float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(pairs/1e6, "Mpairs/s")
	b.ReportMetric(pairs*2*size/1e9, "GFLOP/s")
}
