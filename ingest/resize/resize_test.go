package resize

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"alexnet/ingest/decode"
)

// blank is a picture in colour without a colour yet.
func blank(w, h int) *decode.Image {
	return &decode.Image{W: w, H: h, C: 3, Pix: make([]uint8, 3*w*h, 3*w*h+decode.Slack)}
}

// noise is a picture of random samples, the same as in testdata/pillow.py.
func noise(w, h int) *decode.Image {
	m := blank(w, h)
	x := uint64(12345 + 1000*w + h)
	for i := range m.Pix {
		x = x*6364136223846793005 + 1442695040888963407
		m.Pix[i] = uint8(x >> 56)
	}
	return m
}

// blocks is a picture of samples that are 0 or 255, in blocks of odd size.
func blocks(w, h int) *decode.Image {
	m := blank(w, h)
	for i := range m.Pix {
		x, y, c := i/3%w, i/3/w, i%3
		if (x/3+y/5+c)%2 == 0 {
			m.Pix[i] = 255
		}
	}
	return m
}

// made returns the square of one picture by the plain kernels or the vector ones.
func made(t testing.TB, set vectors, o Options, src *decode.Image, size, planes int) []uint8 {
	t.Helper()
	r := Resizer{Options: o, vectors: set}
	dst := make([]uint8, planes*size*size)
	if err := r.Square(dst, src, size); err != nil {
		t.Fatal(err)
	}
	return dst
}

// TestAgainstPillow compares with what Pillow 9.4 made of the same pixels.
func TestAgainstPillow(t *testing.T) {
	f, err := os.Open("testdata/pillow.golden.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(z)
	cases, samples, off := 0, 0, 0
	for ; ; cases++ {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		var kind, filter string
		var w, h, size, warp int
		if _, err := fmt.Sscan(line, &kind, &w, &h, &size, &filter, &warp); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		want := make([]uint8, 3*size*size)
		if _, err := io.ReadFull(in, want); err != nil {
			t.Fatal(err)
		}
		o := Options{Warp: warp == 1}
		if o.Filter, err = ParseFilter(filter); err != nil {
			t.Fatal(err)
		}
		src := noise(w, h)
		if kind == "blocks" {
			src = blocks(w, h)
		}
		got := made(t, vectors{}, o, src, size, 3)
		worst := 0
		for i, v := range got {
			d := int(v) - int(want[i])
			worst = max(worst, d, -d)
			samples++
			if d != 0 {
				off++
			}
		}
		if worst > 1 {
			t.Errorf("%s differs from Pillow's by %d levels", strings.TrimSpace(line), worst)
		}
	}
	t.Logf("%d of %d samples differ by a level", off, samples)
	if cases != 66 || off*100 > samples {
		t.Errorf("%d cases; %d of %d samples differ by a level", cases, off, samples)
	}
}

// ideal returns, as Pillow's documentation defines the filters, the weights in
// float64 of input samples for output i.
func ideal(f Filter, in, out, i int) (from int, weights []float64) {
	scale := float64(in) / float64(out)
	unit := max(scale, 1)
	centre := (float64(i) + 0.5) * scale
	from = max(0, int(math.Floor(centre-2*unit)))
	sum := 0.0
	for x := from; x < min(in, int(math.Ceil(centre+2*unit))+1); x++ {
		// To the 2^-40 what lies at an edge is at the edge.
		d := math.Round((float64(x)+0.5-centre)/unit*(1<<40)) / (1 << 40)
		w := 0.0
		switch a := math.Abs(d); f {
		case Triangle:
			w = max(0, 1-a)
		case Box:
			if -0.5 < d && d <= 0.5 {
				w = 1
			}
		case Bicubic:
			if a < 1 {
				w = 1.5*a*a*a - 2.5*a*a + 1
			} else if a < 2 {
				w = -0.5*a*a*a + 2.5*a*a - 4*a + 2
			}
		}
		weights = append(weights, w)
		sum += w
	}
	for k := range weights {
		weights[k] /= sum
	}
	return from, weights
}

// filtered applies ideal weights to a line of samples and clips, but does not round.
func filtered(f Filter, in, out, i int, at func(int) float64) float64 {
	from, weights := ideal(f, in, out, i)
	sum := 0.0
	for k, w := range weights {
		if w != 0 {
			sum += w * at(from+k)
		}
	}
	return min(max(sum, 0), 255)
}

// exact is the slow reference: both passes in float64, clipped, not rounded.
func exact(o Options, src *decode.Image, size int) []float64 {
	w, h := size, size
	if !o.Warp {
		short, long := min(src.W, src.H), max(src.W, src.H)
		newLong := int(float64(size) * float64(long) / float64(short)) // as in torchvision
		if w, h = newLong, size; src.W <= src.H {
			w, h = size, newLong
		}
	}
	left, top := int(math.RoundToEven(float64(w-size)/2)), int(math.RoundToEven(float64(h-size)/2))
	dst := make([]float64, 0, 3*size*size)
	for c := range 3 {
		strip := map[int][]float64{}
		row := func(y int) []float64 {
			if strip[y] == nil {
				for x := range size {
					strip[y] = append(strip[y], filtered(o.Filter, src.W, w, left+x, func(k int) float64 { return float64(src.Pix[3*(y*src.W+k)+c]) }))
				}
			}
			return strip[y]
		}
		for y := range size {
			for x := range size {
				dst = append(dst, filtered(o.Filter, src.H, h, top+y, func(k int) float64 { return row(k)[x] }))
			}
		}
	}
	return dst
}

func TestAgainstExact(t *testing.T) {
	for i, test := range []struct{ w, h, size int }{
		{1, 1, 32}, {1, 3000, 32}, {3000, 1, 32}, {2, 3, 31}, {5, 4, 64}, {64, 64, 64}, {65, 63, 64},
		{255, 257, 256}, {512, 512, 256}, {300, 200, 256}, {375, 500, 224},
		{640, 480, 32}, {333, 999, 17}, {1023, 767, 100}, {2000, 31, 8}, {33, 33, 1}, {7, 9, 1}, {400, 300, 3}, {100, 100, 12},
	} {
		for _, src := range []*decode.Image{noise(test.w, test.h), blocks(test.w, test.h)} {
			for _, f := range []Filter{Triangle, Box, Bicubic} {
				o := Options{Filter: f, Warp: (i+int(f))%3 == 0}
				got := made(t, vectors{}, o, src, test.size, 3)
				want := exact(o, src, test.size)
				worst, sum := 0.0, 0.0
				for i, v := range got {
					d := float64(v) - want[i]
					worst, sum = max(worst, math.Abs(d)), sum+d
				}
				// Each of the two passes rounds by half a level at most, which
				// the cubic's overshoot makes a little more, plus what the
				// weights' last bits lack.
				limit := 1.02
				if f == Bicubic {
					limit = 1.3
				}
				if worst > limit {
					t.Errorf("%s %dx%d to %d: off by up to %.4f levels", o.Name(), test.w, test.h, test.size, worst)
				}
				// Halves are rounded upwards; at a scale of exactly two every
				// second value of the box is one.
				if mean := sum / float64(len(got)); len(got) > 10000 && math.Abs(mean) > 0.6 {
					t.Errorf("%s %dx%d to %d: %.4f levels too much on average", o.Name(), test.w, test.h, test.size, mean)
				}
			}
		}
	}
}

// planar returns columns x..x+w and rows y..y+h of m, plane by plane.
func planar(m *decode.Image, x, y, w, h int) []uint8 {
	var out []uint8
	for c := range 3 {
		for j := range h {
			for i := range w {
				out = append(out, m.Pix[3*((y+j)*m.W+x+i)+c])
			}
		}
	}
	return out
}

func TestIdentity(t *testing.T) {
	for _, f := range []Filter{Triangle, Box, Bicubic} {
		for _, test := range []struct{ w, h, x, y int }{
			{48, 48, 0, 0},
			{51, 48, 2, 0}, // 3 columns are left out: 1.5 rounds to 2 at the left
			{48, 53, 0, 2}, // 2.5 rounds to 2
		} {
			src := noise(test.w, test.h)
			if got := made(t, vectors{}, Options{Filter: f}, src, 48, 3); !bytes.Equal(got, planar(src, test.x, test.y, 48, 48)) {
				t.Errorf("%v: %dx%d did not give its central part", f, test.w, test.h)
			}
		}
	}
}

// TestGrey compares a grey picture with the same one in colour.
func TestGrey(t *testing.T) {
	for _, size := range []int{20, 64} {
		colour := noise(90, 70)
		grey := &decode.Image{W: 90, H: 70, C: 1}
		for i := range 90 * 70 {
			v := colour.Pix[3*i]
			grey.Pix = append(grey.Pix, v)
			colour.Pix[3*i+1], colour.Pix[3*i+2] = v, v
		}
		want := made(t, vectors{}, Options{}, colour, size, 3)
		if got := made(t, vectors{}, Options{}, grey, size, 3); !bytes.Equal(got, want) {
			t.Errorf("size %d: a grey picture gives three other planes", size)
		}
		if got := made(t, vectors{}, Options{}, grey, size, 1); !bytes.Equal(got, want[:size*size]) {
			t.Errorf("size %d: a grey picture gives another single plane", size)
		}
	}
}

// TestWeights checks that all weights sum to one exactly and lie within the
// input, and so that a flat picture stays flat.
func TestWeights(t *testing.T) {
	for _, f := range []Filter{Triangle, Box, Bicubic} {
		for _, test := range [][2]int{
			{1, 256}, {3, 256}, {375, 256}, {500, 341}, {65500, 1}, {65500, 256}, {65499, 65500 * 4}, {1, 65500 * 4096}, {256, 256}, {1000, 999}, {512, 256},
		} {
			in, out := test[0], test[1]
			n := min(out, 3000)
			for _, first := range []int{0, (out - n) / 2, out - n} {
				a := newAxis(f, in, out, first, n)
				if len(a.taps) != n || a.bits < minBits || a.bits > maxBits {
					t.Fatalf("%v, %d to %d: %d taps for %d positions, %d bits", f, in, out, len(a.taps), n, a.bits)
				}
				for i, tp := range a.taps {
					sum, most := int64(0), int64(0)
					for _, v := range a.values[tp.at:][:tp.n] {
						sum, most = sum+int64(v), most+abs(int64(v))
					}
					if sum != 1<<a.bits || most*255+1<<a.bits/2 > math.MaxInt32 || tp.from < 0 || tp.from+tp.n > in || tp.n < 1 {
						t.Fatalf("%v, %d to %d, position %d: samples %d+%d, sum %d of %d, magnitudes %d", f, in, out, first+i, tp.from, tp.n, sum, 1<<a.bits, most)
					}
				}
			}
		}
		for _, v := range []uint8{0, 1, 127, 255} {
			flat := blank(123, 77)
			copy(flat.Pix, bytes.Repeat([]byte{v}, len(flat.Pix)))
			if got := made(t, vectors{}, Options{Filter: f}, flat, 61, 3); !bytes.Equal(got, bytes.Repeat([]byte{v}, len(got))) {
				t.Errorf("%v: a flat picture of %d did not stay flat", f, v)
			}
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
	for _, size := range [][3]int{{100, 80, 32}, {20, 30, 32}, {100, 80, 32}, {100, 80, 20}, {80, 100, 20}, {1, 1, 40}, {900, 900, 32}, {80, 100, 64}} {
		src := noise(size[0], size[1])
		got := make([]uint8, 3*size[2]*size[2])
		if err := r.Square(got, src, size[2]); err != nil {
			t.Fatal(err)
		}
		if want := made(t, vectors{}, Options{}, src, size[2], 3); !bytes.Equal(got, want) {
			t.Errorf("%v: another result with reused memory", size)
		}
	}
}

// TestGolden pins the bytes, which must be the same on all machines.
func TestGolden(t *testing.T) {
	for f, want := range map[Filter]string{
		Triangle: "7b433700d0c26f2d0b84132369da0da5",
		Box:      "779b45891f919b9099bb49b38acda209",
		Bicubic:  "18446528706ca55801942a4212994b36",
	} {
		sum := sha256.New()
		for _, size := range [][3]int{{500, 375, 256}, {333, 500, 256}, {50, 70, 100}, {1600, 40, 33}, {64, 64, 64}} {
			sum.Write(made(t, vectors{}, Options{Filter: f}, noise(size[0], size[1]), size[2], 3))
		}
		if got := hex.EncodeToString(sum.Sum(nil)[:16]); got != want {
			t.Errorf("%v: digest of the results: %s, want %s", f, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	good := noise(4, 4)
	for _, test := range []struct {
		room, size int
		src        *decode.Image
		text       string
	}{
		{3 * 16, 5, good, "room for 48 samples, a square of 5 needs 75, or 25 when grey"},
		{0, 0, good, "a square of 0 pixels; 1 to 4096 are possible"},
		{3, 5000, good, "a square of 5000 pixels"},
		{16, 4, good, "a picture in colour for records with one plane"},
		{3 * 16, 4, &decode.Image{W: 4, H: 0, C: 3}, "a picture of 4x0 pixels"},
		{3 * 16, 4, &decode.Image{W: 4, H: 4, C: 3, Pix: make([]uint8, 47)}, "a picture of 4x4 pixels with 47 bytes"},
	} {
		if err := Square(make([]uint8, test.room), test.src, test.size); err == nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("error %v, want %q", err, test.text)
		}
	}
	if _, err := ParseFilter("lanczos"); err == nil || !strings.Contains(err.Error(), `"lanczos" is not known; triangle, box and bicubic are`) {
		t.Errorf("error %v", err)
	}
}
