package kernels

import (
	"math"

	"alexnet/model/gpu/device"
)

// BiasAct computes y[r][c] = act(y[r][c] + bias[c]) in place, for rows of c values of t.
// bias is of float32.
func (k *Set) BiasAct(s device.Stream, t Type, y, bias device.Ptr, rows, c int, act Act) error {
	if rows < 0 || rows > math.MaxInt32-(1<<16) || c < 1 {
		return fault("BiasAct", "%d rows of %d values", rows, c)
	}
	lanes, suffix := width(t, c, y, bias)
	at := columnsOf(c / lanes)
	ahead := 4
	if act == Tanh {
		ahead = 1
	}
	if at.tiles > mostBlocksYZ {
		return fault("BiasAct", "rows of %d values are too long", c)
	}
	if rows == 0 {
		return nil
	}
	return k.launch(s, "bias_"+act.String()+suffix,
		device.Grid{Blocks: [3]int{over(rows, ahead*at.y), at.tiles}, Threads: [3]int{at.x, at.y}},
		device.Args(nil).Ptr(y, bias).Int(rows, c/lanes))
}

// Activate computes y = act(x) for count values of t. y may be x.
func (k *Set) Activate(s device.Stream, t Type, y, x device.Ptr, count int, act Act) error {
	return k.flat(s, "activate_"+act.String()+"_"+t.String(), "v", t.lanes(), 2, count,
		[]device.Ptr{y, x}, []int{t.Bytes(), t.Bytes()})
}

// Scale computes y = x*f for count values of t. y may be x.
func (k *Set) Scale(s device.Stream, t Type, y, x device.Ptr, count int, f float32) error {
	return k.flat(s, "scale_"+t.String(), "v", t.lanes(), 2, count,
		[]device.Ptr{y, x}, []int{t.Bytes(), t.Bytes()}, uint64(math.Float32bits(f)))
}

// Widen computes count values of float32 from as many of bfloat16.
func (k *Set) Widen(s device.Stream, dst, src device.Ptr, count int) error {
	return k.flat(s, "widen", "_v", 4, 2, count, []device.Ptr{dst, src}, []int{4, 2})
}

// Narrow rounds count values of float32 to bfloat16: to nearest, ties to even.
func (k *Set) Narrow(s device.Stream, dst, src device.Ptr, count int) error {
	return k.flat(s, "narrow", "_v", 4, 2, count, []device.Ptr{dst, src}, []int{2, 4})
}

// Keep zeroes those of count values of float32 whose byte in keep is 0.
func (k *Set) Keep(s device.Stream, g, keep device.Ptr, count int) error {
	return k.flat(s, "keep", "", 1, 4, count, []device.Ptr{g, keep}, []int{4, 1})
}

// The blocks of ActBackward: so many that they fill a GPU once, and each with so many rows
// that adding up what they hand over costs little. They must not depend on the GPU, or
// sums would.
const (
	backwardBlocks = 512
	backwardRows   = 8 // a thread, at least
)

// backwardGrid returns the blocks along the rows.
func backwardGrid(at columns, rows int) int {
	return max(1, min(over(rows, at.y*backwardRows), backwardBlocks/at.tiles))
}

// BiasScratch returns the bytes of scratch that ActBackward needs for sums of columns.
func BiasScratch(rows, c int) int {
	blocks := 0
	for _, lanes := range []int{1, Float32.lanes(), BFloat16.lanes()} {
		if c%lanes == 0 {
			blocks = max(blocks, backwardGrid(columnsOf(c/lanes), rows))
		}
	}
	return 4 * blocks * c
}

// ActBackward computes dz = dy * act'(.), from the activation's output a, for rows of c
// values of t. dz may be dy. If db is not 0, db[c] (float32) becomes the sum of dz over the
// rows, before rounding to t; scratch is then memory of BiasScratch bytes. With None it
// does not read a, and where dz is dy it computes db alone.
func (k *Set) ActBackward(s device.Stream, t Type, dz, dy, a, db, scratch device.Ptr, rows, c int, act Act) error {
	switch {
	case rows < 0 || rows > math.MaxInt32-(1<<20) || c < 1:
		return fault("ActBackward", "%d rows of %d values", rows, c)
	case act == None:
		a = dy
	}
	lanes, suffix := width(t, c, dz, dy, a)
	at := columnsOf(c / lanes)
	if at.tiles > mostBlocksYZ {
		return fault("ActBackward", "rows of %d values are too long", c)
	}
	blocks := backwardGrid(at, rows)
	partial := scratch
	if blocks == 1 || db == 0 {
		partial = db
	} else if scratch == 0 {
		return fault("ActBackward", "sums of columns need memory of BiasScratch bytes")
	}
	err := k.launch(s, "backward_"+act.String()+suffix,
		device.Grid{Blocks: [3]int{blocks, at.tiles}, Threads: [3]int{at.x, at.y}},
		device.Args(nil).Ptr(dz, dy, a, partial).Int(rows, c/lanes))
	if err != nil || partial == db {
		return err
	}
	return k.launch(s, "bias_sums", device.Grid{Blocks: [3]int{over(c, 32)}, Threads: [3]int{32, 32}},
		device.Args(nil).Ptr(db, partial).Int(blocks, c))
}
