package ptx

import "testing"

const addSource = `.version 7.0
.target sm_80
.address_size 64
.visible .entry add(.param .u64 y, .param .u64 x, .param .u32 n)
{
	.reg .pred %p<2>;
	.reg .b32 %r<6>;
	.reg .f32 %f<4>;
	.reg .b64 %rd<8>;
	ld.param.u64 %rd1, [y];
	ld.param.u64 %rd2, [x];
	ld.param.u32 %r1, [n];
	mov.u32 %r2, %ctaid.x;
	mov.u32 %r3, %ntid.x;
	mov.u32 %r4, %tid.x;
	mad.lo.s32 %r5, %r2, %r3, %r4;
	setp.ge.s32 %p1, %r5, %r1;
	@%p1 bra DONE;
	mul.wide.s32 %rd3, %r5, 4;
	add.s64 %rd4, %rd1, %rd3;
	add.s64 %rd5, %rd2, %rd3;
	ld.global.f32 %f1, [%rd4];
	ld.global.f32 %f2, [%rd5];
	add.rn.f32 %f3, %f1, %f2;
	st.global.f32 [%rd4], %f3;
DONE:
	ret;
}
`

func TestAdd(t *testing.T) {
	var a arena
	y, x := a.floats(1, 2, 3, 4, 5), a.floats(10, 20, 30, 40, 50)
	e := entry(t, parse(t, addSource), "add")
	l := Launch{Blocks: [3]int{3}, Threads: [3]int{2}}
	if err := e.Run(&a, l, []uint64{y, x, 5}); err != nil {
		t.Fatal(err)
	}
	for i, v := range a.getFloats(y, 5) {
		if want := float32(11 * (i + 1)); v != want {
			t.Errorf("%d: %v, want %v", i, v, want)
		}
	}
	err := e.Run(&a, l, []uint64{y, x, 6})
	if f := FaultOf(err); f == nil || f.Kind != OutOfBounds || f.Line != 22 || f.Block != [3]int{2, 0, 0} || f.Thread != [3]int{1, 0, 0} {
		t.Errorf("reading past the end: %v", err)
	}
}
