package resize

import "encoding/binary"

// The plain kernels. The vector ones give the same bytes.
//
// Two sums share a 64-bit word: one multiplication weights two samples. Weights
// may be negative, so the lower sum may borrow from the upper one; split puts
// that right.

const pair = 0x000000ff_000000ff

// split takes the two sums of a word apart and returns them as samples.
func split(sum int64, bits int) (low, high uint8) {
	l := int32(sum)
	h := int32((sum - int64(l)) >> 32)
	return clip(l >> bits), clip(h >> bits)
}

// clip takes a value to 0..255.
func clip(v int32) uint8 {
	if uint32(v) > 255 {
		return uint8(^(v >> 31))
	}
	return uint8(v)
}

// halfOf is what makes both sums of a word round to nearest.
func halfOf(bits int) int64 { return 1<<(bits-1) | 1<<(bits-1)<<32 }

// acrossPlain filters the row of red, green, blue, three bytes a pixel, to one
// sample in each of the planes for each tap.
func (a *axis) acrossPlain(r, g, b, row []uint8) {
	half := halfOf(a.bits)
	r, g, b = r[:len(a.taps)], g[:len(a.taps)], b[:len(a.taps)]
	for i, tp := range a.taps {
		in := row[3*tp.from:][:3*tp.n]
		redBlue, green := half, half
		for k, w := range a.values[tp.at:][:tp.n] {
			p := in[3*k : 3*k+3 : 3*k+3]
			redBlue += int64(uint64(p[0])|uint64(p[2])<<32) * int64(w)
			green += int64(p[1]) * int64(w)
		}
		r[i], b[i] = split(redBlue, a.bits)
		g[i], _ = split(green, a.bits)
	}
}

// downPlain filters the columns of rows, which are stride apart and begin with
// the tap's first: dst gets one row.
func (a *axis) downPlain(dst, rows []uint8, stride int, tp tap) {
	weights := a.values[tp.at:][:tp.n]
	half := halfOf(a.bits)
	x := 0
	for ; x+8 <= len(dst); x += 8 {
		s0, s1, s2, s3 := half, half, half, half
		at := x
		for _, w := range weights {
			s, w := binary.LittleEndian.Uint64(rows[at:]), int64(w)
			s0 += int64(s&pair) * w
			s1 += int64(s>>8&pair) * w
			s2 += int64(s>>16&pair) * w
			s3 += int64(s>>24&pair) * w
			at += stride
		}
		out := dst[x : x+8 : x+8]
		out[0], out[4] = split(s0, a.bits)
		out[1], out[5] = split(s1, a.bits)
		out[2], out[6] = split(s2, a.bits)
		out[3], out[7] = split(s3, a.bits)
	}
	for ; x < len(dst); x++ {
		sum := half
		for k, w := range weights {
			sum += int64(rows[k*stride+x]) * int64(w)
		}
		dst[x], _ = split(sum, a.bits)
	}
}
