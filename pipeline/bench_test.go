package pipeline

import (
	"fmt"
	"testing"

	"alexnet/augment"
	"alexnet/records"
)

// BenchmarkStream measures whole batches, from records in the page cache to
// images in the batch, with as many workers as processors: every type of image,
// and every way to store the records. b.N counts images, bytes are those made.
// Package augment has the same without the pipeline: its kernels alone.
func BenchmarkStream(b *testing.B) {
	for _, pixels := range []records.PixelType{records.Uint8, records.Int16} {
		for _, t := range []augment.Type{augment.Float32, augment.Float16, augment.BFloat16, augment.Stored} {
			benchmarkStream(b, recipe{pixels: pixels, compression: records.None}, Options{Type: t})
		}
	}
	for _, compression := range []records.Compression{records.LZ4, records.Zstd} {
		r := recipe{pixels: records.Int16, compression: compression}
		benchmarkStream(b, r, Options{})
		benchmarkStream(b, r, Options{Cache: -1})
	}
}

// benchmarkStream measures one of them, with records of the paper's size.
func benchmarkStream(b *testing.B, r recipe, o Options) {
	r.shape, r.rows, r.shards = records.Shape{C: 3, H: 256, W: 256}, 256, 1
	name := fmt.Sprintf("%s/%s/%v", r.pixels, r.compression, o.Type)
	if o.Cache < 0 {
		name += "/uncached"
	}
	b.Run(name, func(b *testing.B) {
		o.Batch, o.Crop, o.Seed, o.Train, o.Color, o.Epochs = 64, 224, 1, true, &testColor, 1<<30
		p, err := Open(b.Context(), r.write(b), o)
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		next := func() int {
			batch, ok := p.Next(b.Context())
			if !ok {
				b.Fatal(p.Err())
			}
			defer batch.Release()
			return batch.N
		}
		// Verify every checksum, fill the ring, and let rows come to rest in memory.
		for range 4*calmBatches + p.Stats().Depth {
			next()
		}
		b.SetBytes(int64(p.image))
		b.ReportAllocs()
		b.ResetTimer()
		for done := 0; done < b.N; {
			done += next()
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
	})
}
