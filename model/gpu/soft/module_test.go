package soft

import (
	_ "embed"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"alexnet/model/gpu/device"
	"alexnet/model/gpu/ptx"
)

//go:embed testdata/kernels.ptx
var kernels string

// load returns a kernel of the tests' module.
func (r *rig) load(t *testing.T, name string) (*Module, device.Kernel) {
	t.Helper()
	m := must[device.Module](t)(r.d.Load(kernels)).(*Module)
	k := must[device.Kernel](t)(m.Kernel(name))
	if k.Name() != name {
		t.Errorf("the kernel %s is called %s", name, k.Name())
	}
	return m, k
}

// scale queues y = a*x for n values.
func scale(s *Stream, k device.Kernel, y, x device.Ptr, a float32, n int) error {
	return s.Launch(k, device.Grid{Blocks: [3]int{(n + 31) / 32}, Threads: [3]int{32}}, device.Args{}.Ptr(y, x).Float(a).Int(n))
}

func TestKernelsAreExecutedInOrder(t *testing.T) {
	for _, o := range policies() {
		r := newRig(t, o)
		m, k := r.load(t, "scale")
		for i := range values(r.h) {
			values(r.h)[i] = float32(i)
		}
		ok(t, r.s.CopyIn(r.a, r.h))
		args := device.Args{}.Ptr(r.b, r.a).Float(3).Int(16)
		ok(t, r.s.Launch(k, device.Grid{Threads: [3]int{16}}, args))
		clear(args) // they are copied
		ok(t, scale(r.s, k, r.a, r.b, 2, 15))
		ok(t, r.s.CopyOut(r.i, r.a))
		fails(t, m.Unload(), "waited")
		if o.Policy == Late && len(r.d.Counters().Launches) > 0 {
			t.Error("a kernel was executed at once")
		}
		ok(t, r.s.Sync())
		for i, v := range values(r.i) {
			if want := float32(6 * i); i < 15 && v != want || i == 15 && v != 15 {
				t.Errorf("value %d is %v, want %v", i, v, want)
			}
		}
		if n := r.d.Counters().Launches["scale"]; n != 2 {
			t.Errorf("%d launches were counted", n)
		}
		ok(t, m.Unload())
		fails(t, scale(r.s, k, r.a, r.b, 2, 15), "module", "closed")
		ok(t, r.close())
	}
}

func TestKernelsOutOfTheirMemory(t *testing.T) {
	r := newRig(t, Options{})
	m, k := r.load(t, "scale")
	ok(t, scale(r.s, k, r.b, r.a, 1, 17))
	err := r.s.Sync()
	fails(t, err, "Launch of scale", "module_test.go", "byte 64 of the allocation of 64 bytes", "outside")
	if !errors.As(err, new(*UseError)) {
		t.Errorf("%v is no UseError", err)
	}
	if err := errors.Join(m.Unload(), r.close()); err == nil {
		t.Error("Close did not report it")
	}

	r = newRig(t, Options{})
	m, k = r.load(t, "scale")
	c := alloc(t, r.d, 64)
	ok(t, r.d.Release(c))
	ok(t, scale(r.s, k, r.b, c, 1, 4))
	fails(t, r.s.Sync(), "Launch of scale", "released at module_test.go")
	fails(t, errors.Join(m.Unload(), r.close()), "released")
}

// A kernel says nothing of what it uses before it is done. So that it is found when its
// memory is released while it is queued, it is done late.
func TestReleaseUnderAKernel(t *testing.T) {
	for _, o := range []Options{{Policy: Late}, {Policy: Eager}} {
		r := newRig(t, o)
		m, k := r.load(t, "scale")
		c := alloc(t, r.d, 64)
		ok(t, scale(r.s, k, r.b, c, 1, 4))
		err := r.d.Release(c)
		if err == nil {
			err = r.s.Sync()
		}
		fails(t, err, "Launch of scale", "the allocation of 64 bytes")
		_ = errors.Join(r.s.Sync(), r.d.Release(c), m.Unload(), r.close())
	}
}

func TestRacesOfKernels(t *testing.T) {
	for _, o := range policies() {
		r := newRig(t, o)
		m, k := r.load(t, "every")
		even := device.Args{}.Ptr(r.a).Int(2)
		odd := device.Args{}.Ptr(r.a.Add(4)).Int(2)
		g := device.Grid{Threads: [3]int{8}}
		ok(t, r.s.Launch(k, g, even))
		ok(t, r.r.Launch(k, g, odd)) // every other value: no race
		ok(t, r.s.Sync())
		ok(t, r.r.Sync())
		ok(t, r.s.Launch(k, g, even))
		ok(t, r.r.Clear(r.a.Add(4*7), 4))
		ok(t, r.s.Sync())
		ok(t, r.r.Sync())
		ok(t, r.s.Launch(k, g, even))
		ok(t, r.r.Clear(r.a.Add(4*6+2), 4))
		_ = r.s.Sync()
		fails(t, r.r.Sync(), "a race", "Launch of every", "Clear of 4 bytes", "bytes 26 to 28")
		fails(t, errors.Join(m.Unload(), r.close()), "a race")
	}
}

func TestKernelsInGraphs(t *testing.T) {
	r := newRig(t, Options{})
	m, k := r.load(t, "scale")
	g := must[device.Graph](t)(r.s.Capture(func() error {
		return errors.Join(scale(r.s, k, r.b, r.a, 2, 16), r.s.Copy(r.a, r.b, 64))
	}))
	for i := range values(r.h) {
		values(r.h)[i] = 1
	}
	before := r.d.Counters()
	ok(t, r.s.CopyIn(r.a, r.h))
	for range 5 {
		ok(t, r.s.Run(g))
	}
	ok(t, r.s.CopyOut(r.i, r.a))
	ok(t, r.s.Sync())
	if v := values(r.i); slices.Min(v) != 32 || slices.Max(v) != 32 {
		t.Errorf("five doublings make %v", v)
	}
	c := r.d.Counters().Minus(before)
	if c.Queued[Run] != 5 || c.Queued[Launch] != 0 || c.Launches["scale"] != 5 || c.Allocs != 0 {
		t.Errorf("counted %+v", c)
	}
	ok(t, m.Unload())
	fails(t, r.s.Run(g), "module", "closed")
	ok(t, g.Close())
	ok(t, r.close())
}

func TestLimitsOfLaunches(t *testing.T) {
	r := newRig(t, Options{})
	m, k := r.load(t, "scale")
	roomy := must[device.Kernel](t)(m.Kernel("roomy"))
	args := device.Args{}.Ptr(r.b, r.a).Float(1).Int(0)
	for name, c := range map[string]struct {
		g     device.Grid
		k     device.Kernel
		args  []uint64
		wrong bool
	}{
		"ones":             {g: device.Grid{}, k: k, args: args},
		"all threads":      {g: device.Grid{Threads: [3]int{4, 4, 64}}, k: k, args: args},
		"too many threads": {g: device.Grid{Threads: [3]int{1025}}, k: k, args: args, wrong: true},
		"too many in all":  {g: device.Grid{Threads: [3]int{33, 32}}, k: k, args: args, wrong: true},
		"too many along z": {g: device.Grid{Threads: [3]int{1, 1, 65}}, k: k, args: args, wrong: true},
		"blocks along y":   {g: device.Grid{Blocks: [3]int{1, 65536}}, k: k, args: args, wrong: true},
		"blocks along z":   {g: device.Grid{Blocks: [3]int{1, 1, 65536}}, k: k, args: args, wrong: true},
		"blocks along x":   {g: device.Grid{Blocks: [3]int{math.MaxInt32 + 1}}, k: k, args: args, wrong: true},
		"negative":         {g: device.Grid{Blocks: [3]int{-1}}, k: k, args: args, wrong: true},
		"shared":           {g: device.Grid{Shared: 48 << 10}, k: k, args: args},
		"too much shared":  {g: device.Grid{Shared: 48<<10 + 1}, k: k, args: args, wrong: true},
		"with its own":     {g: device.Grid{Shared: 8 << 10}, k: roomy},
		"too much with it": {g: device.Grid{Shared: 8<<10 + 1}, k: roomy, wrong: true},
		"too few args":     {g: device.Grid{}, k: k, args: args[:3], wrong: true},
		"too many args":    {g: device.Grid{}, k: k, args: append(args[:4:4], 0), wrong: true},
	} {
		if err := r.s.Launch(c.k, c.g, c.args); (err != nil) != c.wrong {
			t.Errorf("%s: %v", name, err)
		}
	}
	fails(t, newStream(t, Open(Options{})).Launch(k, device.Grid{}, args), "another device")
	_, err := m.Kernel("other")
	fails(t, err, "no kernel other", "scale", "roomy")
	_, err = r.d.Load("this is no PTX")
	if !errors.As(err, new(*ptx.SyntaxError)) && !errors.As(err, new(*ptx.UnsupportedError)) {
		t.Errorf("Load: %v", err)
	}
	_, err = r.s.Capture(func() error { _, err := r.d.Load(kernels); return err })
	fails(t, err, "Load during a capture")
	ok(t, r.s.Sync())
	ok(t, m.Unload())
	ok(t, r.close())
}

// What kernels use is remembered to the byte.
func TestSpansOfAccesses(t *testing.T) {
	d := Open(Options{})
	p := alloc(t, d, 3*pageBytes+10)
	x := &execution{d: d}
	for _, a := range []struct{ off, n int }{
		{0, 4}, {4, 4}, {9, 2}, {60, 8}, {pageBytes - 2, 4}, {2 * pageBytes, 128}, {2*pageBytes + 128, 1}, {3*pageBytes + 9, 1}, {4, 4},
	} {
		b, err := x.Bytes(uint64(p)+uint64(a.off), a.n, true)
		if err != nil || len(b) != a.n {
			t.Fatalf("%d bytes at %d: %d, %v", a.n, a.off, len(b), err)
		}
	}
	want := []span{{0, 8}, {9, 11}, {60, 68}, {pageBytes - 2, pageBytes + 2}, {2 * pageBytes, 2*pageBytes + 129}, {3*pageBytes + 9, 3*pageBytes + 10}}
	if got := x.touches[0].used(true); !slices.Equal(got, want) {
		t.Errorf("written: %v, want %v", got, want)
	}
	if got := x.touches[0].used(false); len(got) != 0 {
		t.Errorf("read: %v", got)
	}
	if _, err := x.Bytes(uint64(p)+3*pageBytes+8, 4, false); err == nil {
		t.Error("no error past the end, after what is within")
	}
	if _, err := x.Bytes(uint64(p)-1, 1, false); err == nil {
		t.Error("no error before the beginning")
	}
	if _, err := x.Bytes(math.MaxUint64-1, 4, false); err == nil {
		t.Error("no error at the end of all addresses")
	}
	ok(t, d.Release(p))
	ok(t, d.Close())
}

func BenchmarkLaunch(b *testing.B) {
	for _, noRaces := range []bool{false, true} {
		b.Run(fmt.Sprintf("NoRaces=%v", noRaces), func(b *testing.B) {
			d := Open(Options{Policy: Eager, NoRaces: noRaces})
			s, _ := d.NewStream()
			m, err := d.Load(kernels)
			if err != nil {
				b.Fatal(err)
			}
			k, _ := m.Kernel("scale")
			const n = 1 << 17
			x, _ := d.Alloc(4 * n)
			y, _ := d.Alloc(4 * n)
			b.SetBytes(8 * n)
			for b.Loop() {
				if err := s.Launch(k, device.Grid{Blocks: [3]int{n / 256}, Threads: [3]int{256}}, device.Args{}.Ptr(y, x).Float(1).Int(n)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
