package resize

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// noise is a picture of random samples.
func noise(w, h int) *planes {
	random := rand.NewChaCha8([32]byte{byte(w), byte(w >> 8), byte(h), byte(h >> 8)})
	m := &planes{W: w, H: h, Pix: make([]uint8, 3*w*h)}
	random.Read(m.Pix)
	return m
}

// extremes is a picture of samples that are 0 or 255, in blocks of odd size.
func extremes(w, h int) *planes {
	m := &planes{W: w, H: h, Pix: make([]uint8, 3*w*h)}
	for c := range 3 {
		for y := range h {
			for x := range w {
				if (x/3+y/5+c)%2 == 0 {
					m.Plane(c)[y*w+x] = 255
				}
			}
		}
	}
	return m
}

// triangle returns, as Pillow's documentation defines the filter, the weights in
// float64 of all input samples for output i.
func triangle(in, out, i int) (from int, weights []float64) {
	scale := float64(in) / float64(out)
	reach := max(scale, 1)
	centre := (float64(i) + 0.5) * scale
	from = max(0, int(math.Floor(centre-reach)))
	sum := 0.0
	for x := from; x < min(in, int(math.Ceil(centre+reach))+1); x++ {
		w := max(0, 1-math.Abs(float64(x)+0.5-centre)/reach)
		weights = append(weights, w)
		sum += w
	}
	for k := range weights {
		weights[k] /= sum
	}
	return from, weights
}

// exact is the slow reference: both filters at once, in float64, not rounded.
func exact(src *planes, size int) []float64 {
	short, long := min(src.W, src.H), max(src.W, src.H)
	newLong := int(float64(size) * float64(long) / float64(short)) // as in torchvision
	w, h := newLong, size
	if src.W <= src.H {
		w, h = size, newLong
	}
	left, top := int(math.RoundToEven(float64(w-size)/2)), int(math.RoundToEven(float64(h-size)/2))
	dst := make([]float64, 0, 3*size*size)
	type filter struct {
		from    int
		weights []float64
	}
	across := make([]filter, size)
	for x := range across {
		across[x].from, across[x].weights = triangle(src.W, w, left+x)
	}
	for c := range 3 {
		plane := src.Plane(c)
		for y := range size {
			y0, down := triangle(src.H, h, top+y)
			for _, f := range across {
				sum := 0.0
				for j, wy := range down {
					for k, wx := range f.weights {
						sum += wy * wx * float64(plane[(y0+j)*src.W+f.from+k])
					}
				}
				dst = append(dst, sum)
			}
		}
	}
	return dst
}

func TestAgainstExact(t *testing.T) {
	for _, test := range []struct{ w, h, size int }{
		{1, 1, 32}, {1, 3000, 32}, {3000, 1, 32}, {1, 3000, 256}, {2, 3, 31}, {5, 4, 64}, {64, 64, 64}, {65, 63, 64},
		{255, 257, 256}, {257, 255, 256}, {256, 256, 256}, {512, 512, 256}, {300, 200, 256}, {500, 375, 256}, {375, 500, 224},
		{640, 480, 32}, {333, 999, 17}, {1023, 767, 100}, {2000, 31, 8}, {33, 33, 1}, {7, 9, 1}, {400, 300, 3}, {100, 100, 12},
	} {
		for kind, src := range map[string]*planes{"noise": noise(test.w, test.h), "extremes": extremes(test.w, test.h)} {
			got := make([]uint8, 3*test.size*test.size)
			if err := new(Resizer).centerSquare(got, src, test.size); err != nil {
				t.Fatal(err)
			}
			want := exact(src, test.size)
			worst, sum := 0.0, 0.0
			for i, v := range got {
				d := float64(v) - want[i]
				worst, sum = max(worst, math.Abs(d)), sum+d
			}
			// Each of the two passes rounds by half a level at most, plus what
			// the weights' 22 bits lack.
			if worst > 1.001 {
				t.Errorf("%s %dx%d to %d: off by up to %.4f levels", kind, test.w, test.h, test.size, worst)
			}
			// Halves are rounded upwards; at a scale of exactly two every fourth
			// value is one.
			if mean := sum / float64(len(got)); len(got) > 10000 && math.Abs(mean) > 0.3 {
				t.Errorf("%s %dx%d to %d: %.4f levels too much on average", kind, test.w, test.h, test.size, mean)
			}
		}
	}
}

func TestIdentity(t *testing.T) {
	src := noise(48, 48)
	got := make([]uint8, len(src.Pix))
	if err := new(Resizer).centerSquare(got, src, 48); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, src.Pix) {
		t.Error("a picture of the right size was changed")
	}
	wide, high := noise(51, 48), noise(48, 53)
	if err := new(Resizer).centerSquare(got, wide, 48); err != nil {
		t.Fatal(err)
	}
	for y := range 48 {
		// 3 columns are left out: 1.5 rounds to 2 at the left.
		if !bytes.Equal(got[y*48:][:48], wide.Pix[y*51+2:][:48]) {
			t.Fatalf("row %d is not the central part", y)
		}
	}
	if err := new(Resizer).centerSquare(got, high, 48); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[:48*48], high.Pix[2*48:50*48]) { // 2.5 rounds to 2
		t.Error("the rows are not the central ones")
	}
}

// TestWeights checks that all weights sum to one exactly and that none is
// negative, and so that a flat picture stays flat.
func TestWeights(t *testing.T) {
	var table weights
	for _, test := range [][2]int{{1, 256}, {3, 256}, {375, 256}, {500, 341}, {65500, 1}, {65500, 256}, {65499, 65500 * 4}, {256, 256}, {1000, 999}} {
		in, out := test[0], test[1]
		n := min(out, 5000)
		for _, first := range []int{0, (out - n) / 2, out - n} {
			table.set(in, out, first, n)
			if len(table.taps) != n {
				t.Fatalf("%d to %d: %d taps for %d positions", in, out, len(table.taps), n)
			}
			for i, tp := range table.taps {
				sum := uint64(0)
				for _, v := range table.values[tp.at:][:tp.n] {
					sum += uint64(v)
				}
				if sum != one || tp.from < 0 || tp.from+tp.n > in || tp.n < 1 {
					t.Fatalf("%d to %d, position %d: samples %d+%d, sum %d", in, out, first+i, tp.from, tp.n, sum)
				}
			}
		}
	}
	for _, v := range []uint8{0, 1, 127, 255} {
		flat := &planes{W: 123, H: 77, Pix: bytes.Repeat([]byte{v}, 3*123*77)}
		got := make([]uint8, 3*61*61)
		if err := new(Resizer).centerSquare(got, flat, 61); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, bytes.Repeat([]byte{v}, len(got))) {
			t.Errorf("a flat picture of %d did not stay flat", v)
		}
	}
}

func TestScaled(t *testing.T) {
	for _, test := range [][5]int{ // w, h, size, scaled w, h
		{500, 375, 256, 341, 256}, {375, 500, 256, 256, 341}, {500, 333, 256, 384, 256}, {1, 65500, 256, 256, 65500 * 256},
		{257, 255, 256, 258, 256}, {100, 100, 7, 7, 7},
	} {
		if w, h := Scaled(test[0], test[1], test[2]); w != test[3] || h != test[4] {
			t.Errorf("Scaled(%v) = %d, %d", test, w, h)
		}
	}
	for excess, want := range []int{0, 0, 1, 2, 2, 2, 3, 4, 4, 4} {
		if got := offset(excess); got != want {
			t.Errorf("offset(%d) = %d, want %d", excess, got, want)
		}
	}
}

// TestReuse runs one Resizer over pictures of changing sizes.
func TestReuse(t *testing.T) {
	var r Resizer
	for _, size := range [][3]int{{100, 80, 32}, {20, 30, 32}, {100, 80, 32}, {100, 80, 20}, {80, 100, 20}, {1, 1, 40}} {
		src := noise(size[0], size[1])
		got, want := make([]uint8, 3*size[2]*size[2]), make([]uint8, 3*size[2]*size[2])
		if err := r.centerSquare(got, src, size[2]); err != nil {
			t.Fatal(err)
		}
		if err := new(Resizer).centerSquare(want, src, size[2]); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%v: another result with reused memory", size)
		}
	}
}

// TestGolden pins the bytes, which must be the same on all machines.
func TestGolden(t *testing.T) {
	var r Resizer
	sum := sha256.New()
	for _, size := range [][3]int{{500, 375, 256}, {333, 500, 256}, {50, 70, 100}, {1600, 40, 33}, {64, 64, 64}} {
		dst := make([]uint8, 3*size[2]*size[2])
		if err := r.centerSquare(dst, noise(size[0], size[1]), size[2]); err != nil {
			t.Fatal(err)
		}
		sum.Write(dst)
	}
	const want = "3f9cd35442152b2de49be510d8c04b7e"
	if got := hex.EncodeToString(sum.Sum(nil)[:16]); got != want {
		t.Errorf("digest of the results: %s, want %s", got, want)
	}
}

func TestRefusals(t *testing.T) {
	good := noise(4, 4)
	for _, test := range []struct {
		room, size int
		src        *planes
		text       string
	}{
		{3 * 16, 5, good, "room for 48 samples, a square of 5 needs 75"},
		{0, 0, good, "a square of 0 pixels; 1 to 4096 are possible"},
		{3, 5000, good, "a square of 5000 pixels"},
		{3 * 16, 4, &planes{W: 4, H: 0}, "a picture of 4x0 pixels"},
		{3 * 16, 4, &planes{W: 4, H: 4, Pix: make([]uint8, 47)}, "a picture of 4x4 pixels with 47 samples"},
	} {
		if err := new(Resizer).centerSquare(make([]uint8, test.room), test.src, test.size); err == nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("error %v, want %q", err, test.text)
		}
	}
}

func BenchmarkCenterSquare(b *testing.B) {
	for _, size := range [][2]int{{500, 375}, {1600, 1200}, {224, 224}} {
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			var r Resizer
			src, dst := noise(size[0], size[1]), make([]uint8, 3*256*256)
			b.SetBytes(int64(len(src.Pix)))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.centerSquare(dst, src, 256); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
