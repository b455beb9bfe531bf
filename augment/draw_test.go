package augment

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

var paper = Geometry{Height: 256, Width: 256, Crop: 224}

// imagenet are components like those of ImageNet: standard deviations from
// cuda-convnet2, nearly grey first axis.
var (
	imagenetVectors = [3][3]float64{
		{-0.5675, -0.5808, -0.5836},
		{0.7192, 0.0045, -0.6948},
		{0.4009, -0.8140, 0.4203},
	}
	imagenetValues = [3]float64{121.78 * 121.78, 37.09 * 37.09, 19.72 * 19.72}
)

// TestDrawGolden pins draws for ever: a run of another year, release or machine
// must see the same crops.
func TestDrawGolden(t *testing.T) {
	color := EigenColor(imagenetVectors, imagenetValues, ScaleStdDev)
	inclusive := paper
	inclusive.Inclusive = true
	upright := paper
	upright.NoFlip = true
	centered := paper
	centered.Centered = true
	tests := []struct {
		seed  uint64
		epoch int
		index int64
		g     Geometry
		color *Color
		want  string
	}{
		{0, 0, 0, paper, &color, "4 29 true [3fda90ab c01923dc 3f9a3a29]"},
		{0, 0, 0, upright, &color, "4 29 false [3fda90ab c01923dc 3f9a3a29]"},
		{0, 0, 0, centered, &color, "16 16 true [3fda90ab c01923dc 3f9a3a29]"},
		{0, 0, 1, paper, &color, "24 11 false [4099d544 4147f5c3 4168aee5]"},
		{1, 0, 0, paper, &color, "23 6 false [c086c669 3e824636 3f8a71d2]"},
		{1, 89, 1281166, paper, &color, "0 3 false [c0950ac9 c0483a8d bf56efbc]"},
		{1, 89, 1281166, paper, nil, "0 3 false [00000000 00000000 00000000]"},
		{1 << 63, 3, 1 << 40, inclusive, &color, "13 20 true [c04a9e1f 40862829 40a65c68]"},
		{7, 2, 5, Geometry{Height: 32, Width: 48, Crop: 32}, nil, "0 11 true [00000000 00000000 00000000]"},
	}
	for _, tt := range tests {
		p := Draw(tt.seed, tt.epoch, tt.index, tt.g, tt.color)
		got := fmt.Sprintf("%d %d %t %08x", p.Top, p.Left, p.Flip, bitsOf(p.Shift))
		if got != tt.want {
			t.Errorf("Draw(%d, %d, %d) = %q, want %q", tt.seed, tt.epoch, tt.index, got, tt.want)
		}
	}
}

func bitsOf(shift [3]float32) (b [3]uint32) {
	for i, x := range shift {
		b[i] = math.Float32bits(x)
	}
	return b
}

func TestDrawIsAFunctionOfItsKey(t *testing.T) {
	color := EigenColor(imagenetVectors, imagenetValues, ScaleStdDev)
	var sampler Sampler
	seen := map[Params]string{}
	for _, seed := range []uint64{0, 1, 1 << 40} {
		for _, epoch := range []int{0, 1, 89} {
			for _, index := range []int64{0, 1, 1281166} {
				p := Draw(seed, epoch, index, paper, &color)
				if again := sampler.Draw(seed, epoch, index, paper, &color); again != p {
					t.Errorf("Sampler.Draw(%d, %d, %d) = %v, Draw gives %v", seed, epoch, index, again, p)
				}
				key := fmt.Sprint(seed, epoch, index)
				if other, ok := seen[p]; ok {
					t.Errorf("keys %s and %s give the same Params %v", key, other, p)
				}
				seen[p] = key
				plain := Draw(seed, epoch, index, paper, nil)
				if plain.Shift != [3]float32{} {
					t.Errorf("no Color, but a shift of %v", plain.Shift)
				}
				p.Shift = [3]float32{}
				if plain != p {
					t.Errorf("crop and flip depend on colour: %v without, %v with", plain, p)
				}
			}
		}
	}
}

// TestCropsAreUniform counts the joint offsets and compares with the chi-square
// distribution, whose mean is its degrees of freedom and whose variance twice
// that; the seeds are fixed, so the outcome is too.
func TestCropsAreUniform(t *testing.T) {
	for _, inclusive := range []bool{false, true} {
		g := Geometry{Height: 256, Width: 240, Crop: 224, Inclusive: inclusive}
		rows, columns := 32, 16
		if inclusive {
			rows, columns = 33, 17
		}
		const each = 100
		n := rows * columns * each
		counts := make([]int, rows*columns)
		flips := 0
		var s Sampler
		for i := range n {
			p := s.Draw(42, 7, int64(i), g, nil)
			if p.Top < 0 || p.Top >= rows || p.Left < 0 || p.Left >= columns {
				t.Fatalf("inclusive %t: crop at %d, %d, want below %d, %d", inclusive, p.Top, p.Left, rows, columns)
			}
			counts[p.Top*columns+p.Left]++
			if p.Flip {
				flips++
			}
		}
		chi := 0.0
		for _, c := range counts {
			chi += float64(c-each) * float64(c-each) / each
		}
		free := float64(len(counts) - 1)
		if math.Abs(chi-free) > 4*math.Sqrt(2*free) {
			t.Errorf("inclusive %t: chi-square of the offsets is %.0f, want %.0f +- %.0f", inclusive, chi, free, math.Sqrt(2*free))
		}
		if d := math.Abs(float64(flips) - float64(n)/2); d > 4*math.Sqrt(float64(n))/2 {
			t.Errorf("inclusive %t: %d of %d flipped, want half", inclusive, flips, n)
		}
	}
}

// TestAlphas checks the coefficients' mean, standard deviation, correlation and
// distribution function. A unit basis makes the shift the alphas themselves.
func TestAlphas(t *testing.T) {
	unit := Color{Basis: [3][3]float32{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, Sigma: DefaultSigma}
	const n = 40000
	var all [3][]float64
	var s Sampler
	for i := range n {
		for j, a := range s.Draw(3, 1, int64(i), paper, &unit).Shift {
			all[j] = append(all[j], float64(a)/DefaultSigma)
		}
	}
	for j, alphas := range all {
		sum, squares, cross := 0.0, 0.0, 0.0
		for i, a := range alphas {
			sum += a
			squares += a * a
			cross += a * all[(j+1)%3][i]
		}
		if mean := sum / n; math.Abs(mean) > 4/math.Sqrt(n) {
			t.Errorf("alpha %d: mean %.4f of its standard deviation, want 0", j, mean)
		}
		if dev := math.Sqrt(squares / n); math.Abs(dev-1) > 4/math.Sqrt(2*n) {
			t.Errorf("alpha %d: standard deviation %.4f, want 1 (of %v)", j, dev, DefaultSigma)
		}
		if r := cross / n; math.Abs(r) > 4/math.Sqrt(n) {
			t.Errorf("alphas %d and %d correlate: %.4f", j, (j+1)%3, r)
		}
		slices.Sort(alphas)
		worst := 0.0
		for i, a := range alphas {
			worst = max(worst, math.Abs(float64(i)/n-0.5*math.Erfc(-a/math.Sqrt2)))
		}
		if limit := 1.63 / math.Sqrt(n); worst > limit { // Kolmogorov-Smirnov, 1 %
			t.Errorf("alpha %d: distribution is off the normal one by %.4f, want below %.4f", j, worst, limit)
		}
	}
}

func TestLogarithm(t *testing.T) {
	var s stream
	s.seed(1, 2, 3)
	worst := 0.0
	for i := range 20000 {
		x := math.Abs(s.symmetric())
		if i%2 == 0 {
			x = math.Ldexp(x, -i%200)
		}
		if x == 0 {
			continue
		}
		got, want := ln(x), math.Log(x)
		worst = max(worst, math.Abs(got-want)/math.Abs(want))
	}
	if worst > 1e-15 {
		t.Errorf("ln is off math.Log by %.2g of its value", worst)
	}
	if ln(1) != 0 {
		t.Errorf("ln(1) = %v", ln(1))
	}
}

func TestViews(t *testing.T) {
	g := Geometry{Height: 256, Width: 261, Crop: 224}
	want := []Params{
		{Top: 0, Left: 0}, {Top: 0, Left: 37}, {Top: 32, Left: 0}, {Top: 32, Left: 37}, {Top: 16, Left: 18},
		{Top: 0, Left: 0, Flip: true}, {Top: 0, Left: 37, Flip: true}, {Top: 32, Left: 0, Flip: true},
		{Top: 32, Left: 37, Flip: true}, {Top: 16, Left: 18, Flip: true},
	}
	if len(want) != Views {
		t.Fatalf("%d views in the table, Views is %d", len(want), Views)
	}
	for v, p := range want {
		if got := View(g, v); got != p {
			t.Errorf("View(%d) = %+v, want %+v", v, got, p)
		}
	}
	if got := View(g, 4); got != Center(g) {
		t.Errorf("View(4) = %+v, the centre is %+v", got, Center(g))
	}
	if View(g, -1) != want[9] || View(g, 13) != want[3] {
		t.Errorf("views are not taken modulo %d", Views)
	}
}

func TestGeometryCheck(t *testing.T) {
	tests := []struct {
		g    Geometry
		want string
	}{
		{paper, ""},
		{Geometry{Height: 5, Width: 7, Crop: 5}, ""},
		{Geometry{Height: 0, Width: 7, Crop: 5}, "augment: pictures of 0 x 7 pixels: both sides must be positive"},
		{Geometry{Height: 5, Width: -1, Crop: 5}, "augment: pictures of 5 x -1 pixels: both sides must be positive"},
		{Geometry{Height: 5, Width: 7, Crop: 0}, "augment: crop of 0 pixels: it must be positive"},
		{Geometry{Height: 5, Width: 7, Crop: 6}, "augment: crop of 6 pixels is larger than the pictures, which are 5 x 7: choose a crop of at most 5"},
	}
	for _, tt := range tests {
		got := ""
		if err := tt.g.Check(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.g, got, tt.want)
		}
	}
}

func TestEigenColor(t *testing.T) {
	values := imagenetValues
	values[2] = -1e-12
	tests := []struct {
		scale ColorScale
		want  [3]float64 // lengths of the basis vectors
	}{
		{ScaleStdDev, [3]float64{121.78, 37.09, 0}},
		{ScaleEigenvalue, [3]float64{121.78 * 121.78 / 255, 37.09 * 37.09 / 255, 0}},
	}
	for _, tt := range tests {
		c := EigenColor(imagenetVectors, values, tt.scale)
		if c.Sigma != DefaultSigma {
			t.Errorf("%v: sigma %v, want %v", tt.scale, c.Sigma, DefaultSigma)
		}
		for j, b := range c.Basis {
			length := math.Sqrt(float64(b[0])*float64(b[0]) + float64(b[1])*float64(b[1]) + float64(b[2])*float64(b[2]))
			if math.Abs(length-tt.want[j]) > 1e-3*tt.want[j] {
				t.Errorf("%v: component %d has length %v, want %v", tt.scale, j, length, tt.want[j])
			}
			for ch := range b {
				if float64(b[ch])*imagenetVectors[j][ch] < 0 {
					t.Errorf("%v: component %d points the other way in channel %d", tt.scale, j, ch)
				}
			}
		}
		shift := c.Shift([3]float64{2, -1, 5})
		for ch := range shift {
			want := 2*c.Basis[0][ch] - c.Basis[1][ch]
			if math.Abs(float64(shift[ch]-want)) > 1e-4 {
				t.Errorf("%v: shift of channel %d is %v, want %v", tt.scale, ch, shift[ch], want)
			}
		}
	}
}

func TestColorScaleText(t *testing.T) {
	for _, s := range []ColorScale{ScaleStdDev, ScaleEigenvalue} {
		text, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		back := ColorScale(-1)
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%v came back as %v, %v", s, back, err)
		}
	}
	var s ColorScale
	if err := s.UnmarshalText([]byte("sqrt")); err == nil || !strings.Contains(err.Error(), `unknown colour scale "sqrt": use stddev`) {
		t.Errorf("unknown scale: %v", err)
	}
	if _, err := ColorScale(9).MarshalText(); err == nil || !strings.Contains(err.Error(), "ColorScale(9)") {
		t.Errorf("MarshalText of a scale that does not exist: %v", err)
	}
}

func TestDrawDoesNotAllocate(t *testing.T) {
	color := EigenColor(imagenetVectors, imagenetValues, ScaleStdDev)
	var s Sampler
	i := int64(0)
	if n := testing.AllocsPerRun(100, func() { s.Draw(1, 2, i, paper, &color); i++ }); n != 0 {
		t.Errorf("%v allocations a draw", n)
	}
}

func BenchmarkDraw(b *testing.B) {
	color := EigenColor(imagenetVectors, imagenetValues, ScaleStdDev)
	b.ReportAllocs()
	var s Sampler
	i := int64(0)
	for b.Loop() {
		s.Draw(1, 2, i, paper, &color)
		i++
	}
}
