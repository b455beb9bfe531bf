package stats

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// pictures makes n pictures whose channels depend on each other.
func pictures(n, h, w int) [][]uint8 {
	random := rand.New(rand.NewPCG(uint64(n), uint64(h*w)))
	all := make([][]uint8, n)
	for k := range all {
		p := make([]uint8, 3*h*w)
		for i := range h * w {
			base := random.Float64() * 200
			p[i] = uint8(base + random.Float64()*50)
			p[h*w+i] = uint8(base*0.9 + random.Float64()*20 + float64(i%5))
			p[2*h*w+i] = uint8(base*0.5 + random.Float64()*100)
		}
		all[k] = p
	}
	return all
}

func sum(t *testing.T, h, w int, pictures [][]uint8) *Sums {
	t.Helper()
	s := New(3, h, w)
	for _, p := range pictures {
		if err := s.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestAgainstFloat64 recomputes mean and covariance in the straightforward way.
func TestAgainstFloat64(t *testing.T) {
	for _, size := range [][3]int{{37, 9, 11}, {1, 1, 2}, {3, 80, 70}} {
		n, h, w := size[0], size[1], size[2]
		all := pictures(n, h, w)
		s := sum(t, h, w, all)
		mean, base := s.Mean(), s.Baseline()
		for i := range mean {
			want := 0.0
			for _, p := range all {
				want += float64(p[i])
			}
			want /= float64(n)
			if math.Abs(float64(mean[i])-want) > 0.5/1024+1e-9 {
				t.Fatalf("mean of position %d: %v, want %v", i, mean[i], want)
			}
			if scaled := float64(mean[i]) * 1024; scaled != math.Trunc(scaled) {
				t.Fatalf("mean of position %d: %v is no multiple of 1/1024", i, mean[i])
			}
			if math.Abs(float64(base[i])-want) > 0.5+1e-9 {
				t.Fatalf("baseline of position %d: %d, want %v", i, base[i], want)
			}
		}

		pca, err := s.PCA()
		if err != nil {
			t.Fatal(err)
		}
		var centre [3]float64
		var cov [3][3]float64
		pixels := float64(n * h * w)
		for _, p := range all {
			for c := range 3 {
				for i := range h * w {
					centre[c] += float64(p[c*h*w+i]) / pixels
				}
			}
		}
		for _, p := range all {
			for a := range 3 {
				for b := range 3 {
					for i := range h * w {
						cov[a][b] += (float64(p[a*h*w+i]) - centre[a]) * (float64(p[b*h*w+i]) - centre[b]) / pixels
					}
				}
			}
		}
		if pca.Pixels != uint64(n*h*w) {
			t.Errorf("%d pixels, want %d", pca.Pixels, n*h*w)
		}
		for a := range 3 {
			if math.Abs(pca.MeanRGB[a]-centre[a]) > 1e-9 {
				t.Errorf("mean of channel %d: %v, want %v", a, pca.MeanRGB[a], centre[a])
			}
			for b := range 3 {
				if math.Abs(pca.Covariance[a][b]-cov[a][b]) > 1e-8 {
					t.Errorf("covariance %d,%d: %v, want %v", a, b, pca.Covariance[a][b], cov[a][b])
				}
			}
		}
		checkDecomposition(t, pca)
	}
}

// checkDecomposition checks order, sign, orthonormality and C v = lambda v.
func checkDecomposition(t *testing.T, p *PCA) {
	t.Helper()
	for j := range 3 {
		v, lambda := p.Vectors[j], p.Values[j]
		if lambda < 0 || j > 0 && lambda > p.Values[j-1] {
			t.Errorf("eigenvalues %v: not descending and positive", p.Values)
		}
		largest := 0.0
		for i := range 3 {
			if math.Abs(v[i]) > math.Abs(largest)+1e-9 {
				largest = v[i]
			}
			cv := 0.0
			for k := range 3 {
				cv += p.Covariance[i][k] * v[k]
			}
			if math.Abs(cv-lambda*v[i]) > 1e-8*(1+p.Values[0]) {
				t.Errorf("component %d: covariance times vector is %v, eigenvalue times vector %v", j, cv, lambda*v[i])
			}
		}
		if largest <= 0 {
			t.Errorf("component %d: %v has the wrong sign", j, v)
		}
		for k := range 3 {
			dot := v[0]*p.Vectors[k][0] + v[1]*p.Vectors[k][1] + v[2]*p.Vectors[k][2]
			want := 0.0
			if k == j {
				want = 1
			}
			if math.Abs(dot-want) > 1e-9 {
				t.Errorf("components %d and %d: dot product %v", j, k, dot)
			}
		}
	}
}

// TestKnown has a covariance that can be worked out by hand.
func TestKnown(t *testing.T) {
	// Grey pixels 0 and 200: all variances and covariances are 100^2.
	s := New(3, 1, 2)
	if err := s.Add([]uint8{0, 200, 0, 200, 0, 200}); err != nil {
		t.Fatal(err)
	}
	p, err := s.PCA()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		for j := range 3 {
			if p.Covariance[i][j] != 10000 {
				t.Errorf("covariance %v", p.Covariance)
			}
		}
		if math.Abs(p.Vectors[0][i]-math.Sqrt(1.0/3)) > 1e-9 {
			t.Errorf("first component %v", p.Vectors[0])
		}
	}
	if math.Abs(p.Values[0]-30000) > 1e-6 || p.Values[1] > 1e-6 || p.Values[2] > 1e-6 {
		t.Errorf("eigenvalues %v", p.Values)
	}
}

// TestMergeAndOrder adds the same pictures in other orders and parts.
func TestMergeAndOrder(t *testing.T) {
	all := pictures(20, 6, 5)
	want := sum(t, 6, 5, all)
	slices.Reverse(all)
	parts := []*Sums{sum(t, 6, 5, all[:3]), sum(t, 6, 5, all[3:3]), sum(t, 6, 5, all[3:])}
	parts[2].spill()
	whole := New(3, 6, 5)
	for _, p := range parts {
		if err := whole.Merge(p); err != nil {
			t.Fatal(err)
		}
	}
	a, err := want.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	b, err := whole.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("sums of parts differ from the sums of the whole")
	}
	if err := whole.Merge(New(3, 5, 6)); err == nil || !strings.Contains(err.Error(), "sums of 3x5x6 cannot be merged into sums of 3x6x5") {
		t.Errorf("merging another shape: %v", err)
	}
	if err := whole.Add(make([]uint8, 7)); err == nil || !strings.Contains(err.Error(), "7 samples where 3x6x5 are summed") {
		t.Errorf("adding another shape: %v", err)
	}
}

// TestSpill crosses the limit of 32 bits.
func TestSpill(t *testing.T) {
	s := New(3, 1, 1)
	white := []uint8{255, 255, 255}
	const n = 3
	s.n, s.lowCount = lowLimit-1, lowLimit-1
	for i := range s.low {
		s.low[i] = 255 * (lowLimit - 1)
	}
	for range n {
		if err := s.Add(white); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := s.at(0), uint64(255)*(lowLimit-1+n); got != want {
		t.Errorf("sum %d, want %d", got, want)
	}
	if m := s.Mean(); m[0] != 255 {
		t.Errorf("mean %v, want 255", m[0])
	}
}

func TestEmpty(t *testing.T) {
	s := New(3, 2, 2)
	if m, b := s.Mean(), s.Baseline(); len(m) != 12 || m[0] != 0 || len(b) != 12 || b[0] != 0 {
		t.Errorf("mean %v, baseline %v of no picture", m, b)
	}
	if _, err := s.PCA(); err == nil || !strings.Contains(err.Error(), "no picture at all") {
		t.Errorf("PCA of no picture: %v", err)
	}
	if _, err := New(1, 2, 2).PCA(); err == nil || !strings.Contains(err.Error(), "need three planes") {
		t.Errorf("PCA of grey pictures: %v", err)
	}
}

func TestEncoding(t *testing.T) {
	for _, n := range []int{0, 1, 2, 300} {
		want := sum(t, 3, 4, pictures(n, 3, 4))
		data, err := want.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got Sums
		if err := got.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		want.spill()
		if got.n != want.n || got.products != want.products || !slices.Equal(got.high, want.high) {
			t.Errorf("%d pictures: not what was encoded", n)
		}
		for cut := range data {
			if err := got.UnmarshalBinary(data[:cut]); !errors.Is(err, ErrEncoding) {
				t.Fatalf("cut at %d of %d: %v", cut, len(data), err)
			}
		}
		for i := range data {
			bad := bytes.Clone(data)
			bad[i] ^= 1
			if err := got.UnmarshalBinary(bad); !errors.Is(err, ErrEncoding) {
				t.Fatalf("byte %d of %d changed: %v", i, len(data), err)
			}
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	s := New(3, 1, 2)
	s.Add([]uint8{1, 2, 3, 4, 5, 6})
	data, _ := s.MarshalBinary()
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		var s Sums
		if err := s.UnmarshalBinary(data); err != nil && !errors.Is(err, ErrEncoding) {
			t.Fatal(err)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	s, p := New(3, 256, 256), pictures(1, 256, 256)[0]
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if err := s.Add(p); err != nil {
			b.Fatal(err)
		}
	}
}
