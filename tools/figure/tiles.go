package figure

import (
	"image"
	"image/color"
	"image/draw"
	"strconv"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// Tile is a picture and two lines of text below it.
type Tile struct {
	Picture *image.NRGBA
	Text    [2]string
}

// Geometry of tiles, in pixels.
const (
	usualTile  = 128 // small pictures are enlarged to about this side
	tileGap    = 8
	firstGap   = 24 // after the first of a line
	lineHeight = 14
	charWidth  = 7
)

// Tiles draws lines of pictures of one size, on white. The first of each line, the
// query, stands apart.
func Tiles(lines [][]Tile) *image.NRGBA {
	var side image.Point
	longest := 0
	for _, line := range lines {
		for _, t := range line {
			side.X, side.Y = max(side.X, t.Picture.Rect.Dx()), max(side.Y, t.Picture.Rect.Dy())
		}
		longest = max(longest, len(line))
	}
	scale := tileScale(side.X)
	side = side.Mul(scale)
	at := func(line, k int) image.Point {
		p := image.Pt(tileGap+k*(side.X+tileGap), tileGap+line*(side.Y+2*lineHeight+2*tileGap))
		if k > 0 {
			p.X += firstGap - tileGap
		}
		return p
	}
	img := image.NewNRGBA(image.Rect(0, 0, at(0, longest).X, at(len(lines), 0).Y))
	draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
	for i, line := range lines {
		for k, t := range line {
			p := at(i, k)
			enlarge(img, p, t.Picture, scale)
			for n, text := range t.Text {
				write(img, image.Pt(p.X, p.Y+side.Y+n*lineHeight), text, side.X/charWidth)
			}
		}
	}
	return img
}

// tileScale returns how many times a picture of some side is enlarged.
func tileScale(side int) int { return max(1, (usualTile+side/2)/max(1, side)) }

// Distance writes a distance with three decimals, with fewer where it is large, so that
// those below one another are easily compared. A tiny one has an exponent.
func Distance(d float64) string {
	decimals := 3
	for x := d; x >= 10 && decimals > 0; x /= 10 {
		decimals--
	}
	if 0 < d && d < 0.1 {
		return strconv.FormatFloat(d, 'e', decimals, 64)
	}
	return strconv.FormatFloat(d, 'f', decimals, 64)
}

// enlarge paints a picture with its upper left corner at p, each of its pixels a square.
func enlarge(img *image.NRGBA, p image.Point, picture *image.NRGBA, scale int) {
	for y := range picture.Rect.Dy() * scale {
		for x := range picture.Rect.Dx() * scale {
			img.SetNRGBA(p.X+x, p.Y+y, picture.NRGBAAt(x/scale, y/scale))
		}
	}
}

// write puts a text of at most so many characters with its upper left corner at p.
func write(img *image.NRGBA, p image.Point, text string, most int) {
	if r := []rune(text); len(r) > most {
		text = string(r[:max(0, most-2)]) + ".."
	}
	d := font.Drawer{Dst: img, Src: image.NewUniform(color.Black), Face: basicfont.Face7x13, Dot: fixed.P(p.X, p.Y+12)}
	d.DrawString(text)
}
