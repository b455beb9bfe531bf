package decode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"
)

// drawn is a picture with detail in all channels.
func drawn(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{uint8(x * 5), uint8(y * 3), uint8((x / 4) ^ (y/4)<<4), 255})
		}
	}
	return m
}

func encodeJPEG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodePNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// slow converts pixel by pixel through the interfaces of package image, without
// regard to alpha.
func slow(src image.Image) *Image {
	size := src.Bounds().Size()
	m := &Image{}
	switch src.(type) {
	case *image.Gray, *image.Gray16:
		m.reset(size.X, size.Y, 1)
	default:
		m.reset(size.X, size.Y, 3)
	}
	at := src.Bounds().Min
	for y := range m.H {
		for x := range m.W {
			c := src.At(at.X+x, at.Y+y)
			var rgb [3]uint8
			switch c := c.(type) {
			case color.NRGBA:
				rgb = [3]uint8{c.R, c.G, c.B}
			case color.NRGBA64:
				rgb = [3]uint8{uint8(c.R >> 8), uint8(c.G >> 8), uint8(c.B >> 8)}
			default:
				r, g, b, a := c.RGBA()
				if a != 0xffff {
					panic("slow: a colour of unknown kind with alpha")
				}
				rgb = [3]uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)}
			}
			copy(pixel(m, x, y), rgb[:])
		}
	}
	return m
}

// pixel returns the samples of a pixel: one or three.
func pixel(m *Image, x, y int) []uint8 {
	return m.Pix[(y*m.W+x)*m.C:][:m.C]
}

// check finds out that m is a picture as its comment says.
func check(t *testing.T, m *Image) {
	t.Helper()
	if m.W < 1 || m.H < 1 || m.C != 1 && m.C != 3 || len(m.Pix) != m.W*m.H*m.C || m.SourceW < 1 || m.SourceH < 1 {
		t.Fatalf("a picture of %dx%d pixels (in the file %dx%d), %d channels, %d bytes", m.W, m.H, m.SourceW, m.SourceH, m.C, len(m.Pix))
	}
}

// same fails the test unless the samples of the pictures are the same.
func same(t *testing.T, got, want *Image) {
	t.Helper()
	near(t, got, want, 0)
}

// near fails the test when a sample differs by more than tolerance.
func near(t *testing.T, got, want *Image, tolerance int) {
	t.Helper()
	if got.W != want.W || got.H != want.H || got.C != want.C || len(got.Pix) != len(want.Pix) {
		t.Fatalf("%dx%d pixels of %d channels in %d bytes, want %dx%d of %d in %d",
			got.W, got.H, got.C, len(got.Pix), want.W, want.H, want.C, len(want.Pix))
	}
	for y := range want.H {
		for x := range want.W {
			g, w := pixel(got, x, y), pixel(want, x, y)
			for c := range g {
				if d := int(g[c]) - int(w[c]); d > tolerance || -d > tolerance {
					t.Fatalf("x %d, y %d: %d, want %d", x, y, g, w)
				}
			}
		}
	}
}

// converted is src as a Decoder of the standard library makes it.
func converted(src image.Image) *Image {
	size := src.Bounds().Size()
	c, row := rows(src)
	m := &Image{}
	m.fill(&plan{w: size.X, h: size.Y, toW: size.X, toH: size.Y, c: c, reduce: 1}, row)
	return m
}

// TestYCbCr checks the fast conversion against color.YCbCrToRGB for every
// colour there is.
func TestYCbCr(t *testing.T) {
	luma := make([]uint8, 256)
	for i := range luma {
		luma[i] = uint8(i)
	}
	full, half := make([]uint8, 3*256), make([]uint8, 3*256)
	cb, cr := make([]uint8, 256), make([]uint8, 256)
	step := 1
	if testing.Short() {
		step = 5 // 0 and 255 are among them
	}
	for u := 0; u < 256; u += step {
		for w := 0; w < 256; w += step {
			for i := range cb {
				cb[i], cr[i] = uint8(u), uint8(w)
			}
			fullChroma(full, luma, cb, cr)
			halfChroma(half, luma, cb[:128], cr[:128])
			for y := range 256 {
				r, g, b := color.YCbCrToRGB(uint8(y), uint8(u), uint8(w))
				if want := []uint8{r, g, b}; !bytes.Equal(full[3*y:3*y+3], want) || !bytes.Equal(half[3*y:3*y+3], want) {
					t.Fatalf("colour %d %d %d: full chroma %d, half %d, want %d", y, u, w, full[3*y:3*y+3], half[3*y:3*y+3], want)
				}
			}
		}
	}
}

func TestSubsampling(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, ratio := range []image.YCbCrSubsampleRatio{
		image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
		image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
	} {
		for _, size := range [][2]int{{1, 1}, {2, 1}, {1, 2}, {3, 5}, {16, 16}, {17, 33}, {31, 8}} {
			// As image/jpeg does it: a window on an image of whole blocks.
			whole := image.NewYCbCr(image.Rect(0, 0, (size[0]+31)&^31, (size[1]+31)&^31), ratio)
			for _, plane := range [][]uint8{whole.Y, whole.Cb, whole.Cr} {
				for i := range plane {
					plane[i] = uint8(random.Uint32())
				}
			}
			src := whole.SubImage(image.Rect(0, 0, size[0], size[1])).(*image.YCbCr)
			same(t, converted(src), slow(src))
		}
	}
}

func TestKinds(t *testing.T) {
	base := drawn(23, 17)
	bounds := base.Bounds()
	fill := func(m interface{ Set(x, y int, c color.Color) }) {
		for y := range 17 {
			for x := range 23 {
				m.Set(x, y, base.At(x, y))
			}
		}
	}
	grey, grey16 := image.NewGray(bounds), image.NewGray16(bounds)
	deep, paletted := image.NewRGBA64(bounds), image.NewPaletted(bounds, palette.Plan9)
	for _, m := range []interface{ Set(x, y int, c color.Color) }{grey, grey16, deep, paletted} {
		fill(m)
	}
	veiled, deepVeiled := image.NewNRGBA(bounds), image.NewNRGBA64(bounds)
	clear := image.NewPaletted(bounds, color.Palette{color.NRGBA{10, 20, 30, 0}, color.NRGBA{200, 100, 50, 255}})
	for y := range 17 {
		for x := range 23 {
			c := base.RGBAAt(x, y)
			veiled.SetNRGBA(x, y, color.NRGBA{c.R, c.G, c.B, uint8(x * 11)})
			deepVeiled.SetNRGBA64(x, y, color.NRGBA64{uint16(x * 2000), uint16(y * 3000), 40000, uint16(x*y) * 100})
			clear.SetColorIndex(x, y, uint8(x+y)&1)
		}
	}
	cmyk := image.NewCMYK(bounds)
	for i := range cmyk.Pix {
		cmyk.Pix[i] = uint8(i * 37)
	}

	d := Decoder{Library: Standard()}
	for name, m := range map[string]image.Image{
		"RGB": base, "grey": grey, "16-bit grey": grey16, "16-bit RGB": deep, "palette": paletted,
		"alpha": veiled, "16-bit alpha": deepVeiled, "palette with alpha": clear,
	} {
		t.Run("PNG "+name, func(t *testing.T) {
			got, err := d.Decode(encodePNG(t, m))
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, slow(m))
		})
	}
	for name, m := range map[string]image.Image{"colour": base, "grey": grey} {
		t.Run("JPEG "+name, func(t *testing.T) {
			data := encodeJPEG(t, m)
			got, err := d.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			want, err := jpeg.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, slow(want))
		})
	}
	t.Run("CMYK", func(t *testing.T) {
		same(t, converted(cmyk), slow(cmyk))
		adobe := &Image{W: 23, H: 17, C: 3}
		for _, v := range cmyk.Pix {
			adobe.Pix = append(adobe.Pix, 255-v)
		}
		adobe.Pix = inverted(adobe.Pix)
		same(t, adobe, slow(cmyk))
	})
}

// TestReuse decodes a large picture, a small one and the large one again.
func TestReuse(t *testing.T) {
	large, small := encodeJPEG(t, drawn(64, 48)), encodePNG(t, drawn(3, 2))
	var d Decoder
	for _, data := range [][]byte{large, small, large} {
		got, err := d.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Decode(data, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	}
}

// sized returns a PNG or JPEG whose header claims w x h pixels.
func sized(t *testing.T, kind string, w, h int) []byte {
	data := encodeJPEG(t, drawn(8, 8))
	if kind == "jpeg" {
		sof := bytes.Index(data, []byte{0xff, 0xc0})
		binary.BigEndian.PutUint16(data[sof+5:], uint16(h))
		binary.BigEndian.PutUint16(data[sof+7:], uint16(w))
		return data
	}
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
	binary.Write(&b, binary.BigEndian, []uint32{uint32(w), uint32(h)})
	b.Write([]byte{8, 2, 0, 0, 0})
	sum := crc(b.Bytes()[12:])
	binary.Write(&b, binary.BigEndian, sum)
	return b.Bytes()
}

func TestErrors(t *testing.T) {
	photo, drawing := encodeJPEG(t, drawn(64, 48)), encodePNG(t, drawn(64, 48))
	progressive := bytes.Replace(photo, []byte{0xff, 0xc0}, []byte{0xff, 0xc9}, 1)
	damaged := bytes.Clone(drawing)
	damaged[len(damaged)/2] ^= 0x10
	for _, test := range []struct {
		name   string
		data   []byte
		limits Limits
		reason string
		text   string
	}{
		{"no bytes", nil, Limits{}, Empty, "empty: the file has no bytes"},
		{"one byte", []byte{0xff}, Limits{}, NotAnImage, "neither JPEG, PNG nor netpbm: it starts with ff"},
		{"web page", []byte("<!DOCTYPE html>"), Limits{}, NotAnImage, "it starts with 3c 21 44 4f"},
		{"GIF", []byte("GIF89a..."), Limits{}, Unsupported, "a GIF file; JPEG, PNG and netpbm P5, P6 are read"},
		{"WebP", []byte("RIFF\x10\x00\x00\x00WEBPVP8 "), Limits{}, Unsupported, "a WebP file"},
		{"TIFF", []byte("II*\x00...."), Limits{}, Unsupported, "a TIFF file"},
		{"BMP", append([]byte("BM"), make([]byte, 40)...), Limits{}, Unsupported, "a BMP file"},
		{"HEIF", []byte("\x00\x00\x00\x18ftypheic"), Limits{}, Unsupported, "a HEIF or MP4 file"},
		{"start of JPEG", []byte{0xff, 0xd8}, Limits{}, Truncated, "EOF"},
		{"half a JPEG", photo[:len(photo)/2], Limits{}, Truncated, "EOF"},
		{"JPEG without its end", photo[:len(photo)-2], Limits{}, Truncated, "EOF"},
		{"half a PNG", drawing[:len(drawing)/2], Limits{}, Truncated, "not enough pixel data"},
		{"damaged PNG", damaged, Limits{}, Malformed, "flate: corrupt input"},
		{"arithmetic coding", progressive, Limits{}, Unsupported, "unsupported JPEG feature"},
		{"JPEG of no height", sized(t, "jpeg", 8, 0), Limits{}, Malformed, "the header says 8x0 pixels"},
		{"JPEG of no width", sized(t, "jpeg", 0, 8), Limits{}, Malformed, "the header says 0x8 pixels"},
		{"PNG of no height", sized(t, "png", 8, 0), Limits{}, Malformed, "non-positive dimension"},
		{"wide JPEG", sized(t, "jpeg", 65535, 8), Limits{}, TooLarge, "65535x8 pixels: a side is longer than the limit of 65500"},
		{"large JPEG", sized(t, "jpeg", 65500, 65500), Limits{}, TooLarge, "65500x65500 pixels are more than the limit of 100000000"},
		{"large PNG", sized(t, "png", 50000, 50000), Limits{}, TooLarge, "50000x50000 pixels are more than the limit of 100000000"},
		{"own limit of sides", photo, Limits{MaxSide: 63}, TooLarge, "64x48 pixels: a side is longer than the limit of 63"},
		{"own limit of pixels", photo, Limits{MaxPixels: 64*48 - 1}, TooLarge, "64x48 pixels are more than the limit of 3071"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := (&Decoder{Library: Standard(), Limits: test.limits}).Decode(test.data)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, image %v; want an *Error", err, m)
			}
			if e.Reason != test.reason || !strings.Contains(e.Error(), test.text) {
				t.Errorf("%q of class %s; want %q of class %s", e, e.Reason, test.text, test.reason)
			}
			if m != nil {
				t.Error("an image came with the error")
			}
		})
	}
	for name, limits := range map[string]Limits{"side": {MaxSide: 64}, "pixels": {MaxPixels: 64 * 48}} {
		if _, err := Decode(photo, limits); err != nil {
			t.Errorf("at the limit of %s: %v", name, err)
		}
	}
}

func crc(b []byte) uint32 { return crc32.ChecksumIEEE(b) }
