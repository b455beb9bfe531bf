package kernels

import (
	"math"

	"alexnet/model/gpu/device"
)

// Source is what travels to the device: images of C x H x W values, one after the other.
type Source int

// The sources. Planar ones are finished values. Stored ones are a stored picture's own,
// with crop and flip made already (augment.Stored), but neither mean nor colour.
const (
	PlanarFloat32 Source = iota
	PlanarBFloat16
	StoredUint8
	StoredInt16
)

// Bytes returns the size of a value.
func (s Source) Bytes() int { return [...]int{4, 2, 1, 2}[s] }

// Stored reports whether mean and colour are still to be applied.
func (s Source) Stored() bool { return s == StoredUint8 || s == StoredInt16 }

// Preparation says how a batch's images become what the first layer takes.
type Preparation struct {
	Source  Source
	Type    Type // of the result
	C, H, W int  // of the crop

	// Height and Width are those of the stored pictures, and Sub what is subtracted from
	// them: float32 of C x Height x Width. Of stored sources only.
	Height, Width int
	Sub           device.Ptr

	// Pad rows and columns of zeros stand before the picture, and as many as it takes
	// behind it. Out is the shape of the result: position (by, bx) holds the Block x Block
	// pixels from (by*Block, bx*Block) of the padded picture on, channel
	// (dy*Block+dx)*C + c. Further channels are zeros. With a Block of 1 it is N x H x W x C.
	Pad, Block int
	Out        Map
}

// check returns an error if p cannot be.
func (p *Preparation) check() error {
	switch {
	case p.Source < PlanarFloat32 || p.Source > StoredInt16:
		return fault("Prepare", "unknown source %d", p.Source)
	case p.C < 1 || p.H < 1 || p.W < 1 || p.C*p.H*p.W > math.MaxInt32:
		return fault("Prepare", "images of %d x %d x %d", p.C, p.H, p.W)
	case p.Source.Stored() && (p.Sub == 0 || p.Height < p.H || p.Width < p.W || p.C*p.Height*p.Width > math.MaxInt32):
		return fault("Prepare", "crops of %d x %d of pictures of %d x %d, and what is subtracted from them at %#x",
			p.H, p.W, p.Height, p.Width, p.Sub)
	case p.Pad < 0 || p.Block < 1 || p.Out.N < 0 || p.Out.H < 1 || p.Out.W < 1 || p.Out.C < p.Block*p.Block*p.C:
		return fault("Prepare", "blocks of %d x %d of %d channels after %d zeros become %d x %d x %d x %d",
			p.Block, p.Block, p.C, p.Pad, p.Out.N, p.Out.H, p.Out.W, p.Out.C)
	case p.Out.C*p.Type.Bytes() > mostShared:
		return fault("Prepare", "blocks of %d channels are too large", p.Out.C)
	case p.Out.N > mostBlocksYZ || p.Out.H > mostBlocksYZ || p.Out.W*p.Block > math.MaxInt32>>1:
		return fault("Prepare", "%d images of %d x %d blocks are too many", p.Out.N, p.Out.H, p.Out.W)
	}
	return nil
}

// Prepare writes the first p.Out.N of the batch's images as the first layer wants them to
// dst: with borders and in blocks. It takes them, and their Placements, from where control
// says. A stored value becomes
//
//	(float32(src[c][y][x]) - Sub[c][Top+y][Left+x']) + Shift[c]
//
// where x' is x, or W-1-x where it is mirrored, with the roundings of augment.Apply, and is
// then rounded to p.Type, to nearest, ties to even.
func (k *Set) Prepare(s device.Stream, control, dst device.Ptr, p Preparation) error {
	if err := p.check(); err != nil || p.Out.N == 0 {
		return err
	}
	// A block of threads makes so many blocks of pixels of a row: no more than leave room
	// for other blocks of threads.
	const room = 16 << 10
	bytes := p.Out.C * p.Type.Bytes()
	tile := min(p.Out.W, max(1, room/bytes))
	tile = over(p.Out.W, over(p.Out.W, tile))
	rows := min(p.Block, 4)
	whole := 0
	if bytes%16 == 0 && aligned(16, dst) {
		whole = 1
	}
	name := [...]string{"prepare_float_", "prepare_bfloat_", "prepare_uint8_", "prepare_int16_"}[p.Source]
	return k.launch(s, name+p.Type.String(),
		device.Grid{Blocks: [3]int{over(p.Out.W, tile), p.Out.H, p.Out.N}, Threads: [3]int{blockThreads / rows / 32 * 32, rows}, Shared: tile * bytes},
		device.Args(nil).Ptr(control, dst, p.Sub).Int(p.C, p.H, p.W, p.Height, p.Width, p.Pad, p.Out.H, p.Out.W, p.Out.C, tile, whole).
			Word(divisor(p.Block)...))
}
