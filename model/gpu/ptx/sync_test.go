package ptx

import (
	"fmt"
	"math/bits"
	"strings"
	"testing"
)

// module puts a module around the body of an entry k(out, in), whose registers it
// declares: %t is the thread, %o and %i are the parameters, %m is out + 4 t.
func module(before, body string) string {
	return ".version 7.0\n.target sm_80\n.address_size 64\n" + before + `
.visible .entry k(.param .u64 out, .param .u64 in)
{
	.reg .pred %p<20>;
	.reg .b16 %h<20>;
	.reg .b32 %t, %b, %r<40>;
	.reg .b64 %o, %i, %m, %d<40>;
	.reg .f32 %f<20>;
	ld.param.u64 %o, [out];
	ld.param.u64 %i, [in];
	mov.u32 %t, %tid.x;
	mov.u32 %b, %ctaid.x;
	mul.wide.u32 %m, %t, 4;
	add.s64 %m, %m, %o;
` + body + "\n}\n"
}

// runBody runs the body of an entry for all seeds and returns the last fault and what
// it wrote.
func runBody(t *testing.T, src string, l Launch, in ...uint32) ([]uint32, *Fault) {
	t.Helper()
	e := entry(t, parse(t, src), "k")
	var out []uint32
	var fault *Fault
	for i, seed := range seeds {
		var a arena
		at := a.words(make([]uint32, 1024)...)
		l.Seed = seed
		err := e.Run(&a, l, []uint64{at, a.words(in...)})
		f := FaultOf(err)
		if err != nil && f == nil {
			t.Fatal(err)
		}
		if i > 0 && (f == nil) != (fault == nil) {
			t.Errorf("seed %d: %v, before: %v", seed, f, fault)
		}
		if i > 0 && f == nil && fmt.Sprint(out) != fmt.Sprint(a.getWords(at, 1024)) {
			t.Errorf("seed %d gives another result", seed)
		}
		out, fault = a.getWords(at, 1024), f
	}
	return out, fault
}

func lineOf(src, text string) int {
	return strings.Count(src[:strings.Index(src, text)], "\n") + 1
}

func TestFaults(t *testing.T) {
	threads := func(n int) Launch { return Launch{Threads: [3]int{n}} }
	blocks := func(n int) Launch { return Launch{Blocks: [3]int{n}} }
	tests := []struct {
		name, before, body string
		launch             Launch
		kind               Kind // "" for none
		at                 string
		says               string
	}{
		{name: "two barriers", launch: threads(64), kind: Divergence, at: "bar.sync 1", says: "32 of 64 threads",
			body: "setp.lt.u32 %p1, %t, 32;\n@%p1 bra A;\nbar.sync 1;\nret;\nA: bar.sync 0;\nret;"},
		{name: "one barrier in two places", launch: threads(64), kind: Divergence, at: "bar.sync 0", says: "the same barrier",
			body: "setp.lt.u32 %p1, %t, 32;\n@%p1 bra A;\nbar.sync 0;\nret;\nA: bar.sync 0;\nret;"},
		{name: "one barrier in two places that may be", launch: threads(64),
			body: "setp.lt.u32 %p1, %t, 32;\n@%p1 bra A;\nbarrier.sync 0;\nret;\nA: barrier.sync 0;\nret;"},
		{name: "barrier of a part that never comes", launch: threads(64), kind: Divergence, at: "bar.sync 3",
			body: "setp.lt.u32 %p1, %t, 32;\n@%p1 bar.sync 3, 64;\nret;"},
		{name: "barrier that others left", launch: threads(64),
			body: "setp.lt.u32 %p1, %t, 40;\n@%p1 bar.sync 0;\nret;"},
		{name: "no such barrier", launch: threads(32), kind: Divergence, at: "bar.sync", body: "add.u32 %r1, %t, 16;\nbar.sync %r1;\nret;"},
		{name: "a mask without the thread", launch: threads(32), kind: Divergence, at: "bar.warp", body: "bar.warp.sync 1;\nret;"},

		{name: "register", launch: threads(3), kind: Uninitialised, at: "st.global", says: "never written",
			body: "add.u32 %r1, %r2, 1;\nst.global.u32 [%m], %r1;\nret;"},
		{name: "register of some threads", launch: threads(3), kind: Uninitialised, at: "st.global",
			body: "setp.eq.u32 %p1, %t, 1;\n@!%p1 mov.u32 %r1, 1;\nst.global.u32 [%m], %r1;\nret;"},
		{name: "register that is not picked", launch: threads(3),
			body: "setp.eq.u32 %p1, %t, 7;\nselp.u32 %r1, %r2, 1, %p1;\nst.global.u32 [%m], %r1;\nret;"},
		{name: "predicate that does not matter", launch: threads(3),
			body: "setp.eq.u32 %p1, %t, 7;\nand.pred %p2, %p1, %p3;\nor.pred %p4, %p3, %p2;\nnot.pred %p5, %p1;\nor.pred %p6, %p3, %p5;\n@!%p6 trap;\n@%p2 trap;\nret;"},
		{name: "predicate that may matter", launch: threads(3), kind: Uninitialised, at: "trap",
			body: "setp.eq.u32 %p1, %t, 2;\nand.pred %p2, %p1, %p3;\n@%p2 trap;\nret;"},
		{name: "predicate", launch: threads(1), kind: Uninitialised, at: "@%p3", body: "@%p3 bra A;\nA: ret;"},
		{name: "address", launch: threads(1), kind: Uninitialised, at: "ld.global", says: "address", body: "ld.global.u32 %r1, [%d1];\nret;"},
		{name: "local memory", launch: threads(1), kind: Uninitialised, at: "st.global", says: "ld.local",
			body: ".local .b8 a[8];\nst.local.u8 [a+2], %t;\nld.local.u16 %r1, [a];\nst.global.u32 [%m], %r1;\nret;"},
		{name: "shared memory by atomics", launch: threads(1), kind: Uninitialised, at: "atom.shared",
			body: ".shared .u32 a;\natom.shared.add.u32 %r1, [a], 1;\nret;"},
		{name: "shared memory by atomics, after a copy", launch: threads(1), kind: Uninitialised, at: "atom.shared",
			body: ".shared .u32 a;\nst.shared.u32 [a], %r7;\natom.shared.add.u32 %r1, [a], 1;\nret;"},
		{name: "shared memory of the block before", launch: blocks(2), kind: Uninitialised, at: "st.global",
			body: ".shared .u32 a;\nsetp.eq.u32 %p1, %b, 7;\n@%p1 st.shared.u32 [a], 1;\nld.shared.u32 %r1, [a];\nst.global.u32 [%m], %r1;\nret;"},

		{name: "local memory copied", launch: threads(1), kind: Uninitialised, at: "st.global.u16 [%o+2]",
			body: ".local .align 4 .b8 a[4], c[4];\nst.local.u16 [a], 7;\nld.local.u16 %h1, [a];\nld.local.u16 %h2, [a+2];\nst.local.v2.u16 [c], {%h1, %h2};\nld.local.u16 %h3, [c];\nst.global.u16 [%o], %h3;\nld.local.u16 %h4, [c+2];\nst.global.u16 [%o+2], %h4;\nret;"},
		{name: "shared memory copied", launch: threads(1), kind: Uninitialised, at: "st.global.u16 [%o+2]",
			body: ".shared .align 4 .b8 a[4];\nst.shared.v2.u16 [a], {0, %h1};\nld.shared.u16 %h3, [a];\nst.global.u16 [%o], %h3;\nld.shared.u16 %h4, [a+2];\nst.global.u16 [%o+2], %h4;\nret;"},
		{name: "local memory of the block before", launch: blocks(2), kind: Uninitialised, at: "st.global",
			body: ".local .b32 a;\nsetp.eq.u32 %p1, %b, 0;\n@%p1 st.local.u32 [a], 1;\nld.local.u32 %r1, [a];\n@!%p1 st.global.u32 [%m], %r1;\nret;"},
		{name: "null", launch: threads(1), kind: OutOfBounds, at: "ld.global", body: "ld.global.u32 %r1, [0];\nret;"},
		{name: "shared null", launch: threads(1), kind: OutOfBounds, at: "ld.shared", body: "ld.shared.u32 %r1, [0];\nret;"},
		{name: "past a shared variable", launch: threads(1), kind: OutOfBounds, at: "st.shared", says: "a is 0x400 to 0x408",
			body: ".shared .u32 a[2], b;\nst.shared.u32 [a+8], 1;\nret;"},
		{name: "past dynamic memory", launch: Launch{Shared: 16}, kind: OutOfBounds, at: "st.shared.v4", before: ".extern .shared .b8 e[];",
			body: "mov.u32 %r1, e;\nst.shared.u32 [%r1+12], 1;\nst.shared.v4.u32 [%r1+16], {1, 1, 1, 1};\nret;"},
		{name: "past local memory", launch: threads(1), kind: OutOfBounds, at: "st.local", body: ".local .b8 a[8];\nmov.u64 %d1, a;\nst.local.u8 [%d1+8], 1;\nret;"},
		{name: "past a variable", launch: threads(1), kind: OutOfBounds, at: "ld.const", before: ".const .u32 c[2] = {1, 2};", body: "ld.const.u32 %r1, [c+8];\nret;"},
		{name: "constant written", launch: threads(1), kind: OutOfBounds, at: "st.u32", before: ".const .u32 c[2] = {1, 2};",
			body: "mov.u64 %d1, c;\ncvta.const.u64 %d1, %d1;\nst.u32 [%d1], 1;\nret;"},
		{name: "half past a shared variable", launch: threads(1), kind: OutOfBounds, at: "ld.shared", body: ".shared .align 8 .b8 a[12];\nld.shared.u64 %d1, [a+8];\nret;"},
		{name: "all misaligned", launch: threads(32), kind: Misaligned, at: "st.global", body: "st.global.u32 [%m+2], %t;\nret;"},
		{name: "vector misaligned", launch: threads(1), kind: Misaligned, at: "ld.global.v2", body: "ld.global.v2.u32 {%r1, %r2}, [%o+4];\nret;"},
		{name: "shared misaligned", launch: threads(1), kind: Misaligned, at: "ld.shared", body: ".shared .align 8 .b8 a[8];\nld.shared.u32 %r1, [a+2];\nret;"},
		{name: "generic shared, past", launch: threads(1), kind: OutOfBounds, at: "st.u32",
			body: ".shared .u32 a;\nmov.u64 %d1, a;\ncvta.shared.u64 %d1, %d1;\nst.u32 [%d1+4], 1;\nret;"},
		{name: "switch", launch: threads(3), kind: OutOfBounds, at: "brx.idx", says: "target 2 of 2",
			body: "L: .branchtargets A, B;\nbrx.idx %t, L;\nA: ret;\nB: ret;"},

		{name: "trap", launch: threads(2), kind: Trap, at: "@%p1 trap", body: "setp.eq.u32 %p1, %t, 1;\n@%p1 trap;\nret;"},
		{name: "loop", launch: Launch{Budget: 1000}, kind: Endless, at: "bra A", body: "A: bra A;"},

		{name: "shared, written twice", launch: threads(33), kind: Race, at: "st.shared", says: "without a barrier",
			body: ".shared .u32 a;\nst.shared.u32 [a], %t;\nret;"},
		{name: "shared, halves of a word", launch: threads(2),
			body: ".shared .align 4 .b8 a[4];\nmul.wide.u32 %d1, %t, 2;\nmov.u64 %d2, a;\nadd.s64 %d2, %d2, %d1;\nst.shared.u16 [%d2], %t;\nbar.sync 0;\nld.shared.u32 %r1, [a];\nst.global.u32 [%m], %r1;\nret;"},
		{name: "shared, atomics", launch: threads(64),
			body: ".shared .u32 a;\nsetp.eq.u32 %p1, %t, 0;\n@%p1 st.shared.u32 [a], 0;\nbar.sync 0;\nred.shared.add.u32 [a], 1;\nbar.sync 0;\nld.shared.u32 %r1, [a];\nst.global.u32 [%m], %r1;\nret;"},
		{name: "shared, atomics beside a read", launch: threads(64), kind: Race, at: "",
			body: ".shared .u32 a;\nsetp.eq.u32 %p1, %t, 0;\n@%p1 st.shared.u32 [a], 0;\nbar.sync 0;\nred.shared.add.u32 [a], 1;\nld.shared.u32 %r1, [a];\nst.global.u32 [%m], %r1;\nret;"},
		{name: "shared, by volatile", launch: threads(64),
			body: ".shared .u32 a;\nst.volatile.shared.u32 [a], 5;\nld.volatile.shared.u32 %r1, [a];\nst.global.u32 [%m], %r1;\nret;"},
		{name: "shared, within a warp", launch: threads(32), kind: Race, at: "",
			body: warpExchange("")},
		{name: "shared, within a warp in order", launch: threads(32), body: warpExchange("bar.warp.sync -1;")},
		{name: "shared, between warps by the warp's barrier", launch: threads(64), kind: Race, at: "",
			body: strings.Replace(warpExchange("bar.warp.sync -1;"), "xor.b32 %r1, %t, 1", "xor.b32 %r1, %t, 32", 1)},
		{name: "shared, read by many and written", launch: threads(64), kind: Race, at: "st.shared.u32 [a], 2",
			body: ".shared .u32 a;\nsetp.eq.u32 %p1, %t, 0;\n@%p1 st.shared.u32 [a], 1;\nbar.sync 0;\nld.shared.u32 %r1, [a];\nsetp.eq.u32 %p2, %r1, 3;\n@%p1 st.shared.u32 [a], 2;\nret;"},
		{name: "shared, read by two warps and written in order with one", launch: threads(64), kind: Race, at: "",
			body: ".shared .u32 a;\nsetp.eq.u32 %p1, %t, 0;\n@%p1 st.shared.u32 [a], 1;\nbar.sync 0;\nld.shared.u32 %r1, [a];\nbar.warp.sync -1;\nsetp.eq.u32 %p2, %t, 32;\n@%p2 st.shared.u32 [a], 2;\nret;"},
		{name: "shared, NoRaces", launch: Launch{Threads: [3]int{33}, NoRaces: true},
			body: ".shared .u32 a;\nst.shared.u32 [a], 1;\nret;"},

		{name: "global, two blocks write", launch: blocks(2), kind: Race, at: "st.global", says: "another block", body: "st.global.u32 [%o], %b;\nret;"},
		{name: "global, two blocks add", launch: blocks(2), body: "red.global.add.u32 [%o], 1;\nret;"},
		{name: "global, one block reads what another writes", launch: blocks(2), kind: Race, at: "",
			body: "mul.wide.u32 %d1, %b, 4;\nadd.s64 %d2, %o, %d1;\nxor.b32 %r1, %b, 1;\nmul.wide.u32 %d3, %r1, 4;\nadd.s64 %d4, %o, %d3;\nld.global.u32 %r2, [%d4];\nst.global.u32 [%d2], %r2;\nret;"},
		{name: "global, many blocks read and the first writes", launch: blocks(3), kind: Race, at: "",
			body: "ld.global.u32 %r2, [%o];\nsetp.eq.u32 %p1, %b, 1;\n@%p1 st.global.u32 [%o], %r2;\nret;"},
		{name: "global, threads without a barrier", launch: threads(2), kind: Race, at: "",
			body: "st.global.u32 [%m], %t;\nxor.b32 %r1, %t, 1;\nmul.wide.u32 %d3, %r1, 4;\nadd.s64 %d4, %o, %d3;\nld.global.u32 %r2, [%d4];\nst.global.u32 [%m+64], %r2;\nret;"},
		{name: "global, threads with a barrier", launch: threads(2),
			body: "st.global.u32 [%m], %t;\nbar.sync 0;\nxor.b32 %r1, %t, 1;\nmul.wide.u32 %d3, %r1, 4;\nadd.s64 %d4, %o, %d3;\nld.global.u32 %r2, [%d4];\nst.global.u32 [%m+64], %r2;\nret;"},
		{name: "global, written after nc", launch: threads(1), kind: Race, at: "st.global", says: "nc", body: "ld.global.nc.u32 %r1, [%o];\nst.global.u32 [%o], %r1;\nret;"},
		{name: "global, nc after a write", launch: threads(1), kind: Race, at: "ld.global.nc", says: "nc", body: "st.global.u32 [%o], 1;\nld.global.nc.u32 %r1, [%o];\nret;"},
		{name: "global variable", launch: threads(2), kind: Race, at: "st.global", before: ".global .u32 g;", body: "st.global.u32 [g], %t;\nret;"},
	}
	for _, test := range tests {
		src := module(test.before, test.body)
		_, f := runBody(t, src, test.launch)
		switch {
		case test.kind == "":
			if f != nil {
				t.Errorf("%s: %v", test.name, f)
			}
		case f == nil:
			t.Errorf("%s: no fault", test.name)
		case f.Kind != test.kind || !strings.Contains(f.Error(), test.says) || !strings.Contains(f.Text, test.at):
			t.Errorf("%s: %v", test.name, f)
		case test.at != "" && strings.Count(src, test.at) == 1 && f.Line != lineOf(src, test.at):
			t.Errorf("%s: in line %d: %v", test.name, lineOf(src, test.at), f)
		}
	}
}

// warpExchange writes a word of shared memory and reads a neighbour's.
func warpExchange(between string) string {
	return `.shared .b32 a[64];
mov.u32 %r2, a;
shl.b32 %r3, %t, 2;
add.u32 %r4, %r2, %r3;
st.shared.u32 [%r4], 0;
bar.sync 0;
st.shared.u32 [%r4], %t;
` + between + `
xor.b32 %r1, %t, 1;
shl.b32 %r3, %r1, 2;
add.u32 %r5, %r2, %r3;
ld.shared.u32 %r6, [%r5];
st.global.u32 [%m], %r6;
ret;`
}

// TestLastBlock passes data on between blocks as CUDA's samples do: the block that is
// last to count adds what all have left, and clears the count.
func TestLastBlock(t *testing.T) {
	body := `mul.wide.u32 %d1, %b, 4;
add.s64 %d2, %i, %d1;
ld.global.u32 %r1, [%d2];
st.global.u32 [%d2+64], %r1;
FENCE
atom.global.add.u32 %r2, [%o], 1;
setp.ne.u32 %p1, %r2, 3;
@%p1 ret;
mov.u32 %r3, 0;
mov.u32 %r5, 0;
LOOP:
ld.volatile.global.u32 %r4, [%i+64];
add.u32 %r3, %r3, %r4;
add.s64 %i, %i, 4;
add.u32 %r5, %r5, 1;
setp.lt.u32 %p2, %r5, 4;
@%p2 bra LOOP;
st.global.u32 [%o+4], %r3;
st.global.u32 [%o], 0;
ret;`
	in := make([]uint32, 32)
	copy(in, []uint32{1, 20, 300, 4000})
	out, f := runBody(t, module("", strings.Replace(body, "FENCE", "membar.gl;", 1)), Launch{Blocks: [3]int{4}}, in...)
	if f != nil || out[0] != 0 || out[1] != 4321 {
		t.Errorf("%v: %v", out[:2], f)
	}
	_, f = runBody(t, module("", strings.Replace(body, "FENCE", "", 1)), Launch{Blocks: [3]int{4}}, in...)
	if f == nil || f.Kind != Race {
		t.Errorf("without a fence: %v", f)
	}
}

func TestBarriers(t *testing.T) {
	// The first warp makes, the second uses; a barrier each way.
	out, f := runBody(t, module("", `.shared .b32 a[32];
and.b32 %r1, %t, 31;
shl.b32 %r2, %r1, 2;
mov.u32 %r3, a;
add.u32 %r3, %r3, %r2;
setp.ge.u32 %p1, %t, 32;
@%p1 bra USE;
mul.lo.u32 %r4, %t, 3;
st.shared.u32 [%r3], %r4;
bar.arrive 1, 64;
ret;
USE:
bar.sync 1, 64;
ld.shared.u32 %r5, [%r3];
st.global.u32 [%m], %r5;
ret;`), Launch{Threads: [3]int{64}})
	if f != nil || out[32+5] != 15 {
		t.Errorf("arrive: %d, %v", out[32+5], f)
	}

	// The same barrier twice.
	out, f = runBody(t, module("", `.shared .b32 a, c;
setp.ge.u32 %p1, %t, 32;
setp.eq.u32 %p2, %t, 0;
@%p1 bra USE;
@%p2 st.shared.u32 [a], 5;
bar.arrive 1, 64;
bar.sync 2, 64;
@%p2 st.shared.u32 [c], 7;
bar.arrive 1, 64;
ret;
USE:
bar.sync 1, 64;
ld.shared.u32 %r5, [a];
st.global.u32 [%m], %r5;
bar.arrive 2, 64;
bar.sync 1, 64;
ld.shared.u32 %r5, [c];
st.global.u32 [%m+128], %r5;
ret;`), Launch{Threads: [3]int{64}})
	if f != nil || out[32] != 5 || out[64] != 7 {
		t.Errorf("arrive twice: %d, %d, %v", out[32], out[64], f)
	}

	out, f = runBody(t, module("", `setp.lt.u32 %p1, %t, 10;
bar.red.popc.u32 %r1, 0, %p1;
bar.red.and.pred %p2, 0, %p1;
bar.red.or.pred %p3, 0, %p1;
selp.u32 %r2, 100, 0, %p2;
selp.u32 %r3, 1000, 0, %p3;
add.u32 %r1, %r1, %r2;
add.u32 %r1, %r1, %r3;
st.global.u32 [%m], %r1;
ret;`), Launch{Threads: [3]int{50}})
	if f != nil || out[0] != 1010 || out[49] != 1010 {
		t.Errorf("red: %v, %v", out[:50], f)
	}
}

func TestShuffles(t *testing.T) {
	for _, mode := range []string{"up", "down", "bfly", "idx"} {
		for _, width := range []int{32, 8} {
			for _, by := range []int{0, 1, 3, 7, 9, 31} {
				c := (32-width)<<8 | 31
				if mode == "up" {
					c = (32 - width) << 8
				}
				out, f := runBody(t, module("", fmt.Sprintf(`add.u32 %%r1, %%t, 100;
shfl.sync.%s.b32 %%r2|%%p1, %%r1, %d, %d, -1;
selp.u32 %%r3, 1000, 0, %%p1;
add.u32 %%r2, %%r2, %%r3;
st.global.u32 [%%m], %%r2;
ret;`, mode, by, c)), Launch{Threads: [3]int{32}})
				if f != nil {
					t.Fatal(f)
				}
				for i := range 32 {
					// As CUDA's guide has it: within groups of width threads.
					group, j := i/width*width, 0
					switch mode {
					case "up":
						j = i - by
					case "down":
						j = i + by
					case "bfly":
						j = i ^ by
					case "idx":
						j = group + by%width
					}
					in := j >= group && j < group+width
					if mode == "bfly" {
						in = j < group+width // groups below may be reached
					}
					want := uint32(1100 + j)
					if !in {
						want = uint32(100 + i)
					}
					if out[i] != want {
						t.Errorf("%s %d of %d: thread %d: %d, want %d", mode, by, width, i, out[i], want)
					}
				}
			}
		}
	}
}

// TestShuffleClamp shuffles from beyond the last thread that may be read.
func TestShuffleClamp(t *testing.T) {
	out, f := runBody(t, module("", `mov.u32 %r1, %t;
shfl.sync.idx.b32 %r2|%p1, %r1, 20, 15, -1;
selp.u32 %r2, 100, %r2, %p1;
st.global.u32 [%m], %r2;
ret;`), Launch{Threads: [3]int{32}})
	if f != nil || out[3] != 3 || out[20] != 20 {
		t.Errorf("%v: %v", out[:32], f)
	}
}

func TestVotes(t *testing.T) {
	const threads = 40
	out, f := runBody(t, module("", `and.b32 %r1, %t, 5;
setp.eq.u32 %p1, %r1, 5;
vote.sync.ballot.b32 %r2, %p1, -1;
vote.sync.any.pred %p2, %p1, -1;
vote.sync.all.pred %p3, %p1, -1;
selp.u32 %r3, 1, 0, %p2;
selp.u32 %r4, 2, 0, %p3;
match.any.sync.b32 %r5, %r1, -1;
redux.sync.add.u32 %r6, %t, -1;
redux.sync.max.s32 %r7, %t, -1;
activemask.b32 %r8;
mul.wide.u32 %d1, %t, 28;
add.s64 %m, %o, %d1;
add.u32 %r3, %r3, %r4;
st.global.u32 [%m], %r2;
st.global.u32 [%m+4], %r3;
st.global.u32 [%m+8], %r5;
st.global.u32 [%m+12], %r6;
st.global.u32 [%m+16], %r7;
ret;`), Launch{Threads: [3]int{threads}})
	if f != nil {
		t.Fatal(f)
	}
	for i := range threads {
		from, to := i/32*32, min(i/32*32+32, threads)
		var ballot, same, sum uint32
		for j := from; j < to; j++ {
			if j&5 == 5 {
				ballot |= 1 << (j - from)
			}
			if j&5 == i&5 {
				same |= 1 << (j - from)
			}
			sum += uint32(j)
		}
		some := uint32(0)
		if ballot != 0 {
			some = 1
		}
		want := []uint32{ballot, some, same, sum, uint32(to - 1)}
		if got := out[7*i:][:5]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("thread %d: %x, want %x", i, got, want)
		}
	}
}

// TestParted checks that threads that part meet again, and that all paths are taken.
func TestParted(t *testing.T) {
	out, f := runBody(t, module("", `add.u32 %r1, %t, 1;
mov.u32 %r2, 0;
LOOP:
setp.eq.u32 %p1, %r1, 1;
@%p1 bra DONE;
and.b32 %r3, %r1, 1;
setp.eq.u32 %p2, %r3, 0;
add.u32 %r2, %r2, 1;
@%p2 bra EVEN;
mad.lo.u32 %r1, %r1, 3, 1;
bra LOOP;
EVEN:
shr.u32 %r1, %r1, 1;
bra LOOP;
DONE:
shfl.sync.bfly.b32 %r4, %r2, 1, 31, -1;
mul.lo.u32 %r4, %r4, 1000;
add.u32 %r4, %r4, %r2;
st.global.u32 [%m], %r4;
ret;`), Launch{Threads: [3]int{64}})
	if f != nil {
		t.Fatal(f)
	}
	steps := func(n int) (k uint32) {
		for ; n != 1; k++ {
			if n%2 == 0 {
				n /= 2
			} else {
				n = 3*n + 1
			}
		}
		return k
	}
	for i := range 64 {
		if want := 1000*steps(i^1+1) + steps(i+1); out[i] != want {
			t.Errorf("thread %d: %d, want %d", i, out[i], want)
		}
	}
}

func TestAtomics(t *testing.T) {
	for _, test := range []struct {
		op    string
		start uint32
		want  func() uint32
	}{
		{"add.u32", 5, func() uint32 { return 5 + 63*64/2 }},
		{"min.s32", 5, func() uint32 { return 0 }},
		{"max.u32", 5, func() uint32 { return 63 }},
		{"max.s32", 1 << 31, func() uint32 { return 63 }},
		{"and.b32", 7, func() uint32 { return 0 }},
		{"or.b32", 128, func() uint32 { return 128 | 63 }},
		{"xor.b32", 1, func() uint32 {
			x := uint32(1)
			for i := range uint32(64) {
				x ^= i
			}
			return x
		}},
	} {
		for _, space := range []string{".global", ""} {
			out, f := runBody(t, module("", fmt.Sprintf("setp.eq.u32 %%p1, %%t, 0;\n@%%p1 st.global.u32 [%%o], %d;\nbar.sync 0;\nred%s.%s [%%o], %%t;\nret;",
				test.start, space, test.op)), Launch{Threads: [3]int{64}})
			if f != nil || out[0] != test.want() {
				t.Errorf("%s%s: %d, want %d: %v", test.op, space, out[0], test.want(), f)
			}
		}
	}
	// Each thread takes a ticket; a lock by compare and swap; floats.
	out, f := runBody(t, module("", `atom.global.add.u32 %r1, [%o], 1;
mul.wide.u32 %d1, %r1, 4;
add.s64 %d2, %o, %d1;
atom.global.exch.b32 %r2, [%d2+64], 1;
atom.global.add.f32 %f1, [%o+4], 0f3F000000;
atom.global.inc.u32 %r3, [%o+8], 9;
AGAIN:
ld.volatile.global.u32 %r4, [%o+12];
add.u32 %r5, %r4, 3;
atom.global.cas.b32 %r6, [%o+12], %r4, %r5;
setp.ne.u32 %p1, %r6, %r4;
@%p1 bra AGAIN;
ret;`), Launch{Threads: [3]int{64}, Blocks: [3]int{2}})
	if f != nil {
		t.Fatal(f)
	}
	if out[0] != 128 || out[1] != uint32(f32(64)) || out[2] != 128%10 || out[3] != 3*128 {
		t.Errorf("%v", out[:4])
	}
	n := 0
	for _, v := range out[16 : 16+128] {
		n += bits.OnesCount32(v)
	}
	if n != 128 {
		t.Errorf("%d tickets", n)
	}
}
