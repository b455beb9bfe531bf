package decode

import (
	"image"
	"image/color"
)

// fill converts a picture row by row. Function row writes row y of the unreduced
// picture to dst, in the layout of Image. When the picture is reduced, squares
// of pixels are averaged on the way, those that are cut off at the right and at
// the bottom over what there is of them.
func (m *Image) fill(p *plan, row func(dst []uint8, y int)) {
	m.reset(p.toW, p.toH, p.c)
	stride := m.W * m.C
	if p.reduce == 1 {
		for y := range m.H {
			row(m.Pix[y*stride:][:stride:stride], y)
		}
		return
	}
	line, sums := make([]uint8, p.w*m.C), make([]uint32, stride)
	for y := range m.H {
		clear(sums)
		rows := min(p.reduce, p.h-y*p.reduce)
		for k := range rows {
			row(line, y*p.reduce+k)
			for x := range p.w {
				to, from := sums[x/p.reduce*m.C:][:m.C], line[x*m.C:][:m.C]
				for c, v := range from {
					to[c] += uint32(v)
				}
			}
		}
		out := m.Pix[y*stride:][:stride]
		for i, sum := range sums {
			n := uint32(rows * min(p.reduce, p.w-i/m.C*p.reduce))
			out[i] = uint8((sum + n/2) / n)
		}
	}
}

// rows returns how many channels the pixels of src have, and a function that
// writes one row of them. The types that JPEG and PNG photographs decode to are
// converted row by row; the rest, which is 16-bit PNG, pixel by pixel.
func rows(src image.Image) (c int, row func(dst []uint8, y int)) {
	w := src.Bounds().Dx()
	switch src := src.(type) {
	case *image.YCbCr:
		return 3, func(dst []uint8, y int) { ycbcrRow(dst, src, w, y) }
	case *image.Gray:
		return 1, func(dst []uint8, y int) { copy(dst, src.Pix[y*src.Stride:][:w]) }
	case *image.Gray16:
		return 1, func(dst []uint8, y int) {
			from := src.Pix[y*src.Stride:][:2*w]
			for x := range dst {
				dst[x] = from[2*x]
			}
		}
	case *image.CMYK:
		return 3, func(dst []uint8, y int) {
			from := src.Pix[y*src.Stride:][:4*w]
			for x := range w {
				p := from[4*x : 4*x+4 : 4*x+4]
				r, g, b := color.CMYKToRGB(p[0], p[1], p[2], p[3])
				put(dst[3*x:], r, g, b)
			}
		}
	case *image.RGBA: // always opaque: RGB in JPEG, RGB without alpha in PNG
		return 3, func(dst []uint8, y int) { firstThree(dst, src.Pix[y*src.Stride:][:4*w]) }
	case *image.NRGBA:
		return 3, func(dst []uint8, y int) { firstThree(dst, src.Pix[y*src.Stride:][:4*w]) }
	case *image.Paletted:
		return 3, palettedRows(src, w)
	}
	at := src.Bounds().Min
	return 3, func(dst []uint8, y int) {
		for x := range w {
			c := opaque(src.At(at.X+x, at.Y+y))
			put(dst[3*x:], c[0], c[1], c[2])
		}
	}
}

// put writes a pixel of colour.
func put(dst []uint8, r, g, b uint8) {
	_ = dst[2]
	dst[0], dst[1], dst[2] = r, g, b
}

// firstThree leaves the fourth byte of each pixel out.
func firstThree(dst, from []uint8) {
	for len(from) >= 4 {
		put(dst, from[0], from[1], from[2])
		dst, from = dst[3:], from[4:]
	}
}

func palettedRows(src *image.Paletted, w int) func(dst []uint8, y int) {
	var table [256][3]uint8
	for i, c := range src.Palette {
		table[i&255] = opaque(c)
	}
	return func(dst []uint8, y int) {
		for x, i := range src.Pix[y*src.Stride:][:w] {
			c := &table[i]
			put(dst[3*x:], c[0], c[1], c[2])
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

// inverted turns pixels of four inks, 255 for none as Adobe stores them, into
// colours, with exactly the arithmetic of [color.CMYKToRGB]. It returns them,
// and they begin where the inks did.
func inverted(inks []uint8) []uint8 {
	dst := inks[:0]
	for ; len(inks) >= 4; inks = inks[4:] {
		k := uint32(inks[3]) * 0x101
		dst = append(dst,
			uint8(uint32(inks[0])*0x101*k/0xffff>>8),
			uint8(uint32(inks[1])*0x101*k/0xffff>>8),
			uint8(uint32(inks[2])*0x101*k/0xffff>>8))
	}
	return dst
}

// ycbcrRow converts a row with exactly the arithmetic of [color.YCbCrToRGB].
// The products with the chroma samples are computed once for all the pixels
// that share them.
func ycbcrRow(dst []uint8, src *image.YCbCr, w, y int) {
	across, down := chromaShifts(src.SubsampleRatio)
	luma := src.Y[y*src.YStride:][:w]
	from := (y >> down) * src.CStride
	n := (w + 1<<across - 1) >> across
	cb, cr := src.Cb[from:][:n], src.Cr[from:][:n]
	switch across {
	case 0:
		fullChroma(dst, luma, cb, cr)
	case 1:
		halfChroma(dst, luma, cb, cr)
	default:
		for x, v := range luma {
			r, g, b := color.YCbCrToRGB(v, cb[x>>across], cr[x>>across])
			put(dst[3*x:], r, g, b)
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
func fullChroma(dst, luma, cb, cr []uint8) {
	n := len(luma)
	dst, cb, cr = dst[:3*n], cb[:n], cr[:n]
	for x, v := range luma {
		u, w := int32(cb[x])-128, int32(cr[x])-128
		yy := int32(v) * 0x10101
		put(dst[3*x:3*x+3:3*x+3], clamp(yy+91881*w), clamp(yy-22554*u-46802*w), clamp(yy+116130*u))
	}
}

// halfChroma converts a row in which two neighbours share chroma samples.
func halfChroma(dst, luma, cb, cr []uint8) {
	pairs := len(luma) / 2
	cb, cr = cb[:(len(luma)+1)/2], cr[:(len(luma)+1)/2]
	for i := range pairs {
		u, w := int32(cb[i])-128, int32(cr[i])-128
		toR, toG, toB := 91881*w, -22554*u-46802*w, 116130*u
		l, to := luma[2*i:2*i+2:2*i+2], dst[6*i:6*i+6:6*i+6]
		yy := int32(l[0]) * 0x10101
		put(to, clamp(yy+toR), clamp(yy+toG), clamp(yy+toB))
		yy = int32(l[1]) * 0x10101
		put(to[3:], clamp(yy+toR), clamp(yy+toG), clamp(yy+toB))
	}
	if x := 2 * pairs; x < len(luma) {
		r, g, b := color.YCbCrToRGB(luma[x], cb[pairs], cr[pairs])
		put(dst[3*x:], r, g, b)
	}
}

// clamp takes a sample with 16 fractional bits to 0..255.
func clamp(v int32) uint8 {
	if uint32(v)&0xff000000 == 0 {
		return uint8(v >> 16)
	}
	return uint8(^(v >> 31))
}
