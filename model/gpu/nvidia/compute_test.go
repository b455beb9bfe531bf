//go:build linux && (amd64 || arm64) && !static

package nvidia

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"alexnet/model/gpu/device"
)

// values are numbers of one of the libraries' types. Small whole ones have exact sums in
// any order.
type values struct {
	wide   []float32
	narrow []uint16
}

func newValues(n int, bf16 bool) values {
	if bf16 {
		v := values{narrow: make([]uint16, n)}
		for i := range v.narrow {
			v.narrow[i] = 0x7fc0 // not a number
		}
		return v
	}
	v := values{wide: make([]float32, n)}
	for i := range v.wide {
		v.wide[i] = float32(math.NaN())
	}
	return v
}

func (v values) at() device.Ptr {
	if v.narrow != nil {
		return pointer(v.narrow)
	}
	return pointer(v.wide)
}

func (v values) get(i int) float64 {
	if v.narrow != nil {
		return float64(math.Float32frombits(uint32(v.narrow[i]) << 16))
	}
	return float64(v.wide[i])
}

func (v values) set(i int, f float64) {
	if v.narrow == nil {
		v.wide[i] = float32(f)
		return
	}
	b := math.Float32bits(float32(f))
	v.narrow[i] = uint16((b + 0x7fff + b>>16&1) >> 16)
}

func (v values) len() int { return len(v.wide) + len(v.narrow) }

func randomValues(r *rand.Rand, n int, bf16 bool) values {
	v := newValues(n, bf16)
	for i := range n {
		v.set(i, float64(r.IntN(9)-4))
	}
	return v
}

// same compares values with sums that were made otherwise.
func same(t *testing.T, what string, got values, want []float64) {
	t.Helper()
	rounded := newValues(len(want), got.narrow != nil)
	for i, f := range want {
		rounded.set(i, f)
		if got.get(i) != rounded.get(i) {
			t.Fatalf("%s: value %d is %v instead of %v", what, i, got.get(i), rounded.get(i))
		}
	}
}

// each calls f for every multiplication of a convolution with the places of its image's
// value, weight and result.
func each(c device.Convolution, f func(x, w, y int)) {
	in, out := c.C/c.Groups, c.Out/c.Groups
	for n := range c.N {
		for k := range c.Out {
			for p := range c.OutH() {
				for q := range c.OutW() {
					for r := range c.Kernel {
						for s := range c.Kernel {
							i, j := p*c.Stride+r-c.Pad, q*c.Stride+s-c.Pad
							if i < 0 || j < 0 || i >= c.H || j >= c.W {
								continue
							}
							for ch := range in {
								f(((n*c.H+i)*c.W+j)*c.C+k/out*in+ch, ((k*c.Kernel+r)*c.Kernel+s)*in+ch,
									((n*c.OutH()+p)*c.OutW()+q)*c.Out+k)
							}
						}
					}
				}
			}
		}
	}
}

var shapes = []device.Convolution{
	{N: 1, H: 1, W: 1, C: 1, Out: 1, Kernel: 1, Stride: 1, Groups: 1},
	{N: 2, H: 23, W: 19, C: 3, Out: 8, Kernel: 11, Stride: 4, Pad: 2, Groups: 1}, // as AlexNet's first
	{N: 2, H: 7, W: 6, C: 8, Out: 6, Kernel: 5, Stride: 1, Pad: 2, Groups: 2},    // its second
	{N: 3, H: 5, W: 5, C: 4, Out: 6, Kernel: 3, Stride: 1, Pad: 1, Groups: 1},
	{N: 2, H: 5, W: 4, C: 6, Out: 9, Kernel: 3, Stride: 1, Pad: 1, Groups: 3},
	{N: 1, H: 4, W: 9, C: 5, Out: 5, Kernel: 2, Stride: 3, Groups: 5},
	{N: 2, H: 6, W: 6, C: 7, Out: 3, Kernel: 6, Stride: 1, Groups: 1},         // a full connection
	{N: 1, H: 3, W: 3, C: 2, Out: 2, Kernel: 3, Stride: 2, Pad: 3, Groups: 1}, // results of padding alone
}

// TestConvolution compares all three directions with plain sums, for every shape, in
// every arithmetic, with the algorithms of all numbers.
func TestConvolution(t *testing.T) {
	f := open(t, Options{})
	defer forget()
	for i, shape := range shapes {
		for _, kind := range []device.Arithmetic{device.Float32, device.TensorFloat32, device.BFloat16} {
			for _, repeatable := range []bool{false, true} {
				c := shape
				c.Arithmetic, c.Repeatable, c.NeedData, c.NeedWeights, c.Workspace = kind, repeatable, true, true, 1<<20
				checkAll(t, f, c, rand.New(rand.NewPCG(uint64(i), uint64(kind))))
			}
		}
	}
}

func checkAll(t *testing.T, f *fakes, c device.Convolution, r *rand.Rand) {
	t.Helper()
	v, err := f.Convolution(c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	bf16 := c.Arithmetic == device.BFloat16
	x := randomValues(r, c.N*c.H*c.W*c.C, bf16)
	w := randomValues(r, c.Out*c.Kernel*c.Kernel*c.C/c.Groups, bf16)
	dy := randomValues(r, c.N*c.OutH()*c.OutW()*c.Out, bf16)
	y, dx, dw := newValues(dy.len(), bf16), newValues(x.len(), bf16), newValues(w.len(), bf16)
	wantY, wantX, wantW := make([]float64, y.len()), make([]float64, x.len()), make([]float64, w.len())
	each(c, func(ix, iw, iy int) {
		wantY[iy] += x.get(ix) * w.get(iw)
		wantX[ix] += dy.get(iy) * w.get(iw)
		wantW[iw] += dy.get(iy) * x.get(ix)
	})
	work := make([]byte, v.Workspace()+1)
	work[v.Workspace()] = 42
	s := stream{handle: 0x5eed}
	if err := errors.Join(v.Forward(s, y.at(), x.at(), w.at(), pointer(work)),
		v.BackwardWeights(s, dw.at(), x.at(), dy.at(), pointer(work)),
		v.BackwardData(s, dx.at(), dy.at(), w.at(), pointer(work))); err != nil {
		t.Fatalf("%s: %v", sizes(&c), err)
	}
	same(t, sizes(&c)+": y", y, wantY)
	same(t, sizes(&c)+": dx", dx, wantX)
	same(t, sizes(&c)+": dw", dw, wantW)
	switch {
	case work[v.Workspace()] != 42:
		t.Error("more than the workspace was written")
	case f.dnn.stream() != 0x5eed:
		t.Errorf("stream %#x", f.dnn.stream())
	case f.dnn.work() != uint64(pointer(work)):
		t.Errorf("workspace at %#x", f.dnn.work())
	}
	for dir := range int32(3) {
		if got := f.dnn.math(dir); c.Arithmetic == device.Float32 && got != dnnFMAMath {
			t.Errorf("direction %d multiplies float32 with math type %d", dir, got)
		}
	}
}

// TestProduct compares products with plain sums.
func TestProduct(t *testing.T) {
	defer forget()
	g := &gpu{major: 9, limit: 64 << 20}
	f := open(t, Options{Device: g})
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range [][3]int{{1, 1, 1}, {1, 5, 3}, {4, 1, 7}, {3, 4, 1}, {7, 5, 6}, {16, 10, 33}} {
		for bits := range 4 * 3 * 2 {
			p := device.Product{M: size[0], N: size[1], K: size[2], TransA: bits&1 != 0, TransB: bits&2 != 0,
				Arithmetic: device.Arithmetic(bits / 4 % 3), Wide: bits/12 != 0}
			bf16 := p.Arithmetic == device.BFloat16
			a, b := randomValues(r, p.M*p.K, bf16), randomValues(r, p.K*p.N, bf16)
			c := newValues(p.M*p.N, bf16 && !p.Wide)
			if err := f.Product(stream{handle: 0xabc}, p, c.at(), a.at(), b.at()); err != nil {
				t.Fatalf("%+v: %v", p, err)
			}
			want := make([]float64, p.M*p.N)
			for i := range p.M {
				for j := range p.N {
					for k := range p.K {
						atA, atB := i*p.K+k, k*p.N+j
						if p.TransA {
							atA = k*p.M + i
						}
						if p.TransB {
							atB = j*p.K + k
						}
						want[i*p.N+j] += a.get(atA) * b.get(atB)
					}
				}
			}
			same(t, fmt.Sprintf("%+v", p), c, want)
			compute := uint64(68) // CUBLAS_COMPUTE_32F
			if p.Arithmetic == device.TensorFloat32 {
				compute = 77 // CUBLAS_COMPUTE_32F_FAST_TF32
			}
			if got := [5]uint64{f.blas.last(0), f.blas.last(1), f.blas.last(2), f.blas.last(3), f.blas.last(4)}; got !=
				[5]uint64{0xabc, uint64(f.workspaces[0]), 32 << 20, compute, 16} {
				t.Fatalf("%+v: stream, workspace, its size, compute type and mode %#x", p, got)
			}
		}
	}
}

// TestWorkspaces: each stream has one of its own, of a size for the GPU, and they are
// given back.
func TestWorkspaces(t *testing.T) {
	defer forget()
	g := &gpu{major: 8, limit: 12 << 20}
	f := open(t, Options{Device: g, Streams: 3})
	p := device.Product{M: 2, N: 2, K: 2}
	a, c := pointer([]float32{1, 2, 3, 4}), pointer(make([]float32, 4))
	seen := make(map[uint64]uintptr)
	for _, s := range []uintptr{7, 8, 9, 8, 7, 9} {
		if err := f.Product(stream{handle: s}, p, c, a, a); err != nil {
			t.Fatal(err)
		}
		work := f.blas.last(1)
		if other, ok := seen[work]; ok && other != s || f.blas.last(2) != 4<<20 {
			t.Errorf("streams %d and %d have the same workspace, or its size is %d", s, other, f.blas.last(2))
		}
		seen[work] = s
	}
	if err := f.Product(stream{handle: 10}, p, c, a, a); err == nil || len(seen) != 3 {
		t.Errorf("a fourth stream: %v; workspaces %v", err, seen)
	}
	// One that is done with makes room, and the others keep what they have.
	set := [2]int32{f.dnn.calls("cudnnSetStream"), f.blas.calls("cublasSetStream_v2")}
	f.Forget(stream{handle: 8})
	if now := [2]int32{f.dnn.calls("cudnnSetStream"), f.blas.calls("cublasSetStream_v2")}; now != [2]int32{set[0] + 1, set[1] + 1} {
		t.Errorf("the handles may still name the stream: set %v times, before %v", now, set)
	}
	for _, s := range []uintptr{10, 7, 9} {
		if err := f.Product(stream{handle: s}, p, c, a, a); err != nil {
			t.Fatal(err)
		}
		if other := seen[f.blas.last(1)]; other != s && (s != 10 || other != 8) {
			t.Errorf("stream %d has the workspace of %d", s, other)
		}
	}
	if err := f.Close(); err != nil || len(g.memory) != 0 {
		t.Errorf("%d workspaces are left: %v", len(g.memory), err)
	}
	g = &gpu{major: 9, limit: 40 << 20}
	var full *device.MemoryError
	if _, err := openAt(paths(f.library.dnn.path, f.library.blas.path), Options{Device: g}); !errors.As(err, &full) || full.Bytes != 32<<20 || len(g.memory) != 0 {
		t.Errorf("the second workspace does not fit: %v; %d are left", err, len(g.memory))
	}
}
