package augment

import (
	"fmt"
	"math"
	"unsafe"
)

// Type is the type of the values of the images that a Kernel makes.
type Type int

const (
	// Float32 is IEEE 754 binary32.
	Float32 Type = iota
	// Float16 is IEEE 754 binary16, rounded to nearest, ties to even.
	Float16
	// BFloat16 is the upper half of binary32, rounded to nearest, ties to even.
	BFloat16
	// Stored leaves the values as the records hold them, uint8 or int16: cut out
	// and mirrored, and nothing else. What is missing, the mean and the shift of
	// the colours, is for whoever reads them to do, from the picture's Params.
	Stored
)

// typeNames are the names of the types, in their order.
//
//nolint:gochecknoglobals // read only
var typeNames = [...]string{"float32", "float16", "bfloat16", "stored"}

// String returns "float32", "float16", "bfloat16" or "stored".
func (t Type) String() string {
	if t < 0 || int(t) >= len(typeNames) {
		return fmt.Sprintf("Type(%d)", int(t))
	}
	return typeNames[t]
}

// MarshalText writes the type's name, for configurations and flags.
func (t Type) MarshalText() ([]byte, error) {
	if t < 0 || int(t) >= len(typeNames) {
		return nil, fmt.Errorf("augment: no name for %v", t)
	}
	return []byte(t.String()), nil
}

// UnmarshalText reads the names that MarshalText writes.
func (t *Type) UnmarshalText(text []byte) error {
	for i, name := range typeNames {
		if string(text) == name {
			*t = Type(i)
			return nil
		}
	}
	return fmt.Errorf("augment: unknown type %q: use float32, float16, bfloat16 or stored", text)
}

// Layout is the order of an image's values.
type Layout int

const (
	// NCHW has all of channel 0 row by row, then channel 1, then 2.
	NCHW Layout = iota
	// NHWC has the channels of a pixel side by side.
	NHWC
)

// String returns "nchw" or "nhwc".
func (l Layout) String() string {
	switch l {
	case NCHW:
		return "nchw"
	case NHWC:
		return "nhwc"
	}
	return fmt.Sprintf("Layout(%d)", int(l))
}

// MarshalText writes the layout's name, for configurations and flags.
func (l Layout) MarshalText() ([]byte, error) {
	if l != NCHW && l != NHWC {
		return nil, fmt.Errorf("augment: no name for %v", l)
	}
	return []byte(l.String()), nil
}

// UnmarshalText reads the names that MarshalText writes.
func (l *Layout) UnmarshalText(text []byte) error {
	switch string(text) {
	case "nchw":
		*l = NCHW
	case "nhwc":
		*l = NHWC
	default:
		return fmt.Errorf("augment: unknown layout %q: use nchw or nhwc", text)
	}
	return nil
}

// Spec says what a Kernel reads and what it makes of it.
type Spec struct {
	// Geometry is that of the pictures and of the crop.
	Geometry Geometry
	// Channels is the number of planes of a picture: 3, or 1 for grey ones.
	Channels int
	// StoredBytes is the size of a stored value: 1 for uint8, 2 for int16.
	StoredBytes int
	// Sub is what is left to subtract from a stored value, Channels x Height x
	// Width. It is not copied and must not change. A Kernel of type Stored takes
	// nil.
	Sub    []float32
	Type   Type
	Layout Layout
}

// Check returns an error that says what is wrong with a spec, and nil for one
// that NewKernel accepts.
func (s Spec) Check() error {
	if err := s.Geometry.Check(); err != nil {
		return err
	}
	switch pixels := s.Geometry.Height * s.Geometry.Width; {
	case s.Channels < 1:
		return fmt.Errorf("augment: pictures of %d channels: there must be at least 1", s.Channels)
	case s.StoredBytes != 1 && s.StoredBytes != 2:
		return fmt.Errorf("augment: stored values of %d bytes: they have 1 (uint8) or 2 (int16)", s.StoredBytes)
	case s.Type < Float32 || s.Type > Stored:
		return fmt.Errorf("augment: unknown type %v", s.Type)
	case s.Layout != NCHW && s.Layout != NHWC:
		return fmt.Errorf("augment: unknown layout %v", s.Layout)
	case s.Type != Stored && len(s.Sub) != s.Channels*pixels:
		return fmt.Errorf("augment: %d values to subtract, for pictures of %d", len(s.Sub), s.Channels*pixels)
	}
	return nil
}

// Kernel makes images of stored pictures: crop, flip, mean and colour in one
// pass, straight to where the image belongs. Its methods do not allocate and are
// safe for concurrent use.
type Kernel struct {
	spec Spec
}

// NewKernel returns the kernel of a spec, or the error of its Check.
func NewKernel(s Spec) (*Kernel, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	return &Kernel{spec: s}, nil
}

// Spec returns what the kernel was made from.
func (k *Kernel) Spec() Spec { return k.spec }

// ValueBytes returns the size of a value of an image.
func (k *Kernel) ValueBytes() int {
	switch k.spec.Type {
	case Float32:
		return 4
	case Stored:
		return k.spec.StoredBytes
	}
	return 2
}

// ImageBytes returns the size of an image: Channels x Crop x Crop values.
func (k *Kernel) ImageBytes() int {
	return k.spec.Channels * k.spec.Geometry.Crop * k.spec.Geometry.Crop * k.ValueBytes()
}

// Uint8 makes an image of a picture of uint8 values, Channels x Height x Width.
// dst has ImageBytes bytes in the machine's byte order; at an address that is a
// multiple of 64 it is written fastest. Like indexing, it panics when a slice is
// too short or the crop lies outside the picture, or when the spec is not one of
// uint8.
func (k *Kernel) Uint8(dst []byte, src []uint8, p Params) { run(k, dst, src, p) }

// Int16 is Uint8 for pictures of int16 values.
func (k *Kernel) Int16(dst []byte, src []int16, p Params) { run(k, dst, src, p) }

// run is the plain twin of all kernels.
func run[T Pixel](k *Kernel, dst []byte, src []T, p Params) {
	s := &k.spec
	if int(unsafe.Sizeof(src[0])) != s.StoredBytes {
		panic("augment: a kernel for stored values of another size")
	}
	dst = dst[:k.ImageBytes()]
	crop := s.Geometry.Crop
	width, plane := s.Geometry.Width, s.Geometry.Height*s.Geometry.Width
	// Value x of row y of channel c goes to c*perPlane + y*perRow + x*perPixel.
	perPlane, perRow, perPixel := crop*crop, crop, 1
	if s.Layout == NHWC {
		perPlane, perRow, perPixel = 1, crop*s.Channels, s.Channels
	}
	for c := range s.Channels {
		var shift float32
		if c < len(p.Shift) {
			shift = p.Shift[c]
		}
		for y := range crop {
			at := c*plane + (p.Top+y)*width + p.Left
			row := src[at : at+crop]
			out, step := c*perPlane+y*perRow, perPixel
			if p.Flip {
				out, step = out+(crop-1)*perPixel, -perPixel
			}
			if s.Type == Stored {
				stored(dst, row, out, step)
				continue
			}
			shifted(dst, row, s.Sub[at:at+crop], shift, s.Type, out, step)
		}
	}
}

// values views the bytes of an image as its values.
func values[T any](image []byte) []T {
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(image))), len(image)/int(unsafe.Sizeof(zero)))
}

// stored copies a row to values out, out+step, ...
func stored[T Pixel](dst []byte, row []T, out, step int) {
	to := values[T](dst)
	for _, v := range row {
		to[out] = v
		out += step
	}
}

// shifted writes a row, less the mean and shifted, to values out, out+step, ...
func shifted[T Pixel](dst []byte, row []T, sub []float32, shift float32, t Type, out, step int) {
	sub = sub[:len(row)]
	switch t {
	case Float32:
		to := values[float32](dst)
		for x, v := range row {
			to[out] = (float32(v) - sub[x]) + shift
			out += step
		}
	case Float16:
		to := values[uint16](dst)
		for x, v := range row {
			to[out] = half((float32(v) - sub[x]) + shift)
			out += step
		}
	case BFloat16:
		to := values[uint16](dst)
		for x, v := range row {
			to[out] = brain((float32(v) - sub[x]) + shift)
			out += step
		}
	}
}

// brain rounds to bfloat16. x must be a number.
func brain(x float32) uint16 {
	b := math.Float32bits(x)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// half rounds to binary16. x must be a number.
func half(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b >= 0x47800000: // 65536 and above
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14, the least normal number
		// Adding 0.5 leaves the bits that count, rounded, at the end.
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	b += 0xfff + b>>13&1 // may carry into the exponent, and to infinity
	return sign | uint16((b-0x38000000)>>13)
}
