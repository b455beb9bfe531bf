package ptx

import "math"

// The commonest instructions have loops of their own over the 32 threads of a warp,
// which are a few times as fast as a call of a function for each thread. They do what
// the functions do, and tests compare the two. Only threads that are all there go this
// way.

// hot1 returns an instruction's loop, or nil.
func hot1(name string) func(d, a *row) {
	switch name {
	case "cvt.s64.s32":
		return func(d, a *row) {
			for i := range d {
				d[i] = uint64(int64(int32(a[i])))
			}
		}
	case "cvt.u64.u32", "cvt.u32.u64":
		return func(d, a *row) {
			for i := range d {
				d[i] = uint64(uint32(a[i]))
			}
		}
	case "cvt.rn.f32.s32":
		return func(d, a *row) {
			for i := range d {
				d[i] = uint64(math.Float32bits(float32(int32(a[i]))))
			}
		}
	case "cvt.rn.f32.u32":
		return func(d, a *row) {
			for i := range d {
				d[i] = uint64(math.Float32bits(float32(uint32(a[i]))))
			}
		}
	}
	return nil
}

// hot2 returns the loop of an instruction of two operands, or nil.
func hot2(name string) func(d, a, b *row) {
	switch name {
	case "add.s32", "add.u32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = uint64(uint32(a[i]) + uint32(b[i]))
			}
		}
	case "sub.s32", "sub.u32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = uint64(uint32(a[i]) - uint32(b[i]))
			}
		}
	case "add.s64", "add.u64":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = a[i] + b[i]
			}
		}
	case "mul.lo.s32", "mul.lo.u32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = uint64(uint32(a[i]) * uint32(b[i]))
			}
		}
	case "mul.lo.s64", "mul.lo.u64":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = a[i] * b[i]
			}
		}
	case "mul.wide.s32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = uint64(int64(int32(a[i])) * int64(int32(b[i])))
			}
		}
	case "mul.wide.u32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = uint64(uint32(a[i])) * uint64(uint32(b[i]))
			}
		}
	case "mul.hi.u32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = uint64(uint32(a[i])) * uint64(uint32(b[i])) >> 32
			}
		}
	}
	if f := hotBits(name); f != nil {
		return f
	}
	if f := hotFloat(name); f != nil {
		return f
	}
	return hotCompare(name)
}

func hotBits(name string) func(d, a, b *row) {
	switch name {
	case "and.b32", "and.b64":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = a[i] & b[i]
			}
		}
	case "or.b32", "or.b64":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = a[i] | b[i]
			}
		}
	case "xor.b32", "xor.b64":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = a[i] ^ b[i]
			}
		}
	case "shl.b32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = uint64(uint32(a[i]) << b[i])
			}
		}
	case "shl.b64":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = a[i] << b[i]
			}
		}
	case "shr.u32", "shr.u64":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = a[i] >> b[i]
			}
		}
	}
	return nil
}

func hotFloat(name string) func(d, a, b *row) {
	switch name {
	case "add.f32", "add.rn.f32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = bits32(float32of(a[i]) + float32of(b[i]))
			}
		}
	case "sub.f32", "sub.rn.f32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = bits32(float32of(a[i]) - float32of(b[i]))
			}
		}
	case "mul.f32", "mul.rn.f32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = bits32(float32of(a[i]) * float32of(b[i]))
			}
		}
	case "cvt.rn.bf16x2.f32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = bf16Bits(uint32(a[i]))<<16 | bf16Bits(uint32(b[i]))
			}
		}
	}
	return nil
}

// bf16Bits rounds a float32 to bfloat16: to nearest, halves to even.
func bf16Bits(v uint32) uint64 {
	if v&0x7fffffff > 0x7f800000 {
		return bf16Format.nan
	}
	return uint64((v + 0x7fff + v>>16&1) >> 16)
}

func hotCompare(name string) func(d, a, b *row) {
	switch name {
	case "setp.lt.s32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = truth(int32(a[i]) < int32(b[i]))
			}
		}
	case "setp.gt.s32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = truth(int32(a[i]) > int32(b[i]))
			}
		}
	case "setp.ge.s32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = truth(int32(a[i]) >= int32(b[i]))
			}
		}
	case "setp.eq.s32", "setp.eq.u32", "setp.eq.s64", "setp.eq.u64":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = truth(a[i] == b[i])
			}
		}
	case "setp.ne.s32", "setp.ne.u32", "setp.ne.s64", "setp.ne.u64":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = truth(a[i] != b[i])
			}
		}
	case "setp.ge.s64":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = truth(int64(a[i]) >= int64(b[i]))
			}
		}
	case "setp.lt.u64":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = truth(a[i] < b[i])
			}
		}
	case "setp.lt.f32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = truth(float32of(a[i]) < float32of(b[i]))
			}
		}
	case "setp.gt.f32":
		return func(d, a, b *row) {
			for i := range d {
				d[i] = truth(float32of(a[i]) > float32of(b[i]))
			}
		}
	}
	return nil
}

// hot3 returns the loop of an instruction of three operands, or nil.
func hot3(name string) func(d, a, b, c *row) {
	switch name {
	case "mad.lo.s32", "mad.lo.u32":
		return func(d, a, b, c *row) {
			for i := range d {
				d[i] = uint64(uint32(a[i])*uint32(b[i]) + uint32(c[i]))
			}
		}
	case "fma.rn.f32":
		return func(d, a, b, c *row) {
			for i := range d {
				x := float64(float32of(a[i])) * float64(float32of(b[i]))
				sum := x + float64(float32of(c[i]))
				if math.Float64bits(sum)&(1<<29-1) != 1<<28 && (sum >= 0x1p-120 || sum <= -0x1p-120) {
					d[i] = uint64(math.Float32bits(float32(sum)))
				} else {
					d[i] = fma32(a[i], b[i], c[i])
				}
			}
		}
	}
	return nil
}

// hasten gives the op that was emitted last its loop, if the instruction has one.
func (c *compiler) hasten(d int, s ...int) {
	o := &c.ops[len(c.ops)-1]
	slow, name := o.run, c.st.name()
	switch len(s) {
	case 1:
		a := s[0]
		if f := hot1(name); f != nil {
			o.run = func(w *warp, m uint32) *trouble {
				if m != everyLane {
					return slow(w, m)
				}
				f(&w.rows[d], &w.rows[a])
				w.init[d] = w.init[a]
				return nil
			}
		}
	case 2:
		a, b := s[0], s[1]
		if f := hot2(name); f != nil {
			o.run = func(w *warp, m uint32) *trouble {
				if m != everyLane {
					return slow(w, m)
				}
				f(&w.rows[d], &w.rows[a], &w.rows[b])
				w.init[d] = w.init[a] & w.init[b]
				return nil
			}
		}
	case 3:
		a, b, e := s[0], s[1], s[2]
		if f := hot3(name); f != nil {
			o.run = func(w *warp, m uint32) *trouble {
				if m != everyLane {
					return slow(w, m)
				}
				f(&w.rows[d], &w.rows[a], &w.rows[b], &w.rows[e])
				w.init[d] = w.init[a] & w.init[b] & w.init[e]
				return nil
			}
		}
	}
}
