package figure

import (
	"image"
	"image/color"

	"alexnet/records"
)

// Picture returns a record's picture as it was before a baseline was subtracted. Its
// channels are 3, or 1 for grey.
func Picture(mean *records.Mean, row records.Row) *image.NRGBA {
	s := mean.Shape
	plane := s.H * s.W
	img := image.NewNRGBA(image.Rect(0, 0, s.W, s.H))
	level := func(i int) uint8 {
		if row.I16 != nil {
			return uint8(min(max(int(row.I16[i])+int(mean.Baseline[i]), 0), 255))
		}
		return row.U8[i]
	}
	for i := range plane {
		var rgb [3]uint8
		for c := range rgb {
			rgb[c] = level(c%s.C*plane + i)
		}
		img.SetNRGBA(i%s.W, i/s.W, color.NRGBA{rgb[0], rgb[1], rgb[2], 255})
	}
	return img
}
