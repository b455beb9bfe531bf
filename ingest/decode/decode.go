// Package decode turns the bytes of a picture file into pixels: planar RGB,
// eight bits a sample, as the records store them.
//
// ImageNet is less uniform than its file names promise. Among the files called
// .JPEG there are a PNG (n02105855_2933, with an alpha channel), some twenty
// CMYK photographs (n01739381_1309 is the first) and many grey ones; downloads
// add files that are cut short, empty, or an HTML page. So the format is told by content and never by name, every colour space
// becomes RGB, and each file that gives no picture gives an [Error] whose
// Reason is one of a few classes that a report can count.
//
// Pixels are taken as they are stored. An EXIF orientation is ignored, and so
// are colour profiles: the paper (section 2) knows neither, and the networks
// that people compare with were trained without them. Transparency is ignored
// too, that is, the colour below a transparent pixel is what counts; this is
// what Pillow's convert("RGB") does, and with it torchvision.
//
// The size of a picture is known from its header before anything is allocated
// for its pixels, so that [Limits] protect against files that are made to
// exhaust memory.
package decode

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"regexp"
	"runtime"
)

// Default limits on the size of a picture, see [Limits].
const (
	DefaultMaxSide   = 65_500      // libjpeg's JPEG_MAX_DIMENSION
	DefaultMaxPixels = 100_000_000 // 300 MB as planar RGB
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

// Image is a decoded picture: three planes, red then green then blue, each of
// H rows of W samples in 0..255, without padding.
type Image struct {
	W, H int
	Pix  []uint8 // 3*W*H samples
}

// Plane returns the samples of one channel: 0 red, 1 green, 2 blue.
func (m *Image) Plane(c int) []uint8 {
	n := m.W * m.H
	return m.Pix[c*n : (c+1)*n : (c+1)*n]
}

// reset gives m the size w x h and room for the pixels, whose values are
// undefined. The memory of an earlier, larger picture is used again, unless
// that was a giant.
func (m *Image) reset(w, h int) {
	const giant = 48 << 20 // samples of 16 million pixels
	m.W, m.H = w, h
	if n := 3 * w * h; cap(m.Pix) < n || cap(m.Pix) > giant && n <= giant {
		m.Pix = make([]uint8, n)
	} else {
		m.Pix = m.Pix[:n]
	}
}

// Decoder decodes one picture after another into the same memory. The zero
// value is ready for use with the default limits. A Decoder belongs to one
// goroutine at a time.
type Decoder struct {
	Limits Limits
	img    Image
}

// Decode returns the picture in data, whatever the file's name said it was:
// JPEG (baseline or progressive; grey, YCbCr, RGB, CMYK, YCCK) or PNG (all
// kinds). The image is borrowed until the next call of Decode. Every error is
// an *[Error]; no input makes Decode panic.
func (d *Decoder) Decode(data []byte) (m *Image, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, &Error{Malformed, fmt.Errorf("the decoder gave up: %v", p)}
		}
	}()
	format, err := sniff(data)
	if err != nil {
		return nil, err
	}
	cfg, err := format.config(bytes.NewReader(data))
	if err != nil {
		return nil, classify(err)
	}
	if err := d.Limits.check(cfg.Width, cfg.Height); err != nil {
		return nil, err
	}
	src, err := format.decode(bytes.NewReader(data))
	if err != nil {
		return nil, classify(err)
	}
	if size := src.Bounds().Size(); size.X != cfg.Width || size.Y != cfg.Height {
		return nil, &Error{Malformed, fmt.Errorf("the header says %dx%d pixels, the picture has %dx%d", cfg.Width, cfg.Height, size.X, size.Y)}
	}
	d.img.reset(cfg.Width, cfg.Height)
	toPlanar(&d.img, src)
	return &d.img, nil
}

// Decode decodes one picture into memory of its own; see [Decoder.Decode].
func Decode(data []byte, lim Limits) (*Image, error) {
	d := Decoder{Limits: lim}
	return d.Decode(data)
}

// Name says which library decodes JPEG, and its release, for the terminal and
// for the manifest: two decoders differ by a level here and there, so shards
// made with different ones are not the same.
func Name() string {
	v := runtime.Version()
	if short := regexp.MustCompile(`go[0-9]+\.[0-9]+`).FindString(v); short != "" {
		v = short
	}
	return "image/jpeg (" + v + ")"
}

// format is a kind of file that can be decoded.
type format struct {
	config func(*bytes.Reader) (image.Config, error)
	decode func(*bytes.Reader) (image.Image, error)
}

func jpegFormat() format {
	return format{
		config: func(r *bytes.Reader) (image.Config, error) { return jpeg.DecodeConfig(r) },
		decode: func(r *bytes.Reader) (image.Image, error) { return jpeg.Decode(r) },
	}
}

func pngFormat() format {
	return format{
		config: func(r *bytes.Reader) (image.Config, error) { return png.DecodeConfig(r) },
		decode: func(r *bytes.Reader) (image.Image, error) { return png.Decode(r) },
	}
}

// sniff tells the format by the first bytes of the file. A file of a known
// kind that is not decoded is named in the error.
func sniff(data []byte) (format, error) {
	starts := func(magic string) bool { return bytes.HasPrefix(data, []byte(magic)) }
	switch {
	case len(data) == 0:
		return format{}, &Error{Empty, fmt.Errorf("the file has no bytes")}
	case starts("\xff\xd8"):
		return jpegFormat(), nil
	case starts("\x89PNG\r\n\x1a\n"):
		return pngFormat(), nil
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
	}
	if other != "" {
		return format{}, &Error{Unsupported, fmt.Errorf("a %s file; JPEG and PNG are read", other)}
	}
	return format{}, &Error{NotAnImage, fmt.Errorf("neither JPEG nor PNG: it starts with % x", data[:min(len(data), 4)])}
}
