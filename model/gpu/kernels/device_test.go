package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"alexnet/model/cpu/half"
	"alexnet/model/gpu/device"
	"alexnet/model/gpu/ptx"
)

// gpu is as much of a device, with its stream, as the kernels need: memory whose every
// access is checked, and launches that package ptx executes at once, blocks and threads
// in any order.
type gpu struct {
	device.Stream
	t      *testing.T
	set    *Set
	arrays []array // by address
	seed   uint64
}

type array struct {
	at    uint64
	bytes []byte
}

// module is the PTX, parsed once for all tests.
var module = sync.OnceValues(func() (*ptx.Module, error) { return ptx.Parse(embeddedPTX) })

func newGPU(t *testing.T) *gpu {
	t.Helper()
	g := &gpu{t: t, seed: rand.Uint64()}
	var err error
	if g.set, err = Load(loader{}); err != nil {
		t.Fatal(err)
	}
	return g
}

// loader is a device that loads modules.
type loader struct{ device.Device }

func (loader) Info() device.Info { return device.Info{Name: "the interpreter"} }

func (loader) Load(string) (device.Module, error) {
	m, err := module()
	return entriesOf{m}, err
}

type entriesOf struct{ *ptx.Module }

func (m entriesOf) Kernel(name string) (device.Kernel, error) {
	if e, ok := m.Entry(name); ok {
		return e, nil
	}
	return nil, fmt.Errorf("the module has no %s", name)
}

func (entriesOf) Unload() error { return nil }

func (g *gpu) Launch(k device.Kernel, grid device.Grid, args []uint64) error {
	g.seed++
	return k.(*ptx.Entry).Run(g, ptx.Launch{Blocks: grid.Blocks, Threads: grid.Threads, Shared: grid.Shared, Seed: g.seed, NoRaces: testing.Short()}, args)
}

// Bytes is the memory as the interpreter sees it.
func (g *gpu) Bytes(at uint64, n int, _ bool) ([]byte, error) {
	i, found := slices.BinarySearchFunc(g.arrays, at, func(a array, at uint64) int {
		if a.at > at {
			return 1
		}
		return -1
	})
	if !found && i > 0 {
		if a := g.arrays[i-1]; at+uint64(n) <= a.at+uint64(len(a.bytes)) {
			return a.bytes[at-a.at:][:n], nil
		}
	}
	return nil, fmt.Errorf("%d bytes at %#x are no array's", n, at)
}

// bytes allocates an array. off moves it from a multiple of 256.
func (g *gpu) bytes(n, off int) device.Ptr {
	at := uint64(1 << 20)
	if len(g.arrays) > 0 {
		last := g.arrays[len(g.arrays)-1]
		at = (last.at+uint64(len(last.bytes))+4096)&^255 + 256
	}
	a := array{at + uint64(off), make([]byte, n)}
	for i := range a.bytes {
		a.bytes[i] = 0xee
	}
	g.arrays = append(g.arrays, a)
	return device.Ptr(a.at)
}

// view returns n bytes of memory.
func (g *gpu) view(at device.Ptr, n int) []byte {
	g.t.Helper()
	b, err := g.Bytes(uint64(at), n, false)
	if err != nil {
		g.t.Fatal(err)
	}
	return b
}

// room allocates n values of t, off values from a multiple of 256 bytes.
func (g *gpu) room(t Type, n, off int) device.Ptr { return g.bytes(n*t.Bytes(), off*t.Bytes()) }

// values allocates an array of t and writes v to it, which must be values of t.
func (g *gpu) values(t Type, v []float32, off int) device.Ptr {
	p := g.room(t, len(v), off)
	b := g.view(p, len(v)*t.Bytes())
	for i, x := range v {
		if t == BFloat16 {
			binary.LittleEndian.PutUint16(b[2*i:], half.Round(x))
		} else {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
		}
	}
	return p
}

// read returns n values of t.
func (g *gpu) read(t Type, at device.Ptr, n int) []float32 {
	g.t.Helper()
	b, v := g.view(at, n*t.Bytes()), make([]float32, n)
	for i := range v {
		if t == BFloat16 {
			v[i] = half.Widen(binary.LittleEndian.Uint16(b[2*i:]))
		} else {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	return v
}

// words allocates an array of 32-bit words.
func words[W int32 | uint32](g *gpu, v ...W) device.Ptr {
	p := g.bytes(4*len(v), 0)
	for i, w := range v {
		binary.LittleEndian.PutUint32(g.view(p.Add(4*i), 4), uint32(w))
	}
	return p
}

// control allocates a Control.
func (g *gpu) control(c Control) device.Ptr {
	p := g.bytes(ControlBytes, 0)
	c.Put(g.view(p, ControlBytes))
	return p
}

// do fails the test if a call returned an error.
func (g *gpu) do(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// random returns n values of t, normal with a standard deviation.
func random(r *rand.Rand, t Type, n int, std float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = rounded(t, r.NormFloat64()*std)
	}
	return v
}

// rounded rounds to t.
func rounded(t Type, x float64) float32 {
	if t == BFloat16 {
		return half.Widen(half.Round(float32(x)))
	}
	return float32(x)
}

// compare fails the test unless got, values of t, is want within a relative error of tol
// beside what rounding to t makes; floor is the least value that errors are relative to.
func compare[W float32 | float64](g *gpu, what string, t Type, got []float32, want []W, tol, floor float64) {
	g.t.Helper()
	if len(got) != len(want) {
		g.t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	if t == BFloat16 && tol > 0 {
		tol += 1.0 / 256
	}
	for i, w := range want {
		w, v := float64(w), float64(got[i])
		if tol == 0 {
			w = float64(rounded(t, w))
		}
		if v == w || v != v && w != w || math.Abs(v-w) <= tol*max(math.Abs(w), floor) {
			continue
		}
		g.t.Fatalf("%s: value %d is %v, want %v", what, i, v, w)
	}
}

// types are those that every kernel is tested with. In short, the one with more to it.
func types() []Type {
	if testing.Short() {
		return []Type{BFloat16}
	}
	return []Type{Float32, BFloat16}
}
