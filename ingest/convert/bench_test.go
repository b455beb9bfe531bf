package convert

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"alexnet/ingest/source"
	"alexnet/ingest/stats"
	"alexnet/records"
)

// BenchmarkRow measures what a picture of 256x256 costs once it is decoded and
// scaled: sums, differences, checksum, digest, file. Its shards are those of
// the defaults, and are flushed to the disk.
func BenchmarkRow(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, pixels := range []records.PixelType{records.Int16, records.Uint8} {
		b.Run(string(pixels), func(b *testing.B) {
			shape := records.Shape{C: 3, H: 256, W: 256}
			t := &task{item: &source.Item{Key: "n01440764/n01440764_10026.JPEG"}, square: square{pixels: make([]uint8, shape.Size()), width: 500, height: 375}}
			for i := range t.pixels {
				t.pixels[i] = uint8(random.Uint32())
			}
			o := records.WriterOptions{Split: "train", Shape: shape, Pixels: pixels, Compression: records.None}
			if pixels == records.Int16 {
				o.Baseline = make([]uint8, shape.Size())
				for i := range o.Baseline {
					o.Baseline[i] = uint8(100 + random.Uint32()%56)
				}
			}
			j := &job{cfg: &Config{}}
			sums := stats.New(shape.C, shape.H, shape.W)
			perShard := records.RowsPerShard(256e6, shape, pixels)
			dir := b.TempDir()
			cpu := cpuTime()
			b.SetBytes(int64(shape.Size() * pixels.Size()))
			b.ReportAllocs()
			for i := 0; b.Loop(); {
				w, err := records.CreateShard(filepath.Join(dir, records.ShardName("train", i, i+1)), o)
				if err != nil {
					b.Fatal(err)
				}
				for range perShard {
					t.item.Key = fmt.Sprintf("n01440764/n01440764_%d.JPEG", i)
					if err := j.write(w, t, sums); err != nil {
						b.Fatal(err)
					}
					i++
				}
				if _, err := w.Commit(); err != nil {
					b.Fatal(err)
				}
			}
			images := float64(b.N * perShard)
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/images, "cpu-µs/image")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/images, "µs/image")
		})
	}
}
