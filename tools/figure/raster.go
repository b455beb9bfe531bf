package figure

import (
	"image"
	"image/color"
	"image/draw"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// rasterScale is the number of pixels of a unit of the viewBox.
const rasterScale = 2

// The light colours of chart.svg.
var (
	ink          = color.NRGBA{0x1b, 0x1f, 0x24, 0xff}                                //nolint:gochecknoglobals // read only
	seriesColors = [2]color.NRGBA{{0x1f, 0x6f, 0xeb, 0xff}, {0xc4, 0x50, 0x0a, 0xff}} //nolint:gochecknoglobals // read only
)

// Image draws the chart as SVGFile does, in light colours, for programs that show no
// SVG: 1280 by 720 pixels. Errors are those of SVG.
func (c *Chart) Image() (*image.NRGBA, error) {
	p, err := c.plot()
	if err != nil {
		return nil, err
	}
	r := &raster{image.NewNRGBA(image.Rect(0, 0, chartWidth*rasterScale, chartHeight*rasterScale))}
	draw.Draw(r.img, r.img.Rect, image.White, image.Point{}, draw.Src)
	left, top, right, bottom := place(plotLeft), place(plotTop), place(plotRight), place(plotBottom)
	faint, half := ink, ink
	faint.A, half.A = 0x26, 0x80
	dots := []float64{3, 4}
	for _, t := range p.YTicks {
		r.stroke([][2]place{{left, t.At}, {right, t.At}}, 1, faint, nil)
		r.text(left-8, t.At+5, 1, t.Text)
	}
	for _, t := range p.XTicks {
		r.text(t.At, bottom+18, 0.5, t.Text)
	}
	r.stroke([][2]place{{left, bottom}, {right, bottom}}, 1, ink, nil)
	for _, t := range p.Verticals {
		r.stroke([][2]place{{t.At, top}, {t.At, bottom}}, 1, half, dots)
		r.text(t.At+5, top+14, 0, t.Text)
	}
	for _, t := range p.Horizontals {
		r.stroke([][2]place{{left, t.At}, {right, t.At}}, 1, half, dots)
		r.text(left+8, t.At-6, 0, t.Text)
	}
	r.text(right, chartHeight-8, 1, c.XLabel)
	r.text(4, 16, 0, c.YLabel)
	for _, l := range p.Lines {
		var dash []float64
		if l.Dashed {
			dash = []float64{8, 5}
		}
		paint := ink
		if n := l.Color - 1; n >= 0 && n < len(seriesColors) {
			paint = seriesColors[n]
		}
		r.stroke(l.Track, 2, paint, dash)
		for _, at := range l.Points {
			r.stroke([][2]place{at, at}, 6, paint, nil)
		}
		x := place(l.LegendX)
		r.stroke([][2]place{{x - 5, 11.5}, {x + 16, 11.5}}, 2, paint, dash)
		r.text(x+22, 16, 0, l.Name)
	}
	return r.img, nil
}

// raster draws in the units of the viewBox.
type raster struct{ img *image.NRGBA }

// stroke draws a line of some width through points, with round ends. dash has the
// lengths of what is drawn and what is left out in turn; nil is an unbroken line.
func (r *raster) stroke(points [][2]place, width float64, paint color.Color, dash []float64) {
	z := vector.NewRasterizer(r.img.Rect.Dx(), r.img.Rect.Dy())
	part, left := 0, math.Inf(1) // of the dash, and what is left of it
	if dash != nil {
		left = dash[0]
	}
	for i := 1; i < len(points); i++ {
		x, y := float64(points[i-1][0]), float64(points[i-1][1])
		dx, dy := float64(points[i][0])-x, float64(points[i][1])-y
		length := math.Hypot(dx, dy)
		for at := 0.0; ; {
			to := min(length, at+left)
			if part%2 == 0 {
				a, b := at/max(length, 1e-9), to/max(length, 1e-9)
				capsule(z, x+a*dx, y+a*dy, x+b*dx, y+b*dy, width/2)
			}
			left -= to - at
			if at = to; at >= length {
				break
			}
			part++
			left = dash[part%len(dash)]
		}
	}
	z.Draw(r.img, r.img.Rect, image.NewUniform(paint), image.Point{})
}

// capsule adds all that is no further than radius from the line between two points.
func capsule(z *vector.Rasterizer, x0, y0, x1, y1, radius float64) {
	const corners = 16
	angle := math.Atan2(y1-y0, x1-x0) - math.Pi/2
	for k := range 2*corners + 2 {
		x, y := x1, y1 // the half circle around the end, then the one around the begin
		turn := float64(k) * math.Pi / corners
		if k > corners {
			x, y, turn = x0, y0, float64(k-1)*math.Pi/corners
		}
		px := float32(rasterScale * (x + radius*math.Cos(angle+turn)))
		py := float32(rasterScale * (y + radius*math.Sin(angle+turn)))
		if k == 0 {
			z.MoveTo(px, py)
		} else {
			z.LineTo(px, py)
		}
	}
	z.ClosePath()
}

// text writes a text with its base line at y; of its width the share before is left of x.
func (r *raster) text(x, y place, before float64, text string) {
	face := basicfont.Face7x13
	width := font.MeasureString(face, text).Ceil()
	small := image.NewAlpha(image.Rect(0, 0, width, face.Height))
	d := font.Drawer{Dst: small, Src: image.Opaque, Face: face, Dot: fixed.P(0, face.Ascent)}
	d.DrawString(text)
	corner := image.Pt(int(math.Round(float64(x)*rasterScale-before*float64(width*rasterScale))), int(math.Round(float64(y)*rasterScale))-face.Ascent*rasterScale)
	for j := range face.Height * rasterScale {
		for i := range width * rasterScale {
			if small.AlphaAt(i/rasterScale, j/rasterScale).A != 0 {
				r.img.Set(corner.X+i, corner.Y+j, ink)
			}
		}
	}
}
