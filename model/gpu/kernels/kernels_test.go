package kernels

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"alexnet/model/gpu/device"
	"alexnet/model/gpu/ptx"
)

// TestEntries finds every kernel's name in the PTX, and no other.
func TestEntries(t *testing.T) {
	var have []string
	for _, m := range regexp.MustCompile(`\.visible \.entry (\w+)\(`).FindAllStringSubmatch(embeddedPTX, -1) {
		have = append(have, m[1])
	}
	want := entries()
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("kernels.ptx has\n%v\nwant\n%v", have, want)
	}
}

// TestSources makes sure that the PTX is of the sources beside it, where there is no
// compiler to make it anew.
func TestSources(t *testing.T) {
	sources, err := filepath.Glob("*.cu*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(sources)
	h := sha256.New()
	for _, s := range sources {
		text, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	}
	if sum := hex.EncodeToString(h.Sum(nil)); !strings.Contains(embeddedPTX, sum) {
		t.Errorf("the sources have changed: run go generate (it needs clang-16)")
	}
}

// TestDivisor divides as the kernels do.
func TestDivisor(t *testing.T) {
	for _, by := range []int{1, 2, 3, 4, 5, 7, 11, 12, 36, 55 * 55, 1<<16 + 1, 1<<31 - 1} {
		d := divisor(by)
		for _, n := range []int{0, 1, by - 1, by, by + 1, 2*by - 1, 12345678, 1<<31 - 1} {
			if n < 0 || n >= 1<<31 {
				continue
			}
			high := uint64(n) * uint64(uint32(d[1])) >> 32
			sum := high + uint64(n)
			if got := sum >> d[2]; int(got) != n/by || sum>>32 != 0 || d[1]>>32 != 0 {
				t.Errorf("%d/%d: %d by the words %v", n, by, got, d)
			}
		}
	}
}

// without is a device that does not find some kernels.
type without struct {
	loader
	missing []string
}

type partial struct {
	device.Module
	missing []string
}

func (d without) Load(text string) (device.Module, error) {
	m, err := d.loader.Load(text)
	return partial{m, d.missing}, err
}

func (m partial) Kernel(name string) (device.Kernel, error) {
	if slices.Contains(m.missing, name) {
		return nil, fmt.Errorf("no such entry")
	}
	return m.Module.Kernel(name)
}

// TestMissing names all kernels that a device does not find.
func TestMissing(t *testing.T) {
	_, err := Load(without{missing: []string{"update", "keep"}})
	if err == nil || !strings.Contains(err.Error(), "update: no such entry") || !strings.Contains(err.Error(), "keep: no such entry") {
		t.Errorf("the error is %v", err)
	}
}

// dry is a stream that executes nothing: it counts launches, and looks at their grids.
type dry struct {
	device.Stream
	t        *testing.T
	launches int
}

func (d *dry) Launch(k device.Kernel, g device.Grid, args []uint64) error {
	d.launches++
	threads := 1
	for i, most := range []int{mostBlocksX, mostBlocksYZ, mostBlocksYZ} {
		if g.Blocks[i] < 0 || g.Blocks[i] > most {
			d.t.Errorf("%s: %v blocks", k.Name(), g.Blocks)
		}
		threads *= max(g.Threads[i], 1)
	}
	if threads > 1024 || g.Shared > mostShared || len(args) != len(k.(*ptx.Entry).Params()) {
		d.t.Errorf("%s: %v threads, %d bytes shared, %d arguments", k.Name(), g.Threads, g.Shared, len(args))
	}
	return nil
}

// TestLarge launches what the largest batches of the paper's net need.
func TestLarge(t *testing.T) {
	k, d := newGPU(t).set, &dry{t: t}
	const n, p = 4096, 1 << 20
	first, pooled := Map{n, 55, 55, 96}, Map{n, 27, 27, 96}
	rows, paper := n*55*55, LRN{C: 96, Size: 5, Alpha: 1e-4, Beta: 0.75, K: 2}
	for _, typ := range types() {
		for off := range device.Ptr(2) { // vectors, and single values
			x := p + 2*off
			for _, err := range []error{
				k.BiasAct(d, typ, x, p, rows, 96, ReLU),
				k.Activate(d, typ, x, x, rows*96, Tanh),
				k.ActBackward(d, typ, x, x, x, p, p, rows, 96, ReLU),
				k.LRNForward(d, typ, x, p, rows, paper),
				k.LRNBackward(d, typ, x, p, p, rows, paper, true),
				k.LRNWithinForward(d, typ, x, p, first, paper),
				k.LRNWithinBackward(d, typ, x, p, p, first, paper),
				k.MaxPoolForward(d, typ, x, p, p, first, pooled, 3, 2),
				k.MaxPoolBackward(d, typ, x, p, p, first, pooled, 3, 2),
				k.Dropout(d, typ, x, x, p, Map{n, 1, 1, 4096}, 3, 1, 0.5),
				k.Dropout(d, typ, x, x, p, Map{n, 6, 6, 256}, 3, 1, 0.5),
				k.SoftmaxLoss(d, typ, x, p, p, p, p, p, n, 21841),
				k.Update(d, p, p, p, p, p, p, p, p, 62378344/Chunk),
				k.Prepare(d, p, x, Preparation{Source: StoredUint8, Type: typ, C: 3, H: 227, W: 227, Height: 256, Width: 256, Sub: p,
					Block: 4, Out: Map{n, 57, 57, 48}}),
			} {
				if err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// TestImpossible asks for what cannot be: errors, and no launch.
func TestImpossible(t *testing.T) {
	k, d := newGPU(t).set, &dry{t: t}
	const p = 1 << 20
	in, out := Map{2, 7, 7, 8}, Map{2, 3, 3, 8}
	good := Preparation{Source: StoredUint8, C: 3, H: 8, W: 8, Height: 9, Width: 9, Sub: p, Block: 4, Out: Map{1, 2, 2, 48}}
	with := func(f func(*Preparation)) Preparation {
		q := good
		f(&q)
		return q
	}
	for i, err := range []error{
		k.BiasAct(d, Float32, p, p, -1, 8, ReLU),
		k.BiasAct(d, Float32, p, p, 1, 0, ReLU),
		k.Activate(d, Float32, p, p, -1, ReLU),
		k.ActBackward(d, Float32, p, p, p, p, 0, 100000, 8, ReLU), // sums without scratch
		k.ActBackward(d, Float32, p, p, p, p, p, -1, 8, ReLU),
		k.LRNForward(d, Float32, p, p, 5, LRN{C: 8, Size: 5, Groups: 3}),
		k.LRNForward(d, Float32, p, p, 5, LRN{C: 8}),
		k.LRNBackward(d, Float32, p, p, p, -5, LRN{C: 8, Size: 5}, false),
		k.LRNBackward(d, Float32, p, p, p, 5, LRN{C: 5000, Size: 9}, false), // no room for a row
		k.LRNWithinForward(d, Float32, p, p, Map{1, 0, 5, 5}, LRN{Size: 5}),
		k.LRNWithinBackward(d, Float32, p, p, p, Map{1, 5, 5, 5}, LRN{}),
		k.MaxPoolForward(d, Float32, p, p, p, in, Map{2, 3, 3, 9}, 3, 2),
		k.MaxPoolForward(d, Float32, p, p, p, in, Map{2, 5, 3, 8}, 3, 2), // the last begins beyond the end
		k.MaxPoolForward(d, Float32, p, p, p, in, out, 17, 2),
		k.MaxPoolBackward(d, Float32, p, p, p, in, out, 3, 0),
		k.Dropout(d, Float32, p, p, p, in, 0, 0, 1.5),
		k.Dropout(d, Float32, p, p, p, Map{1 << 16, 55, 55, 96}, 0, 0, 0.5),
		k.SoftmaxLoss(d, Float32, p, p, p, p, p, p, 1, 0),
		k.SetControl(d, p+4, Control{}),
		k.Update(d, p+4, p, p, 0, p, p, p, p, 1),
		k.Prepare(d, p, p, with(func(q *Preparation) { q.Source = 4 })),
		k.Prepare(d, p, p, with(func(q *Preparation) { q.Sub = 0 })),
		k.Prepare(d, p, p, with(func(q *Preparation) { q.Height = 7 })),
		k.Prepare(d, p, p, with(func(q *Preparation) { q.Out.C = 47 })),
		k.Prepare(d, p, p, with(func(q *Preparation) { q.Out.C = 1 << 14 })),
		k.Prepare(d, p, p, with(func(q *Preparation) { q.Block = 0 })),
	} {
		if err == nil {
			t.Errorf("case %d: no error", i)
		}
	}
	// Nothing to do is no error, and no launch either.
	for i, err := range []error{
		k.BiasAct(d, Float32, p, p, 0, 8, ReLU), k.Scale(d, Float32, p, p, 0, 1), k.LRNForward(d, Float32, p, p, 0, LRN{C: 8, Size: 5}),
		k.MaxPoolForward(d, Float32, p, p, p, Map{0, 7, 7, 8}, Map{0, 3, 3, 8}, 3, 2), k.Update(d, p, p, p, 0, p, p, p, p, 0),
	} {
		if err != nil {
			t.Errorf("nothing to do, case %d: %v", i, err)
		}
	}
	if d.launches > 0 {
		t.Errorf("%d launches", d.launches)
	}
}

// TestFar has rows and images lie so far from each other that their distance is more than
// 32 bits hold. Only what the kernels may touch is there: other addresses fail.
func TestFar(t *testing.T) {
	const (
		units = 1 << 27 // of 16 bytes: rows of 2 GiB
		side  = 1 << 14 // 2^28 positions: images of 4 GiB
		row   = 16 * units
		image = 16 * side * side
		x, y  = device.Ptr(1 << 40), device.Ptr(1 << 42)
		z     = device.Ptr(1 << 44)
	)
	near := device.Args(nil).Ptr(x, y, z)
	rows := device.Grid{Threads: [3]int{1, 4}}
	images := device.Grid{Blocks: [3]int{1, 1, 4}}
	own := divisor(1)
	for _, c := range []struct {
		kernel string
		grid   device.Grid
		args   device.Args
		step   map[device.Ptr]int // from a row or an image to the next, in bytes
	}{
		{"bias_ReLU_bf16v", rows, near[:1:1].Ptr(1<<20).Int(4, units), map[device.Ptr]int{x: row}},
		{"bias_ReLU_f32v", rows, near[:1:1].Ptr(1<<20).Int(4, units), map[device.Ptr]int{x: row}},
		{"backward_ReLU_bf16v", rows, near[:3:3].Ptr(0).Int(4, units), map[device.Ptr]int{x: row, y: row, z: row}},
		{"lrn_forward_bf16v", rows, near[:2:2].Ptr(0).Int(4, units).Word(own...).Float(1, 1), map[device.Ptr]int{x: row, y: row}},
		{"lrn_backward_bf16v", rows, near[:3:3].Ptr(0).Int(4, units).Word(own...).Float(1, 1, 1).Int(1), map[device.Ptr]int{x: row, y: row, z: row}},
		{"pool_forward3_bf16v", images, device.Args(nil).Ptr(x, 0, y).Int(1, side*side, 1, 1, 1, 3, side*side), map[device.Ptr]int{x: 16, y: image}},
		{"pool_forward_f32v", images, device.Args(nil).Ptr(x, 0, y).Int(1, side*side, 1, 1, 1, 1, 1), map[device.Ptr]int{x: 16, y: image}},
		{"pool_backward_f32v", images, near[:3:3].Int(1, side*side, 1, side*side, 1, 1).Word(own...), map[device.Ptr]int{x: image, y: image, z: image / 4}},
		{"pool_backward3_bf16v", images, near[:3:3].Int(1, side*side, 1, side*side, 1), map[device.Ptr]int{x: image, y: image, z: image / 2}},
	} {
		g := newGPU(t)
		g.bytes(1<<10, 0) // biases
		for _, base := range []device.Ptr{x, y, z} {
			for i := range 4 * min(c.step[base], 1) {
				// Three positions each, and no more.
				g.arrays = append(g.arrays, array{uint64(base.Add(i * c.step[base])), make([]byte, min(c.step[base], 48))})
			}
		}
		if err := g.set.launch(g, c.kernel, c.grid, c.args); err != nil {
			t.Error(err)
		}
	}
}
