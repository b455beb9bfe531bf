package figure

import (
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"io"
	"math"
	"strings"
	"testing"
)

// race is a chart with all that can be drawn: 4 epochs are 568 units, 100 % are 276.
func race() *Chart {
	return &Chart{Title: "errors", XLabel: "epochs", YLabel: "error, %", Levels: []Level{{25, "a quarter"}}, Marks: []Mark{{3, "rate 0.1"}}, Series: []Series{
		{Name: "solid", Color: 1, Dots: true, X: []float64{0, 4}, Y: []float64{100, 50}},
		{Name: "dashed with a name of some length", Color: 2, Dashed: true, X: []float64{0, 4}, Y: []float64{75, 75}},
	}}
}

// A file of its own has its colours with it, for light and dark; a page has them already.
func TestChartFile(t *testing.T) {
	c := race()
	file, err := c.SVGFile()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<svg xmlns="http://www.w3.org/2000/svg"`, `@media (prefers-color-scheme: dark)`, `<rect width="640" height="360" class="ground"/>`,
		`<path d="M56,103L624,103" fill="none" class="line-2" stroke-width="2" stroke-linejoin="round" stroke-dasharray="8 5"/>`,
		`<path d="M56,34L624,172" fill="none" class="line-1" stroke-width="2" stroke-linejoin="round"/>`,
		`x1="56" x2="624" y1="241" y2="241" stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="3 4"/><text x="56" y="241" dx="8" dy="-6">a quarter</text>`,
		`<path d="M349,11.5h21" transform="translate(-5)" fill="none" class="line-2" stroke-width="2" stroke-dasharray="8 5"/>`, // as the line in the legend
	} {
		if !strings.Contains(string(file), want) {
			t.Errorf("no %s in\n%s", want, file)
		}
	}
	d := xml.NewDecoder(strings.NewReader(string(file)))
	for err = nil; err == nil; _, err = d.Token() {
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("not well-formed: %v", err)
	}
	part, err := c.SVG()
	if err != nil || strings.Contains(string(part), "<style>") || strings.Contains(string(part), "xmlns") || !strings.Contains(string(part), `stroke-dasharray="8 5"`) {
		t.Errorf("for a page, error %v:\n%s", err, part)
	}
}

// The image has everything where the SVG has it.
func TestChartImage(t *testing.T) {
	img, err := race().Image()
	if err != nil {
		t.Fatal(err)
	}
	if img.Rect != image.Rect(0, 0, 1280, 720) {
		t.Fatalf("%v", img.Rect)
	}
	at := func(x, y float64) color.NRGBA { return img.NRGBAAt(int(2*x), int(2*y)) }
	white := color.NRGBA{255, 255, 255, 255}
	for what, p := range map[string][2]float64{"begin": {57, 34.3}, "middle": {198, 68.5}, "end": {623, 171.7}} {
		if got := at(p[0], p[1]); got != seriesColors[0] {
			t.Errorf("the %s of the solid line is %v", what, got)
		}
	}
	// Along the dashed line 8 of 13 units are drawn, less half of the round ends.
	drawn := 0
	for x := 56; x < 624; x++ {
		if at(float64(x), 103) == seriesColors[1] {
			drawn++
		}
	}
	if drawn < 568*8/13 || drawn > 568*10/13 {
		t.Errorf("%d of 568 units of the dashed line are drawn", drawn)
	}
	if at(57, 241) == white || at(480, 220) != white {
		t.Error("no level, or no ground")
	}
	dark := func(r image.Rectangle) (n int) {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				if img.NRGBAAt(x, y) == ink {
					n++
				}
			}
		}
		return n
	}
	for what, r := range map[string]image.Rectangle{
		"error, %": image.Rect(8, 10, 130, 40), "epochs": image.Rect(1150, 680, 1250, 710), "a quarter": image.Rect(125, 446, 260, 478),
		"100": image.Rect(60, 55, 106, 85), "4": image.Rect(1240, 630, 1258, 660), "legend": image.Rect(750, 10, 1250, 40), "rate 0.1": image.Rect(974, 74, 1100, 100),
	} {
		if dark(r) < 20 {
			t.Errorf("%s is not written in %v", what, r)
		}
	}
	if n := dark(image.Rect(300, 530, 700, 610)); n != 0 {
		t.Errorf("%d pixels of ink where nothing is", n)
	}
}

func TestChartOfNothing(t *testing.T) {
	for want, c := range map[string]*Chart{
		`chart "t": no points`:       {Title: "t"},
		`chart "t": a level at -Inf`: {Title: "t", Series: []Series{{X: []float64{1}, Y: []float64{1}}}, Levels: []Level{{Y: math.Inf(-1)}}},
	} {
		if _, err := c.Image(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if _, err := c.SVGFile(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
