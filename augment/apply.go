package augment

// Pixel is a stored pixel: raw (uint8), or less an integer baseline (int16).
type Pixel interface{ uint8 | int16 }

// Apply cuts the crop that p describes out of src and writes it to dst, less
// the mean image and shifted in colour:
//
//	dst[c][y][x] = (float32(src[c][p.Top+y][p.Left+x']) - sub[c][p.Top+y][p.Left+x']) + p.Shift[c]
//
// where x' is x, or Crop-1-x when p.Flip is set. src and sub hold channels x
// Height x Width values, sub being what is left to subtract from a stored
// value; dst receives channels x Crop x Crop. Channels after the third have no
// shift.
//
// The order of the operations is part of the contract. The difference is exact
// when sub holds multiples of 1/1024 on the scale of pixels, so a picture
// stored raw and the same one stored less a baseline give the same bits, and
// only the addition of the shift rounds.
//
// Apply does not allocate. Like indexing it panics when a slice is too short or
// the crop lies outside the picture: callers check a [Geometry] once and take
// Params from this package.
func Apply[T Pixel](dst []float32, src []T, sub []float32, channels int, g Geometry, p Params) {
	plane, area := g.Height*g.Width, g.Crop*g.Crop
	for c := range channels {
		var shift float32
		if c < len(p.Shift) {
			shift = p.Shift[c]
		}
		out := dst[c*area : (c+1)*area]
		first := c*plane + p.Top*g.Width + p.Left
		for y := range g.Crop {
			at := first + y*g.Width
			row := out[y*g.Crop : (y+1)*g.Crop]
			if p.Flip {
				mirrored(row, src[at:at+g.Crop], sub[at:at+g.Crop], shift)
			} else {
				straight(row, src[at:at+g.Crop], sub[at:at+g.Crop], shift)
			}
		}
	}
}

// straight writes one row of the crop from left to right.
func straight[T Pixel](dst []float32, src []T, sub []float32, shift float32) {
	src, sub = src[:len(dst)], sub[:len(dst)]
	for x := range dst {
		dst[x] = (float32(src[x]) - sub[x]) + shift
	}
}

// mirrored writes one row of the crop with its ends exchanged. It reads from
// right to left, which processors do not foresee as well as the other direction:
// rows that are not in the cache yet cost twice the time. So they are touched in
// the good direction first.
func mirrored[T Pixel](dst []float32, src []T, sub []float32, shift float32) {
	touch(src)
	x := 0
	for m := len(src) - 1; m >= 0 && x < len(dst); m-- {
		dst[x] = (float32(src[m]) - sub[m]) + shift
		x++
	}
}

// touch reads one value of each cache line of a row. It is not inlined, so that
// the compiler does not find out that nobody wants the result.
//
//go:noinline
func touch[T Pixel](row []T) (all T) {
	const line = 32 // values of int16 in 64 bytes; half a line of uint8
	for i := 0; i < len(row); i += line {
		all |= row[i]
	}
	return all
}
