// Command gen writes the assembly of package augment.
//
//	go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg augment
//
// A kernel makes an image plane by plane (NCHW) or pixel by pixel (NHWC). It
// takes the rows of the crop a block at a time: loads the stored values of some
// pixels, makes them what the image holds, puts them in their order in one
// permutation and stores them at their place. A mirrored image differs from a
// straight one in data alone: the permutation's index, the place of the first
// block, and the direction of the others. A row that is not a whole number of
// blocks ends with one that overlaps the one before.
//
// Planes take turns, a row of each (two of bytes), and rows are called for ahead:
// three rows in flight keep the memory busier than one after the other.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// source is the type of the stored values.
type source struct {
	name  string
	bytes int
}

// target is the type of an image's values.
type target int

const (
	float32s target = iota
	float16s
	bfloat16s
)

func (t target) String() string { return [...]string{"Float32", "Float16", "BFloat16"}[t] }

func (t target) bytes() int { return [...]int{4, 2, 2}[t] }

// line is a cache line's bytes.
const line = 64

// aheadRows is how many rows before it is needed a row is called for. The
// processor's own prefetching does not go from one page to the next, which is 16
// rows of 256 bytes; measured, 4 is best for both sizes of values.
const aheadRows = 4

func main() {
	ConstraintExpr("amd64,!noasm,!purego")
	sources := []source{{"Uint8", 1}, {"Int16", 2}}
	for _, wide := range []bool{false, true} {
		for _, s := range sources {
			for _, t := range []target{float32s, float16s, bfloat16s} {
				planes(s, t, wide)
				pixels(s, t, wide)
			}
		}
	}
	for _, s := range sources {
		copyPlanes(s)
		copyPixels(s)
	}
	fence()
	divide()
	Generate()
}

// divide divides floats where they are. Wider vectors take as much longer.
func divide() {
	TEXT("divideAVX2", NOSPLIT, "func(values *float32, n int, divisor float32)")
	Doc("divideAVX2 divides n values. n must be a multiple of 32, and more than 0.")
	Pragma("noescape")
	at, n := Load(Param("values"), GP64()), Load(Param("n"), GP64())
	divisor := YMM()
	VBROADCASTSS(paramMem("divisor"), divisor)
	Label("loop")
	for k := range 4 {
		v := YMM()
		VMOVUPS(Mem{Base: at, Disp: 32 * k}, v)
		VDIVPS(divisor, v, v)
		VMOVUPS(v, Mem{Base: at, Disp: 32 * k})
	}
	ADDQ(Imm(128), at)
	SUBQ(Imm(32), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// fence makes streaming stores visible to others.
func fence() {
	TEXT("fence", NOSPLIT, "func()")
	Doc("fence orders the streaming stores of this processor before what follows.")
	SFENCE()
	RET()
}

// table writes read-only data: the same bytes in each binary.
func table(name string, n, bytes int, f func(i int) int) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range n {
		switch bytes {
		case 1:
			DATA(i, U8(f(i)))
		case 2:
			DATA(2*i, U16(f(i)))
		case 4:
			DATA(4*i, U32(f(i)))
		}
	}
	return m
}

// tables are those written so far.
var tables = map[string]Mem{}

func shared(name string, n, bytes int, f func(i int) int) Mem {
	if _, ok := tables[name]; !ok {
		tables[name] = table(name, n, bytes, f)
	}
	return tables[name]
}

// woven is the place, among n values of channel c, of the one that belongs in
// lane j of three vectors of n lanes that hold n pixels channel by channel: each
// lane belongs to the channel in one of the three.
func woven(n, c, j int) int {
	for k := range 3 {
		if (k*n+j)%3 == c {
			return (k*n + j) / 3
		}
	}
	panic("no vector has the channel in this lane")
}

// joined is the word of two vectors of n/2 bfloat16, shifted into one another,
// that has value i of n.
func joined(n, i int) int { return i%(n/2)*2 + i/(n/2) }

// walk is the part that all kernels have in common: the way through the rows.
type walk struct {
	in     source
	planes int
	pixels int // a block
	bytes  int // of a pixel in the image
	band   int // rows of a plane before those of the next, where planes take turns

	flip reg.GPVirtual   // 0 or -1
	x    reg.GPVirtual   // column of the block
	src  []reg.GPVirtual // row of the crop in each plane
	sub  []reg.GPVirtual // the same of what is subtracted
	to   reg.GPVirtual   // where the block goes
}

// begin loads the parameters that the body needs.
func (w *walk) begin(withSub bool) {
	w.src = append(w.src, Load(Param("src"), GP64()).(reg.GPVirtual))
	if withSub {
		w.sub = append(w.sub, Load(Param("sub"), GP64()).(reg.GPVirtual))
	}
	if w.planes > 1 {
		plane := Load(Param("plane"), GP64()).(reg.GPVirtual)
		for c := 1; c < w.planes; c++ {
			s := GP64()
			LEAQ(Mem{Base: w.src[c-1], Index: plane, Scale: uint8(w.in.bytes)}, s)
			w.src = append(w.src, s)
			if withSub {
				m := GP64()
				LEAQ(Mem{Base: w.sub[c-1], Index: plane, Scale: 4}, m)
				w.sub = append(w.sub, m)
			}
		}
	}
	w.flip = Load(Param("flip"), GP64()).(reg.GPVirtual)
}

// rows writes the loops twice: for ordinary stores and for streaming ones. next
// is what to do before each plane, of those that are taken in turn.
func (w *walk) rows(plane func(index reg.Register), block func(stream bool)) {
	w.x, w.to = GP64(), GP64()
	dst, left := Load(Param("dst"), GP64()), Load(Param("crop"), GP64())
	last, step, band, c := GP64(), GP64(), GP64(), GP64()
	LEAQ(Mem{Base: left, Disp: -w.pixels}, last)
	MOVQ(I32(w.pixels*w.bytes), step)
	XORQ(w.flip, step)
	SUBQ(w.flip, step)
	inTurn := w.planes == 1
	t := GP64()
	Load(Param("stream"), t)
	TESTQ(t, t)
	JNZ(LabelRef("streamband"))
	for _, stream := range []bool{false, true} {
		prefix := ""
		if stream {
			prefix = "stream"
		}
		Label(prefix + "band")
		if inTurn {
			XORQ(c, c)
			Label(prefix + "plane")
			plane(c)
			MOVQ(I32(w.band), band)
			CMPQ(left, band)
			CMOVQLT(left, band)
		}
		Label(prefix + "row")
		w.ahead(prefix, left)
		// The first block goes to the row's start, or before its end.
		IMUL3Q(I32(w.bytes), last, w.to)
		ANDQ(w.flip, w.to)
		ADDQ(dst, w.to)
		XORQ(w.x, w.x)
		Label(prefix + "block")
		block(stream)
		ADDQ(I32(w.pixels), w.x)
		ADDQ(step, w.to)
		CMPQ(w.x, last)
		JLE(LabelRef(prefix + "block"))
		crop := Load(Param("crop"), GP64())
		if !stream { // rows that are streamed are whole blocks
			w.goBack(crop, last, dst)
		}
		IMUL3Q(I32(w.bytes), crop, crop)
		ADDQ(crop, dst)
		w.advance(Load(Param("width"), GP64()))
		if inTurn {
			DECQ(band)
			JNZ(LabelRef(prefix + "row"))
			w.nextPlane(prefix, c, left, dst)
		} else {
			DECQ(left)
			JNZ(LabelRef(prefix + "row"))
		}
		VZEROUPPER()
		RET()
	}
}

// goBack goes to where the last block of a row ends with the row, if what is left
// is less than a block.
func (w *walk) goBack(crop, last, dst reg.Register) {
	CMPQ(w.x, crop)
	JEQ(LabelRef("next"))
	IMUL3Q(I32(w.bytes), last, w.to)
	NOTQ(w.flip)
	ANDQ(w.flip, w.to)
	NOTQ(w.flip)
	ADDQ(dst, w.to)
	MOVQ(last, w.x)
	JMP(LabelRef("block"))
	Label("next")
}

// advance moves the rows of the crop on by so many values.
func (w *walk) advance(n reg.Register) {
	for c := range w.src {
		LEAQ(Mem{Base: w.src[c], Index: n, Scale: uint8(w.in.bytes)}, w.src[c])
	}
	for c := range w.sub {
		LEAQ(Mem{Base: w.sub[c], Index: n, Scale: 4}, w.sub[c])
	}
}

// nextPlane goes from the end of a band of plane c to its start in the next
// plane, or from the last plane to the next band in the first.
func (w *walk) nextPlane(prefix string, c, left, dst reg.Register) {
	band, t, u := w.x, w.to, GP64()
	MOVQ(I32(w.band), band)
	CMPQ(left, band)
	CMOVQLT(left, band)
	Load(Param("plane"), t)
	Load(Param("width"), u)
	INCQ(c)
	CMPQ(c, paramMem("planes"))
	JEQ(LabelRef(prefix + "last"))
	IMULQ(band, u)
	SUBQ(u, t)
	w.advance(t)
	Load(Param("crop"), t)
	MOVQ(t, u)
	SUBQ(band, t)
	IMULQ(u, t)
	IMUL3Q(I32(w.bytes), t, t)
	ADDQ(t, dst)
	JMP(LabelRef(prefix + "plane"))
	Label(prefix + "last")
	DECQ(c)
	IMULQ(c, t)
	NEGQ(t)
	w.advance(t)
	Load(Param("crop"), t)
	IMULQ(t, t)
	IMULQ(c, t)
	IMUL3Q(I32(w.bytes), t, t)
	SUBQ(t, dst)
	SUBQ(band, left)
	JNZ(LabelRef(prefix + "band"))
}

// ahead brings the row nearer that is aheadRows on, if the crop has it.
func (w *walk) ahead(prefix string, left reg.Register) {
	CMPQ(left, I32(aheadRows))
	JLE(LabelRef(prefix + "near"))
	Load(Param("width"), w.to)
	IMUL3Q(I32(aheadRows*w.in.bytes), w.to, w.to)
	Load(Param("crop"), w.x)
	Label(prefix + "ahead")
	for _, s := range w.src {
		PREFETCHT0(Mem{Base: s, Index: w.to, Scale: 1})
	}
	ADDQ(I32(line), w.to)
	SUBQ(I32(line/w.in.bytes), w.x)
	JG(LabelRef(prefix + "ahead"))
	Label(prefix + "near")
}

// paramMem is where a parameter is.
func paramMem(name string) Mem {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

// vec is a vector of the width that the kernel has.
func vec(wide bool) reg.VecVirtual {
	if wide {
		return ZMM()
	}
	return YMM()
}

// load makes floats of lanes values, from column x+skip of plane c: less what is
// to be subtracted, and shifted.
func (w *walk) load(c, skip int, shift Op, wide bool) reg.VecVirtual {
	v := vec(wide)
	from := Mem{Base: w.src[c], Index: w.x, Scale: uint8(w.in.bytes), Disp: skip * w.in.bytes}
	if w.in.bytes == 1 {
		VPMOVZXBD(from, v)
	} else {
		VPMOVSXWD(from, v)
	}
	VCVTDQ2PS(v, v)
	VSUBPS(Mem{Base: w.sub[c], Index: w.x, Scale: 4, Disp: 4 * skip}, v, v)
	VADDPS(shift, v, v)
	return v
}

// store stores a vector at the block's place, off bytes on.
func (w *walk) store(v reg.Register, off int, stream bool) {
	to := Mem{Base: w.to, Disp: off}
	switch {
	case stream:
		VMOVNTDQ(v, to)
	case v.Size() == 64:
		VMOVDQU64(v, to)
	default:
		VMOVDQU(v, to)
	}
}

// rounder rounds floats to bfloat16: to nearest, ties to even.
type rounder struct {
	wide       bool
	one, below reg.VecVirtual // 1 and 0x7fff in each lane
	upper      reg.VecVirtual // 0xffff0000
}

func broadcast(value uint32, wide bool) reg.VecVirtual {
	t, v := GP32(), vec(wide)
	MOVL(U32(value), t)
	if wide {
		VPBROADCASTD(t, v)
		return v
	}
	x := v.AsX()
	VMOVD(t, x)
	VPBROADCASTD(x, v)
	return v
}

func newRounder(wide bool) *rounder {
	return &rounder{wide: wide, one: broadcast(1, wide), below: broadcast(0x7fff, wide), upper: broadcast(0xffff0000, wide)}
}

// round leaves the rounded value in the upper half of each lane, and something
// in the lower half.
func (r *rounder) round(v reg.VecVirtual) {
	t := vec(r.wide)
	VPSRLD(Imm(16), v, t)
	if r.wide {
		VPANDD(r.one, t, t)
	} else {
		VPAND(r.one, t, t)
	}
	VPADDD(r.below, v, v)
	VPADDD(t, v, v)
}

// half makes one vector of values of 16 bits of two of floats. Those of Float16
// are in order; those of BFloat16 as joined says, or, in the narrow kernels,
// four of one and four of the other in turn.
func half(t target, r *rounder, a, b reg.VecVirtual, wide bool) reg.VecVirtual {
	if t == float16s {
		if wide {
			VCVTPS2PH(Imm(0), a, a.AsY())
			VCVTPS2PH(Imm(0), b, b.AsY())
			VINSERTI64X4(Imm(1), b.AsY(), a, a)
		} else {
			VCVTPS2PH(Imm(0), a, a.AsX())
			VCVTPS2PH(Imm(0), b, b.AsX())
			VINSERTI128(Imm(1), b.AsX(), a, a)
		}
		return a
	}
	r.round(a)
	r.round(b)
	VPSRLD(Imm(16), a, a)
	if wide {
		// a | b & upper, where the halves of a are 0: 0xf8 is A | (B & C).
		VPTERNLOGD(Imm(0xf8), r.upper, b, a)
	} else {
		VPSRLD(Imm(16), b, b)
		VPACKUSDW(b, a, a)
	}
	return a
}

// index loads a table of a permutation; mirrored, its numbers are exclusive-ored
// with mask.
func (w *walk) index(m Mem, mask int, wide bool) reg.VecVirtual {
	v, t := vec(wide), GP64()
	MOVQ(w.flip, t)
	ANDQ(I32(mask), t)
	f := vec(wide)
	if wide {
		VPBROADCASTD(t.As32(), f)
		VPXORD(m, f, v)
	} else {
		VMOVD(t.As32(), f.AsX())
		VPBROADCASTD(f.AsX(), f)
		VPXOR(m, f, v)
	}
	return v
}

func suffix(wide bool) string {
	if wide {
		return "AVX512"
	}
	return "AVX2"
}

func same(i int) int { return i }

// planes makes planes of floats.
func planes(s source, t target, wide bool) {
	lanes := 8
	if wide {
		lanes = 16
	}
	w := walk{in: s, planes: 1, pixels: lanes, bytes: t.bytes(), band: 1}
	if t != float32s {
		w.pixels = 2 * lanes
	}
	name := fmt.Sprintf("planes%s%v%s", s.name, t, suffix(wide))
	TEXT(name, NOSPLIT, "func(dst, src *byte, sub *float32, width, plane, planes, crop int, red, green, blue float32, flip, stream int)")
	Pragma("noescape")
	Doc(name+" makes planes of "+t.String()+" of up to three of "+s.name+".",
		fmt.Sprintf("crop must be at least %d.", w.pixels))
	w.begin(true)
	shift := vec(wide)
	shifts := GP64()
	LEAQ(paramMem("red"), shifts)

	var order, bytes reg.VecVirtual
	var r *rounder
	if t == bfloat16s {
		r = newRounder(wide)
	}
	switch {
	case t == float32s:
		order = w.index(shared("inOrder32", 16, 4, same), lanes-1, wide)
	case wide && t == float16s:
		order = w.index(shared("inOrder16", 32, 2, same), 0x1f001f, true)
	case wide:
		order = w.index(shared("joined16", 32, 2, func(i int) int { return joined(32, i) }), 0x1f001f, true)
	default:
		bytes = w.index(shared("inOrder8", 32, 1, func(i int) int { return i % 16 }), 0x0e0e0e0e, false)
		m := shared("inOrder32", 16, 4, same)
		if t == bfloat16s {
			m = shared("packed32", 8, 4, func(i int) int { return [...]int{0, 1, 4, 5, 2, 3, 6, 7}[i] })
		}
		order = w.index(m, 4, false)
	}
	next := func(c reg.Register) { VBROADCASTSS(Mem{Base: shifts, Index: c, Scale: 4}, shift) }
	w.rows(next, func(stream bool) {
		v := w.load(0, 0, shift, wide)
		if t != float32s {
			v = half(t, r, v, w.load(0, lanes, shift, wide), wide)
		}
		switch {
		case t == float32s:
			VPERMPS(v, order, v)
		case wide:
			VPERMW(v, order, v)
		default:
			VPSHUFB(bytes, v, v)
			VPERMD(v, order, v)
		}
		w.store(v, 0, stream)
	})
}

// residues are lanes of n whose number is r modulo 3.
func residues(n, r int) (bits uint32) {
	for j := r; j < n; j += 3 {
		bits |= 1 << j
	}
	return bits
}

// weave makes three vectors of n lanes, the channels of n pixels side by side,
// of three that each hold a channel, every value in its lane already. blend(r, b,
// a, v) is to take b for the lanes of residue r, and a for the others.
func weave(n int, channels [3]reg.VecVirtual, like func() reg.VecVirtual, blend func(r int, b, a, v reg.VecVirtual)) (out [3]reg.VecVirtual) {
	for k := range out {
		v := like()
		blend(1, channels[(k*n+1)%3], channels[k*n%3], v)
		blend(2, channels[(k*n+2)%3], v, v)
		out[k] = v
	}
	return out
}

// pixels makes an image of three channels of floats, pixel by pixel.
func pixels(s source, t target, wide bool) {
	lanes := 8
	if wide {
		lanes = 16
	}
	w := walk{in: s, planes: 3, pixels: lanes, bytes: 3 * t.bytes()}
	if wide && t != float32s {
		w.pixels = 2 * lanes
	}
	name := fmt.Sprintf("pixels%s%v%s", s.name, t, suffix(wide))
	TEXT(name, NOSPLIT, "func(dst, src *byte, sub *float32, width, plane, crop int, red, green, blue float32, flip, stream int)")
	Pragma("noescape")
	Doc(name+" makes an image of "+t.String()+" of three planes of "+s.name+", pixel by pixel.",
		fmt.Sprintf("crop must be at least %d.", w.pixels))
	w.begin(true)
	var shift, order [3]reg.VecVirtual
	for c, name := range []string{"red", "green", "blue"} {
		shift[c] = vec(wide)
		VBROADCASTSS(paramMem(name), shift[c])
	}
	var r *rounder
	if t == bfloat16s {
		r = newRounder(wide)
	}
	for c := range order {
		switch {
		case t == float32s || !wide:
			m := shared(fmt.Sprintf("woven32x%d_%d", lanes, c), lanes, 4, func(j int) int { return woven(lanes, c, j) })
			order[c] = w.index(m, lanes-1, wide)
		case t == float16s:
			order[c] = w.index(shared(fmt.Sprintf("woven16_%d", c), 32, 2, func(j int) int { return woven(32, c, j) }), 0x1f001f, true)
		default:
			order[c] = w.index(shared(fmt.Sprintf("wovenJoined16_%d", c), 32, 2, func(j int) int { return joined(32, woven(32, c, j)) }), 0x1f001f, true)
		}
	}
	var masks [3]reg.Register
	if wide {
		for i := 1; i < 3; i++ {
			k, m := K(), GP32()
			MOVL(U32(residues(32, i)), m)
			KMOVD(m, k)
			masks[i] = k
		}
	}
	like := func() reg.VecVirtual { return vec(wide) }
	w.rows(nil, func(stream bool) {
		var channels [3]reg.VecVirtual
		for c := range channels {
			v := w.load(c, 0, shift[c], wide)
			if wide && t != float32s {
				v = half(t, r, v, w.load(c, lanes, shift[c], wide), wide)
				VPERMW(v, order[c], v)
			} else {
				VPERMPS(v, order[c], v)
			}
			channels[c] = v
		}
		out := weave(w.pixels, channels, like, func(r int, b, a, v reg.VecVirtual) {
			switch {
			case !wide:
				VBLENDPS(Imm(uint64(residues(8, r))), b, a, v)
			case t == float32s:
				VBLENDMPS(b, a, masks[r], v)
			default:
				VPBLENDMW(b, a, masks[r], v)
			}
		})
		for k, v := range out {
			if wide || t == float32s {
				w.store(v, k*int(v.Size()), stream)
				continue
			}
			if t == float16s {
				VCVTPS2PH(Imm(0), v, v.AsX())
			} else {
				r.round(v)
				VPSRLD(Imm(16), v, v)
				upper := XMM()
				VEXTRACTI128(Imm(1), v, upper)
				VPACKUSDW(upper, v.AsX(), v.AsX())
			}
			w.store(v.AsX(), 16*k, stream)
		}
	})
}

// copyPlanes makes planes of stored values.
func copyPlanes(s source) {
	// Two rows of 224 bytes fill whole lines, one does not.
	w := walk{in: s, planes: 1, pixels: 32 / s.bytes, bytes: s.bytes, band: 2 / s.bytes}
	name := fmt.Sprintf("copyPlanes%sAVX2", s.name)
	TEXT(name, NOSPLIT, "func(dst, src *byte, width, plane, planes, crop, flip, stream int)")
	Pragma("noescape")
	Doc(name+" makes planes of stored values of as many of "+s.name+".",
		fmt.Sprintf("crop must be at least %d.", w.pixels))
	w.begin(false)
	mask := []int{0, 0x0f0f0f0f, 0x0e0e0e0e}[s.bytes]
	bytes := w.index(shared("inOrder8", 32, 1, func(i int) int { return i % 16 }), mask, false)
	order := w.index(shared("inOrder32", 16, 4, same), 4, false)
	w.rows(func(reg.Register) {}, func(stream bool) {
		v := YMM()
		VMOVDQU(Mem{Base: w.src[0], Index: w.x, Scale: uint8(s.bytes)}, v)
		VPSHUFB(bytes, v, v)
		VPERMD(v, order, v)
		w.store(v, 0, stream)
	})
}

// copyPixels makes an image of three channels of stored values, pixel by pixel.
func copyPixels(s source) {
	w := walk{in: s, planes: 3, pixels: 16 / s.bytes, bytes: 3 * s.bytes}
	name := fmt.Sprintf("copyPixels%sAVX2", s.name)
	TEXT(name, NOSPLIT, "func(dst, src *byte, width, plane, crop, flip, stream int)")
	Pragma("noescape")
	Doc(name+" makes an image of stored values of three planes of "+s.name+", pixel by pixel.",
		fmt.Sprintf("crop must be at least %d.", w.pixels))
	w.begin(false)
	mask := []int{0, 0x0f0f0f0f, 0x0e0e0e0e}[s.bytes]
	var order, masks [3]reg.VecVirtual
	for c := range order {
		m := shared(fmt.Sprintf("woven%dx%d_%d", 8*s.bytes, w.pixels, c), 32, 1, func(i int) int {
			j := i % 16
			return woven(w.pixels, c, j/s.bytes)*s.bytes + j%s.bytes
		})
		order[c] = w.index(m, mask, false)
	}
	if s.bytes == 1 {
		for r := 1; r < 3; r++ {
			masks[r] = XMM()
			VMOVDQU(shared(fmt.Sprintf("residue%d", r), 16, 1, func(j int) int {
				return -int(residues(16, r)>>j&1) & 0xff
			}), masks[r])
		}
	}
	like := func() reg.VecVirtual { return XMM() }
	w.rows(nil, func(stream bool) {
		var channels [3]reg.VecVirtual
		for c := range channels {
			v := XMM()
			VMOVDQU(Mem{Base: w.src[c], Index: w.x, Scale: uint8(s.bytes)}, v)
			VPSHUFB(order[c].AsX(), v, v)
			channels[c] = v
		}
		out := weave(w.pixels, channels, like, func(r int, b, a, v reg.VecVirtual) {
			if s.bytes == 1 {
				VPBLENDVB(masks[r], b, a, v)
			} else {
				VPBLENDW(Imm(uint64(residues(8, r))), b, a, v)
			}
		})
		for k, v := range out {
			w.store(v, 16*k, stream)
		}
	})
}
