package pipeline

import (
	"fmt"
	"testing"

	"alexnet/records"
)

// BenchmarkStream measures whole batches of the paper's size, from records in
// the page cache to float32 images, with as many workers as processors. b.N
// counts images.
func BenchmarkStream(b *testing.B) {
	for _, r := range []recipe{
		{pixels: records.Int16, compression: records.None},
		{pixels: records.Uint8, compression: records.None},
		{pixels: records.Int16, compression: records.LZ4},
		{pixels: records.Int16, compression: records.Zstd},
	} {
		r.shape, r.rows, r.shards = records.Shape{C: 3, H: 256, W: 256}, 128, 1
		b.Run(fmt.Sprintf("%s/%s", r.pixels, r.compression), func(b *testing.B) {
			const batch = 32
			ds, split := open(b, r.write(b))
			p, err := OpenSplit(b.Context(), ds, split, Options{
				Batch: batch, Crop: 224, Seed: 1, Train: true, Color: &testColor, Epochs: 1 << 30,
			})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			next := func() {
				batch, ok := p.Next(b.Context())
				if !ok {
					b.Fatal(p.Err())
				}
				batch.Release()
			}
			for range 4 + p.Stats().Depth { // verify every checksum, fill the ring
				next()
			}
			b.SetBytes(4 * 3 * 224 * 224)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += batch {
				next()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
