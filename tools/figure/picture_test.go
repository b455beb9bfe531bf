package figure

import (
	"image/color"
	"testing"

	"alexnet/records"
)

func TestPicture(t *testing.T) {
	mean := &records.Mean{Shape: records.Shape{C: 3, H: 1, W: 2}, Baseline: []uint8{10, 20, 30, 40, 50, 60}}
	for _, row := range []records.Row{
		{U8: []uint8{1, 2, 3, 4, 5, 255}},
		{I16: []int16{-9, -18, -27, -36, -45, 195}},
	} {
		img := Picture(mean, row)
		for x, want := range []color.NRGBA{{1, 3, 5, 255}, {2, 4, 255, 255}} {
			if got := img.NRGBAAt(x, 0); got != want {
				t.Errorf("pixel %d of %+v is %v, want %v", x, row, got, want)
			}
		}
	}
	grey := &records.Mean{Shape: records.Shape{C: 1, H: 2, W: 1}, Baseline: make([]uint8, 2)}
	if got, want := Picture(grey, records.Row{U8: []uint8{7, 9}}).NRGBAAt(0, 1), (color.NRGBA{9, 9, 9, 255}); got != want {
		t.Errorf("grey pixel %v, want %v", got, want)
	}
}
