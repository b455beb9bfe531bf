// Package decode turns the bytes of a picture file into pixels: grey or colour,
// eight bits a sample, in the layout that libjpeg-turbo writes fastest.
//
// ImageNet is less uniform than its file names promise. Among the files called
// .JPEG there are a PNG (n02105855_2933, with an alpha channel), some twenty
// CMYK photographs (n01739381_1309 is the first) and many grey ones; downloads
// add files that are cut short, empty, or an HTML page. So the format is told
// by content and never by name, every colour space becomes RGB, and each file
// that gives no picture gives an [Error] whose Reason is one of a few classes
// that a report can count.
//
// JPEG is decoded by libjpeg-turbo where the machine has it, see [Find], and by
// image/jpeg elsewhere. libjpeg-turbo runs as Pillow and torchvision run it
// (accurate DCT, smooth upsampling of chroma), so it gives their bytes.
//
// Pixels are taken as they are stored. An EXIF orientation is ignored unless
// [Decoder.ExifRotate] is set, and colour profiles always are: the paper
// (section 2) knows neither, and the networks that people compare with were
// trained without them. Transparency is ignored too, that is, the colour below
// a transparent pixel is what counts; this is what Pillow's convert("RGB")
// does, and with it torchvision.
//
// The size of a picture is known from its header before anything is allocated
// for its pixels, so that [Limits] and [Budget] protect against files that are
// made to exhaust memory.
package decode

import (
	"bytes"
	"fmt"
)

// Default limits on the size of a picture, see [Limits].
const (
	DefaultMaxSide   = 65_500      // libjpeg's JPEG_MAX_DIMENSION
	DefaultMaxPixels = 100_000_000 // 300 MB at three bytes a pixel
)

// Limits bound what a picture may cost before it is decoded. A zero field
// stands for its default.
type Limits struct {
	MaxSide   int // largest width and height, in pixels
	MaxPixels int // largest width x height
}

// check says whether a picture of w x h pixels may be decoded.
func (l Limits) check(w, h int) error {
	side, pixels := l.MaxSide, l.MaxPixels
	if side <= 0 {
		side = DefaultMaxSide
	}
	if pixels <= 0 {
		pixels = DefaultMaxPixels
	}
	switch {
	case w <= 0 || h <= 0:
		return &Error{Malformed, fmt.Errorf("the header says %dx%d pixels", w, h)}
	case w > side || h > side:
		return &Error{TooLarge, fmt.Errorf("%dx%d pixels: a side is longer than the limit of %d", w, h, side)}
	case int64(w)*int64(h) > int64(pixels):
		return &Error{TooLarge, fmt.Errorf("%dx%d pixels are more than the limit of %d", w, h, pixels)}
	}
	return nil
}

// Image is a decoded picture: H rows of W pixels, top to bottom, without
// padding between rows.
type Image struct {
	W, H int     // of Pix
	C    int     // 1: grey, one byte a pixel; 3: colour, three bytes a pixel: red, green, blue
	Pix  []uint8 // W*H*C bytes, and room for Slack more

	SourceW, SourceH int // as the file's header says, before [Decoder.Enough] and [Decoder.ExifRotate] have changed it

	Damage error // nil, or what is wrong with a picture that [Decoder.KeepTruncated] kept
}

// Slack is how many bytes of memory lie behind the pixels of a decoded picture,
// so that vectors may be loaded beyond the last one.
const Slack = 16

// large is how many bytes a Decoder may keep, and a picture may take, without
// further ado: 10 megapixels in colour.
const large = 32 << 20

// letGo forgets the pixels when their memory is too small for n bytes, or far
// too large.
func (m *Image) letGo(n int) {
	if cap(m.Pix) < n+Slack || cap(m.Pix) > large && n <= large {
		m.Pix = nil
	}
}

// reset gives m its size and room for the pixels, whose values are undefined.
func (m *Image) reset(w, h, c int) {
	m.W, m.H, m.C = w, h, c
	m.Pix = m.room(w * h * c)
}

// room returns n bytes of m's memory, which is made if there is too little.
func (m *Image) room(n int) []uint8 {
	m.letGo(n)
	if m.Pix == nil {
		m.Pix = make([]uint8, n, n+Slack)
	}
	return m.Pix[:n]
}

// Decoder decodes one picture after another into the same memory. The zero
// value is ready for use: the best library, the default limits, the pixels as
// they are stored. A Decoder belongs to one goroutine at a time and must not be
// copied once it has been used.
type Decoder struct {
	// Library decodes JPEG; nil stands for the one that Find returns.
	Library *Library

	// Limits are checked before memory is allocated.
	Limits Limits

	// KeepTruncated has a damaged JPEG give what could be decoded of it, with
	// Image.Damage set, instead of an error. The missing part is grey. Only
	// libjpeg-turbo can do this: image/jpeg and image/png give a whole picture
	// or none.
	KeepTruncated bool

	// ExifRotate turns and mirrors the picture as the EXIF orientation says.
	ExifRotate bool

	// Enough, where it is positive, has a picture of more than 16 megapixels
	// decoded at 1/8, 1/4 or 1/2 of its size: the smallest whose shorter side
	// still has Enough pixels. All other pictures keep their size.
	Enough int

	// Budget bounds the memory that the large pictures of several Decoders take
	// at a time; nil: it is not bounded.
	Budget *Budget

	img    Image
	turned []uint8 // the memory that ExifRotate swaps with img's
	turbo  *turboHandle
}

// Decode returns the picture in data, whatever the file's name said it was:
// JPEG (baseline or progressive; grey, YCbCr, RGB, CMYK, YCCK), PNG (all
// kinds), or binary netpbm (P5, P6) of eight bits. The image is borrowed until
// the next call of Decode or Close. Every error is an *[Error]; no input makes
// Decode panic.
func (d *Decoder) Decode(data []byte) (m *Image, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, &Error{Malformed, fmt.Errorf("the decoder gave up: %v", p)}
		}
	}()
	kind, err := sniff(data)
	if err != nil {
		return nil, err
	}
	d.img.Damage = nil
	switch kind {
	case jpegFile:
		err = d.decodeJPEG(data)
	case pngFile:
		err = d.decodePNG(data)
	default:
		err = d.decodeNetpbm(data)
	}
	if err != nil {
		return nil, err
	}
	return &d.img, nil
}

// decodeJPEG decodes with the library of the Decoder.
func (d *Decoder) decodeJPEG(data []byte) error {
	head := readJPEGHeader(data)
	lib := d.Library
	if lib == nil {
		lib = Find()
	}
	if lib.turbo != nil {
		return d.withTurbo(lib.turbo, data, &head)
	}
	return d.withStandard(data, &head)
}

// Close frees what the Decoder holds at once, pixels that were lent included.
// It may be used again after. A Decoder that is not closed is cleaned up by the
// garbage collector.
func (d *Decoder) Close() {
	d.dropHandle()
	d.img, d.turned = Image{}, nil
}

// Decode decodes one picture into memory of its own; see [Decoder.Decode].
func Decode(data []byte, lim Limits) (*Image, error) {
	d := Decoder{Limits: lim}
	return d.Decode(data)
}

// Kinds of files that are decoded.
const (
	jpegFile = iota
	pngFile
	netpbmFile
)

// sniff tells the format by the first bytes of the file. A file of a known
// kind that is not decoded is named in the error.
func sniff(data []byte) (kind int, err error) {
	starts := func(magic string) bool { return bytes.HasPrefix(data, []byte(magic)) }
	netpbm := len(data) >= 3 && data[0] == 'P' && (isSpace(data[2]) || data[2] == '#')
	switch {
	case len(data) == 0:
		return 0, &Error{Empty, fmt.Errorf("the file has no bytes")}
	case starts("\xff\xd8"):
		return jpegFile, nil
	case starts("\x89PNG\r\n\x1a\n"):
		return pngFile, nil
	case netpbm && (data[1] == '5' || data[1] == '6'):
		return netpbmFile, nil
	}
	other := ""
	switch {
	case starts("GIF87a"), starts("GIF89a"):
		other = "GIF"
	case starts("II*\x00"), starts("MM\x00*"):
		other = "TIFF"
	case starts("RIFF") && len(data) >= 12 && string(data[8:12]) == "WEBP":
		other = "WebP"
	case starts("BM") && len(data) >= 26:
		other = "BMP"
	case len(data) >= 12 && string(data[4:8]) == "ftyp":
		other = "HEIF or MP4"
	case netpbm && data[1] >= '1' && data[1] <= '7':
		other = "netpbm P" + string(data[1:2])
	}
	if other != "" {
		return 0, &Error{Unsupported, fmt.Errorf("a %s file; JPEG, PNG and netpbm P5, P6 are read", other)}
	}
	return 0, &Error{NotAnImage, fmt.Errorf("neither JPEG, PNG nor netpbm: it starts with % x", data[:min(len(data), 4)])}
}
