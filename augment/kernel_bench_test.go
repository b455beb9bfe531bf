package augment

import (
	"fmt"
	"testing"
)

// traffic is what a stream works on: more records than caches hold, in random
// order, and a ring of two batches.
type traffic struct {
	raw    []uint8
	less   []int16
	sub    []float32
	order  []int
	params []Params
	ring   []byte
}

const (
	benchRecords = 460
	benchBatch   = 256
)

func newTraffic(b *testing.B, bytes int) *traffic {
	b.Helper()
	n := 3 * paper.Height * paper.Width
	pic := newPicture(n, 1)
	t := &traffic{sub: pic.mean, ring: memory(b, 2*benchBatch*4*3*paper.Crop*paper.Crop)}
	all := memory(b, benchRecords*n*bytes)
	if bytes == 1 {
		t.raw = all
	} else {
		t.less = values[int16](all)
	}
	for i := range benchRecords {
		copy(t.raw[min(len(t.raw), i*n):], pic.raw)
		copy(t.less[min(len(t.less), i*n):], pic.less)
	}
	clear(t.ring) // map its pages
	color := EigenColor(imagenetVectors, imagenetValues, ScaleStdDev)
	var s stream
	s.seed(1, 1, 1)
	for i := range 4 * benchBatch {
		t.order = append(t.order, int(s.below(benchRecords)))
		t.params = append(t.params, Draw(1, 1, int64(i), paper, &color))
	}
	return t
}

// image makes the i-th image.
func (t *traffic) image(k *Kernel, i int) {
	size := k.ImageBytes()
	dst := t.ring[i%(2*benchBatch)*size:][:size]
	n := 3 * paper.Height * paper.Width
	at := i % len(t.order)
	if t.raw != nil {
		k.Uint8(dst, t.raw[t.order[at]*n:][:n], t.params[at])
	} else {
		k.Int16(dst, t.less[t.order[at]*n:][:n], t.params[at])
	}
}

// BenchmarkKernel makes images as a stream does: of random records, none of
// which is in a cache, into two batches in turn.
func BenchmarkKernel(b *testing.B) {
	for bytes := 1; bytes <= 2; bytes++ {
		t := newTraffic(b, bytes)
		for _, l := range []Layout{NCHW, NHWC} {
			for x := Float32; x <= Stored; x++ {
				s := Spec{Geometry: paper, Channels: 3, StoredBytes: bytes, Sub: t.sub, Type: x, Layout: l}
				names := map[string]bool{}
				for _, k := range kernels(b, s) {
					name := fmt.Sprintf("%v/%v/%v/%v", map[int]string{1: "uint8", 2: "int16"}[bytes], l, x, k.vectors)
					if names[name] {
						continue // the same for more instructions
					}
					names[name] = true
					b.Run(name, func(b *testing.B) {
						b.SetBytes(int64(k.ImageBytes()))
						b.ReportAllocs()
						n := 0
						for b.Loop() {
							t.image(k, n)
							n++
						}
						b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "images/s")
					})
				}
			}
		}
	}
}

// BenchmarkDivided makes images and divides them, as the stream does for a Color with a
// divisor.
func BenchmarkDivided(b *testing.B) {
	t := newTraffic(b, 2)
	k, err := NewKernel(Spec{Geometry: paper, Channels: 3, StoredBytes: 2, Sub: t.sub})
	if err != nil {
		b.Fatal(err)
	}
	size := k.ImageBytes()
	b.ReportAllocs()
	b.SetBytes(int64(size))
	for i := 0; b.Loop(); i++ {
		t.image(k, i)
		Divide(values[float32](t.ring[i%(2*benchBatch)*size:][:size]), 1.1)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
}
