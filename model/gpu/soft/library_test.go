package soft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"alexnet/model/gpu/device"
)

// encode and decode are the values of a type, by definitions other than the library's.
func encode(a device.Arithmetic, v []float64) []byte {
	b := make([]byte, len(v)*a.Bytes())
	for i, v := range v {
		if a == device.BFloat16 {
			binary.LittleEndian.PutUint16(b[2*i:], uint16(math.Float32bits(float32(v))>>16))
		} else {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(float32(v)))
		}
	}
	return b
}

func decode(a device.Arithmetic, b []byte) []float64 {
	v := make([]float64, len(b)/a.Bytes())
	for i := range v {
		if a == device.BFloat16 {
			v[i] = float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16))
		} else {
			v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
		}
	}
	return v
}

// desk has a library, and puts operands on its device and takes results from it.
type desk struct {
	t *testing.T
	d *Device
	s *Stream
	l *Library
	p []device.Ptr
}

func newDesk(t *testing.T, o Options) *desk {
	d := Open(o)
	return &desk{t: t, d: d, s: newStream(t, d), l: NewLibrary(d)}
}

func (k *desk) put(b []byte) device.Ptr {
	k.t.Helper()
	p := alloc(k.t, k.d, len(b))
	k.p = append(k.p, p)
	h := allocHost(k.t, k.d, len(b))
	copy(h, b)
	ok(k.t, k.s.CopyIn(p, h))
	ok(k.t, k.s.Sync())
	ok(k.t, k.d.ReleaseHost(h))
	return p
}

func (k *desk) take(p device.Ptr, bytes int) []byte {
	k.t.Helper()
	h := allocHost(k.t, k.d, bytes)
	ok(k.t, k.s.CopyOut(h, p))
	ok(k.t, k.s.Sync())
	b := append([]byte(nil), h...)
	ok(k.t, k.d.ReleaseHost(h))
	return b
}

func (k *desk) close() error {
	var errs []error
	for _, p := range k.p {
		errs = append(errs, k.d.Release(p))
	}
	return errors.Join(append(errs, k.l.Close(), k.s.Close(), k.d.Close())...)
}

// numbers are values that bfloat16 has exactly, with sums that float32 has exactly.
func numbers(rng *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(rng.IntN(17)-8) / 8
	}
	return v
}

// rounded returns what a type makes of values.
func rounded(a device.Arithmetic, v []float64) []float64 {
	if a != device.BFloat16 {
		return v
	}
	r := make([]float64, len(v))
	for i := range v {
		m, e := math.Frexp(v[i])
		r[i] = math.Ldexp(math.RoundToEven(m*256), e-8)
	}
	return r
}

func same(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s: value %d of %d is %v, want %v", what, i, len(want), got[i], want[i])
			return
		}
	}
}

// convolve is the definition: f gets, for each product of the sum of each output, where
// the output, the image's value and the weight are.
func convolve(c device.Convolution, f func(y, x, w int)) {
	in, out := c.C/c.Groups, c.Out/c.Groups
	for n := range c.N {
		for oy := range c.OutH() {
			for ox := range c.OutW() {
				for o := range c.Out {
					for ky := range c.Kernel {
						for kx := range c.Kernel {
							for i := range in {
								iy, ix := oy*c.Stride+ky-c.Pad, ox*c.Stride+kx-c.Pad
								if iy < 0 || iy >= c.H || ix < 0 || ix >= c.W {
									continue
								}
								f(((n*c.OutH()+oy)*c.OutW()+ox)*c.Out+o, ((n*c.H+iy)*c.W+ix)*c.C+o/out*in+i, ((o*c.Kernel+ky)*c.Kernel+kx)*in+i)
							}
						}
					}
				}
			}
		}
	}
}

func TestConvolutionsAreTheirDefinition(t *testing.T) {
	for _, arithmetic := range []device.Arithmetic{device.Float32, device.TensorFloat32, device.BFloat16} {
		for i, c := range []device.Convolution{
			{N: 2, H: 5, W: 4, C: 3, Out: 5, Kernel: 3, Stride: 1, Pad: 1, Groups: 1},
			{N: 1, H: 9, W: 11, C: 2, Out: 4, Kernel: 5, Stride: 3, Pad: 0, Groups: 1},
			{N: 3, H: 6, W: 6, C: 4, Out: 6, Kernel: 3, Stride: 2, Pad: 2, Groups: 2},
			{N: 2, H: 1, W: 1, C: 8, Out: 9, Kernel: 1, Stride: 1, Pad: 0, Groups: 1},
		} {
			t.Run(fmt.Sprintf("%d/%d", arithmetic, i), func(t *testing.T) {
				c.Arithmetic, c.NeedData, c.NeedWeights, c.Workspace = arithmetic, true, true, 100
				checkConvolution(t, c)
			})
		}
	}
}

func checkConvolution(t *testing.T, c device.Convolution) {
	k := newDesk(t, Options{})
	rng := rand.New(rand.NewPCG(1, 2))
	x := numbers(rng, c.N*c.H*c.W*c.C)
	w := numbers(rng, c.Out*c.Kernel*c.Kernel*c.C/c.Groups)
	dy := numbers(rng, c.N*c.OutH()*c.OutW()*c.Out)
	y, dw, dx := make([]float64, len(dy)), make([]float64, len(w)), make([]float64, len(x))
	convolve(c, func(i, j, l int) {
		y[i] += x[j] * w[l]
		dw[l] += dy[i] * x[j]
		dx[j] += dy[i] * w[l]
	})
	v := must[device.Convolver](t)(k.l.Convolution(c))
	if n := v.Workspace(); n <= 0 || n > 100 {
		t.Errorf("a workspace of %d bytes", n)
	}
	px, pw, pdy := k.put(encode(c.Arithmetic, x)), k.put(encode(c.Arithmetic, w)), k.put(encode(c.Arithmetic, dy))
	py, pdw, pdx := k.put(encode(c.Arithmetic, dy)), k.put(encode(c.Arithmetic, w)), k.put(encode(c.Arithmetic, x))
	work := k.put(make([]byte, v.Workspace()))
	ok(t, v.Forward(k.s, py, px, pw, work))
	ok(t, v.BackwardWeights(k.s, pdw, px, pdy, work))
	ok(t, v.BackwardData(k.s, pdx, pdy, pw, work))
	same(t, "y", decode(c.Arithmetic, k.take(py, len(y)*c.Bytes())), rounded(c.Arithmetic, y))
	same(t, "dw", decode(c.Arithmetic, k.take(pdw, len(w)*c.Bytes())), rounded(c.Arithmetic, dw))
	same(t, "dx", decode(c.Arithmetic, k.take(pdx, len(x)*c.Bytes())), rounded(c.Arithmetic, dx))
	same(t, "x", decode(c.Arithmetic, k.take(px, len(x)*c.Bytes())), x)
	zeros := 0
	for _, b := range k.take(work, v.Workspace()) {
		if b == 0 {
			zeros++
		}
	}
	if zeros > v.Workspace()/2 {
		t.Error("the workspace was let be")
	}
	fails(t, k.l.Close(), "1 convolvers")
	ok(t, v.Close())
	fails(t, v.Close(), "closed")
	fails(t, v.Forward(k.s, py, px, pw, work), "closed")
	ok(t, k.close())
}

func TestProductsAreTheirDefinition(t *testing.T) {
	const m, n, k = 3, 6, 5
	rng := rand.New(rand.NewPCG(3, 4))
	a, b := numbers(rng, m*k), numbers(rng, k*n)
	want := make([]float64, m*n)
	for i := range m {
		for j := range n {
			for l := range k {
				want[i*n+j] += a[i*k+l] * b[l*n+j]
			}
		}
	}
	turned := func(v []float64, rows, columns int) []float64 {
		r := make([]float64, len(v))
		for i := range v {
			r[i%columns*rows+i/columns] = v[i]
		}
		return r
	}
	for i := range 24 {
		p := device.Product{Arithmetic: device.Arithmetic(i % 3), M: m, N: n, K: k, TransA: i/3%2 == 1, TransB: i/6%2 == 1, Wide: i/12 == 1}
		t.Run(fmt.Sprintf("%+v", p), func(t *testing.T) {
			a, b, result := a, b, p.Arithmetic
			if p.TransA {
				a = turned(a, m, k)
			}
			if p.TransB {
				b = turned(b, k, n)
			}
			if p.Wide {
				result = device.Float32
			}
			d := newDesk(t, Options{})
			pa, pb, pc := d.put(encode(p.Arithmetic, a)), d.put(encode(p.Arithmetic, b)), d.put(make([]byte, m*n*result.Bytes()))
			ok(t, d.l.Product(d.s, p, pc, pa, pb))
			same(t, "c", decode(result, d.take(pc, m*n*result.Bytes())), rounded(result, want))
			ok(t, d.close())
		})
	}
}

func TestRounding(t *testing.T) {
	for _, c := range []struct{ bits, bf16, tf32 uint32 }{
		{0x3f800000, 0x3f80, 0x3f800000},
		{0x3f808000, 0x3f80, 0x3f808000}, // half way: to the even one
		{0x3f818000, 0x3f82, 0x3f818000},
		{0x3f808001, 0x3f81, 0x3f808000},
		{0x3f801000, 0x3f80, 0x3f802000}, // half way of TF32: away from zero
		{0xbf801000, 0xbf80, 0xbf802000},
		{0x3f800fff, 0x3f80, 0x3f800000},
		{0x7f7fffff, 0x7f80, 0x7f800000}, // beyond the greatest: infinity
		{0x7f800000, 0x7f80, 0x7f800000},
		{0x7f800001, 0x7fc0, 0x7f800001}, // a NaN stays one
	} {
		v := math.Float32frombits(c.bits)
		if got := toBFloat16(v); uint32(got) != c.bf16 {
			t.Errorf("%#x in bfloat16 is %#x, want %#x", c.bits, got, c.bf16)
		}
		if got := math.Float32bits(toTensorFloat32(v)); got != c.tf32 && c.bits != 0x7f800001 {
			t.Errorf("%#x in TF32 is %#x, want %#x", c.bits, got, c.tf32)
		}
	}
	k := newDesk(t, Options{})
	third := float64(float32(1) / 3)
	a, c := k.put(encode(device.Float32, []float64{third})), k.put(make([]byte, 4))
	ok(t, k.l.Product(k.s, device.Product{Arithmetic: device.TensorFloat32, M: 1, N: 1, K: 1}, c, a, a))
	short := math.Round(third*4096) / 4096 // 11 bits
	same(t, "a product in TF32", decode(device.Float32, k.take(c, 4)), []float64{short * short})
	ok(t, k.close())
}

func TestWhatTheLibraryRefuses(t *testing.T) {
	k := newDesk(t, Options{})
	good := device.Convolution{N: 1, H: 4, W: 4, C: 4, Out: 4, Kernel: 3, Stride: 1, Groups: 2, Workspace: 64}
	for name, change := range map[string]func(c *device.Convolution){
		"arithmetic": func(c *device.Convolution) { c.Arithmetic = 3 },
		"images":     func(c *device.Convolution) { c.N = 0 },
		"groups":     func(c *device.Convolution) { c.Groups = 3 },
		"window":     func(c *device.Convolution) { c.Kernel = 5 },
		"workspace":  func(c *device.Convolution) { c.Workspace = -1 },
	} {
		c := good
		change(&c)
		if _, err := k.l.Convolution(c); err == nil {
			t.Errorf("no error for a wrong %s", name)
		}
	}
	p := k.put(make([]byte, 4096))
	v := must[device.Convolver](t)(k.l.Convolution(good))
	fails(t, v.BackwardData(k.s, p, p.Add(512), p.Add(1024), p.Add(2048)), "BackwardData", "not planned")
	fails(t, v.BackwardWeights(k.s, p, p.Add(512), p.Add(1024), p.Add(2048)), "BackwardWeights", "not planned")
	fails(t, v.Forward(k.s, p.Add(4), p.Add(512), p.Add(1024), p.Add(2048)), "multiple of 16")
	fails(t, v.Forward(k.s, p, p, p.Add(1024), p.Add(2048)), "overlaps")
	fails(t, v.Forward(k.s, p, p.Add(512), p.Add(4000), p.Add(2048)), "outside")
	fails(t, v.Forward(newStream(t, Open(Options{})), p, p.Add(512), p.Add(1024), p.Add(2048)), "another device")
	fails(t, k.l.Product(k.s, device.Product{M: 1, N: 1}, p, p, p), "positive")
	fails(t, k.l.Product(k.s, device.Product{M: 1, N: 1, K: 1}, p.Add(2), p, p), "multiple of 4")
	fails(t, k.l.Product(k.s, device.Product{M: 1, N: 1, K: 1}, p, p, p), "overlaps")
	ok(t, v.Close())
	ok(t, k.close())
	fails(t, k.l.Product(k.s, device.Product{M: 1, N: 1, K: 1}, p, p, p), "closed")
}

// Two convolutions beside each other must not share a workspace.
func TestASharedWorkspaceIsARace(t *testing.T) {
	k := newDesk(t, Options{})
	r := newStream(t, k.d)
	v := must[device.Convolver](t)(k.l.Convolution(device.Convolution{N: 1, H: 4, W: 4, C: 1, Out: 1, Kernel: 3, Stride: 1, Groups: 1, Workspace: 64}))
	p := k.put(make([]byte, 4096))
	ok(t, v.Forward(k.s, p, p.Add(512), p.Add(1024), p.Add(2048)))
	if n := k.d.Counters().Done[Forward]; n != 0 {
		t.Error("a convolution was not queued but done")
	}
	ok(t, v.Forward(r, p.Add(256), p.Add(512), p.Add(1024), p.Add(2048)))
	ok(t, r.Sync())
	fails(t, k.s.Sync(), "a race", "Forward of 1 x 4 x 4 x 1 to 1 channels")
	ok(t, v.Close())
	ok(t, r.Close())
	fails(t, k.close(), "a race")
}

// BenchmarkConvolution is the third convolution of AlexNet, for one image.
func BenchmarkConvolution(b *testing.B) {
	d := Open(Options{Policy: Eager})
	s, _ := d.NewStream()
	v, err := NewLibrary(d).Convolution(device.Convolution{N: 1, H: 13, W: 13, C: 256, Out: 384, Kernel: 3, Stride: 1, Pad: 1, Groups: 1, NeedData: true, NeedWeights: true})
	if err != nil {
		b.Fatal(err)
	}
	x, _ := d.Alloc(13 * 13 * 256 * 4)
	w, _ := d.Alloc(384 * 9 * 256 * 4)
	y, _ := d.Alloc(13 * 13 * 384 * 4)
	for name, f := range map[string]func() error{
		Forward:         func() error { return v.Forward(s, y, x, w, 0) },
		BackwardWeights: func() error { return v.BackwardWeights(s, w, x, y, 0) },
		BackwardData:    func() error { return v.BackwardData(s, x, y, w, 0) },
	} {
		b.Run(name, func(b *testing.B) {
			_ = s.Clear(x, 13*13*256*4)
			_ = s.Clear(w, 384*9*256*4)
			_ = s.Clear(y, 13*13*384*4)
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The library's work can be captured, on branches too.
func TestTheLibraryInAGraph(t *testing.T) {
	k := newDesk(t, Options{})
	r, e, f := newStream(t, k.d), newEvent(t, k.d), newEvent(t, k.d)
	two := k.put(encode(device.Float32, []float64{2}))
	p := k.put(encode(device.Float32, make([]float64, 3)))
	one := device.Product{M: 1, N: 1, K: 1}
	g := must[device.Graph](t)(k.s.Capture(func() error {
		return errors.Join(k.s.Record(e), r.Wait(e), k.l.Product(k.s, one, p, two, two), k.l.Product(r, one, p.Add(4), two, two),
			r.Record(f), k.s.Wait(f), k.l.Product(k.s, one, p.Add(8), p, p.Add(4)))
	}))
	ok(t, k.s.Run(g))
	same(t, "products", decode(device.Float32, k.take(p, 12)), []float64{4, 4, 16})
	if c := k.d.Counters(); c.Queued[Product] != 0 || c.Done[Product] != 3 || c.Queued[Run] != 1 {
		t.Errorf("counted %+v", c)
	}
	ok(t, errors.Join(g.Close(), e.Close(), f.Close(), r.Close(), k.close()))
}

// NaNs of memory that nobody wrote go through all that is computed.
func TestWhatNobodyWroteShows(t *testing.T) {
	k := newDesk(t, Options{})
	for _, a := range []device.Arithmetic{device.Float32, device.TensorFloat32, device.BFloat16} {
		v := must[device.Convolver](t)(k.l.Convolution(device.Convolution{Arithmetic: a, N: 1, H: 2, W: 2, C: 1, Out: 1, Kernel: 1, Stride: 1, Groups: 1}))
		x, y := alloc(t, k.d, 16), alloc(t, k.d, 16)
		w := k.put(make([]byte, 4))
		ok(t, v.Forward(k.s, y, x, w, 0))
		for i, f := range decode(a, k.take(y, 4*a.Bytes())) {
			if f == f {
				t.Errorf("value %d, of memory that nobody wrote, is %v", i, f)
			}
		}
		ok(t, errors.Join(v.Close(), k.d.Release(x), k.d.Release(y)))
	}
	ok(t, k.close())
}
