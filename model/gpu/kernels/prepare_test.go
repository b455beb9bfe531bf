package kernels

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"alexnet/augment"
	"alexnet/model/gpu/device"
)

// TestPrepare compares with augment.Apply, bit for bit.
func TestPrepare(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 11))
	g := newGPU(t)
	for _, p := range []Preparation{
		{C: 3, H: 14, W: 14, Height: 17, Width: 16, Pad: 0, Block: 4, Out: Map{N: 3, H: 4, W: 4, C: 48}},
		{C: 3, H: 14, W: 14, Height: 14, Width: 19, Pad: 2, Block: 4, Out: Map{N: 2, H: 6, W: 5, C: 56}},
		{C: 3, H: 9, W: 9, Height: 11, Width: 11, Pad: 1, Block: 1, Out: Map{N: 2, H: 11, W: 12, C: 3}},
		{C: 3, H: 6, W: 6, Height: 9, Width: 9, Pad: 0, Block: 1, Out: Map{N: 1, H: 5, W: 4, C: 8}}, // less than the picture
		{C: 1, H: 10, W: 10, Height: 10, Width: 12, Pad: 2, Block: 2, Out: Map{N: 2, H: 7, W: 7, C: 4}},
		{C: 5, H: 7, W: 7, Height: 9, Width: 8, Pad: 3, Block: 3, Out: Map{N: 2, H: 5, W: 5, C: 45}},
		{C: 3, H: 300, W: 300, Height: 301, Width: 300, Pad: 1, Block: 1, Out: Map{N: 1, H: 2, W: 303, C: 40}}, // tiles
	} {
		for _, p.Source = range []Source{PlanarFloat32, PlanarBFloat16, StoredUint8, StoredInt16} {
			for _, p.Type = range types() {
				testPrepare(g, r, p)
			}
		}
	}
}

// testPrepare makes pictures of p's source, and compares what is made of them.
func testPrepare(g *gpu, r *rand.Rand, p Preparation) {
	g.t.Helper()
	n, area := p.Out.N, p.H*p.W
	sub := make([]float32, p.C*p.Height*p.Width)
	for i := range sub {
		sub[i] = float32(r.IntN(256<<10)) / 1024
	}
	source, views := g.bytes(n*p.C*area*p.Source.Bytes(), 0), g.bytes(n*PlacementBytes, 0)
	crops := make([]float32, 0, n*p.C*area)
	for i := range n {
		v := Placement{Top: int32(r.IntN(p.Height - p.H + 1)), Left: int32(r.IntN(p.Width - p.W + 1)), Flip: int32(i+1) & 1,
			Shift: [3]float32{r.Float32() * 20, -r.Float32(), r.Float32()}}
		v.Put(g.view(views.Add(i*PlacementBytes), PlacementBytes))
		at := source.Add(i * p.C * area * p.Source.Bytes())
		crops = append(crops, picture(g, r, p, v, sub, at)...)
	}
	dst := g.room(p.Type, n*p.Out.size(), 0)
	if p.Source.Stored() {
		p.Sub = g.values(Float32, sub, 0)
	} else {
		views = 0
	}
	g.do(g.set.Prepare(g, g.control(Control{Source: source, Views: views}), dst, p))
	compare(g, fmt.Sprintf("%+v", p), p.Type, g.read(p.Type, dst, n*p.Out.size()), blocks(crops, p), 0, 0)
}

// picture draws one, writes what travels of it to at, and returns the crop that it becomes.
func picture(g *gpu, r *rand.Rand, p Preparation, v Placement, sub []float32, at device.Ptr) []float32 {
	crop := make([]float32, p.C*p.H*p.W)
	if !p.Source.Stored() {
		typ := Float32
		if p.Source == PlanarBFloat16 {
			typ = BFloat16
		}
		copy(crop, random(r, typ, len(crop), 50))
		from := g.values(typ, crop, 0)
		copy(g.view(at, len(crop)*typ.Bytes()), g.view(from, len(crop)*typ.Bytes()))
		return crop
	}
	// augment.Apply makes square crops.
	geometry := augment.Geometry{Height: p.Height, Width: p.Width, Crop: p.W}
	params := augment.Params{Top: int(v.Top), Left: int(v.Left), Flip: v.Flip != 0, Shift: v.Shift}
	if p.Source == StoredUint8 {
		stored := make([]uint8, len(sub))
		for i := range stored {
			stored[i] = uint8(r.Uint32())
		}
		augment.Apply(crop, stored, sub, p.C, geometry, params)
		travelled(p, params, func(i, j int) { g.view(at.Add(i), 1)[0] = stored[j] })
	} else {
		stored := make([]int16, len(sub))
		for i := range stored {
			stored[i] = int16(r.IntN(511) - 255)
		}
		augment.Apply(crop, stored, sub, p.C, geometry, params)
		travelled(p, params, func(i, j int) { binary.LittleEndian.PutUint16(g.view(at.Add(2*i), 2), uint16(stored[j])) })
	}
	return crop
}

// travelled calls f for each value i of a crop with its place j in the stored picture.
func travelled(p Preparation, v augment.Params, f func(i, j int)) {
	for c := range p.C {
		for y := range p.H {
			for x := range p.W {
				from := x
				if v.Flip {
					from = p.W - 1 - x
				}
				f((c*p.H+y)*p.W+x, (c*p.Height+v.Top+y)*p.Width+v.Left+from)
			}
		}
	}
}

// blocks deals crops out into blocks of pixels.
func blocks(crops []float32, p Preparation) []float32 {
	out := make([]float32, p.Out.N*p.Out.size())
	for n := range p.Out.N {
		for y := range min(p.H, p.Out.H*p.Block-p.Pad) {
			for x := range min(p.W, p.Out.W*p.Block-p.Pad) {
				by, dy, bx, dx := (y+p.Pad)/p.Block, (y+p.Pad)%p.Block, (x+p.Pad)/p.Block, (x+p.Pad)%p.Block
				for c := range p.C {
					at := ((n*p.Out.H+by)*p.Out.W+bx)*p.Out.C + (dy*p.Block+dx)*p.C + c
					out[at] = crops[((n*p.C+c)*p.H+y)*p.W+x]
				}
			}
		}
	}
	return out
}
