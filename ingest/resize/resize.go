// Package resize makes the square pictures that the records hold: it scales a
// picture so that its shorter side gets a given length, 256 in the paper
// (section 2), and cuts out the central square.
//
// The filters are antialiased and separable (see [Filter]): rows are filtered
// first and columns after, rounded to eight bits in between, and of both only
// those that the central square needs are computed.
//
// No floating point is used. The weights are ratios of integers; they are scaled
// to a power of two with their sum kept exact, and each pass rounds to nearest.
// So all machines give the same bytes, whether the kernels for AVX-512, those for
// AVX2 or the plain ones do the work. They are Pillow's bytes (compared with 9.4),
// but for samples where the last bits of the weights decide the rounding and one
// level is the difference: fewer than one in a hundred on noise.
//
// To filter the planes that JPEG holds, chroma at its own resolution, and convert
// only the result would save a tenth of the time. It was tried on 452 photographs,
// exactly, with the decoder's upsampling of chroma folded into the filter: 0.13 %
// of the samples were off by more than two levels, and up to 45, where bright or
// saturated pixels are clipped before they are averaged. So RGB is filtered.
//
// Sizes follow torchvision: the longer side becomes size*long/short rounded
// down, and the square begins at half the excess, rounded to even when that is
// a half.
package resize

import (
	"fmt"

	"alexnet/ingest/decode"
)

// MaxSize is the longest side of the square that Resizer.Square makes.
const MaxSize = 4096

// Options say how a picture becomes a square. The zero value is what the paper
// describes, with the filter that is most common today.
type Options struct {
	Filter Filter
	// Warp squeezes the whole picture into the square, as Caffe's recipe for
	// ILSVRC did, instead of keeping its proportions and cutting the rest off.
	Warp bool
}

// Name is what the manifest of the records says: "triangle", "box, warped".
func (o Options) Name() string {
	if o.Warp {
		return o.Filter.String() + ", warped"
	}
	return o.Filter.String()
}

// Resizer keeps memory and filter tables from one picture to the next. The zero
// value is ready for use. A Resizer belongs to one goroutine at a time.
type Resizer struct {
	Options

	across, down tables
	colour       []uint8  // a grey picture's rows as three bytes a pixel
	strip        []uint8  // three planes of the rows that the square needs, filtered across
	band         []uint32 // what the vector kernels work on
	grey         []uint8  // room for two planes that are not wanted
	vectors      vectors
}

// Square scales src so that its shorter side is size pixels, and writes the
// central size x size of the result to dst, plane by plane: red, green and blue,
// or only one plane when dst has room for no more and src is grey. A grey src
// fills three equal planes. With Options.Warp both sides become size pixels.
//
// It returns an error, and writes nothing, when dst is neither 3*size*size nor
// size*size long, size is not within 1..MaxSize, src has no pixels, or src is in
// colour and dst has one plane.
func (r *Resizer) Square(dst []uint8, src *decode.Image, size int) error {
	n := size * size
	switch {
	case size < 1 || size > MaxSize:
		return fmt.Errorf("resize: a square of %d pixels; 1 to %d are possible", size, MaxSize)
	case len(dst) != 3*n && len(dst) != n:
		return fmt.Errorf("resize: room for %d samples, a square of %d needs %d, or %d when grey", len(dst), size, 3*n, n)
	case src.W < 1 || src.H < 1 || len(src.Pix) != src.C*src.W*src.H:
		return fmt.Errorf("resize: a picture of %dx%d pixels with %d bytes", src.W, src.H, len(src.Pix))
	case len(dst) == n && src.C != 1:
		return fmt.Errorf("resize: a picture in colour for records with one plane")
	}
	w, h := size, size
	if !r.Warp {
		w, h = Scaled(src.W, src.H, size)
	}
	across := r.across.get(r.Filter, src.W, w, offset(w-size), size, (*axis).packAcross)
	down := r.down.get(r.Filter, src.H, h, offset(h-size), size, (*axis).packDown)
	var planes [3][]uint8
	if len(dst) == 3*n {
		planes = [3][]uint8{dst[:n], dst[n : 2*n], dst[2*n:]}
	} else {
		r.grey = grow(r.grey, 2*n)
		planes = [3][]uint8{dst, r.grey[:n], r.grey[n:]}
	}
	r.vectors.detect()
	r.filter(&planes, src, across, down, size)
	return nil
}

// filter does the work: rows into the strip, then the strip's columns.
func (r *Resizer) filter(dst *[3][]uint8, src *decode.Image, across, down *axis, size int) {
	top, bottom := down.span()
	rows := bottom - top
	pix := r.inColour(src, top, bottom)
	stride := (size + bandRows - 1) &^ (bandRows - 1)
	plane := stride * (rows + 1) // a row more than there is: kernels take rows in pairs
	r.strip = grow(r.strip, 3*plane)
	vector := r.vectors.can(size, rows)
	if vector {
		vector = r.acrossVector(pix, 3*src.W, across, rows, stride, plane)
	}
	if !vector {
		for y := range rows {
			var out [3][]uint8
			for c := range out {
				out[c] = r.strip[c*plane+y*stride:][:size]
			}
			across.acrossPlain(out[0], out[1], out[2], pix[3*src.W*y:][:3*src.W])
		}
	}
	for c := range dst {
		for i, tp := range down.taps {
			from := r.strip[c*plane+(tp.from-top)*stride : (c+1)*plane]
			row := dst[c][i*size:][:size]
			if vector {
				r.vectors.down(row, from, stride, down.pairs[down.starts[i]:down.starts[i+1]], down.bits)
			} else {
				down.downPlain(row, from, stride, tp)
			}
		}
	}
}

// inColour returns rows top..bottom of src as three bytes a pixel.
func (r *Resizer) inColour(src *decode.Image, top, bottom int) []uint8 {
	n := src.C * src.W
	pix := src.Pix[n*top : n*bottom : cap(src.Pix)]
	if src.C != 1 {
		return pix
	}
	r.colour = grow(r.colour, 3*len(pix)+slack)[:3*len(pix)]
	for i, v := range pix {
		p := r.colour[3*i : 3*i+3 : 3*i+3]
		p[0], p[1], p[2] = v, v, v
	}
	return r.colour
}

// A band is bandRows rows of the picture. The vector kernels filter a band at
// once: first the samples are set out as pairs of neighbours in a row, a vector
// of all rows after the other, so that a weight applies to whole vectors.
const (
	bandRows   = 16
	pairBytes  = 3 * bandRows * 4 // two samples of 16 bits for each row and plane
	groupBytes = bandRows * 4     // four finished samples for each row
	slack      = decode.Slack     // bytes behind the last pixel that may be read
)

// acrossVector fills the strip, a band at a time. It returns false, and has done
// nothing, when the memory behind the picture is not as the kernels need it.
func (r *Resizer) acrossVector(pix []uint8, pitch int, a *axis, rows, stride, plane int) bool {
	if cap(pix)-len(pix) < slack {
		return false
	}
	left, right := a.span()
	columns := min((right-left+3)&^3, (pitch/3+3)&^3)
	pairs := (columns/2 + a.width + 1) * (pairBytes / 4)
	groups := 3 * (stride / 4) * (groupBytes / 4)
	r.band = grow(r.band, pairs+groups)
	for y := 0; y < rows; y += bandRows {
		y = min(y, rows-bandRows) // the last band may repeat rows
		r.vectors.pairs(r.band[:pairs], pix[pitch*y+3*left:cap(pix)], pitch, columns)
		r.vectors.across(r.band[pairs:], r.band[:pairs], a, stride)
		for c := range 3 {
			r.vectors.rows(r.strip[c*plane+y*stride:(c+1)*plane], r.band[pairs+c*groups/3:][:groups/3], stride)
		}
	}
	return true
}

// grow returns a slice of n elements of undefined value, in s's memory if that
// is enough and not far too much.
func grow[T any](s []T, n int) []T {
	const much = 4 << 20
	if cap(s) < n || cap(s) > much && n < cap(s)/4 {
		return make([]T, n)
	}
	return s[:n]
}

// tables keeps the tables of the sizes that came last: most photographs of a
// set have one of a few.
type tables struct {
	of   map[scaling]*axis
	taps int // in all of them
}

// scaling is what a table is made for.
type scaling struct {
	f                 Filter
	in, out, first, n int
}

// get returns the table for a scaling, and makes and packs it if it is not there.
func (t *tables) get(f Filter, in, out, first, n int, pack func(*axis)) *axis {
	const most = 1 << 18 // taps that are kept: some 4 MB
	key := scaling{f, in, out, first, n}
	if a, ok := t.of[key]; ok {
		return a
	}
	a := newAxis(f, in, out, first, n)
	pack(a)
	if t.of == nil || t.taps+len(a.values) > most {
		t.of, t.taps = map[scaling]*axis{}, 0
	}
	t.of[key] = a
	t.taps += len(a.values)
	return a
}

// Square is [Resizer.Square] for a single picture and the default options.
func Square(dst []uint8, src *decode.Image, size int) error {
	var r Resizer
	return r.Square(dst, src, size)
}

// Scaled returns the width and height of a w x h picture, both at least 1, after
// its shorter side has been scaled to size.
func Scaled(w, h, size int) (int, int) {
	if w <= h {
		return size, int(int64(size) * int64(h) / int64(w))
	}
	return int(int64(size) * int64(w) / int64(h)), size
}

// offset is where the square begins when it leaves excess pixels out: half of
// them, a half rounded to even (as Python's round, which torchvision uses).
func offset(excess int) int {
	half := excess / 2
	if excess%2 == 1 && half%2 == 1 {
		half++
	}
	return half
}
