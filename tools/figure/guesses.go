package figure

import (
	"image"
	"image/color"
	"image/draw"
)

// Guess is a class that a net holds possible.
type Guess struct {
	Class       string
	Probability float64 // from 0 to 1
	Right       bool
}

// Guessed is a picture with what it shows and the net's guesses, the likeliest first.
type Guessed struct {
	Picture *image.NRGBA
	Label   string
	Guesses []Guess
}

// The bars of guesses, in pixels.
const (
	guessWidth   = 200 // of a picture's column; a probability of 1 is as long
	guessColumns = 4
)

// The colours of bars: the right class's, and the others'.
//
//nolint:gochecknoglobals // read only
var (
	rightBar = color.NRGBA{0xf2, 0x9f, 0x9f, 0xff}
	otherBar = color.NRGBA{0x9f, 0xb8, 0xf2, 0xff}
)

// Guesses draws pictures of one size with their label and, as bars, the net's guesses: as
// the left side of the paper's Figure 4, four in a line. The right class's bar is red.
func Guesses(all []Guessed) *image.NRGBA {
	var side image.Point
	bars := 0
	for _, g := range all {
		side.X, side.Y = max(side.X, g.Picture.Rect.Dx()), max(side.Y, g.Picture.Rect.Dy())
		bars = max(bars, len(g.Guesses))
	}
	scale := tileScale(side.X)
	side = side.Mul(scale)
	width := max(side.X, guessWidth)
	height := side.Y + (bars+1)*(lineHeight+2) + 2*tileGap
	columns := max(1, min(guessColumns, len(all)))
	lines := (len(all) + columns - 1) / columns
	img := image.NewNRGBA(image.Rect(0, 0, tileGap+columns*(width+2*tileGap), tileGap+lines*height))
	draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
	for i, g := range all {
		p := image.Pt(tileGap+i%columns*(width+2*tileGap), tileGap+i/columns*height)
		enlarge(img, p.Add(image.Pt((width-g.Picture.Rect.Dx()*scale)/2, 0)), g.Picture, scale)
		p.Y += side.Y
		write(img, p, g.Label, width/charWidth)
		for _, guess := range g.Guesses {
			p.Y += lineHeight + 2
			fill := otherBar
			if guess.Right {
				fill = rightBar
			}
			bar := image.Rect(p.X, p.Y, p.X+int(guess.Probability*float64(width)+0.5), p.Y+lineHeight)
			draw.Draw(img, bar, image.NewUniform(fill), image.Point{}, draw.Src)
			write(img, p.Add(image.Pt(2, 0)), guess.Class, (width-2)/charWidth)
		}
	}
	return img
}
