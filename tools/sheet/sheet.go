// Package sheet draws contact sheets: for each of some pictures, the record as it
// is stored and several of its augmented crops as the network sees them (section
// 4.1 of the paper), labelled. A look at one shows at once whether classes, crops,
// flips, colours and channel order are what they should be.
package sheet

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"alexnet/augment"
	"alexnet/records"
)

// Options says what to draw.
type Options struct {
	// Pictures is the number of rows of the sheet, Crops the number of augmented
	// crops beside each picture.
	Pictures, Crops int
	// Crop is the side of a crop in pixels, at most that of the records.
	Crop int
	// Seed and Epoch are those of the training whose crops are shown: picture k
	// shows the crops of epochs Epoch, Epoch+1, ...
	Seed  uint64
	Epoch int
	// Color is the colour augmentation; nil for none.
	Color *augment.Color
	// NoFlip leaves mirror images out, as trainings on digits do.
	NoFlip bool
}

// Geometry of a sheet, in pixels of the sheet.
const (
	margin   = 8
	caption  = 16  // height of a line of text
	leastBox = 160 // small crops are enlarged to at least about this side
	maxScan  = 64  // rows looked at for each picture to find one of a class not yet shown

	mostPixels = 1 << 28 // of a sheet: 1 GiB of memory
)

// check says what keeps a sheet of the split from being drawn.
func (o Options) check(ds *records.Dataset, split *records.Split) error {
	shape := ds.Manifest.Shape
	switch {
	case o.Pictures < 1 || o.Crops < 1:
		return fmt.Errorf("a contact sheet needs at least one picture and one crop, not %d and %d", o.Pictures, o.Crops)
	case o.Crop < 1 || o.Crop > min(shape.H, shape.W):
		return fmt.Errorf("crop of %d pixels from records of %dx%d: choose 1 to %d", o.Crop, shape.W, shape.H, min(shape.H, shape.W))
	case o.Epoch < 0:
		return fmt.Errorf("there is no epoch %d: they are counted from 0", o.Epoch)
	case shape.C != 1 && shape.C != 3:
		return fmt.Errorf("records of %d channels cannot be shown: 1 or 3 can", shape.C)
	case split.Len() == 0:
		return fmt.Errorf("split %q of %s holds no records to show", split.Name(), ds.Dir)
	}
	pictures := min(o.Pictures, split.Len())
	scale, box, line := o.layout(shape)
	if float64(pictures)*float64(line)*float64(o.Crops+1)*float64(box+margin) > mostPixels {
		return fmt.Errorf("%d pictures with %d crops each, enlarged %d times, are more than the %d pixels that a sheet may have: choose fewer, or larger crops than %d",
			pictures, o.Crops, scale, mostPixels, o.Crop)
	}
	return nil
}

// layout returns how many times records and crops are enlarged, the side of the box
// that each of them then has, and the height of a line of boxes with its captions.
func (o Options) layout(shape records.Shape) (scale, box, line int) {
	scale = max(1, leastBox/o.Crop)
	box = max(o.Crop, shape.W, shape.H) * scale
	return scale, box, box + 2*caption + margin
}

// Draw makes the contact sheet of a split. Pictures of classes that are not yet on
// the sheet come first, in the order of a permutation by Seed. The mean is added
// back to each crop, so that it looks as a photograph does; values outside 0..255,
// which the colour augmentation may give, are clipped on the sheet alone.
func Draw(ds *records.Dataset, split *records.Split, o Options) (*image.RGBA, error) {
	shape := ds.Manifest.Shape
	if err := o.check(ds, split); err != nil {
		return nil, err
	}
	rows, err := choose(split, o)
	if err != nil {
		return nil, err
	}
	scale, box, line := o.layout(shape)
	title := []string{fmt.Sprintf("split %s, %d rows of %dx%dx%d %s; crops of %d, seed %d, from epoch %d; mean added back",
		split.Name(), split.Len(), shape.C, shape.H, shape.W, ds.Manifest.Pixels, o.Crop, o.Seed, o.Epoch), legend(o)}
	captions := make([]string, len(rows))
	for i, r := range rows {
		row, err := split.Head(int(r))
		if err != nil {
			return nil, err
		}
		captions[i] = fmt.Sprintf("%s  -  %s, row %d, from %dx%d", classOf(ds.Manifest, row.Label), row.Key, r, row.Width, row.Height)
	}
	head := 2*margin + len(title)*caption
	width := max(margin+(o.Crops+1)*(box+margin), 2*margin+widest(title), 2*margin+widest(captions))
	img := image.NewRGBA(image.Rect(0, 0, width, head+len(rows)*line))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	for i, text := range title {
		write(img, margin, margin+i*caption, text)
	}
	p := painter{img: img, shape: shape, scale: scale, mean: ds.Mean.Mean,
		sub: ds.Mean.Subtrahend(ds.Manifest.Pixels), buf: make([]float32, shape.Size())}
	var scratch records.Scratch
	for i, r := range rows {
		row, err := split.Row(int(r), &scratch)
		if err != nil {
			return nil, err
		}
		p.picture(margin, head+i*line, box, row, int(r), captions[i], o)
	}
	return img, nil
}

// choose returns the rows to show.
func choose(split *records.Split, o Options) ([]uint32, error) {
	order := records.Permutation("sheet", o.Seed, 0, split.Len())
	var rows, rest []uint32
	seen := map[int32]bool{}
	for _, r := range order[:min(len(order), o.Pictures*maxScan)] {
		label, err := split.Label(int(r))
		if err != nil {
			return nil, err
		}
		if seen[label] {
			rest = append(rest, r)
		} else {
			seen[label] = true
			rows = append(rows, r)
		}
		if len(rows) == o.Pictures {
			break
		}
	}
	rows = append(rows, rest...)
	return rows[:min(len(rows), o.Pictures)], nil
}

// classOf returns what a picture's class is called.
func classOf(m *records.Manifest, label int32) string {
	if label < 0 || int(label) >= len(m.Classes) {
		return "unlabelled"
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", label, m.Classes[label].WNID, m.Classes[label].Words))
}

// legend says what stands below a crop.
func legend(o Options) string {
	text := "below a crop: where it is cut (left,top)"
	if !o.NoFlip {
		text += "; flip if it is mirrored"
	}
	if o.Color != nil {
		text += "; what is added to R, G and B"
	}
	return text
}

// widest returns the width of the longest line, in pixels.
func widest(lines []string) int {
	most := 0
	for _, l := range lines {
		most = max(most, font.MeasureString(basicfont.Face7x13, l).Ceil())
	}
	return most
}

// painter draws the tiles of a sheet.
type painter struct {
	img   *image.RGBA
	shape records.Shape
	scale int
	mean  []float32 // of the whole record
	sub   []float32 // what the stream subtracts
	buf   []float32 // one crop
}

// picture draws one row of the sheet, its upper left corner at x, y.
func (p *painter) picture(x, y, box int, row records.Row, index int, text string, o Options) {
	write(p.img, x, y, text)
	y += caption
	whole := augment.Geometry{Height: p.shape.H, Width: p.shape.W, Crop: min(p.shape.H, p.shape.W)}
	p.tile(x, y, row, whole, augment.Center(whole), "stored")
	g := augment.Geometry{Height: p.shape.H, Width: p.shape.W, Crop: o.Crop, NoFlip: o.NoFlip}
	for k := range o.Crops {
		d := augment.Draw(o.Seed, o.Epoch+k, int64(index), g, o.Color)
		text := fmt.Sprintf("%d,%d", d.Left, d.Top)
		if d.Flip {
			text += " flip"
		}
		if o.Color != nil {
			text += " "
			for _, v := range d.Shift {
				text += fmt.Sprintf("%+d", int(math.Round(float64(v))))
			}
		}
		p.tile(x+(k+1)*(box+margin), y, row, g, d, text)
	}
}

// tile draws one crop with a line of text below it.
func (p *painter) tile(x, y int, row records.Row, g augment.Geometry, d augment.Params, text string) {
	n := g.Crop * g.Crop
	crop := p.buf[:p.shape.C*n]
	if row.I16 != nil {
		augment.Apply(crop, row.I16, p.sub, p.shape.C, g, d)
	} else {
		augment.Apply(crop, row.U8, p.sub, p.shape.C, g, d)
	}
	for v := range g.Crop {
		for u := range g.Crop {
			mu := d.Left + u
			if d.Flip {
				mu = d.Left + g.Crop - 1 - u
			}
			at := (d.Top+v)*g.Width + mu
			var rgb [3]uint8
			for c := range rgb {
				c0 := c % p.shape.C
				rgb[c] = clip(crop[c0*n+v*g.Crop+u] + p.mean[c0*g.Height*g.Width+at])
			}
			fill(p.img, x+u*p.scale, y+v*p.scale, p.scale, color.RGBA{rgb[0], rgb[1], rgb[2], 255})
		}
	}
	write(p.img, x, y+g.Crop*p.scale, text)
}

// clip rounds v to a grey level.
func clip(v float32) uint8 { return uint8(min(max(v+0.5, 0), 255)) }

// fill paints a square of the given side.
func fill(img *image.RGBA, x, y, side int, c color.RGBA) {
	for j := range side {
		for i := range side {
			img.SetRGBA(x+i, y+j, c)
		}
	}
}

// write puts a line of text with its upper left corner at x, y.
func write(img *image.RGBA, x, y int, text string) {
	d := font.Drawer{Dst: img, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(x, y+12)}
	d.DrawString(text)
}
