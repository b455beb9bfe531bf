package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// matrix is a rows x cols matrix as packing sees it, in a buffer with NaN around
// every value that it may not read.
type matrix struct {
	src        []float32
	rows, cols []int
}

// newMatrix draws a matrix, rows pitch apart from the given offset on, and columns
// in runs of so many values.
func newMatrix(r *rand.Rand, rows, cols, offset, pitch, run int) *matrix {
	m := &matrix{}
	at := offset
	for c := range cols {
		if c > 0 && c%run == 0 {
			at += 3
		}
		m.cols = append(m.cols, at)
		at++
	}
	pitch += at
	for i := range rows {
		m.rows = append(m.rows, i*pitch)
	}
	r.Shuffle(rows, func(i, j int) { m.rows[i], m.rows[j] = m.rows[j], m.rows[i] })
	m.src = make([]float32, rows*pitch)
	for i := range m.src {
		m.src[i] = float32(math.NaN())
	}
	for i := range rows {
		for c := range cols {
			m.src[m.rows[i]+m.cols[c]] = float32(r.NormFloat64())
		}
	}
	m.src = m.src[:(rows-1)*pitch+m.cols[cols-1]+1]
	return m
}

func (m *matrix) at(r, c int) float32 { return m.src[m.rows[r]+m.cols[c]] }

// product multiplies as a caller does, with c of m x n in rows ldc apart.
func product(k Kernel, a, b *matrix, kc int, c []float32, ldc int, add bool) {
	steps, m, n := len(a.rows), len(a.cols), len(b.cols)
	strips := k.CutColumns(b.cols)
	pa, pb := make([]float32, k.Rows(m)*kc), make([]float32, kc*k.NR())
	for l := 0; l < steps; l += kc {
		end := min(l+kc, steps)
		k.PackA(pa, a.src, a.rows[l:end], a.cols)
		for j := range strips {
			k.PackB(pb, b.src, b.rows[l:end], &strips[j])
			k.Multiply(end-l, pa, m, pb, min(k.NR(), n-j*k.NR()), c[j*k.NR():], ldc, add || l > 0)
		}
	}
}

// TestProduct checks every kernel against sums in float64 over odd sizes, strides,
// runs and alignments, that nothing outside of c is written, and that all kernels
// with fused multiply-adds give the same bits.
func TestProduct(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for try := range 300 {
		m, n, steps := 1+r.IntN(40), 1+r.IntN(70), 1+r.IntN(70)
		kc := 1 + r.IntN(steps)
		add := r.IntN(2) == 0
		ldc, offset := n+r.IntN(9), r.IntN(9)
		a := newMatrix(r, steps, m, r.IntN(5), r.IntN(5), 1+r.IntN(m))
		b := newMatrix(r, steps, n, r.IntN(5), r.IntN(5), 1+r.IntN(n))
		start := make([]float32, offset+(m-1)*ldc+n+50)
		for i := range start {
			start[i] = float32(r.NormFloat64())
		}
		var fused []float32
		for _, k := range Kernels() {
			what := fmt.Sprintf("%d: %s, %d x %d x %d by %d, c in rows of %d from %d, add %v", try, k, m, n, steps, kc, ldc, offset, add)
			got := append([]float32(nil), start...)
			product(k, a, b, kc, got[offset:len(got)-50], ldc, add)
			check(t, what, a, b, got, start, offset, ldc, add)
			if k.has == plain {
				continue
			}
			if fused == nil {
				fused = got
			}
			for i, v := range fused {
				if math.Float32bits(v) != math.Float32bits(got[i]) {
					t.Fatalf("%s: value %d is %g, %g with another kernel", what, i, got[i], v)
				}
			}
		}
	}
}

func check(t *testing.T, what string, a, b *matrix, got, start []float32, offset, ldc int, add bool) {
	t.Helper()
	for i, v := range got {
		row, col := 0, -1
		if i >= offset {
			row, col = (i-offset)/ldc, (i-offset)%ldc
		}
		if col < 0 || col >= len(b.cols) || row >= len(a.cols) {
			if v != start[i] {
				t.Fatalf("%s: value %d outside of c was overwritten", what, i)
			}
			continue
		}
		want, size := 0.0, 1.0
		if add {
			want = float64(start[i])
		}
		for l := range a.rows {
			p := float64(a.at(l, row)) * float64(b.at(l, col))
			want += p
			size += math.Abs(p)
		}
		if !(math.Abs(float64(v)-want) <= 1e-6*size) {
			t.Fatalf("%s: c[%d, %d] is %g, want %g", what, row, col, v, want)
		}
	}
}

// TestTwin compares each vector micro-kernel with the plain one of its size, on
// whole tiles at all alignments.
func TestTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, k := range Kernels() {
		mr, nr := k.MR(), k.NR()
		for steps := 1; steps < 14; steps++ {
			for shift := range 5 {
				random := func(n int) []float32 {
					x := make([]float32, n+shift)
					for i := range x {
						x[i] = float32(r.NormFloat64())
					}
					return x[shift:]
				}
				a, b, c := random(mr*steps), random(nr*steps), random(mr*(nr+shift))
				want := append([]float32(nil), c...)
				k.tile(steps, a, b, c, nr+shift, steps%2 == 0)
				tilePlain(mr, nr, steps, a, b, want, nr+shift, steps%2 == 0)
				for i, v := range want {
					if !(math.Abs(float64(c[i]-v)) <= 1e-5) {
						t.Fatalf("%s, %d steps: value %d is %g, %g in plain Go", k, steps, i, c[i], v)
					}
				}
			}
		}
	}
}

// TestPack compares the packing of runs with the definition, to the bit.
func TestPack(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for try := range 200 {
		b := newMatrix(r, 1+r.IntN(20), 1+r.IntN(80), r.IntN(9), r.IntN(9), 1+r.IntN(30))
		for _, k := range Kernels() {
			for j, s := range k.CutColumns(b.cols) {
				got := make([]float32, len(b.rows)*k.NR()+1)
				got[len(got)-1] = 42
				k.PackB(got, b.src, b.rows, &s)
				for i, v := range got[:len(got)-1] {
					want := float32(0)
					if c := j*k.NR() + i%k.NR(); c < len(b.cols) {
						want = b.at(i/k.NR(), c)
					}
					if v != want {
						t.Fatalf("%d: %s: value %d of strip %d is %g, want %g", try, k, i, j, v, want)
					}
				}
				if got[len(got)-1] != 42 {
					t.Fatalf("%d: %s: a value behind the strip was overwritten", try, k)
				}
			}
		}
	}
}

// TestRuns: long runs are packed by the vector kernel, short ones are not.
func TestRuns(t *testing.T) {
	cols := make([]int, 64)
	for _, run := range []int{1, 3, 6, 7, 13, 64} {
		for c := range cols {
			cols[c] = c + c/run*5
		}
		for _, k := range Kernels()[1:] {
			vectors := true
			for _, s := range k.CutColumns(cols) {
				vectors = vectors && s.runs != nil
			}
			if vectors != (run >= 6) {
				t.Errorf("%s: runs of %d in vectors: %v", k, run, vectors)
			}
		}
	}
}

// TestMultiplyChecks: sizes that do not fit panic before the assembly runs.
func TestMultiplyChecks(t *testing.T) {
	for _, k := range Kernels() {
		a, b, c := make([]float32, k.MR()*3), make([]float32, k.NR()*3), make([]float32, k.MR()*k.NR())
		cols := make([]int, k.NR())
		for i := range cols {
			cols[i] = i
		}
		strip := &k.CutColumns(cols)[0]
		for what, f := range map[string]func(){
			"a short a":     func() { k.Multiply(3, a[1:], k.MR(), b, k.NR(), c, k.NR(), false) },
			"a short b":     func() { k.Multiply(3, a, k.MR(), b[:len(b)-1:len(b)-1], k.NR(), c, k.NR(), false) },
			"a short c":     func() { k.Multiply(3, a, k.MR(), b, k.NR(), c[1:], k.NR(), false) },
			"a short strip": func() { k.PackB(b[:2*k.NR():2*k.NR()], c, []int{0, 0, 0}, strip) },
			"a row beyond":  func() { k.PackB(b, c[:k.NR()], []int{0, 1}, strip) },
			"a row before":  func() { k.PackB(b, c, []int{0, -1}, strip) },
		} {
			if !panics(f) {
				t.Errorf("%s: %s is not noticed", k, what)
			}
		}
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// BenchmarkMultiply measures strips of B times 120 rows of A, both packed: what the
// micro-kernel can do at best.
func BenchmarkMultiply(b *testing.B) {
	for _, k := range Kernels() {
		b.Run(k.String(), func(b *testing.B) {
			const m = 120
			pa, pb, c := make([]float32, m*KC), make([]float32, KC*k.NR()), make([]float32, m*k.NR())
			for b.Loop() {
				k.Multiply(KC, pa, m, pb, k.NR(), c, k.NR(), true)
			}
			b.ReportMetric(2e-9*m*KC*float64(k.NR())*float64(b.N)/b.Elapsed().Seconds(), "GFLOP/s")
		})
	}
}

// BenchmarkPackB measures the packing of patches: rows of 13 values that lie 15
// apart.
func BenchmarkPackB(b *testing.B) {
	for _, k := range Kernels() {
		b.Run(k.String(), func(b *testing.B) {
			var cols, rows []int
			for c := range k.NR() {
				cols = append(cols, c/13*15+c%13)
			}
			for r := range KC {
				rows = append(rows, r*225/9)
			}
			src, dst := make([]float32, 1<<14), make([]float32, KC*k.NR())
			s := k.CutColumns(cols)
			b.SetBytes(int64(4 * len(dst)))
			for b.Loop() {
				k.PackB(dst, src, rows, &s[0])
			}
		})
	}
}
