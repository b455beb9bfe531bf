package figure

import (
	_ "embed" // chart.svg
	"errors"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Series is a line of a chart.
type Series struct {
	Name string
	// Color is the number of its colour: the page has CSS for the classes line-1 and
	// dot-1, line-2 and so on, so that a series has its colour in a light page and in a
	// dark one.
	Color  int
	Dots   bool // mark the points
	Dashed bool
	X, Y   []float64
}

// Mark is a dashed line from bottom to top with a text.
type Mark struct {
	X    float64
	Text string
}

// Level is a dashed line from left to right with a text above its begin.
type Level struct {
	Y    float64
	Text string
}

// Chart is lines over linear axes. Both begin at 0.
type Chart struct {
	Title          string
	XLabel, YLabel string // with units
	Series         []Series
	Marks          []Mark
	Levels         []Level
}

// The size of a chart in the units of its viewBox; a page shows it as large as it likes.
const (
	chartWidth, chartHeight = 640, 360
	plotLeft, plotTop       = 56, 34
	plotRight, plotBottom   = chartWidth - 16, chartHeight - 50
	maxTicks                = 7
	markRoom                = 110   // between the texts of marks
	legendStep              = 120   // from name to name, at least
	legendRoom, legendChar  = 44, 7 // of a name: what is before and after it, and a character
	dotLimit                = 100   // points of a line that are marked
)

//go:embed chart.svg
var embeddedChart string

// SVG draws the chart as an svg element for an HTML page. Its text has the colour of
// the text around it. It is an error if there is no point, or one that is not finite,
// or negative.
func (c *Chart) SVG() (template.HTML, error) { return c.svg(false) }

// SVGFile draws the chart as an SVG file of its own, with the colours of the report's
// pages: light ones or dark ones, as the reader's system asks. Errors are those of SVG.
func (c *Chart) SVGFile() ([]byte, error) {
	text, err := c.svg(true)
	return []byte(text), err
}

func (c *Chart) svg(alone bool) (template.HTML, error) {
	p, err := c.plot()
	if err != nil {
		return "", err
	}
	p.Alone = alone
	t, err := template.New("chart").Parse(embeddedChart)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, p); err != nil {
		return "", err
	}
	return template.HTML(b.String()), nil //nolint:gosec // made by a template that escapes
}

// plot is a chart in coordinates.
type plot struct {
	*Chart
	Width, Height            int
	Left, Top, Right, Bottom int
	XTicks, YTicks           []tick
	Lines                    []line
	Verticals, Horizontals   []tick
	Alone                    bool // a file, not a part of a page
}

// place is a coordinate in the viewBox.
type place float64

// String writes it with one decimal.
func (v place) String() string {
	return strconv.FormatFloat(math.Round(float64(v)*10)/10, 'f', -1, 64)
}

// tick is a place on an axis.
type tick struct {
	At   place
	Text string
}

// line is a Series in coordinates.
type line struct {
	*Series
	Path    string
	Track   [][2]place // what Path is written from
	Points  [][2]place // those that are marked
	LegendX int
}

// plot computes the coordinates.
func (c *Chart) plot() (*plot, error) {
	maxX, maxY, err := c.extent()
	if err != nil {
		return nil, fmt.Errorf("chart %q: %w", c.Title, err)
	}
	p := &plot{Chart: c, Width: chartWidth, Height: chartHeight, Left: plotLeft, Top: plotTop, Right: plotRight, Bottom: plotBottom}
	_, stepX := axis(maxX, 1)
	topX := max(maxX, stepX) // no empty epochs to the right
	topY, stepY := axis(maxY, 0)
	x := func(v float64) place { return place(plotLeft + v/topX*(plotRight-plotLeft)) }
	y := func(v float64) place { return place(plotBottom - v/topY*(plotBottom-plotTop)) }
	for i := 0; float64(i)*stepX <= topX*(1+1e-9); i++ {
		p.XTicks = append(p.XTicks, tick{x(float64(i) * stepX), number(float64(i) * stepX)})
	}
	for i := 0; float64(i)*stepY <= topY*(1+1e-9); i++ {
		p.YTicks = append(p.YTicks, tick{y(float64(i) * stepY), number(float64(i) * stepY)})
	}
	last := place(-math.MaxFloat64)
	for _, m := range c.Marks {
		t := tick{At: x(m.X)}
		if t.At-last >= markRoom {
			t.Text, last = m.Text, t.At
		}
		p.Verticals = append(p.Verticals, t)
	}
	for _, l := range c.Levels {
		p.Horizontals = append(p.Horizontals, tick{y(l.Y), l.Text})
	}
	legend := plotRight
	for _, s := range c.Series {
		legend -= legendWidth(s.Name)
	}
	for i := range c.Series {
		s := &c.Series[i]
		l := line{Series: s, LegendX: legend}
		legend += legendWidth(s.Name)
		var path strings.Builder
		for k := range s.X {
			at := [2]place{x(s.X[k]), y(s.Y[k])}
			fmt.Fprintf(&path, "%c%v,%v", "ML"[min(k, 1)], at[0], at[1])
			l.Track = append(l.Track, at)
		}
		if s.Dots && len(s.X) <= dotLimit {
			l.Points = l.Track
		}
		l.Path = path.String()
		p.Lines = append(p.Lines, l)
	}
	return p, nil
}

// legendWidth returns the room of a name in the legend.
func legendWidth(name string) int {
	return max(legendStep, legendRoom+legendChar*utf8.RuneCountInString(name))
}

// Styled reports whether lines differ by more than their colour, so that the legend
// must show them.
func (p *plot) Styled() bool {
	return slices.ContainsFunc(p.Series, func(s Series) bool { return s.Dashed })
}

// extent returns the largest coordinates, and what is wrong with them.
func (c *Chart) extent() (maxX, maxY float64, err error) {
	points := 0
	for _, s := range c.Series {
		if len(s.X) != len(s.Y) {
			return 0, 0, fmt.Errorf("series %s has %d and %d coordinates", s.Name, len(s.X), len(s.Y))
		}
		for i, x := range s.X {
			y := s.Y[i]
			if !drawable(x) || !drawable(y) {
				return 0, 0, fmt.Errorf("series %s has the point (%g, %g)", s.Name, x, y)
			}
			maxX, maxY = max(maxX, x), max(maxY, y)
			points++
		}
	}
	if points == 0 {
		return 0, 0, errors.New("no points")
	}
	for _, l := range c.Levels {
		if !drawable(l.Y) {
			return 0, 0, fmt.Errorf("a level at %g", l.Y)
		}
		maxY = max(maxY, l.Y)
	}
	return maxX, maxY, nil
}

// drawable reports whether v has a place on an axis that begins at 0.
func drawable(v float64) bool { return v >= 0 && v <= math.MaxFloat64 }

// axis returns the end of an axis from 0 that holds top, and the step of its ticks, a
// power of ten or 2 or 5 times one, at least least.
func axis(top, least float64) (end, step float64) {
	if top == 0 {
		top = 1
	}
	step = math.Pow(10, math.Floor(math.Log10(top/maxTicks)))
	for _, factor := range []float64{2, 2.5, 2} { // 1, 2, 5, 10
		if top/step <= maxTicks {
			break
		}
		step *= factor
	}
	step = max(step, least)
	return math.Ceil(top/step-1e-9) * step, step
}

// number writes the value of a tick.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
