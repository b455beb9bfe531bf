package augment

import (
	"fmt"
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
//
// Values are those of [Apply], rounded once more to the image's type. They are
// the same bits on every processor, whatever it has to make them with.
type Kernel struct {
	spec    Spec
	vectors vectors
}

// NewKernel returns the kernel of a spec, or the error of its Check.
func NewKernel(s Spec) (*Kernel, error) { return newKernel(s, processor()) }

// newKernel is NewKernel for a processor that has these instructions.
func newKernel(s Spec, has instructions) (*Kernel, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	k := &Kernel{spec: s}
	k.vectors = newVectors(s, k.ValueBytes(), has)
	return k, nil
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
// dst has ImageBytes bytes, in the machine's byte order, at an address that is a
// multiple of ValueBytes; at a multiple of 64 it is written fastest. The shifts
// and what is subtracted must be numbers, neither infinite nor NaN.
//
// Like indexing, Uint8 panics when a slice is too short or the crop lies outside
// the picture, and also when dst is not aligned or the spec is not one of uint8.
func (k *Kernel) Uint8(dst []byte, src []uint8, p Params) { image(k, dst, src, p) }

// Int16 is Uint8 for pictures of int16 values.
func (k *Kernel) Int16(dst []byte, src []int16, p Params) { image(k, dst, src, p) }

// image makes an image after the checks that assembly does not do.
func image[T Pixel](k *Kernel, dst []byte, src []T, p Params) {
	s := &k.spec
	g := s.Geometry
	if int(unsafe.Sizeof(src[0])) != s.StoredBytes {
		panic("augment: a kernel for stored values of another size")
	}
	if uint(p.Top) > uint(g.Height-g.Crop) || uint(p.Left) > uint(g.Width-g.Crop) {
		panic("augment: the crop lies outside the picture")
	}
	dst, src = dst[:k.ImageBytes()], src[:s.Channels*g.Height*g.Width]
	if uintptr(unsafe.Pointer(&dst[0]))%uintptr(k.ValueBytes()) != 0 {
		panic("augment: an image at an address that is not a multiple of its values' size")
	}
	if k.vectors.can() {
		k.vectors.image(s, &dst[0], (*byte)(unsafe.Pointer(&src[0])), p)
		return
	}
	plain(k, dst, src, p)
}
