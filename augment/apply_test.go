package augment

import (
	"fmt"
	"math"
	"testing"
)

// applySlowly is Apply's twin, written as its formula.
func applySlowly[T Pixel](src []T, sub []float32, channels int, g Geometry, p Params) []float32 {
	var out []float32
	for c := range channels {
		for y := range g.Crop {
			for x := range g.Crop {
				column := x
				if p.Flip {
					column = g.Crop - 1 - x
				}
				i := (c*g.Height+p.Top+y)*g.Width + p.Left + column
				v := float32(src[i]) - sub[i]
				if c < 3 {
					v += p.Shift[c]
				}
				out = append(out, v)
			}
		}
	}
	return out
}

// picture is a random stored picture in both encodings, with the mean image
// that goes with them: multiples of 1/1024, and a baseline of integers near it.
type picture struct {
	raw       []uint8
	less      []int16
	mean, res []float32
}

func newPicture(n int, seed uint64) picture {
	var s stream
	s.seed(seed, 0, 0)
	p := picture{raw: make([]uint8, n), less: make([]int16, n), mean: make([]float32, n), res: make([]float32, n)}
	for i := range n {
		p.raw[i] = uint8(s.below(256))
		p.mean[i] = float32(s.below(255*1024+1)) / 1024
		baseline := int(p.mean[i]) - 2 + int(s.below(5))
		baseline = max(0, min(255, baseline))
		p.less[i] = int16(int(p.raw[i]) - baseline)
		p.res[i] = p.mean[i] - float32(baseline)
	}
	return p
}

func sameBits(a, b []float32) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d values, want %d", len(a), len(b))
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return fmt.Errorf("value %d is %v, want %v", i, a[i], b[i])
		}
	}
	return nil
}

// TestApply compares with the slow twin, over odd sizes, every corner and both
// directions, and the two encodings with one another, bit by bit. It also looks
// for writes past the end.
func TestApply(t *testing.T) {
	geometries := []Geometry{
		{Height: 1, Width: 1, Crop: 1},
		{Height: 5, Width: 9, Crop: 4},
		{Height: 9, Width: 5, Crop: 5},
		{Height: 31, Width: 33, Crop: 17},
		{Height: 40, Width: 40, Crop: 32},
	}
	color := EigenColor(imagenetVectors, imagenetValues, ScaleStdDev)
	for _, g := range geometries {
		for _, channels := range []int{1, 3, 4} {
			pic := newPicture(channels*g.Height*g.Width, uint64(g.Width+channels))
			params := []Params{Draw(1, 1, 1, g, &color), Draw(1, 1, 2, g, &color)}
			for v := range Views {
				params = append(params, View(g, v))
			}
			for _, p := range params {
				n := channels * g.Crop * g.Crop
				got8, got16 := make([]float32, n+1), make([]float32, n+1)
				got8[n], got16[n] = 12345, 12345
				Apply(got8, pic.raw, pic.mean, channels, g, p)
				Apply(got16, pic.less, pic.res, channels, g, p)
				if err := sameBits(got8[:n], applySlowly(pic.raw, pic.mean, channels, g, p)); err != nil {
					t.Fatalf("%+v, %d channels, %+v: uint8: %v", g, channels, p, err)
				}
				if err := sameBits(got16[:n], got8[:n]); err != nil {
					t.Fatalf("%+v, %d channels, %+v: int16 against uint8: %v", g, channels, p, err)
				}
				if got8[n] != 12345 || got16[n] != 12345 {
					t.Fatalf("%+v, %d channels: wrote past the end", g, channels)
				}
			}
		}
	}
}

// TestApplyExactly checks a picture small enough to follow by hand.
func TestApplyExactly(t *testing.T) {
	src := []uint8{
		1, 2, 3,
		4, 5, 6,
	}
	sub := []float32{0.5, 0.5, 0.5, 1, 1, 1}
	g := Geometry{Height: 2, Width: 3, Crop: 2}
	dst := make([]float32, 4)
	Apply(dst, src, sub, 1, g, Params{Left: 1, Flip: true, Shift: [3]float32{10, 99, 99}})
	if err := sameBits(dst, []float32{12.5, 11.5, 15, 14}); err != nil {
		t.Error(err)
	}
}

func TestApplyDoesNotAllocate(t *testing.T) {
	g := Geometry{Height: 16, Width: 16, Crop: 12}
	pic := newPicture(3*16*16, 1)
	dst := make([]float32, 3*12*12)
	for _, flip := range []bool{false, true} {
		if n := testing.AllocsPerRun(10, func() { Apply(dst, pic.less, pic.res, 3, g, Params{Flip: flip}) }); n != 0 {
			t.Errorf("flip %t: %v allocations", flip, n)
		}
	}
}

func benchmarkApply[T Pixel](b *testing.B, src []T, sub []float32) {
	dst := make([]float32, 3*paper.Crop*paper.Crop)
	for _, flip := range []bool{false, true} {
		b.Run(fmt.Sprintf("flip=%t", flip), func(b *testing.B) {
			p := Params{Top: 15, Left: 17, Flip: flip, Shift: [3]float32{1.5, -2.25, 3}}
			b.SetBytes(int64(4 * len(dst)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				Apply(dst, src, sub, 3, paper, p)
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

// BenchmarkApplyCold takes another picture and another destination each time, as
// a stream does: more of them than a cache holds.
func BenchmarkApplyCold(b *testing.B) {
	const pictures, images = 128, 96
	pic := newPicture(3*paper.Height*paper.Width, 1)
	src := make([]int16, pictures*len(pic.less))
	for i := range pictures {
		copy(src[i*len(pic.less):], pic.less)
	}
	size := 3 * paper.Crop * paper.Crop
	dst := make([]float32, images*size)
	clear(dst) // map its pages
	for _, flip := range []bool{false, true} {
		b.Run(fmt.Sprintf("int16/flip=%t", flip), func(b *testing.B) {
			p := Params{Top: 15, Left: 17, Flip: flip, Shift: [3]float32{1.5, -2.25, 3}}
			b.SetBytes(int64(4 * size))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				to, from := n%images, n*7%pictures
				Apply(dst[to*size:(to+1)*size], src[from*len(pic.less):(from+1)*len(pic.less)], pic.res, 3, paper, p)
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

func BenchmarkApply(b *testing.B) {
	pic := newPicture(3*paper.Height*paper.Width, 1)
	b.Run("uint8", func(b *testing.B) { benchmarkApply(b, pic.raw, pic.mean) })
	b.Run("int16", func(b *testing.B) { benchmarkApply(b, pic.less, pic.res) })
}
