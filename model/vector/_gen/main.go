// Command gen writes the assembly of package vector.
//
//	go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg vector
//
// All kernels but those of dropout's masks move memory and little else, so that AVX2
// is as wide as pays. None contracts a product and a sum to one rounding.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	lanes  = 8 // of a vector of AVX2
	bytes  = 4 * lanes
	unroll = 4 // vectors of a turn
)

func main() {
	ConstraintExpr("amd64,!noasm,!purego")
	update()
	addScaled()
	scale()
	follow()
	multiply()
	relu()
	reluBackward()
	largest()
	squares()
	mask(false)
	mask(true)
	Generate()
}

// stream is the way through slices of the same length.
type stream struct {
	at map[string]reg.Register
	n  reg.Register
}

// begin declares a kernel of n values, n a multiple of 32, and its slices.
func begin(name, signature, doc string, slices ...string) stream {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(name+" "+doc, "n must be a multiple of 32.")
	s := stream{at: map[string]reg.Register{}}
	for _, p := range slices {
		s.at[p] = Load(Param(p), GP64())
	}
	s.n = Load(Param("n"), GP64())
	return s
}

// each writes the loop, whose body is written for each vector of a turn.
func (s stream) each(body func(k int)) {
	SHRQ(U8(5), s.n)
	JZ(LabelRef("done"))
	Label("loop")
	for k := range unroll {
		body(k)
	}
	for _, p := range []string{"w", "v", "grad", "dst", "src", "other"} {
		if r, ok := s.at[p]; ok {
			ADDQ(I32(unroll*bytes), r)
		}
	}
	DECQ(s.n)
	JNZ(LabelRef("loop"))
	Label("done")
}

// mem is vector k of a slice in this turn.
func (s stream) mem(slice string, k int) Mem { return Mem{Base: s.at[slice], Disp: k * bytes} }

// broadcast loads a parameter into all lanes.
func broadcast(name string) reg.VecVirtual {
	v := YMM()
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(p.Addr, v)
	return v
}

func end() {
	VZEROUPPER()
	RET()
}

// zeros returns registers of zeros.
func zeros(n int) []reg.VecVirtual {
	list := make([]reg.VecVirtual, n)
	for i := range list {
		list[i] = YMM()
		VPXOR(list[i], list[i], list[i])
	}
	return list
}

// magnitudes returns a register that clears signs.
func magnitudes() reg.VecVirtual {
	m := YMM()
	VPCMPEQD(m, m, m)
	VPSRLD(U8(1), m, m)
	return m
}

// storeLargest returns the largest lane of the registers as the result.
func storeLargest(list []reg.VecVirtual) {
	for _, v := range list[1:] {
		VPMAXSD(v, list[0], list[0])
	}
	a, b := list[0].AsX(), XMM()
	VEXTRACTI128(U8(1), list[0], b)
	for _, order := range []uint8{0x4E, 0xB1, 0} {
		VPMAXSD(b, a, a)
		VPSHUFD(U8(order), a, b)
	}
	r := GP32()
	VMOVD(a, r)
	Store(r, ReturnIndex(0))
}

// The paper's update rule. What is largest among the new weights says whether all is
// finite: see Update.
func update() {
	s := begin("updateAVX2", "func(w, v, grad *float32, n int, momentum, decay, rate float32) uint32",
		"sets v to momentum*v - decay*w - rate*grad and adds it to w. It returns the largest magnitude of w, as bits.", "w", "v", "grad")
	momentum, decay, rate := broadcast("momentum"), broadcast("decay"), broadcast("rate")
	unsign, top := magnitudes(), zeros(2)
	s.each(func(k int) {
		w, d, t := YMM(), YMM(), YMM()
		VMOVUPS(s.mem("w", k), w)
		VMULPS(s.mem("v", k), momentum, d)
		VMULPS(w, decay, t)
		VSUBPS(t, d, d)
		VMULPS(s.mem("grad", k), rate, t)
		VSUBPS(t, d, d)
		VMOVUPS(d, s.mem("v", k))
		VADDPS(d, w, w)
		VMOVUPS(w, s.mem("w", k))
		VPAND(w, unsign, w)
		VPMAXSD(w, top[k%2], top[k%2])
	})
	storeLargest(top)
	end()
}

func addScaled() {
	s := begin("addScaledAVX2", "func(dst, src *float32, n int, a float32)", "adds a*src to dst.", "dst", "src")
	a := broadcast("a")
	s.each(func(k int) {
		v := YMM()
		VMULPS(s.mem("src", k), a, v)
		VADDPS(s.mem("dst", k), v, v)
		VMOVUPS(v, s.mem("dst", k))
	})
	end()
}

func scale() {
	s := begin("scaleAVX2", "func(dst, src *float32, n int, a float32)", "sets dst to a*src.", "dst", "src")
	a := broadcast("a")
	s.each(func(k int) {
		v := YMM()
		VMULPS(s.mem("src", k), a, v)
		VMOVUPS(v, s.mem("dst", k))
	})
	end()
}

func follow() {
	s := begin("followAVX2", "func(dst, src *float32, n int, share float32)", "adds share*(src-dst) to dst.", "dst", "src")
	share := broadcast("share")
	s.each(func(k int) {
		v, d := YMM(), YMM()
		VMOVUPS(s.mem("dst", k), v)
		VMOVUPS(s.mem("src", k), d)
		VSUBPS(v, d, d)
		VMULPS(d, share, d)
		VADDPS(d, v, v)
		VMOVUPS(v, s.mem("dst", k))
	})
	end()
}

func multiply() {
	s := begin("multiplyAVX2", "func(dst, src, other *float32, n int)", "sets dst to src*other.", "dst", "src", "other")
	s.each(func(k int) {
		v := YMM()
		VMOVUPS(s.mem("src", k), v)
		VMULPS(s.mem("other", k), v, v)
		VMOVUPS(v, s.mem("dst", k))
	})
	end()
}

func relu() {
	s := begin("reluAVX2", "func(dst, src *float32, n int)", "sets dst to src, and to 0 where it is not more than 0; a NaN stays.", "dst", "src")
	zero := zeros(1)[0]
	s.each(func(k int) {
		const notLessOrEqual = 0x16 // or unordered; quiet
		v, keep := YMM(), YMM()
		VMOVUPS(s.mem("src", k), v)
		VCMPPS(U8(notLessOrEqual), zero, v, keep)
		VANDPS(v, keep, v)
		VMOVUPS(v, s.mem("dst", k))
	})
	end()
}

func reluBackward() {
	s := begin("reluBackwardAVX2", "func(dst, src, other *float32, n int)", "sets dst to src, and to 0 where other is +0.", "dst", "src", "other")
	zero := zeros(1)[0]
	s.each(func(k int) {
		drop := YMM()
		VPCMPEQD(s.mem("other", k), zero, drop)
		VPANDN(s.mem("src", k), drop, drop)
		VMOVDQU(drop, s.mem("dst", k))
	})
	end()
}

func largest() {
	s := begin("largestAVX2", "func(src *float32, n int) uint32", "returns the largest magnitude, as bits.", "src")
	unsign, top := magnitudes(), zeros(unroll)
	s.each(func(k int) {
		v := YMM()
		VPAND(s.mem("src", k), unsign, v)
		VPMAXSD(v, top[k], top[k])
	})
	storeLargest(top)
	end()
}

func squares() {
	s := begin("squaresAVX2", "func(sums *float64, src *float32, n int)", "adds the square of value i to sum i%16.", "sums", "src")
	var acc [unroll]reg.VecVirtual
	for i := range acc {
		acc[i] = YMM()
		VMOVUPD(Mem{Base: s.at["sums"], Disp: i * bytes}, acc[i])
	}
	s.each(func(k int) {
		for half := range 2 {
			i := (2*k + half) % unroll
			v := YMM()
			VCVTPS2PD(Mem{Base: s.at["src"], Disp: k*bytes + half*bytes/2}, v)
			VMULPD(v, v, v)
			VADDPD(v, acc[i], acc[i])
		}
	})
	for i := range acc {
		VMOVUPD(acc[i], Mem{Base: s.at["sums"], Disp: i * bytes})
	}
	end()
}

// mask writes the kernel of dropout's masks: Philox4x32-10 for as many counters at
// once as a register has lanes of 64 bits, of which the lower half is in use: so a
// product needs no other instruction than the one that makes it. Counters lie in the
// lanes such that the last step, which weaves the four words of each together, leaves
// them in order.
func mask(wide bool) {
	name, lanes, vec := "maskAVX2", 4, YMM
	if wide {
		name, lanes, vec = "maskAVX512", 8, ZMM
	}
	TEXT(name, NOSPLIT, "func(dst *float32, n int, first, layer, low, high uint32, keys *uint64, threshold uint32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s writes the mask of n values, from the counter first on. keys are the two of each round.", name),
		fmt.Sprintf("n must be a multiple of %d.", 4*lanes))
	dst, n := Load(Param("dst"), GP64()), Load(Param("n"), GP64())
	keys := Load(Param("keys"), GP64())
	order := GLOBL(name+"Order", RODATA|NOPTR)
	for i := range lanes {
		DATA(8*i, U64(uint64(i/2+i%2*lanes/2)))
	}
	// Only the lower halves of these count, but those of c0 and c2, which they become,
	// are read alone.
	quads := func(name string) reg.VecVirtual {
		v, x, r := vec(), XMM(), GP32()
		Load(Param(name), r)
		VMOVD(r, x)
		VPBROADCASTQ(x, v)
		return v
	}
	counter, layer, low, high := quads("first"), quads("layer"), quads("low"), quads("high")
	VPADDQ(order, counter, counter)
	words := func(load func(reg.Register)) reg.VecVirtual {
		v, x, r := vec(), XMM(), GP32()
		load(r)
		VMOVD(r, x)
		VPBROADCASTD(x, v)
		return v
	}
	constant := func(bits uint32) func(reg.Register) { return func(r reg.Register) { MOVL(U32(bits), r) } }
	m0, m1, one := words(constant(0xD2511F53)), words(constant(0xCD9E8D57)), words(constant(0x3F800000))
	step := vec()
	{
		x, r := XMM(), GP64()
		MOVQ(U64(uint64(lanes)), r)
		VMOVQ(r, x)
		VPBROADCASTQ(x, step)
	}
	threshold := words(func(r reg.Register) { Load(Param("threshold"), r) })
	SHRQ(U8(3+lanes/4), n) // by 16 or 32
	JZ(LabelRef("done"))
	Label("loop")
	c := [4]reg.VecVirtual{counter, layer, low, high}
	for round := range 10 {
		p0, p1, a, b := vec(), vec(), vec(), vec()
		VPMULUDQ(m0, c[0], p0)
		VPMULUDQ(m1, c[2], p1)
		VPSRLQ(U8(32), p1, a)
		VPSRLQ(U8(32), p0, b)
		k0, k1 := Mem{Base: keys, Disp: 16 * round}, Mem{Base: keys, Disp: 16*round + 8}
		if wide {
			const xor3 = 0x96 // of all three operands
			VPTERNLOGQ_BCST(U8(xor3), k0, c[1], a)
			VPTERNLOGQ_BCST(U8(xor3), k1, c[3], b)
		} else {
			key := vec()
			VPXOR(c[1], a, a)
			VPBROADCASTQ(k0, key)
			VPXOR(key, a, a)
			VPXOR(c[3], b, b)
			VPBROADCASTQ(k1, key)
			VPXOR(key, b, b)
		}
		c = [4]reg.VecVirtual{a, p1, b, p0}
	}
	VPADDQ(step, counter, counter)
	// The pairs of words, then all four of a counter.
	for i := 0; i < 4; i += 2 {
		odd := vec()
		VPSLLQ(U8(32), c[i+1], odd)
		if wide {
			// The lower halves of one and the upper ones of the other.
			even := vec()
			VPSLLQ(U8(32), c[i], even)
			VPSRLQ(U8(32), even, even)
			VPORQ(odd, even, c[i])
		} else {
			VPBLENDD(U8(0xAA), odd, c[i], c[i])
		}
	}
	pairs := [2]reg.VecVirtual{vec(), vec()}
	VPUNPCKLQDQ(c[2], c[0], pairs[0])
	VPUNPCKHQDQ(c[2], c[0], pairs[1])
	for i, v := range pairs {
		if wide {
			const notLess = 5
			k := K()
			VPCMPUD(U8(notLess), threshold, v, k)
			VMOVDQA32_Z(one, k, v)
			VMOVDQU32(v, Mem{Base: dst, Disp: i * 8 * lanes})
		} else {
			t := vec()
			VPMAXUD(v, threshold, t)
			VPCMPEQD(v, t, t)
			VPAND(one, t, t)
			VMOVDQU(t, Mem{Base: dst, Disp: i * 8 * lanes})
		}
	}
	ADDQ(I32(int32(16*lanes)), dst)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("done")
	end()
}
