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
// caches.
const streamBytes = 64 << 10

// Kernels of one plane and of three, and those of stored values.
type (
	planeKernel      func(dst, src *byte, sub *float32, width, crop int, shift float32, flip, stream int)
	pixelsKernel     func(dst, src *byte, sub *float32, width, plane, crop int, red, green, blue float32, flip, stream int)
	copyKernel       func(dst, src *byte, width, crop, flip, stream int)
	copyPixelsKernel func(dst, src *byte, width, plane, crop, flip, stream int)
)

// vectors are the vector kernels of a spec: one of the four, or none.
type vectors struct {
	plane      planeKernel
	pixels     pixelsKernel
	copy       copyKernel
	copyPixels copyPixelsKernel

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
		v.copyPixels, v.align = [...]copyPixelsKernel{copyPixelsUint8AVX2, copyPixelsInt16AVX2}[s.StoredBytes-1], 16
	case s.Type == Stored && !perPixel && crop*s.StoredBytes >= 32:
		v.copy, v.align = [...]copyKernel{copyUint8AVX2, copyInt16AVX2}[s.StoredBytes-1], 32
	case s.Type == Stored:
		return v
	case has == avx512 && crop*valueBytes >= 64:
		// 64 bytes of values of a plane: 16 or 32 pixels.
		v.floats(s, perPixel, 1, 64)
	case perPixel && crop >= 8:
		v.floats(s, perPixel, 0, 8*uintptr(valueBytes))
	case !perPixel && crop*valueBytes >= 32:
		v.floats(s, perPixel, 0, 32)
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

// floats chooses among the kernels that make floats: wide is 1 for AVX-512.
func (v *vectors) floats(s Spec, perPixel bool, wide int, align uintptr) {
	v.align = align
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
		}[wide][s.StoredBytes-1][s.Type]
		return
	}
	v.plane = [2][2][3]planeKernel{
		{
			{planeUint8Float32AVX2, planeUint8Float16AVX2, planeUint8BFloat16AVX2},
			{planeInt16Float32AVX2, planeInt16Float16AVX2, planeInt16BFloat16AVX2},
		},
		{
			{planeUint8Float32AVX512, planeUint8Float16AVX512, planeUint8BFloat16AVX512},
			{planeInt16Float32AVX512, planeInt16Float16AVX512, planeInt16BFloat16AVX512},
		},
	}[wide][s.StoredBytes-1][s.Type]
}

// can says whether there is a kernel.
func (v *vectors) can() bool {
	return v.plane != nil || v.pixels != nil || v.copy != nil || v.copyPixels != nil
}

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
	switch {
	case v.plane != nil:
		for c := range s.Channels {
			var shift float32
			if c < len(p.Shift) {
				shift = p.Shift[c]
			}
			v.plane(to(c), at(c), &s.Sub[c*plane+first], width, crop, shift, flip, stream)
		}
	case v.pixels != nil:
		v.pixels(dst, at(0), &s.Sub[first], width, plane, crop, p.Shift[0], p.Shift[1], p.Shift[2], flip, stream)
	case v.copy != nil:
		for c := range s.Channels {
			v.copy(to(c), at(c), width, crop, flip, stream)
		}
	default:
		v.copyPixels(dst, at(0), width, plane, crop, flip, stream)
	}
	if stream != 0 {
		fence()
	}
}
