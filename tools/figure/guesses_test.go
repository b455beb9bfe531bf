package figure

import (
	"image"
	"image/color"
	"testing"
)

func TestGuesses(t *testing.T) {
	picture := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for i := range picture.Pix {
		picture.Pix[i] = 0x40
	}
	g := Guessed{Picture: picture, Label: "cat", Guesses: []Guess{{"dog", 0.75, false}, {"cat", 0.25, true}}}
	img := Guesses([]Guessed{g, g, g, g, g})
	column, line := guessWidth+2*tileGap, 128+3*(lineHeight+2)+2*tileGap
	if want := image.Rect(0, 0, tileGap+4*column, tileGap+2*line); img.Rect != want {
		t.Fatalf("%v, want %v", img.Rect, want)
	}
	// The bottom rows of bars have no text on them.
	first, second := tileGap+128+2*(lineHeight+2)-3, tileGap+128+3*(lineHeight+2)-3
	white := color.NRGBA{255, 255, 255, 255}
	for at, want := range map[image.Point]color.NRGBA{
		{tileGap + (guessWidth-128)/2, tileGap}:     {0x40, 0x40, 0x40, 0x40}, // the picture stands in the middle
		{tileGap + (guessWidth-128)/2 - 1, tileGap}: white,
		{tileGap + 149, first}:                      otherBar,
		{tileGap + 150, first}:                      white,
		{tileGap + 49, second}:                      rightBar,
		{tileGap + 50, second}:                      white,
		{tileGap + 3*column + 49, second}:           rightBar,
		{tileGap + 49, line + second}:               rightBar,
		{tileGap + column + 49, line + second}:      white, // five pictures
	} {
		if got := img.NRGBAAt(at.X, at.Y); got != want {
			t.Errorf("pixel %v is %v, want %v", at, got, want)
		}
	}
	if empty := Guesses(nil); empty.Rect.Empty() {
		t.Error("no picture at all")
	}
}
