// Command gen writes the assembly of package records.
//
//	go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg records
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func main() {
	ConstraintExpr("amd64,!noasm,!purego")
	TEXT("subtractAVX2", NOSPLIT, "func(dst *byte, pixels, baseline *uint8, n int)")
	Pragma("noescape")
	Doc("subtractAVX2 stores n differences as 16-bit integers, little-endian.",
		"n must be a multiple of 32.")
	dst := Load(Param("dst"), GP64())
	pixels, baseline := Load(Param("pixels"), GP64()), Load(Param("baseline"), GP64())
	n := Load(Param("n"), GP64())
	SHRQ(Imm(5), n)
	JZ(LabelRef("done"))
	Label("loop")
	for k := range 2 {
		v, w := YMM(), YMM()
		VPMOVZXBW(Mem{Base: pixels, Disp: 16 * k}, v)
		VPMOVZXBW(Mem{Base: baseline, Disp: 16 * k}, w)
		VPSUBW(w, v, v)
		VMOVDQU(v, Mem{Base: dst, Disp: 32 * k})
	}
	ADDQ(Imm(32), pixels)
	ADDQ(Imm(32), baseline)
	ADDQ(Imm(64), dst)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
	Generate()
}
