package figure

import (
	"image"
	"image/color"
	"testing"
)

func TestTiles(t *testing.T) {
	dot := func(c color.NRGBA) Tile {
		img := image.NewNRGBA(image.Rect(0, 0, 60, 60))
		for i := range 3600 {
			img.SetNRGBA(i%60, i/60, c)
		}
		img.SetNRGBA(59, 0, color.NRGBA{1, 2, 3, 255})
		return Tile{Picture: img, Text: [2]string{"a name that is too long for it", "1.5"}}
	}
	red, blue := color.NRGBA{255, 0, 0, 255}, color.NRGBA{0, 0, 255, 255}
	img := Tiles([][]Tile{{dot(red), dot(blue)}, {dot(blue)}})
	// Twice as large: 120 pixels a tile.
	if want := image.Rect(0, 0, 24+8+2*120+8, 8+2*(120+28+16)); img.Rect.Dx() < want.Dx()-8 || img.Rect.Dx() > want.Dx()+8 || img.Rect != image.Rect(0, 0, img.Rect.Dx(), want.Dy()) {
		t.Errorf("%v, want about %v", img.Rect, want)
	}
	for at, want := range map[image.Point]color.NRGBA{
		{8, 8}: red, {127, 9}: {1, 2, 3, 255}, {126, 8}: {1, 2, 3, 255}, {125, 8}: red, {128, 8}: {255, 255, 255, 255},
		{8 + 120 + 24, 8}: blue, {8 + 120 + 23, 8}: {255, 255, 255, 255}, {8, 8 + 120 + 28 + 16}: blue,
	} {
		if got := img.NRGBAAt(at.X, at.Y); got != want {
			t.Errorf("pixel %v is %v, want %v", at, got, want)
		}
	}
	dark := 0
	for y := 128; y < 128+28; y++ {
		for x := 8; x < 128; x++ {
			if img.NRGBAAt(x, y).R < 128 {
				dark++
			}
		}
		for x := 128; x < 152; x++ {
			if img.NRGBAAt(x, y).R < 128 {
				t.Fatalf("text at %d,%d, beside its picture", x, y)
			}
		}
	}
	if dark < 100 {
		t.Errorf("%d dark pixels of text", dark)
	}
}

func TestTileScale(t *testing.T) {
	for side, want := range map[int]int{0: 128, 28: 5, 32: 4, 72: 2, 85: 2, 86: 1, 256: 1} {
		if got := tileScale(side); got != want {
			t.Errorf("side %d: %d times, want %d", side, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for d, want := range map[float64]string{0: "0.000", 2.02: "2.020", 0.25: "0.250", 12.345: "12.35", 100: "100.0", 12345.6: "12346", 0.00012345: "1.234e-04"} {
		if got := Distance(d); got != want {
			t.Errorf("%g: %s, want %s", d, got, want)
		}
	}
}
