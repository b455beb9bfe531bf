package augment

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"unsafe"
)

// specs calls f with a spec of each type, layout and stored size.
func specs(g Geometry, channels int, sub []float32, f func(Spec)) {
	for bytes := 1; bytes <= 2; bytes++ {
		for t := Float32; t <= Stored; t++ {
			for l := NCHW; l <= NHWC; l++ {
				f(Spec{Geometry: g, Channels: channels, StoredBytes: bytes, Sub: sub, Type: t, Layout: l})
			}
		}
	}
}

// String makes a spec readable in messages.
func (s Spec) String() string {
	return fmt.Sprintf("%d-byte %dx%dx%d to %v %v of %d", s.StoredBytes, s.Channels, s.Geometry.Height, s.Geometry.Width, s.Layout, s.Type, s.Geometry.Crop)
}

// aligned returns n bytes at an address that is a multiple of 64.
func aligned(n int) []byte {
	b := make([]byte, n+63)
	return b[-uintptr(unsafe.Pointer(&b[0]))&63:][:n:n]
}

// filling is what the tests put where nothing is to be written.
const filling = 0xa5

// sources are stored pictures of any values, in both sizes.
type sources struct {
	raw  []uint8
	less []int16
	sub  []float32
}

// newSources makes pictures, and values to subtract, of all sizes, such that
// results are now and then denormal, or too great, in 16 bits.
func newSources(n int, seed uint64) sources {
	var s stream
	s.seed(seed, 7, 7)
	p := sources{make([]uint8, n), make([]int16, n), make([]float32, n)}
	for i := range n {
		p.raw[i], p.less[i] = uint8(s.below(256)), int16(s.below(1<<16))
		switch s.below(4) {
		case 0:
			p.sub[i] = float32(s.below(255*1024+1)) / 1024
		case 1: // very near
			p.sub[i] = float32(float64(p.raw[i]) + s.symmetric()*math.Ldexp(1, -int(s.below(20))))
		case 2:
			p.sub[i] = float32(s.symmetric() * 1e5)
		default: // any number
			p.sub[i] = number(uint32(s.below(1 << 32)))
		}
		if s.below(8) == 0 {
			p.raw[i], p.less[i] = 0, 0
		}
	}
	return p
}

// number is the float32 of these bits, or of others where it would be infinite
// or not a number.
func number(b uint32) float32 {
	if b&0x7f800000 == 0x7f800000 {
		b &^= 0x40000000
	}
	return math.Float32frombits(b)
}

// image makes an image between filling, and looks whether that is
// still there.
func (p *sources) image(t *testing.T, k *Kernel, params Params, offset int) []byte {
	t.Helper()
	const around = 128
	n := k.ImageBytes()
	buffer := aligned(around + offset + n + around)
	for i := range buffer {
		buffer[i] = filling
	}
	dst := buffer[around+offset:]
	if k.Spec().StoredBytes == 1 {
		k.Uint8(dst, p.raw, params)
	} else {
		k.Int16(dst, p.less, params)
	}
	for i, b := range buffer {
		if (i < around+offset || i >= around+offset+n) && b != filling {
			t.Fatalf("%v, %+v: wrote byte %d of an image of %d", k.Spec(), params, i-around-offset, n)
		}
	}
	return dst[:n]
}

// same compares the images of all kernels, at each offset, with the first's, the
// plain one.
func (p *sources) same(t *testing.T, all []*Kernel, params Params, offsets ...int) {
	t.Helper()
	want := p.image(t, all[0], params, 0)
	for _, k := range all[1:] {
		for _, offset := range offsets {
			got := p.image(t, k, params, offset)
			if bytes.Equal(got, want) {
				continue
			}
			at := 0
			for got[at] == want[at] {
				at++
			}
			t.Fatalf("%v, %v, %+v, at offset %d: byte %d is %#02x, the plain kernel has %#02x", k.Spec(), k.vectors, params, offset, at, got[at], want[at])
		}
	}
}

// TestKernelsAgree compares the vector kernels with the plain ones, over crops
// that leave every remainder, in both directions.
func TestKernelsAgree(t *testing.T) {
	crops := []int{224, 227}
	for c := 1; c <= 70; c++ {
		crops = append(crops, c)
	}
	for _, channels := range []int{1, 3, 4} {
		for _, crop := range crops {
			if channels != 3 && crop > 70 {
				continue
			}
			g := Geometry{Height: crop + 2, Width: crop + 3, Crop: crop}
			pic := newSources(channels*g.Height*g.Width, uint64(crop*channels))
			specs(g, channels, pic.sub, func(s Spec) {
				all := kernels(t, s)
				for i, flip := range []bool{false, true} {
					p := Params{Top: crop % 3, Left: (crop + i) % 4, Flip: flip, Shift: [3]float32{1.25, -30.375, 0.1}}
					pic.same(t, all, p, 0, (1+crop%5)*all[0].ValueBytes())
				}
			})
		}
	}
}

// TestKernelsEverywhere takes every crop of small pictures.
func TestKernelsEverywhere(t *testing.T) {
	for _, crop := range []int{16, 33} {
		g := Geometry{Height: crop + 3, Width: crop + 5, Crop: crop}
		pic := newSources(3*g.Height*g.Width, 3)
		specs(g, 3, pic.sub, func(s Spec) {
			all := kernels(t, s)
			for i := range 4 * 6 * 2 {
				p := Params{Top: i / 2 % 4, Left: i / 8, Flip: i%2 == 1, Shift: [3]float32{0, 1e-5, 1e5}}
				pic.same(t, all, p, 0)
			}
		})
	}
}

// TestKernelAlignment takes every place for the image between two cache lines.
func TestKernelAlignment(t *testing.T) {
	for _, crop := range []int{21, 64} {
		g := Geometry{Height: crop, Width: crop + 1, Crop: crop}
		pic := newSources(3*g.Height*g.Width, 4)
		specs(g, 3, pic.sub, func(s Spec) {
			all := kernels(t, s)
			var offsets []int
			for offset := 0; offset <= 64; offset += all[0].ValueBytes() {
				offsets = append(offsets, offset)
			}
			for _, flip := range []bool{false, true} {
				pic.same(t, all, Params{Left: 1, Flip: flip, Shift: [3]float32{3, 2, 1}}, offsets...)
			}
		})
	}
}

// value reads value i of an image as a number.
func value(image []byte, t Type, i int) uint64 {
	switch t {
	case Float32:
		return uint64(math.Float32bits(values[float32](image)[i]))
	case Float16, BFloat16:
		return uint64(values[uint16](image)[i])
	}
	panic("stored")
}

// TestPlainKernel compares the plain kernel with the formula and the slow
// conversions, value by value.
func TestPlainKernel(t *testing.T) {
	for _, channels := range []int{1, 3, 4} {
		g := Geometry{Height: 9, Width: 11, Crop: 7}
		pic := newSources(channels*g.Height*g.Width, uint64(channels))
		specs(g, channels, pic.sub, func(s Spec) {
			k := kernels(t, s)[0]
			for _, flip := range []bool{false, true} {
				p := Params{Top: 2, Left: 3, Flip: flip, Shift: [3]float32{1.5, -7.1, 0.001}}
				image := pic.image(t, k, p, 0)
				for i := range channels * g.Crop * g.Crop {
					c, y, x := i/(g.Crop*g.Crop), i/g.Crop%g.Crop, i%g.Crop
					if s.Layout == NHWC {
						c, x, y = i%channels, i/channels%g.Crop, i/channels/g.Crop
					}
					if flip {
						x = g.Crop - 1 - x
					}
					at := (c*g.Height+p.Top+y)*g.Width + p.Left + x
					checkValue(t, s, p, image, pic, c, at, i)
				}
			}
		})
	}
}

// checkValue compares value i of an image with value at of a picture.
func checkValue(t *testing.T, s Spec, p Params, image []byte, pic sources, c, at, i int) {
	t.Helper()
	pixel := float32(pic.raw[at])
	if s.StoredBytes == 2 {
		pixel = float32(pic.less[at])
	}
	if s.Type == Stored {
		got := float32(image[i%len(image)])
		if s.StoredBytes == 2 {
			got = float32(values[int16](image)[i])
		}
		if got != pixel {
			t.Fatalf("%v, %+v: value %d is %v, want %v", s, p, i, got, pixel)
		}
		return
	}
	shift := float32(0)
	if c < 3 {
		shift = p.Shift[c]
	}
	want := float32(pixel-pic.sub[at]) + shift
	bits := uint64(math.Float32bits(want))
	switch s.Type {
	case Float16:
		bits = uint64(nearest(want, 10, -14, 15))
	case BFloat16:
		bits = uint64(nearest(want, 7, -126, 127))
	}
	if got := value(image, s.Type, i); got != bits {
		t.Fatalf("%v, %+v: value %d is %#x, want %#x (%v)", s, p, i, got, bits, want)
	}
}

// TestApplyIsFloat32 compares Apply with the kernel of the same values.
func TestApplyIsFloat32(t *testing.T) {
	pic := newPicture(3*paper.Height*paper.Width, 5)
	k8, err := NewKernel(Spec{Geometry: paper, Channels: 3, StoredBytes: 1, Sub: pic.mean})
	if err != nil {
		t.Fatal(err)
	}
	k16, err := NewKernel(Spec{Geometry: paper, Channels: 3, StoredBytes: 2, Sub: pic.res})
	if err != nil {
		t.Fatal(err)
	}
	color := EigenColor(imagenetVectors, imagenetValues, ScaleStdDev)
	for i := range int64(4) {
		p := Draw(1, 1, i, paper, &color)
		want := make([]float32, 3*paper.Crop*paper.Crop)
		Apply(want, pic.raw, pic.mean, 3, paper, p)
		image := aligned(k8.ImageBytes())
		for bytes, make := range map[int]func(){1: func() { k8.Uint8(image, pic.raw, p) }, 2: func() { k16.Int16(image, pic.less, p) }} {
			clear(image)
			make()
			if err := sameBits(values[float32](image), want); err != nil {
				t.Fatalf("%+v, %d bytes: %v", p, bytes, err)
			}
		}
	}
}

// TestKernelPanics takes what a kernel must not touch memory for.
func TestKernelPanics(t *testing.T) {
	g := Geometry{Height: 40, Width: 50, Crop: 32}
	pic := newSources(3*40*50, 1)
	specs(g, 3, pic.sub, func(s Spec) {
		for _, k := range kernels(t, s) {
			dst, raw, less := aligned(k.ImageBytes()), pic.raw, pic.less
			tests := []struct {
				name string
				call func()
			}{
				{"short image", func() { pic.call(k, dst[:len(dst)-1:len(dst)-1], Params{}) }},
				{"no image", func() { pic.call(k, nil, Params{}) }},
				{"short picture", func() {
					short := sources{raw: raw[: len(raw)-1 : len(raw)-1], less: less[: len(less)-1 : len(less)-1]}
					short.call(k, dst, Params{})
				}},
				{"other size", func() {
					if s.StoredBytes == 1 {
						k.Int16(dst, less, Params{})
					} else {
						k.Uint8(dst, raw, Params{})
					}
				}},
				{"above", func() { pic.call(k, dst, Params{Top: -1}) }},
				{"below", func() { pic.call(k, dst, Params{Top: 9}) }},
				{"left of", func() { pic.call(k, dst, Params{Left: -1}) }},
				{"right of", func() { pic.call(k, dst, Params{Left: 19}) }},
			}
			if k.ValueBytes() > 1 {
				odd := aligned(k.ImageBytes() + 1)[1:]
				tests = append(tests, struct {
					name string
					call func()
				}{"odd address", func() { pic.call(k, odd, Params{}) }})
			}
			for _, tt := range tests {
				clear(dst)
				if !panics(tt.call) {
					t.Errorf("%v: %s: no panic", s, tt.name)
				}
				if !bytes.Equal(dst, make([]byte, len(dst))) {
					t.Errorf("%v: %s: wrote to the image", s, tt.name)
				}
			}
			pic.call(k, dst, Params{Top: 8, Left: 18})
		}
	})
}

func (p *sources) call(k *Kernel, dst []byte, params Params) {
	if k.Spec().StoredBytes == 1 {
		k.Uint8(dst, p.raw, params)
	} else {
		k.Int16(dst, p.less, params)
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

func TestKernelDoesNotAllocate(t *testing.T) {
	g := Geometry{Height: 40, Width: 50, Crop: 32}
	pic := newSources(3*40*50, 1)
	specs(g, 3, pic.sub, func(s Spec) {
		for _, k := range kernels(t, s) {
			dst := aligned(k.ImageBytes())
			p := Params{Top: 1, Left: 2, Flip: true, Shift: [3]float32{1, 2, 3}}
			if n := testing.AllocsPerRun(10, func() { pic.call(k, dst, p) }); n != 0 {
				t.Errorf("%v: %v allocations", s, n)
			}
		}
	})
}

func TestSpecCheck(t *testing.T) {
	good := Spec{Geometry: Geometry{Height: 2, Width: 3, Crop: 2}, Channels: 3, StoredBytes: 1, Sub: make([]float32, 18)}
	tests := []struct {
		change func(s *Spec)
		want   string
	}{
		{func(*Spec) {}, ""},
		{func(s *Spec) { s.Type, s.Sub = Stored, nil }, ""},
		{func(s *Spec) { s.Geometry.Crop = 0 }, "augment: crop of 0 pixels: it must be positive"},
		{func(s *Spec) { s.Channels = 0 }, "augment: pictures of 0 channels: there must be at least 1"},
		{func(s *Spec) { s.StoredBytes = 4 }, "augment: stored values of 4 bytes: they have 1 (uint8) or 2 (int16)"},
		{func(s *Spec) { s.Type = 4 }, "augment: unknown type Type(4)"},
		{func(s *Spec) { s.Type = -1 }, "augment: unknown type Type(-1)"},
		{func(s *Spec) { s.Layout = 2 }, "augment: unknown layout Layout(2)"},
		{func(s *Spec) { s.Sub = nil }, "augment: 0 values to subtract, for pictures of 18"},
	}
	for _, tt := range tests {
		s := good
		tt.change(&s)
		got := ""
		k, err := NewKernel(s)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want || (k == nil) != (err != nil) {
			t.Errorf("%v: %q, want %q", s, got, tt.want)
		}
	}
}

// TestNames takes types and layouts to text and back.
func TestNames(t *testing.T) {
	for x := Float32; x <= Stored; x++ {
		text, err := x.MarshalText()
		back := Type(-1)
		if err != nil || back.UnmarshalText(text) != nil || back != x || string(text) != x.String() {
			t.Errorf("%v: %q, %v, back as %v", x, text, err, back)
		}
	}
	for x := NCHW; x <= NHWC; x++ {
		text, err := x.MarshalText()
		back := Layout(-1)
		if err != nil || back.UnmarshalText(text) != nil || back != x || string(text) != x.String() {
			t.Errorf("%v: %q, %v, back as %v", x, text, err, back)
		}
	}
	if _, err := Type(4).MarshalText(); err == nil {
		t.Error("a name for Type(4)")
	}
	if _, err := Layout(-1).MarshalText(); err == nil {
		t.Error("a name for Layout(-1)")
	}
	var x Type
	if err := x.UnmarshalText([]byte("fp16")); err == nil || !strings.Contains(err.Error(), `"fp16": use float32, float16, bfloat16 or stored`) {
		t.Errorf("unknown type: %v", err)
	}
	var l Layout
	if err := l.UnmarshalText([]byte("NCHW")); err == nil || !strings.Contains(err.Error(), `"NCHW": use nchw or nhwc`) {
		t.Errorf("unknown layout: %v", err)
	}
}

// FuzzKernel compares all kernels on what nobody thought of.
func FuzzKernel(f *testing.F) {
	f.Add(uint64(1), uint8(40), uint8(3), uint8(5), uint8(2), uint16(0), uint32(0x3f800000), uint32(0x40490fdb))
	f.Add(uint64(2), uint8(64), uint8(0), uint8(0), uint8(0), uint16(0xffff), uint32(0x00000001), uint32(0x7f7fffff))
	f.Add(uint64(3), uint8(16), uint8(1), uint8(9), uint8(17), uint16(0x1234), uint32(0x80000000), uint32(0xb8800001))
	f.Fuzz(func(t *testing.T, seed uint64, crop, below, right, offset uint8, kind uint16, shift, sub uint32) {
		g := Geometry{Crop: int(crop)%150 + 1}
		g.Height, g.Width = g.Crop+int(below)%20, g.Crop+int(right)%20
		s := Spec{
			Geometry: g, Channels: []int{1, 3, 3, 4}[kind>>1&3], StoredBytes: 1 + int(kind>>3&1),
			Type: Type(kind >> 4 & 3), Layout: Layout(kind >> 6 & 1),
		}
		pic := newSources(s.Channels*g.Height*g.Width, seed)
		for i := int(kind >> 7 & 7); i < len(pic.sub); i += 3 {
			pic.sub[i] = number(sub + uint32(i)<<(kind>>10&31))
		}
		s.Sub = pic.sub
		p := Params{Top: g.Height - g.Crop, Left: int(offset) % (g.Width - g.Crop + 1), Flip: kind&1 != 0}
		p.Shift = [3]float32{number(shift), number(shift ^ sub), number(sub)}
		all := kernels(t, s)
		pic.same(t, all, p, 0, int(offset)*all[0].ValueBytes()%128)
	})
}

// TestDivide compares the vectors with one division after another, over odd lengths and
// alignments, and looks at what lies beside.
func TestDivide(t *testing.T) {
	var s stream
	s.seed(1, 2, 3)
	for n := range 200 {
		at := n % 7
		all := make([]float32, at+n+40)
		for i := range all {
			all[i] = number(uint32(s.below(1 << 32)))
		}
		want := append([]float32(nil), all...)
		for i := at; i < at+n; i++ {
			want[i] /= 1.1
		}
		Divide(all[at:at+n], 1.1)
		for i := range all {
			if math.Float32bits(all[i]) != math.Float32bits(want[i]) {
				t.Fatalf("%d values at %d: value %d is %v, want %v", n, at, i-at, all[i], want[i])
			}
		}
	}
}
