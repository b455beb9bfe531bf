package decode

import (
	"image"
	"image/color"
)

// toPlanar writes the pixels of src, which has the size of dst, as planar RGB.
// The types that JPEG and PNG photographs decode to are converted row by row;
// the rest, which is 16-bit PNG, pixel by pixel.
func toPlanar(dst *Image, src image.Image) {
	switch src := src.(type) {
	case *image.YCbCr:
		fromYCbCr(dst, src)
	case *image.Gray:
		fromGray(dst, src)
	case *image.CMYK:
		fromCMYK(dst, src)
	case *image.RGBA: // always opaque: RGB in JPEG, RGB without alpha in PNG
		fromInterleaved(dst, src.Pix, src.Stride)
	case *image.NRGBA:
		fromInterleaved(dst, src.Pix, src.Stride)
	case *image.Paletted:
		fromPaletted(dst, src)
	default:
		fromAny(dst, src)
	}
}

// row returns row y of the three planes of m.
func (m *Image) row(y int) (r, g, b []uint8) {
	n, at := m.W*m.H, y*m.W
	return m.Pix[at : at+m.W], m.Pix[n+at : n+at+m.W], m.Pix[2*n+at : 2*n+at+m.W]
}

func fromGray(dst *Image, src *image.Gray) {
	for y := range dst.H {
		r, g, b := dst.row(y)
		from := src.Pix[y*src.Stride:][:dst.W]
		copy(r, from)
		copy(g, from)
		copy(b, from)
	}
}

// fromInterleaved takes R, G, B from rows of four bytes a pixel.
func fromInterleaved(dst *Image, pix []uint8, stride int) {
	for y := range dst.H {
		r, g, b := dst.row(y)
		from := pix[y*stride:][:4*dst.W]
		for x := range r {
			p := from[4*x : 4*x+4 : 4*x+4]
			r[x], g[x], b[x] = p[0], p[1], p[2]
		}
	}
}

func fromCMYK(dst *Image, src *image.CMYK) {
	for y := range dst.H {
		r, g, b := dst.row(y)
		from := src.Pix[y*src.Stride:][:4*dst.W]
		for x := range r {
			p := from[4*x : 4*x+4 : 4*x+4]
			r[x], g[x], b[x] = color.CMYKToRGB(p[0], p[1], p[2], p[3])
		}
	}
}

func fromPaletted(dst *Image, src *image.Paletted) {
	var table [256][3]uint8
	for i, c := range src.Palette {
		table[i&255] = opaque(c)
	}
	for y := range dst.H {
		r, g, b := dst.row(y)
		from := src.Pix[y*src.Stride:][:dst.W]
		for x, i := range from {
			c := &table[i]
			r[x], g[x], b[x] = c[0], c[1], c[2]
		}
	}
}

func fromAny(dst *Image, src image.Image) {
	at := src.Bounds().Min
	for y := range dst.H {
		r, g, b := dst.row(y)
		for x := range r {
			c := opaque(src.At(at.X+x, at.Y+y))
			r[x], g[x], b[x] = c[0], c[1], c[2]
		}
	}
}

// opaque returns the colour of c without regard to its alpha; of 16-bit
// samples it takes the high byte.
func opaque(c color.Color) [3]uint8 {
	switch c := c.(type) {
	case color.NRGBA64:
		return [3]uint8{uint8(c.R >> 8), uint8(c.G >> 8), uint8(c.B >> 8)}
	case color.NRGBA:
		return [3]uint8{c.R, c.G, c.B}
	}
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	return [3]uint8{n.R, n.G, n.B}
}

// fromYCbCr converts with exactly the arithmetic of [color.YCbCrToRGB]. The
// products with the chroma samples are computed once for all the pixels that
// share them.
func fromYCbCr(dst *Image, src *image.YCbCr) {
	across, down := chromaShifts(src.SubsampleRatio)
	for y := range dst.H {
		r, g, b := dst.row(y)
		luma := src.Y[y*src.YStride:][:dst.W]
		from := (y >> down) * src.CStride
		n := (dst.W + 1<<across - 1) >> across
		cb, cr := src.Cb[from:][:n], src.Cr[from:][:n]
		switch across {
		case 0:
			fullChroma(r, g, b, luma, cb, cr)
		case 1:
			halfChroma(r, g, b, luma, cb, cr)
		default:
			for x, v := range luma {
				r[x], g[x], b[x] = color.YCbCrToRGB(v, cb[x>>across], cr[x>>across])
			}
		}
	}
}

// chromaShifts returns the binary logarithms of how many pixels across and
// down share a chroma sample.
func chromaShifts(s image.YCbCrSubsampleRatio) (across, down uint) {
	switch s {
	case image.YCbCrSubsampleRatio422:
		return 1, 0
	case image.YCbCrSubsampleRatio420:
		return 1, 1
	case image.YCbCrSubsampleRatio440:
		return 0, 1
	case image.YCbCrSubsampleRatio411:
		return 2, 0
	case image.YCbCrSubsampleRatio410:
		return 2, 1
	}
	return 0, 0
}

// fullChroma converts a row in which each pixel has its own chroma samples.
func fullChroma(r, g, b, luma, cb, cr []uint8) {
	n := len(luma)
	r, g, b, cb, cr = r[:n], g[:n], b[:n], cb[:n], cr[:n]
	for x, v := range luma {
		u, w := int32(cb[x])-128, int32(cr[x])-128
		yy := int32(v) * 0x10101
		r[x] = clamp(yy + 91881*w)
		g[x] = clamp(yy - 22554*u - 46802*w)
		b[x] = clamp(yy + 116130*u)
	}
}

// halfChroma converts a row in which two neighbours share chroma samples.
func halfChroma(r, g, b, luma, cb, cr []uint8) {
	pairs := len(luma) / 2
	for i := range pairs {
		u, w := int32(cb[i])-128, int32(cr[i])-128
		toR, toG, toB := 91881*w, -22554*u-46802*w, 116130*u
		x := 2 * i
		l, r, g, b := luma[x:x+2:x+2], r[x:x+2:x+2], g[x:x+2:x+2], b[x:x+2:x+2]
		yy := int32(l[0]) * 0x10101
		r[0], g[0], b[0] = clamp(yy+toR), clamp(yy+toG), clamp(yy+toB)
		yy = int32(l[1]) * 0x10101
		r[1], g[1], b[1] = clamp(yy+toR), clamp(yy+toG), clamp(yy+toB)
	}
	if x := 2 * pairs; x < len(luma) {
		r[x], g[x], b[x] = color.YCbCrToRGB(luma[x], cb[pairs], cr[pairs])
	}
}

// clamp takes a sample with 16 fractional bits to 0..255.
func clamp(v int32) uint8 {
	if uint32(v)&0xff000000 == 0 {
		return uint8(v >> 16)
	}
	return uint8(^(v >> 31))
}
