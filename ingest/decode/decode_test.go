package decode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"alexnet/ingest/internal/realdata"
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
	m.reset(size.X, size.Y)
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
			for ch, v := range rgb {
				m.Plane(ch)[y*m.W+x] = v
			}
		}
	}
	return m
}

func same(t *testing.T, got, want *Image) {
	t.Helper()
	if got.W != want.W || got.H != want.H {
		t.Fatalf("size %dx%d, want %dx%d", got.W, got.H, want.W, want.H)
	}
	if len(got.Pix) != 3*got.W*got.H {
		t.Fatalf("%d samples for %dx%d", len(got.Pix), got.W, got.H)
	}
	for i := range want.Pix {
		if got.Pix[i] != want.Pix[i] {
			n := got.W * got.H
			t.Fatalf("channel %d, x %d, y %d: %d, want %d", i/n, i%n%got.W, i%n/got.W, got.Pix[i], want.Pix[i])
		}
	}
}

// TestYCbCr checks the fast conversion against color.YCbCrToRGB for every
// colour there is.
func TestYCbCr(t *testing.T) {
	luma := make([]uint8, 256)
	for i := range luma {
		luma[i] = uint8(i)
	}
	var full, half [3][256]uint8
	cb, cr := make([]uint8, 256), make([]uint8, 256)
	for u := range 256 {
		for w := range 256 {
			for i := range cb {
				cb[i], cr[i] = uint8(u), uint8(w)
			}
			fullChroma(full[0][:], full[1][:], full[2][:], luma, cb, cr)
			halfChroma(half[0][:], half[1][:], half[2][:], luma, cb[:128], cr[:128])
			for y := range 256 {
				r, g, b := color.YCbCrToRGB(uint8(y), uint8(u), uint8(w))
				if full[0][y] != r || full[1][y] != g || full[2][y] != b {
					t.Fatalf("full chroma %d %d %d: %d %d %d, want %d %d %d", y, u, w, full[0][y], full[1][y], full[2][y], r, g, b)
				}
				if half[0][y] != r || half[1][y] != g || half[2][y] != b {
					t.Fatalf("half chroma %d %d %d: %d %d %d, want %d %d %d", y, u, w, half[0][y], half[1][y], half[2][y], r, g, b)
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
			got := &Image{}
			got.reset(size[0], size[1])
			toPlanar(got, src)
			same(t, got, slow(src))
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

	var d Decoder
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
		got := &Image{}
		got.reset(23, 17)
		toPlanar(got, cmyk)
		same(t, got, slow(cmyk))
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
		{"one byte", []byte{0xff}, Limits{}, NotAnImage, "neither JPEG nor PNG: it starts with ff"},
		{"web page", []byte("<!DOCTYPE html>"), Limits{}, NotAnImage, "it starts with 3c 21 44 4f"},
		{"GIF", []byte("GIF89a..."), Limits{}, Unsupported, "a GIF file; JPEG and PNG are read"},
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
			m, err := Decode(test.data, test.limits)
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

func TestName(t *testing.T) {
	if !regexp.MustCompile(`^image/jpeg \(.+\)$`).MatchString(Name()) {
		t.Errorf("Name() = %q", Name())
	}
}

func crc(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

func fmtSize(m *Image) string { return fmt.Sprintf("%dx%d", m.W, m.H) }

// TestOddFiles decodes a collection of odd and hostile files. Their manifest
// says what image.Decode of the standard library does with each; the table here
// says which reason the failures must have, and where we differ from it.
func TestOddFiles(t *testing.T) {
	dir := realdata.Path(t, "odd-jpegs")
	reasons := map[string]string{
		"gen-1byte.JPEG": NotAnImage, "gen-html-named.JPEG": NotAnImage, "gen-zeros-20000.JPEG": NotAnImage,
		"gen-leading-newline.jpg": NotAnImage, "gen-empty.JPEG": Empty,
		"gen-app0-length-1.jpg": Malformed, "gen-height-too-big.jpg": Malformed, "gen-progressive-rst1row.jpg": Malformed,
		"gen-soi-eoi.JPEG": Malformed, "gen-zero-run-in-scan.jpg": Malformed, "pil-hopper_bad_exif.jpg": Malformed,
		"gen-zero-height.jpg": Malformed, "gen-zero-width.jpg": Malformed,
		"gen-arithmetic.jpg": Unsupported, "gen-mixed-sampling.jpg": Unsupported, "ljt-monkey12.jpg": Unsupported,
		"ljt-testimgari.jpg": Unsupported, "gen-bmp-named.JPEG": Unsupported, "gen-gif-named.JPEG": Unsupported,
		"gen-tiff-named.JPEG": Unsupported, "gen-webp-named.JPEG": Unsupported,
		"gen-no-eoi.jpg": Truncated, "gen-progressive-trunc-half.jpg": Truncated, "gen-soi-only.JPEG": Truncated,
		"gen-trunc-90pct.jpg": Truncated, "gen-trunc-half.jpg": Truncated, "gen-trunc-headers-only.jpg": Truncated,
		"pil-truncated_jpeg.jpg": Truncated, "vips-truncated.jpg": Truncated,
		"gen-bomb-header-65500x65500.jpg": TooLarge, "gen-bomb-header-progressive-65500x65500.jpg": TooLarge,
		"gen-bomb-valid-gray-12000x12000.jpg": TooLarge, "gen-bomb-valid-rgb-10000x6000.jpg": TooLarge,
	}
	limits := Limits{MaxPixels: 50_000_000} // the 60 megapixels would only take long
	table, err := os.ReadFile(filepath.Join(dir, "manifest.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	ok := regexp.MustCompile(`^ok (?:jpeg|png) ([0-9]+x[0-9]+) `)
	decoded := 0
	for _, line := range strings.Split(strings.TrimSpace(string(table)), "\n")[1:] {
		column := strings.Split(line, "\t")
		name, library := column[0], column[8]
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(data, limits)
		var e *Error
		want := reasons[name]
		switch {
		case errors.As(err, &e):
			if e.Reason != want {
				t.Errorf("%s: %v, want class %q", name, err, want)
			}
		case err != nil:
			t.Errorf("%s: %T %v, want an *Error", name, err, err)
		case want != "":
			t.Errorf("%s: decoded to %dx%d, want class %q", name, m.W, m.H, want)
		default:
			decoded++
			size := ok.FindStringSubmatch(library)
			if got := fmtSize(m); size == nil || size[1] != got {
				t.Errorf("%s: decoded to %s, the manifest says %q", name, got, library)
			}
			std, _, err := image.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			same(t, m, slow(std))
		}
	}
	if decoded < 60 {
		t.Errorf("only %d files gave a picture", decoded)
	}
}

func FuzzDecode(f *testing.F) {
	photo := encodeJPEG(f, drawn(16, 12))
	f.Add(photo)
	f.Add(photo[:len(photo)/2])
	f.Add(encodePNG(f, drawn(5, 4)))
	f.Add([]byte("\xff\xd8\xff\xdb"))
	f.Add([]byte("GIF89a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data, Limits{MaxSide: 2000, MaxPixels: 1 << 18})
		var e *Error
		switch {
		case err != nil && !errors.As(err, &e):
			t.Fatalf("error of type %T: %v", err, err)
		case err == nil && (m.W < 1 || m.H < 1 || len(m.Pix) != 3*m.W*m.H || m.W*m.H > 1<<18):
			t.Fatalf("%dx%d with %d samples", m.W, m.H, len(m.Pix))
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	data := encodeJPEG(b, drawn(500, 375))
	var d Decoder
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
