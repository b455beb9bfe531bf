// Command gen writes the assembly of package stats.
//
//	go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg stats
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64,!noasm,!purego")
	addSamples()
	addProducts()
	Generate()
}

// addSamples adds bytes to 16-bit sums, 32 at a time.
func addSamples() {
	TEXT("addSamplesAVX2", NOSPLIT, "func(sums *uint16, samples *uint8, n int)")
	Pragma("noescape")
	Doc("addSamplesAVX2 adds n samples to n sums. n must be a multiple of 32.")
	sums, samples := Load(Param("sums"), GP64()), Load(Param("samples"), GP64())
	n := Load(Param("n"), GP64())
	SHRQ(Imm(5), n)
	JZ(LabelRef("done"))
	Label("loop")
	for k := range 2 {
		v := YMM()
		VPMOVZXBW(Mem{Base: samples, Disp: 16 * k}, v)
		VPADDW(Mem{Base: sums, Disp: 32 * k}, v, v)
		VMOVDQU(v, Mem{Base: sums, Disp: 32 * k})
	}
	ADDQ(Imm(32), samples)
	ADDQ(Imm(64), sums)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// addProducts sums the six products of three colours, 16 pixels at a time. A
// lane takes the products of two pixels each time, at most 2*255^2.
func addProducts() {
	TEXT("addProductsAVX2", NOSPLIT, "func(lanes *[48]uint32, red, green, blue *uint8, n int)")
	Pragma("noescape")
	Doc("addProductsAVX2 stores eight partial sums each of RR, RG, RB, GG, GB, BB",
		"over n pixels. n must be a multiple of 16, and at most 2^16.")
	lanes := Load(Param("lanes"), GP64())
	planes := [3]reg.Register{Load(Param("red"), GP64()), Load(Param("green"), GP64()), Load(Param("blue"), GP64())}
	n := Load(Param("n"), GP64())
	var acc [6]reg.VecVirtual
	for k := range acc {
		acc[k] = YMM()
		VPXOR(acc[k], acc[k], acc[k])
	}
	SHRQ(Imm(4), n)
	JZ(LabelRef("store"))
	Label("loop")
	var v [3]reg.VecVirtual
	for c := range v {
		v[c] = YMM()
		VPMOVZXBW(Mem{Base: planes[c]}, v[c])
	}
	k := 0
	for i := range 3 {
		for j := i; j < 3; j++ {
			p := YMM()
			VPMADDWD(v[i], v[j], p)
			VPADDD(p, acc[k], acc[k])
			k++
		}
	}
	for c := range planes {
		ADDQ(Imm(16), planes[c])
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("store")
	for k := range acc {
		VMOVDQU(acc[k], Mem{Base: lanes, Disp: 32 * k})
	}
	VZEROUPPER()
	RET()
}
