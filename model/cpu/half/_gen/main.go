// Command gen writes the vector kernels of package half: go run . in this folder (go
// generate in the package's).
package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	block      = 16 // channels of a register
	blockBytes = 2 * block
)

func main() {
	ConstraintExpr("amd64,!noasm,!purego")
	foldRow()
	lrnForward()
	lrnBackward()
	Generate()
}

// constant fills a register with a float32.
func constant(v float32) VecVirtual { return bits(math.Float32bits(v)) }

// bits fills a register with a word.
func bits(v uint32) VecVirtual {
	r, z := GP32(), ZMM()
	MOVL(U32(v), r)
	VPBROADCASTD(r, z)
	return z
}

// parameter fills a register with a float32 argument.
func parameter(name string) VecVirtual {
	x, z := XMM(), ZMM()
	Load(Param(name), x)
	VBROADCASTSS(x, z)
	return z
}

// zero makes a register of zeros.
func zero() VecVirtual {
	z := ZMM()
	VPXORD(z, z, z)
	return z
}

// rounder has what it takes to round to bfloat16.
type rounder struct{ half, one, quiet VecVirtual }

func newRounder() rounder { return rounder{bits(0x7fff), bits(1), bits(0x400000)} }

// store writes a register of float32s as bfloat16s. It spoils v.
func (r rounder) store(v VecVirtual, m Mem) {
	r.words(v)
	VPMOVDW(v, m)
}

// words rounds to bfloat16s in the lower halves of words: to nearest, ties to even; a
// NaN stays one.
func (r rounder) words(v VecVirtual) {
	odd, nan, k := ZMM(), ZMM(), K()
	VCMPPS(Imm(3), v, v, k) // unordered
	VPORD(r.quiet, v, nan)
	VPSRLD(Imm(16), v, odd)
	VPANDD(r.one, odd, odd)
	VPADDD(r.half, v, v)
	VPADDD(odd, v, v)
	VMOVDQA32(nan, k, v)
	VPSRLD(Imm(16), v, v)
}

// load reads bfloat16s as a register of float32s.
func load(m Mem) VecVirtual {
	z := ZMM()
	VPMOVZXWD(m, z)
	VPSLLD(Imm(16), z, z)
	return z
}

// window adds up to the middle register its neighbours' values: five channels in all.
// The sum of channels c-2 .. c+2 is taken in that order.
func window(before, at, after VecVirtual) VecVirtual {
	sum, t := ZMM(), ZMM()
	VALIGND(Imm(14), before, at, sum)
	VALIGND(Imm(15), before, at, t)
	VADDPS(t, sum, sum)
	VADDPS(at, sum, sum)
	VALIGND(Imm(1), at, after, t)
	VADDPS(t, sum, sum)
	VALIGND(Imm(2), at, after, t)
	VADDPS(t, sum, sum)
	return sum
}

// root has what it takes to compute powers.
type root struct{ k, alpha, half, threeHalves VecVirtual }

// inverse returns 1/sqrt(k + alpha*sum), by an estimate and a step of Newton's. It
// spoils sum.
func (r root) inverse(sum VecVirtual) VecVirtual {
	VFMADD213PS(r.k, r.alpha, sum) // sum*alpha + k
	return r.refine(sum)
}

// refine returns 1/sqrt(s).
func (r root) refine(s VecVirtual) VecVirtual {
	q, t := ZMM(), ZMM()
	VRSQRT14PS(s, q)
	VMULPS(q, q, t)
	VMULPS(s, t, t)
	VFNMADD213PS(r.threeHalves, r.half, t) // 1.5 - 0.5*s*q*q
	VMULPS(t, q, q)
	return q
}

// power returns s^-3/4 for q = s^-1/2, which is q * q * 1/sqrt(q).
func (r root) power(q VecVirtual) VecVirtual {
	p := r.refine(q)
	VMULPS(q, p, p)
	VMULPS(q, p, p)
	return p
}

func newRoot() root {
	return root{parameter("k"), parameter("alpha"), constant(0.5), constant(1.5)}
}

// lrnForward walks over the positions, and at each over blocks of channels, one ahead
// with the squares.
func lrnForward() {
	TEXT("lrnForward", NOSPLIT, "func(y *uint16, x *uint16, positions int, blocks int, alpha float32, k float32)")
	Doc("lrnForward normalises positions of so many blocks of 16 channels.")
	y, x := Load(Param("y"), GP64()), Load(Param("x"), GP64())
	n, blocks := Load(Param("positions"), GP64()), Load(Param("blocks"), GP64())
	r, round, none := newRoot(), newRounder(), zero()
	before, at, after, v, next := ZMM(), ZMM(), ZMM(), ZMM(), ZMM()
	left := GP64()

	Label("position")
	VMOVAPS(none, before)
	VMOVAPS(load(Mem{Base: x}), v)
	VMULPS(v, v, at)
	MOVQ(blocks, left)
	Label("block")
	VMOVAPS(none, after)
	CMPQ(left, Imm(1))
	JE(LabelRef("last"))
	VMOVAPS(load(Mem{Base: x, Disp: blockBytes}), next)
	VMULPS(next, next, after)
	Label("last")
	p := r.power(r.inverse(window(before, at, after)))
	VMULPS(v, p, p)
	round.store(p, Mem{Base: y})
	VMOVAPS(at, before)
	VMOVAPS(after, at)
	VMOVAPS(next, v)
	ADDQ(Imm(blockBytes), x)
	ADDQ(Imm(blockBytes), y)
	DECQ(left)
	JNZ(LabelRef("block"))
	DECQ(n)
	JNZ(LabelRef("position"))
	VZEROUPPER()
	RET()
}

// lrnBackward walks as lrnForward does, and is another block behind with the results,
// since they need the next block's ratios.
func lrnBackward() {
	TEXT("lrnBackward", NOSPLIT, "func(dx *uint16, x *uint16, dy *uint16, positions int, blocks int, alpha float32, k float32, factor float32)")
	Doc("lrnBackward makes the gradient of the input of lrnForward. factor is 2*alpha*beta. dx may be dy.")
	dx, x, dy := Load(Param("dx"), GP64()), Load(Param("x"), GP64()), Load(Param("dy"), GP64())
	n, blocks := Load(Param("positions"), GP64()), Load(Param("blocks"), GP64())
	r, round, none, factor := newRoot(), newRounder(), zero(), parameter("factor")
	before, at, after, v, next := ZMM(), ZMM(), ZMM(), ZMM(), ZMM()
	// Of the block behind: ratios of the block before it and its own, input times the
	// factor, and gradient times power.
	ratioBefore, ratioAt, lastX, lastDY := ZMM(), ZMM(), ZMM(), ZMM()
	left := GP64()

	Label("position")
	VMOVAPS(none, before)
	VMOVAPS(none, ratioBefore)
	VMOVAPS(none, ratioAt)
	VMOVAPS(load(Mem{Base: x}), v)
	VMULPS(v, v, at)
	MOVQ(blocks, left)
	Label("block")
	VMOVAPS(none, after)
	CMPQ(left, Imm(1))
	JE(LabelRef("last"))
	VMOVAPS(load(Mem{Base: x, Disp: blockBytes}), next)
	VMULPS(next, next, after)
	Label("last")
	q := r.inverse(window(before, at, after))
	p := r.power(q)
	g := load(Mem{Base: dy})
	VMULPS(g, p, g) // gradient times s^-3/4
	ratio := ZMM()
	VMULPS(v, g, ratio)
	VMULPS(q, ratio, ratio)
	VMULPS(q, ratio, ratio) // times 1/s
	CMPQ(left, blocks)
	JE(LabelRef("first"))
	behind(round, ratioBefore, ratioAt, ratio, lastX, lastDY, Mem{Base: dx, Disp: -blockBytes})
	Label("first")
	VMOVAPS(ratioAt, ratioBefore)
	VMOVAPS(ratio, ratioAt)
	VMULPS(factor, v, lastX)
	VMOVAPS(g, lastDY)
	VMOVAPS(at, before)
	VMOVAPS(after, at)
	VMOVAPS(next, v)
	ADDQ(Imm(blockBytes), x)
	ADDQ(Imm(blockBytes), dy)
	ADDQ(Imm(blockBytes), dx)
	DECQ(left)
	JNZ(LabelRef("block"))
	behind(round, ratioBefore, ratioAt, none, lastX, lastDY, Mem{Base: dx, Disp: -blockBytes})
	DECQ(n)
	JNZ(LabelRef("position"))
	VZEROUPPER()
	RET()
}

// behind writes dy*s^-3/4 - factor*x * sum of ratios, of a block.
func behind(round rounder, before, at, after, x, dy VecVirtual, m Mem) {
	sum := window(before, at, after)
	VFNMADD213PS(dy, x, sum)
	round.store(sum, m)
}

// foldRow rounds a row of pixels and deals them out, four to each of the blocks, which
// are stride bytes apart. Four blocks are done at a time.
func foldRow() {
	TEXT("foldRow", NOSPLIT, "func(dst *uint16, src *float32, blocks int, stride int)")
	Doc("foldRow rounds four pixels for each of a multiple of four blocks, which are stride bytes apart.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	blocks, stride := Load(Param("blocks"), GP64()), Load(Param("stride"), GP64())
	round := newRounder()
	three, v, narrow, upper := GP64(), ZMM(), YMM(), XMM()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, three)

	Label("blocks")
	VMOVUPS(Mem{Base: src}, v)
	round.words(v)
	VPMOVDW(v, narrow)
	VEXTRACTI32X4(Imm(1), narrow, upper)
	low := narrow.AsX()
	VMOVQ(low, Mem{Base: dst})
	VPEXTRQ(Imm(1), low, Mem{Base: dst, Index: stride, Scale: 1})
	VMOVQ(upper, Mem{Base: dst, Index: stride, Scale: 2})
	VPEXTRQ(Imm(1), upper, Mem{Base: dst, Index: three, Scale: 1})
	ADDQ(Imm(64), src)
	LEAQ(Mem{Base: dst, Index: stride, Scale: 4}, dst)
	SUBQ(Imm(4), blocks)
	JNZ(LabelRef("blocks"))
	VZEROUPPER()
	RET()
}
