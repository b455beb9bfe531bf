package records

import (
	"fmt"
	"path/filepath"
	"testing"
)

// paperShape is the shape of the paper's prepared pictures.
var paperShape = Shape{C: 3, H: 256, W: 256}

// benchEncodings calls f in a sub-benchmark for every way to store pixels.
func benchEncodings(b *testing.B, f func(b *testing.B, p PixelType, c Compression)) {
	for _, p := range []PixelType{Int16, Uint8} {
		for _, c := range []Compression{None, LZ4, Zstd} {
			b.Run(fmt.Sprintf("%s/%s", p, c), func(b *testing.B) { f(b, p, c) })
		}
	}
}

// BenchmarkWrite measures what a picture costs until it is in a shard.
func BenchmarkWrite(b *testing.B) {
	rows := testRecords(8, paperShape)
	benchEncodings(b, func(b *testing.B, p PixelType, c Compression) {
		w, err := CreateShard(filepath.Join(b.TempDir(), "s.arrow"), testOptions(p, c, paperShape))
		if err != nil {
			b.Fatal(err)
		}
		defer w.Abort()
		b.SetBytes(int64(paperShape.Size() * p.Size()))
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := w.Write(rows[i%len(rows)]); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
	})
}

// BenchmarkRow measures what it costs to get at a row whose checksum is known.
func BenchmarkRow(b *testing.B) {
	rows := testRecords(8, paperShape)
	benchEncodings(b, func(b *testing.B, p PixelType, c Compression) {
		path := filepath.Join(b.TempDir(), "s.arrow")
		writeShard(b, path, testOptions(p, c, paperShape), rows)
		s, err := openShard(path)
		if err != nil {
			b.Fatal(err)
		}
		defer s.close()
		var sc Scratch
		b.SetBytes(int64(paperShape.Size() * p.Size()))
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := s.row(i%len(rows), &sc); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
	})
}

// BenchmarkPermutation measures an epoch's order for ILSVRC's training split
// and for all of ImageNet (fall 2011).
func BenchmarkPermutation(b *testing.B) {
	for _, n := range []int{1281167, 14197122} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(4 * int64(n))
			b.ReportAllocs()
			for epoch := uint64(0); b.Loop(); epoch++ {
				Permutation("order", 1, epoch, n)
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/op")
		})
	}
}
