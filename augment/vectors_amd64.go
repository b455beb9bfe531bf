//go:build amd64 && !noasm && !purego

package augment

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate sh -c "cd _gen && go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg augment"

// instructions are what the processor has.
type instructions int

const (
	none instructions = iota // the plain kernels
	avx2                     // and F16C
	avx512
)

// processor says what this one has.
func processor() instructions {
	switch x := &cpu.X86; {
	case !x.HasAVX2 || !x.HasF16C:
		return none
	case x.HasAVX512F && x.HasAVX512BW:
		return avx512
	}
	return avx2
}

// streamBytes is the size of the images, and above, that are stored past the
// caches. Measured, that pays from 64 x 64 pixels of float32 on, even where a
// batch would fit in the cache, and does not for 32 x 32.
const streamBytes = 32 << 10

// Kernels that make floats, plane by plane or pixel by pixel, and those that copy
// stored values. flip is -1 for a mirrored image, or 0.
type (
	planesKernel     func(dst, src *byte, sub *float32, width, plane, planes, crop int, red, green, blue float32, flip, stream int)
	pixelsKernel     func(dst, src *byte, sub *float32, width, plane, crop int, red, green, blue float32, flip, stream int)
	copyPlanesKernel func(dst, src *byte, width, plane, planes, crop, flip, stream int)
	copyPixelsKernel func(dst, src *byte, width, plane, crop, flip, stream int)
)

// vectors are the vector kernels of a spec: one of the four, or none.
type vectors struct {
	planes     planesKernel
	pixels     pixelsKernel
	copyPlanes copyPlanesKernel
	copyPixels copyPixelsKernel

	has        instructions // those that it uses
	valueBytes int
	// align is what streaming stores need, of each row: 0 where there are none.
	align uintptr
	// stream says to use them where they can be used.
	stream bool
}

// newVectors chooses the kernels whose blocks fit in a row.
func newVectors(s Spec, valueBytes int, has instructions) (v vectors) {
	crop := s.Geometry.Crop
	v.valueBytes = valueBytes
	perPixel := s.Layout == NHWC && s.Channels > 1
	switch {
	case has == none || perPixel && s.Channels != 3:
		return v
	case s.Type == Stored && perPixel && crop*s.StoredBytes >= 16:
		v.has = avx2
		v.copyPixels, v.align = [...]copyPixelsKernel{copyPixelsUint8AVX2, copyPixelsInt16AVX2}[s.StoredBytes-1], 16
	case s.Type == Stored && !perPixel && crop*s.StoredBytes >= 32:
		v.has = avx2
		v.copyPlanes, v.align = [...]copyPlanesKernel{copyPlanesUint8AVX2, copyPlanesInt16AVX2}[s.StoredBytes-1], 32
	case s.Type == Stored:
		return v
	case has == avx512 && crop*valueBytes >= 64:
		// 64 bytes of values of a plane: 16 or 32 pixels.
		v.floats(s, perPixel, avx512, 64)
	case perPixel && crop >= 8:
		v.floats(s, perPixel, avx2, 8*uintptr(valueBytes))
	case !perPixel && crop*valueBytes >= 32:
		v.floats(s, perPixel, avx2, 32)
	}
	row := crop * valueBytes
	if perPixel {
		row *= s.Channels
	}
	if v.align != 0 && uintptr(row)%v.align != 0 {
		v.align = 0
	}
	v.stream = s.Channels*crop*crop*valueBytes >= streamBytes
	return v
}

// floats chooses among the kernels that make floats.
func (v *vectors) floats(s Spec, perPixel bool, has instructions, align uintptr) {
	v.has, v.align = has, align
	if perPixel {
		v.pixels = [2][2][3]pixelsKernel{
			{
				{pixelsUint8Float32AVX2, pixelsUint8Float16AVX2, pixelsUint8BFloat16AVX2},
				{pixelsInt16Float32AVX2, pixelsInt16Float16AVX2, pixelsInt16BFloat16AVX2},
			},
			{
				{pixelsUint8Float32AVX512, pixelsUint8Float16AVX512, pixelsUint8BFloat16AVX512},
				{pixelsInt16Float32AVX512, pixelsInt16Float16AVX512, pixelsInt16BFloat16AVX512},
			},
		}[has-avx2][s.StoredBytes-1][s.Type]
		return
	}
	v.planes = [2][2][3]planesKernel{
		{
			{planesUint8Float32AVX2, planesUint8Float16AVX2, planesUint8BFloat16AVX2},
			{planesInt16Float32AVX2, planesInt16Float16AVX2, planesInt16BFloat16AVX2},
		},
		{
			{planesUint8Float32AVX512, planesUint8Float16AVX512, planesUint8BFloat16AVX512},
			{planesInt16Float32AVX512, planesInt16Float16AVX512, planesInt16BFloat16AVX512},
		},
	}[has-avx2][s.StoredBytes-1][s.Type]
}

// can says whether there is a kernel.
func (v *vectors) can() bool { return v.has != none }

// image makes an image; slices and crop have been checked.
func (v *vectors) image(s *Spec, dst, src *byte, p Params) {
	flip, stream := 0, 0
	if p.Flip {
		flip = -1
	}
	if v.stream && v.align != 0 && uintptr(unsafe.Pointer(dst))%v.align == 0 {
		stream = 1
	}
	width, crop := s.Geometry.Width, s.Geometry.Crop
	plane, first := s.Geometry.Height*width, p.Top*width+p.Left
	at := func(c int) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(src), (c*plane+first)*s.StoredBytes)) }
	to := func(c int) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(dst), c*crop*crop*v.valueBytes)) }
	red, green, blue := p.Shift[0], p.Shift[1], p.Shift[2]
	switch {
	case v.pixels != nil:
		v.pixels(dst, at(0), &s.Sub[first], width, plane, crop, red, green, blue, flip, stream)
	case v.copyPixels != nil:
		v.copyPixels(dst, at(0), width, plane, crop, flip, stream)
	case v.copyPlanes != nil:
		v.copyPlanes(dst, at(0), width, plane, s.Channels, crop, flip, stream)
	default:
		for c := 0; c < s.Channels; c += 3 {
			v.planes(to(c), at(c), &s.Sub[c*plane+first], width, plane, min(3, s.Channels-c), crop, red, green, blue, flip, stream)
			red, green, blue = 0, 0, 0
		}
	}
	if stream != 0 {
		fence()
	}
}

// divideVectors divides the first values of an image and returns how many.
func divideVectors(image []float32, divisor float32) int {
	n := len(image) &^ 31
	if n == 0 || processor() == none {
		return 0
	}
	divideAVX2(&image[0], n, divisor)
	return n
}
