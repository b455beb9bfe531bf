package ptx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// operandTypes are the kinds of registers in a test: h, r, d hold bits, f and g numbers,
// p a predicate.
var operandTypes = map[byte]string{'h': "b16", 'r': "b32", 'd': "b64", 'f': "f32", 'g': "f64", 'p': "pred"}

// instructionSource makes an entry that executes one instruction. shape is the kind of
// the result and those of the operands; rest is added to the instruction.
func instructionSource(op, shape, rest string) string {
	var b strings.Builder
	b.WriteString(".version 7.1\n.target sm_80\n.address_size 64\n.visible .entry one(.param .u64 out")
	for i := range shape[1:] {
		fmt.Fprintf(&b, ", .param .u64 in%d", i)
	}
	b.WriteString(")\n{\n.reg .b64 %to;\nld.param.u64 %to, [out];\n")
	load := func(i int, kind byte) {
		t := operandTypes[kind]
		fmt.Fprintf(&b, ".reg .%s %%x%d;\n", t, i)
		switch {
		case i < 0:
		case kind == 'p':
			fmt.Fprintf(&b, ".reg .b32 %%t%d;\nld.param.u32 %%t%d, [in%d];\nsetp.ne.u32 %%x%d, %%t%d, 0;\n", i, i, i, i, i)
		default:
			fmt.Fprintf(&b, "ld.param.%s %%x%d, [in%d];\n", t, i, i)
		}
	}
	args := []string{"%y"}
	for i := range shape[1:] {
		load(i, shape[i+1])
		args = append(args, fmt.Sprintf("%%x%d", i))
	}
	t := operandTypes[shape[0]]
	fmt.Fprintf(&b, ".reg .%s %%y;\n%s %s%s;\n", t, op, strings.Join(args, ", "), rest)
	if shape[0] == 'p' {
		b.WriteString(".reg .b32 %z;\nselp.u32 %z, 1, 0, %y;\nst.global.u32 [%to], %z;\n")
	} else {
		fmt.Fprintf(&b, "st.global.%s [%%to], %%y;\n", t)
	}
	b.WriteString("ret;\n}\n")
	return b.String()
}

func execute(t testing.TB, op, shape, rest string, in ...uint64) uint64 {
	t.Helper()
	m, err := Parse(instructionSource(op, shape, rest))
	if err != nil {
		t.Errorf("%s: %v", op, err)
		return 0
	}
	var a arena
	at, b := a.alloc(8)
	if err := entry(t, m, "one").Run(&a, Launch{}, append([]uint64{at}, in...)); err != nil {
		t.Errorf("%s: %v", op, err)
	}
	return binary.LittleEndian.Uint64(b)
}

func f32(x float64) uint64 { return uint64(math.Float32bits(float32(x))) }
func f64(x float64) uint64 { return math.Float64bits(x) }

// neg returns -n in so many bits.
func neg(n uint64, width int) uint64 { return truncate(-n, width) }

const (
	nan32   = 0x7fffffff
	inf32   = 0x7f800000
	minus32 = 1 << 31
)

func TestInstructions(t *testing.T) {
	tests := []struct {
		op, shape, rest string
		want            uint64
		in              []uint64
	}{
		// Integers.
		{"add.s32", "rrr", "", 1, []uint64{0xffffffff, 2}},
		{"add.s64", "ddd", "", 1, []uint64{math.MaxUint64, 2}},
		{"add.u16", "hhh", "", 1, []uint64{0xffff, 2}},
		{"add.sat.s32", "rrr", "", 0x7fffffff, []uint64{0x7fffffff, 2}},
		{"sub.sat.s32", "rrr", "", 0x80000000, []uint64{0x80000001, 2}},
		{"sub.s32", "rrr", "", neg(1, 32), []uint64{1, 2}},
		{"sub.s32", "rr", ", 7", neg(5, 32), []uint64{2}},
		{"mul.lo.s32", "rrr", "", neg(6, 32), []uint64{neg(2, 32), 3}},
		{"mul.hi.s32", "rrr", "", neg(1, 32), []uint64{neg(2, 32), 3}},
		{"mul.hi.u32", "rrr", "", 2, []uint64{neg(2, 32), 3}},
		{"mul.hi.s64", "ddd", "", neg(1, 64), []uint64{neg(2, 64), 3}},
		{"mul.hi.u64", "ddd", "", 2, []uint64{neg(2, 64), 3}},
		{"mul.hi.s16", "hhh", "", neg(1, 16), []uint64{neg(2, 16), 3}},
		{"mul.wide.s32", "drr", "", neg(6, 64), []uint64{neg(2, 32), 3}},
		{"mul.wide.u32", "drr", "", 3 * 0xfffffffe, []uint64{neg(2, 32), 3}},
		{"mul.wide.s16", "rhh", "", neg(6, 32), []uint64{neg(2, 16), 3}},
		{"mul.wide.u16", "rhh", "", 3 * 0xfffe, []uint64{neg(2, 16), 3}},
		{"mad.lo.s32", "rrrr", "", neg(1, 32), []uint64{neg(2, 32), 3, 5}},
		{"mad.lo.u16", "hhhh", "", 5, []uint64{0x100, 0x100, 5}},
		{"mad.hi.u32", "rrrr", "", 7, []uint64{neg(2, 32), 3, 5}},
		{"mad.wide.u32", "drrd", "", 1<<40 + 3*0xfffffffe, []uint64{neg(2, 32), 3, 1 << 40}},
		{"mad.wide.s32", "drrd", "", 1<<40 - 6, []uint64{neg(2, 32), 3, 1 << 40}},
		{"div.s32", "rrr", "", neg(3, 32), []uint64{neg(7, 32), 2}},
		{"div.u32", "rrr", "", 0x7ffffffc, []uint64{neg(7, 32), 2}},
		{"div.s32", "rrr", "", 0x80000000, []uint64{0x80000000, neg(1, 32)}},
		{"div.s64", "ddd", "", neg(3, 64), []uint64{neg(7, 64), 2}},
		{"rem.s32", "rrr", "", neg(1, 32), []uint64{neg(7, 32), 2}},
		{"rem.u32", "rrr", "", 1, []uint64{neg(7, 32), 2}},
		{"rem.s16", "hhh", "", neg(1, 16), []uint64{neg(7, 16), 2}},
		{"min.s32", "rrr", "", neg(7, 32), []uint64{neg(7, 32), 2}},
		{"min.u32", "rrr", "", 2, []uint64{neg(7, 32), 2}},
		{"max.s64", "ddd", "", 2, []uint64{neg(7, 64), 2}},
		{"max.u64", "ddd", "", neg(7, 64), []uint64{neg(7, 64), 2}},
		{"abs.s32", "rr", "", 7, []uint64{neg(7, 32)}},
		{"neg.s16", "hh", "", neg(7, 16), []uint64{7}},
		{"sad.s32", "rrrr", "", 14, []uint64{neg(7, 32), 2, 5}},
		{"sad.u32", "rrrr", "", neg(4, 32), []uint64{neg(7, 32), 2, 5}},
		// Bits.
		{"and.b32", "rrr", "", 8, []uint64{12, 10}},
		{"or.b64", "ddd", "", 14, []uint64{12, 10}},
		{"xor.b16", "hhh", "", 6, []uint64{12, 10}},
		{"xor.pred", "ppp", "", 0, []uint64{1, 1}},
		{"and.pred", "ppp", "", 1, []uint64{1, 1}},
		{"not.pred", "pp", "", 0, []uint64{1}},
		{"not.b32", "rr", "", 0xfffffff0, []uint64{15}},
		{"cnot.b32", "rr", "", 1, []uint64{0}},
		{"shl.b32", "rrr", "", 0x80000000, []uint64{3, 31}},
		{"shl.b32", "rrr", "", 0, []uint64{3, 32}},
		{"shl.b64", "ddr", "", 3 << 40, []uint64{3, 40}},
		{"shr.u32", "rrr", "", 1, []uint64{0x80000000, 31}},
		{"shr.u32", "rrr", "", 0, []uint64{0x80000000, 32}},
		{"shr.s32", "rrr", "", 0xffffffff, []uint64{0x80000000, 99}},
		{"shr.s16", "hhr", "", 0xffff, []uint64{0x8000, 15}},
		{"shr.u64", "ddr", "", 1, []uint64{1 << 63, 63}},
		{"popc.b32", "rr", "", 32, []uint64{0xffffffff}},
		{"popc.b64", "rd", "", 64, []uint64{math.MaxUint64}},
		{"clz.b32", "rr", "", 31, []uint64{1}},
		{"clz.b32", "rr", "", 32, []uint64{0}},
		{"clz.b64", "rd", "", 63, []uint64{1}},
		{"brev.b32", "rr", "", 0x80000000, []uint64{1}},
		{"brev.b64", "dd", "", 1 << 62, []uint64{2}},
		{"bfind.u32", "rr", "", 5, []uint64{63}},
		{"bfind.u32", "rr", "", 0xffffffff, []uint64{0}},
		{"bfind.s32", "rr", "", 0xffffffff, []uint64{neg(1, 32)}},
		{"bfind.s64", "rd", "", 5, []uint64{neg(63, 64)}},
		{"bfind.shiftamt.u32", "rr", "", 26, []uint64{63}},
		{"bfe.u32", "rrrr", "", 0x34, []uint64{0x123456, 8, 8}},
		{"bfe.s32", "rrrr", "", neg(2, 32), []uint64{0xe00, 8, 4}},
		{"bfe.s32", "rrrr", "", neg(1, 32), []uint64{0x80000000, 31, 5}},
		{"bfe.u32", "rrrr", "", 0, []uint64{0x80000000, 32, 5}},
		{"bfe.u64", "ddrr", "", 0x12, []uint64{0x12 << 40, 40, 20}},
		{"bfe.u32", "rrrr", "", 0xff, []uint64{0xff, 0, 255}},
		{"bfe.u32", "rrrr", "", 0, []uint64{0xff, 0, 0}},
		{"bfi.b32", "rrrrr", "", 0x123ff6, []uint64{0xfff, 0x123456, 4, 8}},
		{"bfi.b32", "rrrrr", "", 0xf0000000, []uint64{0xff, 0, 28, 8}},
		{"bfi.b64", "dddrr", "", 0xff << 56, []uint64{0xff, 0, 56, 20}},
		{"prmt.b32", "rrrr", "", 0x77441100, []uint64{0x33221100, 0x77665544, 0x7410}},
		{"prmt.b32", "rrrr", "", 0x00ff0000, []uint64{0x80, 0, 0x1811}},
		{"prmt.b32", "rr", ", 0, 0x0123", 0x44332211, []uint64{0x11223344}},
		{"lop3.b32", "rrrr", ", 0x96", 0xf0 ^ 0xcc ^ 0xaa, []uint64{0xf0, 0xcc, 0xaa}},
		{"lop3.b32", "rrrr", ", 0xca", 0xca, []uint64{0xf0, 0xcc, 0xaa}},
		{"shf.l.wrap.b32", "rrrr", "", 0x34567812, []uint64{0x12345678, 0x12345678, 8}},
		{"shf.r.wrap.b32", "rrrr", "", 0x78123456, []uint64{0x12345678, 0x12345678, 40}},
		{"shf.r.clamp.b32", "rrrr", "", 0xabcdef01, []uint64{0x12345678, 0xabcdef01, 40}},
		{"shf.l.clamp.b32", "rrrr", "", 0x12345678, []uint64{0x12345678, 0xabcdef01, 32}},
		// Choices.
		{"selp.b32", "rrrp", "", 3, []uint64{3, 4, 1}},
		{"selp.f64", "gggp", "", 4, []uint64{3, 4, 0}},
		{"slct.b32.s32", "rrrr", "", 4, []uint64{3, 4, neg(1, 32)}},
		{"slct.b32.f32", "rrrf", "", 3, []uint64{3, 4, minus32}},
		{"setp.lt.s32", "prr", "", 1, []uint64{neg(1, 32), 0}},
		{"setp.lt.u32", "prr", "", 0, []uint64{neg(1, 32), 0}},
		{"setp.hi.u64", "pdd", "", 1, []uint64{neg(1, 64), 0}},
		{"setp.ge.and.s32", "prrp", "", 0, []uint64{5, 5, 0}},
		{"setp.ne.s16", "phh", "", 1, []uint64{5, 6}},
		{"setp.lt.f32", "pff", "", 0, []uint64{nan32, f32(1)}},
		{"setp.ltu.f32", "pff", "", 1, []uint64{nan32, f32(1)}},
		{"setp.ne.f32", "pff", "", 0, []uint64{nan32, f32(1)}},
		{"setp.neu.f32", "pff", "", 1, []uint64{nan32, f32(1)}},
		{"setp.num.f32", "pff", "", 1, []uint64{inf32, f32(1)}},
		{"setp.nan.f64", "pgg", "", 1, []uint64{f64(math.NaN()), f64(1)}},
		{"setp.eq.ftz.f32", "pff", "", 1, []uint64{1, minus32 | 2}},
		{"set.lt.u32.s32", "rrr", "", 0xffffffff, []uint64{1, 2}},
		{"set.lt.f32.f32", "fff", "", f32(1), []uint64{f32(1), f32(2)}},
		{"testp.infinite.f32", "pf", "", 1, []uint64{inf32}},
		{"testp.subnormal.f32", "pf", "", 1, []uint64{5}},
		{"testp.normal.f64", "pg", "", 1, []uint64{f64(1)}},
		{"mov.b32", "fr", "", 5, []uint64{5}},
		{"mov.f32", "f", ", 0f3FC00000", f32(1.5), nil},
		{"mov.f32", "f", ", 1.5", f32(1.5), nil},
		{"mov.f64", "g", ", 0dBFF8000000000000", f64(-1.5), nil},
		{"mov.u32", "r", ", -3", neg(3, 32), nil},
		{"mov.u64", "d", ", 0x123456789abcdef0", 0x123456789abcdef0, nil},
		{"mov.u32", "r", ", WARP_SZ", 32, nil},
		{"mov.u32", "r", ", %ntid.x", 1, nil},
		{"mov.u32", "r", ", %lanemask_ge", 0xffffffff, nil},
	}
	for _, test := range tests {
		if got := execute(t, test.op, test.shape, test.rest, test.in...); got != test.want {
			t.Errorf("%s%s %x: %#x, want %#x", test.op, test.rest, test.in, got, test.want)
		}
	}
}

func TestFloats(t *testing.T) {
	tiny := uint64(1) // the smallest float32
	tests := []struct {
		op, shape string
		want      uint64
		in        []uint64
	}{
		{"add.f32", "fff", f32(3), []uint64{f32(1), f32(2)}},
		{"add.f32", "fff", nan32, []uint64{0xffc00001, f32(2)}},
		{"add.f32", "fff", nan32, []uint64{inf32, inf32 | minus32}},
		{"add.rn.f32", "fff", f32(1), []uint64{f32(1), f32(0x1p-24)}},
		{"add.rz.f32", "fff", f32(1), []uint64{f32(1), f32(0x1.8p-24)}},
		{"add.rp.f32", "fff", f32(1) + 1, []uint64{f32(1), tiny}},
		{"add.rm.f32", "fff", f32(1) - 1, []uint64{f32(1), tiny | minus32}},
		{"add.rm.f32", "fff", minus32, []uint64{f32(1), f32(-1)}},
		{"add.f32", "fff", 0, []uint64{f32(1), f32(-1)}},
		{"add.f32", "fff", minus32, []uint64{minus32, minus32}},
		{"add.ftz.f32", "fff", 0, []uint64{tiny, tiny}},
		{"add.ftz.f32", "fff", minus32, []uint64{tiny | minus32, tiny | minus32}},
		{"add.f32", "fff", 2, []uint64{tiny, tiny}},
		{"add.sat.f32", "fff", f32(1), []uint64{f32(1), f32(2)}},
		{"add.sat.f32", "fff", 0, []uint64{nan32, f32(2)}},
		{"sub.f32", "fff", f32(-1), []uint64{f32(1), f32(2)}},
		{"sub.rz.f32", "fff", f32(1) - 1, []uint64{f32(1), tiny}},
		{"mul.f32", "fff", f32(6), []uint64{f32(3), f32(2)}},
		{"mul.rz.f32", "fff", 0x7f7fffff, []uint64{0x7f7fffff, f32(2)}},
		{"mul.rp.f32", "fff", 1, []uint64{tiny, tiny}},
		{"mul.ftz.f32", "fff", 0, []uint64{f32(0x1p-100), f32(0x1p-27)}},
		{"mul.f32", "fff", f32(0x1p-127), []uint64{f32(0x1p-100), f32(0x1p-27)}},
		{"fma.rn.f32", "ffff", f32(10), []uint64{f32(2), f32(3), f32(4)}},
		{"fma.rn.f32", "ffff", f32(0x1p-46), []uint64{f32(1) + 1, f32(1) + 1, 0xbf800002}},
		{"fma.rz.f32", "ffff", f32(1) - 1, []uint64{f32(1), f32(1), tiny | minus32}},
		{"fma.rn.ftz.f32", "ffff", 0, []uint64{tiny, f32(2), tiny}},
		{"fma.rn.f64", "gggg", f64(0x1p-104), []uint64{f64(1) + 1, f64(1) + 1, f64(-1) + 2}},
		{"mad.rn.f32", "ffff", f32(10), []uint64{f32(2), f32(3), f32(4)}},
		{"div.rn.f32", "fff", f32(1.0 / 3), []uint64{f32(1), f32(3)}},
		{"div.full.f32", "fff", f32(1.0 / 3), []uint64{f32(1), f32(3)}},
		{"div.approx.ftz.f32", "fff", f32(0.5), []uint64{f32(1), f32(2)}},
		{"div.rz.f32", "fff", 0x3f2aaaaa, []uint64{f32(2), f32(3)}},
		{"div.rp.f32", "fff", 0x3f2aaaab, []uint64{f32(2), f32(3)}},
		{"div.rn.f32", "fff", inf32, []uint64{f32(2), 0}},
		{"div.rn.f64", "ggg", f64(1.0 / 3), []uint64{f64(1), f64(3)}},
		{"rcp.rn.f32", "ff", f32(0.25), []uint64{f32(4)}},
		{"rcp.approx.ftz.f32", "ff", inf32, []uint64{tiny}},
		{"rcp.rn.f32", "ff", 0x400000, []uint64{f32(0x1p127)}},
		{"rcp.rz.f32", "ff", 0x3eaaaaaa, []uint64{f32(3)}},
		{"sqrt.rn.f32", "ff", f32(math.Sqrt2), []uint64{f32(2)}},
		{"sqrt.rn.f32", "ff", nan32, []uint64{f32(-2)}},
		{"sqrt.rm.f32", "ff", 0x3fb504f3, []uint64{f32(2)}},
		{"sqrt.rp.f32", "ff", 0x3fb504f4, []uint64{f32(2)}},
		{"sqrt.approx.f32", "ff", f32(3), []uint64{f32(9)}},
		{"sqrt.rn.f64", "gg", f64(math.Sqrt2), []uint64{f64(2)}},
		{"rsqrt.approx.f32", "ff", f32(0.5), []uint64{f32(4)}},
		{"rsqrt.approx.f32", "ff", inf32, []uint64{0}},
		{"ex2.approx.f32", "ff", f32(8), []uint64{f32(3)}},
		{"ex2.approx.ftz.f32", "ff", 0, []uint64{f32(-130)}},
		{"lg2.approx.f32", "ff", f32(3), []uint64{f32(8)}},
		{"lg2.approx.f32", "ff", inf32 | minus32, []uint64{0}},
		{"tanh.approx.f32", "ff", f32(math.Tanh(0.5)), []uint64{f32(0.5)}},
		{"sin.approx.f32", "ff", 0, []uint64{0}},
		{"cos.approx.f32", "ff", f32(1), []uint64{0}},
		{"min.f32", "fff", f32(1), []uint64{f32(1), nan32}},
		{"min.f32", "fff", nan32, []uint64{nan32, 0xffffffff}},
		{"max.NaN.f32", "fff", nan32, []uint64{f32(1), nan32}},
		{"max.f32", "fff", 0, []uint64{minus32, 0}},
		{"min.f32", "fff", minus32, []uint64{0, minus32}},
		{"max.f64", "ggg", f64(2), []uint64{f64(1), f64(2)}},
		{"abs.f32", "ff", f32(1), []uint64{f32(-1)}},
		{"abs.ftz.f32", "ff", 0, []uint64{tiny | minus32}},
		{"neg.f32", "ff", f32(1), []uint64{f32(-1)}},
		{"neg.f64", "gg", f64(1), []uint64{f64(-1)}},
		{"copysign.f32", "fff", f32(-2), []uint64{f32(-1), f32(2)}},
		// Halves.
		{"add.f16", "hhh", 0x4200, []uint64{0x3c00, 0x4000}},
		{"mul.f16", "hhh", 0x7c00, []uint64{0x7bff, 0x7bff}},
		{"fma.rn.f16", "hhhh", 0x3c01, []uint64{0x3c00, 0x3c01, 0}},
		{"sub.rn.f16x2", "rrr", 0xbc003c00, []uint64{0x3c004000, 0x40003c00}},
		{"fma.rn.bf16", "hhhh", 0x40e0, []uint64{0x4000, 0x4040, 0x3f80}},
		{"fma.rn.relu.bf16x2", "rrrr", 0x40e00000, []uint64{0x4000c000, 0x40404040, 0x3f803f80}},
		{"max.bf16", "hhh", 0x4000, []uint64{0x4000, 0x7fff}},
		{"min.NaN.bf16x2", "rrr", 0x40007fff, []uint64{0x40004000, 0x40407fff}},
		{"neg.bf16", "hh", 0xbf80, []uint64{0x3f80}},
		{"abs.bf16x2", "rr", 0x3f803f80, []uint64{0xbf803f80}},
		{"ex2.approx.f16", "hh", 0x4000, []uint64{0x3c00}},
		{"tanh.approx.f16", "hh", 0, []uint64{0}},
		{"setp.lt.f16", "phh", 1, []uint64{0x3c00, 0x4000}},
	}
	for _, test := range tests {
		if got := execute(t, test.op, test.shape, "", test.in...); got != test.want {
			t.Errorf("%s %x: %#x, want %#x", test.op, test.in, got, test.want)
		}
	}
}

func TestConversions(t *testing.T) {
	tests := []struct {
		op, shape string
		want      uint64
		in        []uint64
	}{
		{"cvt.s64.s32", "dr", neg(5, 64), []uint64{neg(5, 32)}},
		{"cvt.u64.u32", "dr", 0xfffffffb, []uint64{neg(5, 32)}},
		{"cvt.u32.u64", "rd", 0xfffffffb, []uint64{neg(5, 64)}},
		{"cvt.s32.s8", "rr", neg(128, 32), []uint64{0x1280}},
		{"cvt.s16.s8", "hh", 0xff80, []uint64{0x1280}},
		{"cvt.u16.u8", "hh", 0x80, []uint64{0x1280}},
		{"cvt.u8.u32", "hr", 0x80, []uint64{0x1280}},
		{"cvt.s8.s32", "rr", neg(128, 32), []uint64{0x1280}},
		{"cvt.sat.s8.s32", "rr", 127, []uint64{0x1280}},
		{"cvt.sat.u8.s32", "rr", 0, []uint64{neg(3, 32)}},
		{"cvt.sat.u8.s32", "rr", 255, []uint64{300}},
		{"cvt.sat.s8.s32", "rr", neg(128, 32), []uint64{neg(300, 32)}},
		{"cvt.sat.u32.s64", "rd", 0xffffffff, []uint64{1 << 40}},
		{"cvt.rn.f32.s32", "fr", f32(-5), []uint64{neg(5, 32)}},
		{"cvt.rn.f32.u32", "fr", f32(0x1p32), []uint64{0xffffffff}},
		{"cvt.rz.f32.u32", "fr", 0x4f7fffff, []uint64{0xffffffff}},
		{"cvt.rn.f32.u16", "fh", f32(65535), []uint64{0xffff}},
		{"cvt.rn.f32.s16", "fh", f32(-1), []uint64{0xffff}},
		{"cvt.rn.f32.u8", "fh", f32(255), []uint64{0x12ff}},
		{"cvt.rn.f32.u64", "fd", f32(0x1p40), []uint64{1<<40 + 1<<16}},
		{"cvt.rn.f32.u64", "fd", f32(0x1p40) + 1, []uint64{1<<40 + 1<<16 + 1}},
		{"cvt.rn.f32.s64", "fd", f32(-0x1p40) + 1, []uint64{neg(1<<40+1<<16+1, 64)}},
		{"cvt.rn.f64.u64", "gd", f64(0x1p64), []uint64{math.MaxUint64}},
		{"cvt.rz.f64.u64", "gd", f64(0x1p64) - 1, []uint64{math.MaxUint64}},
		{"cvt.rn.f64.s32", "gr", f64(-5), []uint64{neg(5, 32)}},
		{"cvt.rzi.s32.f32", "rf", neg(2, 32), []uint64{f32(-2.9)}},
		{"cvt.rni.s32.f32", "rf", 2, []uint64{f32(2.5)}},
		{"cvt.rpi.s32.f32", "rf", 3, []uint64{f32(2.1)}},
		{"cvt.rmi.s32.f32", "rf", neg(3, 32), []uint64{f32(-2.1)}},
		{"cvt.rzi.u32.f32", "rf", 0, []uint64{f32(-2.9)}},
		{"cvt.rzi.s32.f32", "rf", 0x7fffffff, []uint64{f32(1e20)}},
		{"cvt.rzi.s32.f32", "rf", 0, []uint64{nan32}},
		{"cvt.rzi.s64.f32", "df", 1 << 63, []uint64{nan32}},
		{"cvt.rzi.u64.f64", "dg", 1<<64 - 1<<11, []uint64{f64(0x1p64) - 1}},
		{"cvt.rzi.u64.f64", "dg", math.MaxUint64, []uint64{f64(0x1p64)}},
		{"cvt.rzi.u8.f32", "rf", 255, []uint64{f32(300)}},
		{"cvt.rzi.s16.f32", "hf", 0x8000, []uint64{f32(-1e9)}},
		{"cvt.rni.f32.f32", "ff", f32(2), []uint64{f32(2.5)}},
		{"cvt.rmi.f32.f32", "ff", f32(-3), []uint64{f32(-2.5)}},
		{"cvt.rzi.f32.f32", "ff", minus32, []uint64{f32(-0.5)}},
		{"cvt.rpi.f64.f64", "gg", f64(3), []uint64{f64(2.5)}},
		{"cvt.sat.f32.f32", "ff", f32(1), []uint64{f32(2.5)}},
		{"cvt.ftz.f32.f32", "ff", 0, []uint64{1}},
		{"cvt.f64.f32", "gf", f64(2.5), []uint64{f32(2.5)}},
		{"cvt.rn.f32.f64", "fg", f32(0.1), []uint64{f64(0.1)}},
		{"cvt.rz.f32.f64", "fg", 0x3f7fffff, []uint64{f64(1) - 1}},
		{"cvt.rp.f32.f64", "fg", f32(1) + 1, []uint64{f64(1) + 1}},
		{"cvt.rn.f32.f64", "fg", inf32, []uint64{f64(1e300)}},
		{"cvt.f32.f16", "fh", f32(-1.5), []uint64{0xbe00}},
		{"cvt.f32.f16", "fh", f32(0x1p-24), []uint64{1}},
		{"cvt.rn.f16.f32", "hf", 0xbe00, []uint64{f32(-1.5)}},
		{"cvt.rn.f16.f32", "hf", 0x7c00, []uint64{f32(65520)}},
		{"cvt.rz.f16.f32", "hf", 0x7bff, []uint64{f32(65520)}},
		{"cvt.rn.f16.f32", "hf", 0, []uint64{f32(0x1p-25)}},
		{"cvt.rn.f16.f32", "hf", 1, []uint64{f32(0x1.004p-25)}},
		{"cvt.rn.f16.f32", "hf", 0x7fff, []uint64{nan32}},
		{"cvt.rn.f16.s32", "hr", 0x4500, []uint64{5}},
		{"cvt.rzi.s32.f16", "rh", 5, []uint64{0x4580}},
		{"cvt.rn.bf16.f32", "hf", 0x3f80, []uint64{0x3f808000}},
		{"cvt.rn.bf16.f32", "hf", 0x3f82, []uint64{0x3f818000}},
		{"cvt.rz.bf16.f32", "hf", 0x3f81, []uint64{0x3f81ffff}},
		{"cvt.rn.relu.bf16.f32", "hf", 0, []uint64{f32(-2)}},
		{"cvt.rn.bf16.f32", "hf", 1, []uint64{0x10000}},
		{"cvt.f32.bf16", "fh", f32(1), []uint64{0x3f80}},
		{"cvt.rn.bf16x2.f32", "rff", 0x3f804000, []uint64{f32(1), f32(2)}},
		{"cvt.rn.relu.f16x2.f32", "rff", 0x3c000000, []uint64{f32(1), f32(-2)}},
		{"cvt.rna.tf32.f32", "rf", 0x3f802000, []uint64{0x3f801000}},
		{"cvt.rna.tf32.f32", "rf", 0x3f800000, []uint64{0x3f800fff}},
	}
	for _, test := range tests {
		if got := execute(t, test.op, test.shape, "", test.in...); got != test.want {
			t.Errorf("%s %x: %#x, want %#x", test.op, test.in, got, test.want)
		}
	}
}

// TestLoads reads numbers that are narrower than their registers.
func TestLoads(t *testing.T) {
	for _, space := range []string{"global", "shared"} {
		load := func(op, d string) string { return strings.ReplaceAll(op, "SPACE", space) + " " + d + ", [%d1];\n" }
		src := module(".shared .b32 a;", `mov.u64 %d1, %i;
st.global.b32 [%i], 0x8182f3f4;
`+map[string]string{"global": "", "shared": "mov.u64 %d1, a;\nst.shared.b32 [a], 0x8182f3f4;\n"}[space]+
			load("ld.SPACE.s8", "%r1")+load("ld.SPACE.u8", "%r2")+load("ld.SPACE.s16", "%r3")+load("ld.SPACE.u16", "%r4")+
			load("ld.SPACE.s8", "%h1")+load("ld.SPACE.s32", "%d2")+load("ld.SPACE.v2.s16", "{%r6, %r7}")+`cvt.u32.u16 %r5, %h1;
shr.u64 %d2, %d2, 32;
cvt.u32.u64 %r8, %d2;
st.global.v4.u32 [%o], {%r1, %r2, %r3, %r4};
st.global.v4.u32 [%o+16], {%r5, %r6, %r7, %r8};
ret;`)
		want := []uint32{0xfffffff4, 0xf4, 0xfffff3f4, 0xf3f4, 0xfff4, 0xfffff3f4, 0xffff8182, 0xffffffff}
		out, f := runBody(t, src, Launch{}, 0)
		if f != nil || !slices.Equal(out[:8], want) {
			t.Errorf("%s: %x, want %x: %v", space, out[:8], want, f)
		}
	}
}

// TestHot compares the instructions that have loops of their own with what a warp that
// is not whole executes.
func TestHot(t *testing.T) {
	names := []struct{ name, shape string }{
		{"cvt.s64.s32", "dr"}, {"cvt.u64.u32", "dr"}, {"cvt.u32.u64", "rd"}, {"cvt.rn.f32.s32", "fr"}, {"cvt.rn.f32.u32", "fr"},
		{"add.s32", "rrr"}, {"sub.u32", "rrr"}, {"add.s64", "ddd"}, {"mul.lo.s32", "rrr"}, {"mul.lo.u64", "ddd"},
		{"mul.wide.s32", "drr"}, {"mul.wide.u32", "drr"}, {"mul.hi.u32", "rrr"},
		{"and.b32", "rrr"}, {"or.b64", "ddd"}, {"xor.b32", "rrr"}, {"shl.b32", "rrr"}, {"shl.b64", "ddr"}, {"shr.u32", "rrr"}, {"shr.u64", "ddr"},
		{"add.rn.f32", "fff"}, {"sub.f32", "fff"}, {"mul.rn.f32", "fff"}, {"cvt.rn.bf16x2.f32", "rff"},
		{"setp.lt.s32", "prr"}, {"setp.gt.s32", "prr"}, {"setp.ge.s32", "prr"}, {"setp.eq.u32", "prr"}, {"setp.ne.s64", "pdd"},
		{"setp.ge.s64", "pdd"}, {"setp.lt.u64", "pdd"}, {"setp.lt.f32", "pff"}, {"setp.gt.f32", "pff"},
		{"mad.lo.s32", "rrrr"}, {"fma.rn.f32", "ffff"},
	}
	rng := rand.New(rand.NewPCG(9, 10))
	for _, test := range names {
		if hot1(test.name) == nil && hot2(test.name) == nil && hot3(test.name) == nil {
			t.Errorf("%s has no loop", test.name)
		}
		src := instructionSource(test.name, test.shape, "")
		// Each thread has its own operands, and its own place for the result.
		src = strings.Replace(src, "ld.param.u64 %to, [out];", `ld.param.u64 %to, [out];
.reg .b32 %tid32;
.reg .b64 %at, %base;
mov.u32 %tid32, %tid.x;
mul.wide.u32 %at, %tid32, 8;
add.s64 %to, %to, %at;`, 1)
		for i := range test.shape[1:] {
			kind := operandTypes[test.shape[i+1]]
			src = strings.Replace(src, fmt.Sprintf("ld.param.%s %%x%d, [in%d];", kind, i, i),
				fmt.Sprintf("ld.param.u64 %%base, [in%d];\nadd.s64 %%base, %%base, %%at;\nld.global.%s %%x%d, [%%base];", i, kind, i), 1)
		}
		e := entry(t, parse(t, src), "one")
		for range 20 {
			var a arena
			at, whole := a.alloc(256)
			args := []uint64{at}
			for i := range test.shape[1:] {
				in, b := a.alloc(256)
				args = append(args, in)
				for k := range 32 {
					v := uint64(numbersFor(rng)) | rng.Uint64()<<32
					if strings.HasPrefix(test.name, "sh") && i == 1 {
						v = uint64(rng.IntN(70))
					}
					binary.LittleEndian.PutUint64(b[8*k:], v)
				}
			}
			if err := e.Run(&a, Launch{Threads: [3]int{32}}, args); err != nil {
				t.Fatal(err)
			}
			part, b := a.alloc(256)
			args[0] = part
			if err := e.Run(&a, Launch{Threads: [3]int{31}}, args); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(whole[:31*8], b[:31*8]) {
				t.Fatalf("%s: a whole warp gives %x, a part %x", test.name, whole, b)
			}
		}
	}
}
