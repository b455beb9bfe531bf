// Command gen writes the vector kernels of package resize: go run . in this
// folder (go generate in the package's).
//
// Each kernel is written once for registers of 16 rows (AVX-512) and of 8
// (AVX2), which a width describes.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Sizes that package resize lays memory out by.
const (
	bandRows   = 16
	planeBytes = bandRows * 4   // of a pair: two samples of 16 bits in each row
	pairBytes  = 3 * planeBytes // red, green, blue
	groupBytes = bandRows * 4   // four samples in each row
	pixels     = 4              // that one load takes
	pixelBytes = 3              // red, green, blue
	lane       = 16             // bytes of a lane
)

// width is a size of registers.
type width struct {
	name  string
	lanes int // of 16 bytes
	reg   func() VecVirtual
}

func main() {
	ConstraintExpr("amd64,!noasm,!purego")
	order := GLOBL("order", RODATA|NOPTR)
	// Of four pixels: red 0 2 1 3, green, blue. Even bytes of a word are then one
	// pair of neighbours, odd bytes the next.
	for i, v := range []byte{0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11, 0x80, 0x80, 0x80, 0x80} {
		DATA(i, U8(v))
	}
	for _, w := range []width{
		{"AVX512", 4, func() VecVirtual { return ZMM() }},
		{"AVX2", 2, func() VecVirtual { return YMM() }},
	} {
		w.pairs(order)
		w.across()
		w.rows()
		w.down()
	}
	Generate()
}

func (w width) bytes() int { return w.lanes * lane }

// halves is how many registers it takes to hold a value for each row of a band.
func (w width) halves() int { return bandRows / 4 / w.lanes }

func (w width) load(m Mem, r Register) {
	if w.lanes == 4 {
		VMOVDQU32(m, r)
	} else {
		VMOVDQU(m, r)
	}
}

func (w width) store(r Register, m Mem) {
	if w.lanes == 4 {
		VMOVDQU32(r, m)
	} else {
		VMOVDQU(r, m)
	}
}

func (w width) and(a, b, c Op) {
	if w.lanes == 4 {
		VPANDD(a, b, c)
	} else {
		VPAND(a, b, c)
	}
}

func (w width) or(a, b, c Op) {
	if w.lanes == 4 {
		VPORD(a, b, c)
	} else {
		VPOR(a, b, c)
	}
}

func (w width) zero(r Register) {
	if w.lanes == 4 {
		VPXORD(r, r, r)
	} else {
		VPXOR(r, r, r)
	}
}

// insert puts the 16 bytes at m into a lane of r.
func (w width) insert(m Mem, lane int, r VecVirtual) {
	switch {
	case lane == 0:
		VMOVDQU(m, r.AsX())
	case w.lanes == 4:
		VINSERTI32X4(U8(lane), m, r, r)
	default:
		VINSERTI128(U8(lane), m, r, r)
	}
}

// extract stores a lane of r.
func (w width) extract(r VecVirtual, lane int, m Mem) {
	switch {
	case lane == 0:
		VMOVDQU(r.AsX(), m)
	case w.lanes == 4:
		VEXTRACTI32X4(U8(lane), r, m)
	default:
		VEXTRACTI128(U8(lane), r, m)
	}
}

// broadcast fills r with a 32-bit value of a general register.
func (w width) broadcast(v Register, r VecVirtual) {
	x := XMM()
	VMOVD(v, x)
	VPBROADCASTD(x, r)
}

// transpose turns, in every lane, a 4x4 matrix of 32-bit values: what was
// element j of in[i] becomes element i of the result's j. It returns only the
// first n results.
func (w width) transpose(in [4]VecVirtual, n int) []VecVirtual {
	a, b := w.reg(), w.reg()
	VPUNPCKLDQ(in[1], in[0], a)
	VPUNPCKLDQ(in[3], in[2], b)
	out := []VecVirtual{w.reg(), w.reg(), w.reg()}
	VPUNPCKLQDQ(b, a, out[0])
	VPUNPCKHQDQ(b, a, out[1])
	VPUNPCKHDQ(in[1], in[0], a)
	VPUNPCKHDQ(in[3], in[2], b)
	VPUNPCKLQDQ(b, a, out[2])
	if n == 4 {
		out = append(out, w.reg())
		VPUNPCKHQDQ(b, a, out[3])
	}
	return out
}

// rowsOf addresses the rows of a band: a pointer for each four of them, and the
// distance between rows, once and three times.
type rowsOf struct {
	quarter   [4]Register
	one, more Register
}

// newRows takes the pointer to the first row, which it will move, and the
// distance.
func newRows(first, distance Register) rowsOf {
	r := rowsOf{quarter: [4]Register{first, GP64(), GP64(), GP64()}, one: distance, more: GP64()}
	LEAQ(Mem{Base: distance, Index: distance, Scale: 2}, r.more)
	for i := 1; i < 4; i++ {
		LEAQ(Mem{Base: r.quarter[i-1], Index: distance, Scale: 4}, r.quarter[i])
	}
	return r
}

// row is where the current column of row i lies.
func (r rowsOf) row(i int) Mem {
	m := Mem{Base: r.quarter[i/4]}
	switch i % 4 {
	case 1:
		m.Index, m.Scale = r.one, 1
	case 2:
		m.Index, m.Scale = r.one, 2
	case 3:
		m.Index, m.Scale = r.more, 1
	}
	return m
}

// advance moves on by so many bytes in every row.
func (r rowsOf) advance(bytes uint8) {
	for _, p := range r.quarter {
		ADDQ(U8(bytes), p)
	}
}

// pairs sets out four columns of a band after the other.
func (w width) pairs(order Mem) {
	TEXT("pairs"+w.name, NOSPLIT, "func(dst *uint32, src *uint8, pitch, columns int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("pairs%s sets out the samples of a band: for each two columns, for each plane, for each of 16 rows the two samples as 16-bit numbers. It reads and writes a multiple of 4 columns.", w.name))
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	pitch, columns := Load(Param("pitch"), GP64()), Load(Param("columns"), GP64())
	shuffle, low := w.reg(), w.reg()
	if w.lanes == 4 {
		VBROADCASTI32X4(order, shuffle)
	} else {
		VBROADCASTI128(order, shuffle)
	}
	mask := GP32()
	MOVL(U32(0x00ff00ff), mask)
	w.broadcast(mask, low)
	band := newRows(src, pitch)
	label := "pairs_" + w.name
	Label(label)
	for half := range w.halves() {
		var in [4]VecVirtual
		for k := range in {
			in[k] = w.reg()
			for l := range w.lanes {
				w.insert(band.row(4*(half*w.lanes+l)+k), l, in[k])
			}
			VPSHUFB(shuffle, in[k], in[k])
		}
		for c, v := range w.transpose(in, 3) {
			odd := w.reg()
			VPSRLW(U8(8), v, odd)
			w.and(low, v, v)
			at := Mem{Base: dst, Disp: c*planeBytes + half*w.bytes()}
			w.store(v, at)
			w.store(odd, at.Offset(pairBytes))
		}
	}
	band.advance(pixels * pixelBytes)
	ADDQ(U32(2*pairBytes), dst)
	SUBQ(U8(pixels), columns)
	JG(LabelRef(label))
	VZEROUPPER()
	RET()
}

// across weights pairs.
func (w width) across() {
	TEXT("across"+w.name, NOSPLIT, "func(dst, band *uint32, offsets *int32, weights *uint32, positions, pairs, bits, plane int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("across%s filters a band to a multiple of 4 positions, each made of so many pairs: dst gets, for each plane (that many bytes apart), for each four positions, for each of 16 rows the four samples.", w.name))
	dst, band := Load(Param("dst"), GP64()), Load(Param("band"), GP64())
	offsets, weights := Load(Param("offsets"), GP64()), Load(Param("weights"), GP64())
	positions, pairs := Load(Param("positions"), GP64()), Load(Param("pairs"), GP64())
	plane := Load(Param("plane"), GP64())
	shift := XMM()
	bits := Load(Param("bits"), GP64())
	VMOVQ(bits, shift)
	half := w.rounding(bits)
	zero, top := w.reg(), w.reg()
	w.zero(zero)
	limit := GP32()
	MOVL(U32(255), limit)
	w.broadcast(limit, top)

	label := "across_" + w.name
	at, from, left, firstOffset, firstWeight := GP64(), GP64(), GP64(), GP64(), GP64()
	Label(label)
	MOVQ(offsets, firstOffset)
	MOVQ(weights, firstWeight)
	for h := range w.halves() {
		if h > 0 {
			MOVQ(firstOffset, offsets)
			MOVQ(firstWeight, weights)
		}
		done := [3]VecVirtual{w.reg(), w.reg(), w.reg()}
		for q := range 4 {
			sum := [3]VecVirtual{w.reg(), w.reg(), w.reg()}
			for _, s := range sum {
				w.copy(half, s)
			}
			MOVLQSX(Mem{Base: offsets, Disp: 4 * q}, at)
			LEAQ(Mem{Base: band, Index: at, Scale: 1, Disp: h * w.bytes()}, from)
			MOVQ(pairs, left)
			inner := fmt.Sprintf("across_%s_%d_%d", w.name, h, q)
			Label(inner)
			weight := w.reg()
			VPBROADCASTD(Mem{Base: weights}, weight)
			for c, s := range sum {
				product := w.reg()
				VPMADDWD(Mem{Base: from, Disp: c * planeBytes}, weight, product)
				VPADDD(product, s, s)
			}
			ADDQ(U8(4), weights)
			ADDQ(U32(pairBytes), from)
			DECQ(left)
			JNZ(LabelRef(inner))
			for c, s := range sum {
				VPSRAD(shift, s, s)
				VPMAXSD(zero, s, s)
				VPMINSD(top, s, s)
				if q == 0 {
					w.copy(s, done[c])
				} else {
					VPSLLD(U8(8*q), s, s)
					w.or(s, done[c], done[c])
				}
			}
		}
		out := GP64()
		MOVQ(dst, out)
		for c := range 3 {
			w.store(done[c], Mem{Base: out, Disp: h * w.bytes()})
			if c < 2 {
				ADDQ(plane, out)
			}
		}
	}
	ADDQ(U8(16), offsets)
	ADDQ(U8(groupBytes), dst)
	SUBQ(U8(4), positions)
	JG(LabelRef(label))
	VZEROUPPER()
	RET()
}

// rounding returns a register full of half of 1<<bits, which makes a shift to the
// right round to nearest, and leaves bits alone.
func (w width) rounding(bits Register) VecVirtual {
	half, v, less, shift := w.reg(), GP32(), GP64(), XMM()
	MOVL(U32(1), v)
	w.broadcast(v, half)
	MOVQ(bits, less)
	DECQ(less)
	VMOVQ(less, shift)
	VPSLLD(shift, half, half)
	return half
}

func (w width) copy(from, to Register) {
	if w.lanes == 4 {
		VMOVDQA32(from, to)
	} else {
		VMOVDQA(from, to)
	}
}

// rows puts groups of four samples back into rows.
func (w width) rows() {
	TEXT("rows"+w.name, NOSPLIT, "func(dst *uint8, stride int, groups *uint32, columns int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("rows%s writes one plane of a band, 16 rows that are stride apart, from the groups of four samples that across%s makes. It writes a multiple of 16 columns.", w.name, w.name))
	dst, stride := Load(Param("dst"), GP64()), Load(Param("stride"), GP64())
	groups, columns := Load(Param("groups"), GP64()), Load(Param("columns"), GP64())
	band := newRows(dst, stride)
	label := "rows_" + w.name
	Label(label)
	for h := range w.halves() {
		var in [4]VecVirtual
		for k := range in {
			in[k] = w.reg()
			w.load(Mem{Base: groups, Disp: k*groupBytes + h*w.bytes()}, in[k])
		}
		for k, v := range w.transpose(in, 4) {
			for l := range w.lanes {
				w.extract(v, l, band.row(4*(h*w.lanes+l)+k))
			}
		}
	}
	band.advance(lane)
	ADDQ(U32(4*groupBytes), groups)
	SUBQ(U8(16), columns)
	JG(LabelRef(label))
	VZEROUPPER()
	RET()
}

// down weights pairs of rows.
func (w width) down() {
	TEXT("down"+w.name, NOSPLIT, "func(dst, src *uint8, stride int, weights *uint32, pairs, bits, columns int)")
	Pragma("noescape")
	n := w.lanes * 8
	Doc(fmt.Sprintf("down%s filters columns: one row of the result from so many pairs of rows that are stride apart. There must be at least %d columns; the last ones may be done twice.", w.name, n))
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	stride, first := Load(Param("stride"), GP64()), Load(Param("weights"), GP64())
	pairs, columns := Load(Param("pairs"), GP64()), Load(Param("columns"), GP64())
	bits := Load(Param("bits"), GP64())
	shift := XMM()
	VMOVQ(bits, shift)
	half := w.rounding(bits)
	zero := w.reg()
	w.zero(zero)
	x := GP64()
	XORQ(x, x)
	SUBQ(U8(n), columns) // where the last block begins
	row, weights, left := GP64(), GP64(), GP64()
	label := "down_" + w.name
	Label(label)
	low, high := w.reg(), w.reg()
	w.copy(half, low)
	w.copy(half, high)
	LEAQ(Mem{Base: src, Index: x, Scale: 1}, row)
	MOVQ(first, weights)
	MOVQ(pairs, left)
	inner := label + "_pair"
	Label(inner)
	a, b, c, weight := w.reg(), w.reg(), w.reg(), w.reg()
	VPMOVZXBW(Mem{Base: row}, a)
	VPMOVZXBW(Mem{Base: row, Index: stride, Scale: 1}, b)
	VPBROADCASTD(Mem{Base: weights}, weight)
	VPUNPCKLWD(b, a, c)
	VPUNPCKHWD(b, a, a)
	VPMADDWD(weight, c, c)
	VPMADDWD(weight, a, a)
	VPADDD(c, low, low)
	VPADDD(a, high, high)
	LEAQ(Mem{Base: row, Index: stride, Scale: 2}, row)
	ADDQ(U8(4), weights)
	DECQ(left)
	JNZ(LabelRef(inner))
	VPSRAD(shift, low, low)
	VPSRAD(shift, high, high)
	VPACKSSDW(high, low, low)
	if w.lanes == 4 {
		VPMAXSW(zero, low, low)
		VPMOVUSWB(low, Mem{Base: dst, Index: x, Scale: 1})
	} else {
		VPACKUSWB(low, low, low)
		VPERMQ(U8(0x08), low, low)
		VMOVDQU(low.AsX(), Mem{Base: dst, Index: x, Scale: 1})
	}
	// The next block, or the last one, which may overlap.
	CMPQ(x, columns)
	JGE(LabelRef(label + "_end"))
	ADDQ(U8(n), x)
	CMPQ(x, columns)
	CMOVQGT(columns, x)
	JMP(LabelRef(label))
	Label(label + "_end")
	VZEROUPPER()
	RET()
}
