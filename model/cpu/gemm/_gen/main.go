// Command gen writes the assembly of package gemm.
//
//	go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg gemm
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64,!noasm,!purego")
	// The sums of a tile fill the registers but for two of B and a few of A: 24 of
	// 32, or 12 of 16. Two fused multiply-adds a cycle, each ready after four, need
	// eight sums at least.
	tile("tile12x32AVX512", 12, 16, func() reg.VecVirtual { return ZMM() })
	tile("tile6x16AVX2", 6, 8, func() reg.VecVirtual { return YMM() })
	packRuns()
	Generate()
}

// tile writes a micro-kernel of mr rows by two vectors.
func tile(name string, mr, lanes int, vector func() reg.VecVirtual) {
	nr, bytes := 2*lanes, 4*lanes
	TEXT(name, NOSPLIT, "func(k int, a, b, c *float32, ldc, add int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets the %d x %d values of c, in rows ldc apart, to the product of", name, mr, nr),
		"packed a and b, or adds it to them if add is not 0. k must be at least 1.")
	k := Load(Param("k"), GP64())
	a, b := Load(Param("a"), GP64()), Load(Param("b"), GP64())
	c, ldc := Load(Param("c"), GP64()), Load(Param("ldc"), GP64())
	add := Load(Param("add"), GP64())
	SHLQ(Imm(2), ldc)

	// The rows of c are far apart: call for them while the sums are made.
	at := GP64()
	MOVQ(c, at)
	for range mr {
		for v := 0; v < 2*bytes; v += 64 {
			PREFETCHT0(Mem{Base: at, Disp: v})
		}
		ADDQ(ldc, at)
	}

	sums := make([][2]reg.VecVirtual, mr)
	for i := range sums {
		for v := range sums[i] {
			sums[i][v] = vector()
			if lanes == 16 {
				VPXORD(sums[i][v], sums[i][v], sums[i][v])
			} else {
				VXORPS(sums[i][v], sums[i][v], sums[i][v])
			}
		}
	}
	step := func(n int) {
		for l := range n {
			row := [2]reg.VecVirtual{vector(), vector()}
			for v := range row {
				VMOVUPS(Mem{Base: b, Disp: l*2*bytes + v*bytes}, row[v])
			}
			for i := range sums {
				one := vector()
				VBROADCASTSS(Mem{Base: a, Disp: 4 * (l*mr + i)}, one)
				for v := range row {
					VFMADD231PS(row[v], one, sums[i][v])
				}
			}
		}
		ADDQ(U32(4*mr*n), a)
		ADDQ(U32(2*bytes*n), b)
	}
	const unroll = 4
	SUBQ(Imm(unroll), k)
	JL(LabelRef("rest"))
	Label("four")
	step(unroll)
	SUBQ(Imm(unroll), k)
	JGE(LabelRef("four"))
	Label("rest")
	ADDQ(Imm(unroll), k)
	JZ(LabelRef("store"))
	Label("one")
	step(1)
	DECQ(k)
	JNZ(LabelRef("one"))

	Label("store")
	TESTQ(add, add)
	JZ(LabelRef("set"))
	MOVQ(c, at)
	for i := range sums {
		for v := range sums[i] {
			VADDPS(Mem{Base: at, Disp: v * bytes}, sums[i][v], sums[i][v])
		}
		ADDQ(ldc, at)
	}
	Label("set")
	for i := range sums {
		for v := range sums[i] {
			VMOVUPS(sums[i][v], Mem{Base: c, Disp: v * bytes})
		}
		ADDQ(ldc, c)
	}
	VZEROUPPER()
	RET()
}

// packRuns writes the kernel that packs 16 columns of B.
func packRuns() {
	TEXT("packRunsAVX2", NOSPLIT, "func(dst *float32, nr int, src *float32, rows *int, k int, groups *int)")
	Pragma("noescape")
	Doc("packRunsAVX2 sets 16 values in each of k rows of dst, which are nr values apart:",
		"the columns of two groups. k must be at least 1.")
	dst, nr := Load(Param("dst"), GP64()), Load(Param("nr"), GP64())
	src, rows := Load(Param("src"), GP64()), Load(Param("rows"), GP64())
	k, g := Load(Param("k"), GP64()), Load(Param("groups"), GP64())
	SHLQ(Imm(2), nr)
	const groupBytes, atBytes, maskBytes = 80, 8, 32 // as Go lays a group out
	var masks [4]reg.VecVirtual
	var from [4]reg.GPVirtual
	for i := range 4 {
		group := i / 2 * groupBytes
		masks[i], from[i] = YMM(), GP64()
		VMOVDQU(Mem{Base: g, Disp: group + 2*atBytes + i%2*maskBytes}, masks[i])
		MOVQ(Mem{Base: g, Disp: group + i%2*atBytes}, from[i])
		LEAQ(Mem{Base: src, Index: from[i], Scale: 4}, from[i])
	}
	Label("loop")
	row := GP64()
	MOVQ(Mem{Base: rows}, row)
	for i := range 2 {
		var v [2]reg.VecVirtual
		for r := range v {
			v[r] = YMM()
			VMASKMOVPS(Mem{Base: from[2*i+r], Index: row, Scale: 4}, masks[2*i+r], v[r])
		}
		VORPS(v[0], v[1], v[0])
		VMOVUPS(v[0], Mem{Base: dst, Disp: 32 * i})
	}
	ADDQ(Imm(8), rows)
	ADDQ(nr, dst)
	DECQ(k)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
