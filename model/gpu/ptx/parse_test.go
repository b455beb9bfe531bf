package ptx

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestSyntaxErrors(t *testing.T) {
	tests := []struct {
		name, before, body string
		at                 string // what the error's line holds
		unsupported        bool
		says               string
	}{
		{name: "no such instruction", body: "frob.s32 %r1, %r2;\nret;", at: "frob", unsupported: true, says: "frob.s32"},
		{name: "an instruction of other GPUs", body: "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1}, {%r1}, {%r2}, {%f1};", at: "mma", unsupported: true, says: "mma.sync"},
		{name: "no such type", body: "add.q32 %r1, %r2, %r3;", at: "add.q32", unsupported: true},
		{name: "no such modifier", body: "add.fast.s32 %r1, %r2, %r3;", at: "add.fast", unsupported: true},
		{name: "add of bits", body: "add.b32 %r1, %r2, %r3;", at: "add.b32", unsupported: true},
		{name: "mul without a part", body: "mul.s32 %r1, %r2, %r3;", at: "mul.s32", unsupported: true},
		{name: "rounding of integers", body: "cvt.rn.s32.s64 %r1, %d1;", at: "cvt", unsupported: true},
		{name: "no rounding", body: "cvt.f32.s32 %f1, %r1;", at: "cvt", says: "rounding"},
		{name: "no rounding to a whole number", body: "cvt.rn.s32.f32 %r1, %f1;", at: "cvt", says: "rounding"},
		{name: "bfloat16 below 9.0", body: "add.bf16 %h1, %h2, %h3;", at: "add.bf16", unsupported: true},
		{name: "conversion of bfloat16 below 9.0", body: "cvt.rn.bf16.s32 %h1, %r1;", at: "cvt", unsupported: true},
		{name: "conversion to more, rounded", body: "cvt.rn.f64.f32 %d1, %f1;", at: "cvt", unsupported: true},
		{name: "reciprocal of no precision", body: "rcp.f32 %f1, %f2;", at: "rcp", unsupported: true},
		{name: "flush of integers", body: "cvt.ftz.s32.s64 %r1, %d1;", at: "cvt", unsupported: true},
		{name: "bits to shift as a number", body: "shl.u32 %r1, %r2, 1;", at: "shl", unsupported: true},
		{name: "half moved as a number", body: "selp.f16 %h1, %h2, %h3, %p1;", at: "selp", unsupported: true},
		{name: "store to constants", body: "st.const.u32 [%d1], %r1;", at: "st.const", unsupported: true},
		{name: "nc of shared memory", body: "ld.shared.nc.u32 %r1, [%d1];", at: "ld.shared", unsupported: true},
		{name: "atomic or of numbers", body: "red.global.or.u32 [%d1], %r1;", at: "red.global", unsupported: true},
		{name: "special register in arithmetic", body: "add.u32 %r1, %tid.y, 1;", at: "%tid.y", says: "%tid.y"},
		{name: "address in arithmetic", before: ".global .u32 g;", body: "add.u64 %d1, g, 1;", at: "add.u64", says: "g where"},
		{name: "result of no use", body: "add.u32 _, %r1, 1;", at: "add.u32", says: "not used"},
		{name: "two results", body: "add.u32 %r1|%p1, %r1, 1;", at: "add.u32", says: "no register"},
		{name: "too few operands", body: "add.s32 %r1, %r2;", at: "add.s32", says: "2 operands where 3"},
		{name: "register of another width", body: "add.s32 %r1, %r2, %d1;", at: "add.s32", says: "%d1 is .b64"},
		{name: "integer register for a number", body: ".reg .s32 %s1;\nadd.f32 %f1, %f2, %s1;", at: "add.f32", says: "%s1 is .s32"},
		{name: "predicate for a number", body: "add.s32 %r1, %r2, %p1;", at: "add.s32", says: "%p1 is .pred"},
		{name: "result in brackets", body: "add.s32 [%r1], %r2, %r3;", at: "add.s32", says: "no register"},
		{name: "address without brackets", body: "ld.global.u32 %r1, %d1;", at: "ld.global", says: "no address"},
		{name: "address of 32 bits", body: "ld.global.u32 %r1, [%r2];", at: "ld.global", says: "%r2 is .b32"},
		{name: "register of no range", body: "add.s32 %r1, %r2, %r40;", at: "add.s32", says: "%r40"},
		{name: "undeclared register", body: "add.s32 %r1, %r2, %q;", at: "add.s32", says: "%q"},
		{name: "undeclared guard", body: "@%q add.s32 %r1, %r2, 1;", at: "@%q", says: "%q"},
		{name: "undeclared variable", body: "ld.shared.u32 %r1, [nowhere];", at: "nowhere", says: "nowhere"},
		{name: "variable of another space", before: ".global .u32 g;", body: "ld.shared.u32 %r1, [g];", at: "ld.shared", says: "global"},
		{name: "undefined label", body: "bra NOWHERE;", at: "NOWHERE", says: "NOWHERE"},
		{name: "label twice", body: "A: ret;\nA: ret;", says: "twice"},
		{name: "call of nothing", body: "call nothing, ();", at: "call", unsupported: true, says: "nothing"},
		{name: "recursion", before: ".func f() { call f, (); ret; }", body: "call f, ();", unsupported: true, says: "recursion"},
		{name: "parameter past its end", body: "ld.param.u64 %d1, [out+8];", at: "[out+8]", says: "out"},
		{name: "vector of another length", body: "ld.global.v4.u32 {%r1, %r2}, [%d1];", at: "ld.global", says: "2 values"},
		{name: "vector that is too wide", body: "ld.global.v4.u64 {%d1, %d2, %d3, %d4}, [%d1];", at: "ld.global", unsupported: true},
		{name: "much shared memory", body: ".shared .b8 a[50000];\nst.shared.u32 [a], 1;", at: "st.shared", says: "shared"},
		{name: "much local memory", body: ".local .b8 a[600000];\nst.local.u32 [a], 1;", at: "st.local", says: "local"},
		{name: "initial value too long", before: ".global .u32 g[1] = {1, 2};", says: "8"},
		{name: "no length", before: ".global .u32 g[];", says: "length"},
		{name: "no such target", before: ".target compute\n", unsupported: true, says: "compute"},
		{name: "no such directive", before: ".tex .u64 t;", unsupported: true, says: ".tex"},
		{name: "no semicolon", body: "add.s32 %r1, %r2, %r3\nret;", says: "ret"},
		{name: "no end", body: "{ ret;", says: "end"},
		{name: "bad number", body: "mov.u32 %r1, 0x12q;", at: "0x12q", says: "number"},
		{name: "bad character", body: "mov.u32 %r1, `;", at: "`", says: "character"},
		{name: "number for an integer", body: "add.s32 %r1, %r2, 0f3F800000;", at: "0f3F", says: "floating"},
	}
	for _, test := range tests {
		src := module(test.before, test.body)
		_, err := Parse(src)
		var syntax *SyntaxError
		var unsupported *UnsupportedError
		line := 0
		switch {
		case errors.As(err, &syntax):
			line = syntax.Line
		case errors.As(err, &unsupported):
			line = unsupported.Line
		}
		switch {
		case err == nil:
			t.Errorf("%s: no error", test.name)
		case (unsupported != nil) != test.unsupported || !strings.Contains(err.Error(), test.says):
			t.Errorf("%s: %v", test.name, err)
		case test.at != "" && line != lineOf(src, test.at):
			t.Errorf("%s: %v, which is not line %d", test.name, err, lineOf(src, test.at))
		}
	}
	if _, err := Parse(strings.Replace(module("", "add.bf16 %h1, %h2, %h3;"), "sm_80", "sm_90a", 1)); err != nil {
		t.Errorf("bfloat16 for 9.0: %v", err)
	}
	if _, err := Parse(".target sm_80\n"); err == nil {
		t.Error("no .version: no error")
	}
}

// formsSource holds what compilers write beside instructions.
const formsSource = `//
// Generated
//
.version 7.8
.target sm_80, debug
.address_size 64
/* a comment
   of two lines */
.file 1 "/somewhere/a.cu"
.extern .func (.param .b32 r) vprintf (.param .b64 a, .param .b64 b);
.extern .shared .align 16 .b8 dyn[];
.visible .const .align 4 .b8 bytes[8] = {1, 0, 0, 0, 0xff};
.global .align 4 .f32 floats[3] = {0f3F800000, 2.5, 3.0};
.global .align 8 .u64 where[2] = {generic(floats)+4, generic(bytes)};
.weak .func (.param .b32 ret0) twice(.param .b32 a) { .reg .b32 %r<3>; .loc 1 2 3
	ld.param.u32 %r1, [a];
	add.u32 %r2, %r1, %r1;
	st.param.b32 [ret0+0], %r2;
	ret;
}
.visible .entry k(.param .u64 .ptr .global .align 4 out, .param .u32 n, .param .s8 small)
.maxntid 64, 2, 1
.minnctapersm 2
{
	.pragma "nounroll";
	.reg .b64 %SP, %d<9>;
	.reg .b32 %r<2147483647>;
	.reg .b16 %rs<3>;
	.reg .f32 %f<5>;
	.reg .pred p;
	.loc 1 77 3, function_name $L__info, inlined_at 1 2 3
	ld.param.u64 %d1, [out];
	mov.b64 {%r1, %r2}, %d1;
	mov.b64 %d2, {%r1, %r2};
	mov.u64 %d3, where;
	cvta.global.u64 %d3, %d3;
	ld.u64 %d4, [%d3];
	ld.f32 %f1, [%d4+-4]; ld.f32 %f2, [%d4];
	st.global.v2.f32 [%d2], {%f1, %f2};
	ld.u64 %d4, [%d3+8];
	ld.u32 %r2000000000, [%d4];
	st.global.b32 [%d2+8], %r2000000000;
	ld.const.u8 %r3, [bytes+4];
	st.global.b32 [%d2+12], %r3;
	{ // callseq
	.reg .b32 tmp;
	.param .b32 param0;
	ld.param.u32 tmp, [n];
	st.param.b32 [param0+0], tmp;
	.param .b32 retval0;
	call.uni (retval0), twice, (param0);
	ld.param.b32 %r4, [retval0+0];
	}
	{ .reg .pred p; setp.eq.u32 p, %r4, 0; @p bra L; bra.uni M;
L: trap;
	}
M:
	st.global.b32 [%d2+16], %r4;
	ld.param.s8 %rs1, [small];
	cvt.s32.s16 %r5, %rs1;
	st.global.u32 [%d2+20], %r5;
	mov.u32 %r6, dyn;
	mov.b32 {%rs1, %rs2}, %r5;
	st.shared.v2.u16 [dyn], {%rs1, %rs2};
	ld.shared.v2.u16 {%rs1, _}, [dyn];
	cvt.u32.u16 %r7, %rs1;
	st.global.u32 [%d2+24], %r7;
	st.global.u32 [%d2+28], %r9;
$L__BB0_1:
	ret;
}
.section .debug_info { .b32 1 .b8 2 }
`

// TestForms reads what compilers write beside instructions.
func TestForms(t *testing.T) {
	m := parse(t, formsSource)
	e := entry(t, m, "k")
	if p := e.Params(); len(p) != 3 || p[0] != (Param{"out", 8}) || p[1] != (Param{"n", 4}) || p[2].Bytes != 1 {
		t.Errorf("parameters: %v", p)
	}
	var a arena
	at := a.words(make([]uint32, 16)...)
	err := e.Run(&a, Launch{Threads: [3]int{1}, Shared: 16}, []uint64{at, 21, 0x80})
	want := []uint32{uint32(f32(1)), uint32(f32(2.5)), 1, 255, 42, 0xffffff80, 0xff80}
	if got := a.getWords(at, 7); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%x, want %x", got, want)
	}
	f := FaultOf(err)
	if f == nil || f.Kind != Uninitialised || f.Source != "a.cu:77" {
		t.Errorf("the place in the source: %v", err)
	}
}

func TestLaunches(t *testing.T) {
	m := parse(t, strings.Replace(module("", ".shared .b32 a[1000];\nst.shared.u32 [a], 1;\nret;"), ")\n{", ")\n.maxntid 128, 1, 1\n{", 1))
	e := entry(t, m, "k")
	if e.Static() != 4000 {
		t.Errorf("%d bytes of static shared memory", e.Static())
	}
	var a arena
	at := a.words(1)
	for _, test := range []struct {
		l    Launch
		args []uint64
		says string
	}{
		{Launch{}, []uint64{at}, "1 arguments for 2"},
		{Launch{Threads: [3]int{129}}, []uint64{at, at}, ".maxntid"},
		{Launch{Threads: [3]int{1025}}, []uint64{at, at}, "1024"},
		{Launch{Threads: [3]int{1, 1, 65}}, []uint64{at, at}, "64"},
		{Launch{Threads: [3]int{-1}}, []uint64{at, at}, "threads"},
		{Launch{Blocks: [3]int{1, 65536}}, []uint64{at, at}, "blocks"},
		{Launch{Shared: 230000}, []uint64{at, at}, "shared"},
		{Launch{Shared: -1}, []uint64{at, at}, "shared"},
	} {
		err := e.Run(&a, test.l, test.args)
		var refused *LaunchError
		if !errors.As(err, &refused) || refused.Entry != "k" || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: %v", test.l, err)
		}
	}
	if _, ok := m.Entry("other"); ok {
		t.Error("there is an entry that there is not")
	}
}

// TestPlaces checks the special registers of all three dimensions.
func TestPlaces(t *testing.T) {
	src := module("", `mov.u32 %r1, %tid.y;
mov.u32 %r2, %tid.z;
mov.u32 %r3, %ntid.x;
mov.u32 %r4, %ntid.y;
mov.u32 %r5, %ntid.z;
mad.lo.u32 %r6, %r2, %r4, %r1;
mad.lo.u32 %r6, %r6, %r3, %t;
mov.u32 %r7, %ctaid.y;
mov.u32 %r8, %ctaid.z;
mov.u32 %r9, %nctaid.x;
mov.u32 %r10, %nctaid.y;
mad.lo.u32 %r11, %r8, %r10, %r7;
mad.lo.u32 %r11, %r11, %r9, %b;
mul.lo.u32 %r12, %r3, %r4;
mul.lo.u32 %r12, %r12, %r5;
mad.lo.u32 %r13, %r11, %r12, %r6;
mul.wide.u32 %d1, %r13, 4;
add.s64 %d1, %d1, %o;
mov.u32 %r14, %laneid;
mov.u32 %r15, %warpid;
mad.lo.u32 %r15, %r15, 32, %r14;
mad.lo.u32 %r15, %r11, 1000, %r15;
st.global.u32 [%d1], %r15;
ret;`)
	l := Launch{Blocks: [3]int{2, 3, 2}, Threads: [3]int{5, 4, 3}}
	out, f := runBody(t, src, l)
	if f != nil {
		t.Fatal(f)
	}
	for i := range 12 * 60 {
		if want := uint32(i/60*1000 + i%60); out[i] != want {
			t.Fatalf("%d: %d, want %d", i, out[i], want)
		}
	}
}

// FuzzParse checks that no text makes the parser panic, and that what it accepts runs or
// fails, but does not panic either.
func FuzzParse(f *testing.F) {
	f.Add(addSource)
	f.Add(formsSource)
	f.Add(module(".const .u32 c[2] = {1, 2};\n.func (.param .b32 r) g(.param .b32 a) { .reg .b32 %r1; ld.param.b32 %r1, [a]; st.param.b32 [r], %r1; ret; }",
		"L: .branchtargets A, B;\nA: brx.idx %t, L;\nB: { .param .b32 x, y; st.param.b32 [x], %t; call (y), g, (x); }\nshfl.sync.idx.b32 %r1|%p1, %t, 1, 31, -1;\nbar.red.popc.u32 %r2, 1, 32, %p1;\nret;"))
	f.Add(instructionSource("fma.rn.relu.bf16x2", "rrrr", ""))
	f.Add(instructionSource("cvt.rzi.s64.f32", "df", ""))
	f.Fuzz(func(t *testing.T, src string) {
		m, err := Parse(src)
		if err != nil {
			return
		}
		var a arena
		at := a.words(make([]uint32, 64)...)
		for _, name := range m.Entries() {
			e, _ := m.Entry(name)
			args := make([]uint64, len(e.Params()))
			for i := range args {
				args[i] = at
			}
			for _, seed := range []uint64{0, 1} {
				_ = e.Run(&a, Launch{Threads: [3]int{40}, Shared: 64, Budget: 200, Seed: seed}, args)
			}
		}
	})
}

func TestImmediates(t *testing.T) {
	for _, test := range []struct {
		text string
		want uint64
	}{
		{"12", 12}, {"0x1F", 31}, {"017", 15}, {"0b101", 5}, {"7U", 7}, {"-1", math.MaxUint32}, {"0xFFFFFFFFU", math.MaxUint32},
	} {
		if got := execute(t, "mov.u32", "r", ", "+test.text); got != test.want {
			t.Errorf("%s: %d, want %d", test.text, got, test.want)
		}
	}
}

// randomInstruction puts together what instructions are made of.
func randomInstruction(rng *rand.Rand) string {
	pick := func(s string) string { f := strings.Fields(s); return f[rng.IntN(len(f))] }
	var b strings.Builder
	if rng.IntN(4) == 0 {
		b.WriteString(pick("@%p1 @!%p2 ") + " ")
	}
	b.WriteString(pick(`mov add sub mul div rem min max and or xor shl shr mad fma abs neg not cnot popc clz brev bfind sqrt rsqrt rcp ex2
lg2 tanh sad lop3 prmt shf bfe bfi setp set selp slct testp copysign cvt cvta isspacep ld st atom red bra brx ret exit trap call bar
barrier membar shfl vote match redux activemask`))
	for range rng.IntN(5) {
		b.WriteString("." + pick(`s8 u8 b8 s16 u16 b16 s32 u32 b32 s64 u64 b64 f16 bf16 f32 f64 f16x2 bf16x2 pred tf32 rn rz rm rp rni rzi sat ftz
relu approx full lo hi wide eq ne lt le gt ge ltu num nan and or xor NaN global shared local const param to v2 v4 sync warp up down bfly
idx all any ballot uni add min max cas exch inc dec popc red arrive l r wrap clamp gl nc volatile noftz shiftamt`))
	}
	for i := range rng.IntN(6) {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(" " + pick(`%r1 %r2 %r3 %d1 %d2 %o %i %m %h1 %h2 %f1 %f2 %p1 %p2 !%p1 %r1|%p1 %p1|%p2 0 1 -1 7 31 0x96 0f3F800000 1.5
0d3FF0000000000000 [%m] [%o+4] [%d1] [%r1] [a] [a+4] [c] [g] [e+8] [out] a c g A T %tid.x %laneid _ {%r1,%r2} {%h1,%h2} {%f1,%f2,%f1,%f2}
{%r1,%r2,%r3,%r1} () (a) %clock`))
	}
	return b.String() + ";"
}

// FuzzInstructions makes instructions of parts that need not fit, and executes what the
// parser accepts.
func FuzzInstructions(f *testing.F) {
	for seed := range uint64(3) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 11))
		before := ".const .u32 c[2] = {1, 2};\n.global .u32 g[4];\n.extern .shared .b8 e[];\n"
		setUp := `.shared .b32 a[8];
T: .branchtargets A, B;
mov.u32 %r1, %t; mov.u32 %r2, 5; mov.u32 %r3, 0xffffff00; mov.u64 %d1, %m; mov.u64 %d2, -9; mov.b16 %h1, 0x3f80; mov.b16 %h2, 7;
mov.f32 %f1, 0fBFC00000; mov.f32 %f2, 0f00000001; setp.lt.u32 %p1, %t, 5; setp.eq.u32 %p2, %t, 3;
A: `
		for range 300 {
			body := setUp
			for range 1 + rng.IntN(2) {
				body += randomInstruction(rng) + "\n"
			}
			m, err := Parse(module(before, body+"B: ret;"))
			if err != nil {
				continue
			}
			e, _ := m.Entry("k")
			var a arena
			at := a.words(make([]uint32, 64)...)
			for _, noRaces := range []bool{false, true} {
				l := Launch{Blocks: [3]int{2}, Threads: [3]int{40}, Shared: 64, Budget: 200, NoRaces: noRaces, Seed: seed & 1}
				_ = e.Run(&a, l, []uint64{at, at})
			}
		}
	})
}
