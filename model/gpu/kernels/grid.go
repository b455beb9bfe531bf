package kernels

import (
	"math"
	"math/bits"

	"alexnet/model/gpu/device"
)

// What a device allows of a grid and of a block's shared memory.
const (
	mostBlocksX  = math.MaxInt32
	mostBlocksYZ = 1<<16 - 1
	mostShared   = 48 << 10
)

// blockThreads is the number of threads that a block has at most, and about.
const blockThreads = 256

// over returns a/b, rounded up.
func over(a, b int) int { return (a + b - 1) / b }

// aligned reports whether all addresses are multiples of so many bytes.
func aligned(bytes int, at ...device.Ptr) bool {
	for _, p := range at {
		if p%device.Ptr(bytes) != 0 {
			return false
		}
	}
	return true
}

// width returns how many values of t a thread takes at a time, where runs of n of them lie
// at the addresses, and the suffix of the kernel that does: 16 bytes where runs are whole
// multiples of that, one value otherwise.
func width(t Type, n int, at ...device.Ptr) (lanes int, suffix string) {
	if n%t.lanes() == 0 && aligned(16, at...) {
		return t.lanes(), "_" + t.String() + "v"
	}
	return 1, "_" + t.String()
}

// columns is how a block's threads stand before a row of units: x threads along the row
// (tiles blocks for all of it, with hardly any left over), y rows.
type columns struct{ x, y, tiles int }

func columnsOf(units int) columns {
	tiles := over(units, blockThreads)
	x := over(units, tiles)
	return columns{x: x, y: blockThreads / x, tiles: tiles}
}

// limit returns the columns with at most n rows, dealt out evenly among blocks.
func (c columns) limit(n int) columns {
	c.y = over(n, over(n, c.y))
	return c
}

// divisor has the three words of the kernels' Divisor for a number of at least 1: the
// quotient of n < 2^31 by it is (n*factor/2^32 + n) >> shift.
func divisor(n int) []uint64 {
	shift := bits.Len(uint(n - 1))
	factor := ((uint64(1)<<shift-uint64(n))<<32)/uint64(n) + 1
	return []uint64{uint64(n), factor, uint64(shift)}
}

// flat queues a kernel on count values, each thread of which takes ahead vectors: first as
// many as come in vectors of lanes, with the suffixed kernel, then the rest one by one. at
// are the arrays and size the bytes of a value of each.
func (k *Set) flat(s device.Stream, name, suffix string, lanes, ahead, count int, at []device.Ptr, size []int, rest ...uint64) error {
	if count < 0 {
		return fault(name, "%d values", count)
	}
	for i, p := range at {
		if !aligned(lanes*size[i], p) {
			lanes = 1
		}
	}
	run := func(name string, first, n int) error {
		if n == 0 {
			return nil
		}
		blocks := over(n, ahead*blockThreads)
		if blocks > mostBlocksX {
			return fault(name, "%d values are too many", count)
		}
		var args device.Args
		for i, p := range at {
			args = args.Ptr(p.Add(first * size[i]))
		}
		return k.launch(s, name, device.Grid{Blocks: [3]int{blocks}, Threads: [3]int{blockThreads}}, args.Int(n).Word(rest...))
	}
	vectors := count / lanes
	if lanes == 1 {
		return run(name, 0, count)
	}
	if err := run(name+suffix, 0, vectors); err != nil {
		return err
	}
	return run(name, vectors*lanes, count-vectors*lanes)
}
