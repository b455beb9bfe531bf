package resize

import "encoding/binary"

// Weights have 22 fractional bits, so that a sample (8 bits) times a weight,
// summed, stays below 2^30.
const (
	bits = 22
	one  = 1 << bits
	half = one / 2
)

// Two samples share a 64-bit word and are weighted by one multiplication. Since
// no weight is negative and no sum exceeds 30 bits, nothing crosses between the
// halves.
const (
	pair  = 0x000000ff_000000ff
	start = half<<32 | half // two sums before the first addition: they round to nearest
)

// weights says, for a run of output positions along one axis, which input
// samples each is made of.
type weights struct {
	in, out, first, n int // what the table was made for
	taps              []tap
	values            []uint32 // weights of all taps, one after the other
}

// tap is one output sample: the input samples from..from+n, weighted by
// values[at..at+n], which sum to exactly one.
type tap struct{ from, n, at int }

// set makes the table for output positions first..first+n of an axis that is
// scaled from in samples to out. A table that is there already is kept.
//
// In units of 1/(2 in out) of the axis, the centre of input sample x lies at
// (2x+1)*out and that of output i at (2i+1)*in. The triangle reaches to 2*in
// from its centre when the axis shrinks, to 2*out when it grows, and its height
// at distance d is (reach-d)/reach, with reach a common factor that drops out.
// The largest terms, (2i+1)*in with out = 65500*4096, stay below 2^46, and
// their scaled sums below 2^62.
func (t *weights) set(in, out, first, n int) {
	if t.in == in && t.out == out && t.first == first && t.n == n {
		return
	}
	t.in, t.out, t.first, t.n = in, out, first, n
	t.taps, t.values = t.taps[:0], t.values[:0]
	reach := 2 * int64(max(in, out))
	pitch := 2 * int64(out) // between input centres
	for i := first; i < first+n; i++ {
		centre := (2*int64(i) + 1) * int64(in)
		// The first input sample with (2x+1)*out > centre-reach.
		from := int64(0)
		if low := centre - reach - int64(out); low >= 0 {
			from = low/pitch + 1
		}
		height := func(x int64) int64 { return reach - abs((2*x+1)*int64(out)-centre) }
		sum, to := int64(0), from
		for ; to < int64(in) && height(to) > 0; to++ {
			sum += height(to)
		}
		tp := tap{from: int(from), n: int(to - from), at: len(t.values)}
		// Rounding the running sums, not the weights, keeps the total exact and
		// every weight within one unit.
		run, before := int64(0), int64(0)
		for x := from; x < to; x++ {
			run += height(x)
			after := (run*one + sum/2) / sum
			t.values = append(t.values, uint32(after-before))
			before = after
		}
		t.taps = append(t.taps, tp)
	}
}

// span returns the range of input samples that the table refers to.
func (t *weights) span() (from, to int) {
	last := t.taps[len(t.taps)-1]
	return t.taps[0].from, last.from + last.n
}

// block holds the samples of one column in [blockRows] rows of the three
// planes, two to a word: red of rows 0 and 1, red of rows 2 and 3, green, blue.
type block [6]uint64

const blockRows = 4

// pack fills blocks with the samples left..left+len(blocks) of four rows of the
// planes of an image.
func pack(blocks []block, rows *[3][blockRows][]uint8, left int) {
	for c := range 3 {
		r0, r1 := rows[c][0][left:][:len(blocks)], rows[c][1][left:][:len(blocks)]
		r2, r3 := rows[c][2][left:][:len(blocks)], rows[c][3][left:][:len(blocks)]
		for x := range blocks {
			b := &blocks[x]
			b[2*c] = uint64(r0[x]) | uint64(r1[x])<<32
			b[2*c+1] = uint64(r2[x]) | uint64(r3[x])<<32
		}
	}
}

// filterBlocks filters four rows of the three planes: each of dst's rows gets
// one sample for each tap. The blocks begin with input column left.
func (t *weights) filterBlocks(dst *[3][blockRows][]uint8, blocks []block, left int) {
	n := len(t.taps)
	r0, r1, r2, r3 := dst[0][0][:n], dst[0][1][:n], dst[0][2][:n], dst[0][3][:n]
	g0, g1, g2, g3 := dst[1][0][:n], dst[1][1][:n], dst[1][2][:n], dst[1][3][:n]
	b0, b1, b2, b3 := dst[2][0][:n], dst[2][1][:n], dst[2][2][:n], dst[2][3][:n]
	for i, tp := range t.taps {
		w := t.values[tp.at : tp.at+tp.n]
		in := blocks[tp.from-left:][:len(w)]
		a, b, c := uint64(start), uint64(start), uint64(start)
		d, e, f := uint64(start), uint64(start), uint64(start)
		for k := range in {
			p, v := &in[k], uint64(w[k])
			a += p[0] * v
			b += p[1] * v
			c += p[2] * v
			d += p[3] * v
			e += p[4] * v
			f += p[5] * v
		}
		r0[i], r1[i], r2[i], r3[i] = uint8(a>>bits), uint8(a>>(32+bits)), uint8(b>>bits), uint8(b>>(32+bits))
		g0[i], g1[i], g2[i], g3[i] = uint8(c>>bits), uint8(c>>(32+bits)), uint8(d>>bits), uint8(d>>(32+bits))
		b0[i], b1[i], b2[i], b3[i] = uint8(e>>bits), uint8(e>>(32+bits)), uint8(f>>bits), uint8(f>>(32+bits))
	}
}

// columns filters the columns of strip, whose rows of width samples begin with
// input row top: dst gets one row for each tap. Eight neighbouring columns are
// done at once.
func (t *weights) columns(dst, strip []uint8, width, top int) {
	for i, tp := range t.taps {
		w := t.values[tp.at : tp.at+tp.n]
		rows := strip[(tp.from-top)*width:][:tp.n*width]
		out := dst[i*width:][:width]
		x := 0
		for ; x+8 <= width; x += 8 {
			a, b, c, d := uint64(start), uint64(start), uint64(start), uint64(start)
			at := x
			for _, v := range w {
				s, v := binary.LittleEndian.Uint64(rows[at:]), uint64(v)
				a += s & pair * v
				b += s >> 8 & pair * v
				c += s >> 16 & pair * v
				d += s >> 24 & pair * v
				at += width
			}
			a, b = a>>bits&pair, b>>bits&pair
			c, d = c>>bits&pair, d>>bits&pair
			binary.LittleEndian.PutUint64(out[x:], a|b<<8|c<<16|d<<24)
		}
		for ; x < width; x++ {
			sum := uint32(half)
			for k, v := range w {
				sum += v * uint32(rows[k*width+x])
			}
			out[x] = uint8(sum >> bits)
		}
	}
}

func abs(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}
