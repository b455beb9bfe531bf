package figure

import (
	_ "embed" // chart.svg
	"errors"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Series is a line of a chart.
type Series struct {
	Name string
	// Color is the number of its colour: the page has CSS for the classes line-1 and
	// dot-1, line-2 and so on, so that a series has its colour in a light page and in a
	// dark one.
	Color int
	Dots  bool // mark the points
	X, Y  []float64
}

// Mark is a dashed line from bottom to top with a text.
type Mark struct {
	X    float64
	Text string
}

// Chart is lines over linear axes. Both begin at 0.
type Chart struct {
	Title          string
	XLabel, YLabel string // with units
	Series         []Series
	Marks          []Mark
}

// The size of a chart in the units of its viewBox; a page shows it as large as it likes.
const (
	chartWidth, chartHeight = 640, 360
	plotLeft, plotTop       = 56, 34
	plotRight, plotBottom   = chartWidth - 16, chartHeight - 50
	maxTicks                = 7
	markRoom                = 110 // between the texts of marks
	legendStep              = 120
	dotLimit                = 100 // points of a line that are marked
)

//go:embed chart.svg
var embeddedChart string

// SVG draws the chart as an svg element for an HTML page. Its text has the colour of
// the text around it. It is an error if there is no point, or one that is not finite,
// or negative.
func (c *Chart) SVG() (template.HTML, error) {
	p, err := c.plot()
	if err != nil {
		return "", fmt.Errorf("chart %q: %w", c.Title, err)
	}
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
	Verticals                []tick
}

// tick is a place on an axis.
type tick struct {
	At   string
	Text string
}

// line is a Series in coordinates.
type line struct {
	*Series
	Path    string
	Points  [][2]string
	LegendX int
}

func (c *Chart) plot() (*plot, error) {
	var maxX, maxY float64
	points := 0
	for _, s := range c.Series {
		if len(s.X) != len(s.Y) {
			return nil, fmt.Errorf("series %s has %d and %d coordinates", s.Name, len(s.X), len(s.Y))
		}
		for i, x := range s.X {
			if y := s.Y[i]; !(x >= 0 && x <= math.MaxFloat64 && y >= 0 && y <= math.MaxFloat64) {
				return nil, fmt.Errorf("series %s has the point (%g, %g)", s.Name, x, y)
			}
			maxX, maxY = max(maxX, x), max(maxY, s.Y[i])
			points++
		}
	}
	if points == 0 {
		return nil, errors.New("no points")
	}
	p := &plot{Chart: c, Width: chartWidth, Height: chartHeight, Left: plotLeft, Top: plotTop, Right: plotRight, Bottom: plotBottom}
	_, stepX := axis(maxX, 1)
	topX := max(maxX, stepX) // no empty epochs to the right
	topY, stepY := axis(maxY, 0)
	x := func(v float64) float64 { return plotLeft + v/topX*(plotRight-plotLeft) }
	y := func(v float64) float64 { return plotBottom - v/topY*(plotBottom-plotTop) }
	for i := 0; float64(i)*stepX <= topX*(1+1e-9); i++ {
		p.XTicks = append(p.XTicks, tick{coordinate(x(float64(i) * stepX)), number(float64(i) * stepX)})
	}
	for i := 0; float64(i)*stepY <= topY*(1+1e-9); i++ {
		p.YTicks = append(p.YTicks, tick{coordinate(y(float64(i) * stepY)), number(float64(i) * stepY)})
	}
	last := -math.MaxFloat64
	for _, m := range c.Marks {
		t := tick{At: coordinate(x(m.X))}
		if x(m.X)-last >= markRoom {
			t.Text, last = m.Text, x(m.X)
		}
		p.Verticals = append(p.Verticals, t)
	}
	for i := range c.Series {
		s := &c.Series[i]
		l := line{Series: s, LegendX: plotRight - (len(c.Series)-i)*legendStep}
		var path strings.Builder
		for k := range s.X {
			at := [2]string{coordinate(x(s.X[k])), coordinate(y(s.Y[k]))}
			fmt.Fprintf(&path, "%c%s,%s", "ML"[min(k, 1)], at[0], at[1])
			if s.Dots && len(s.X) <= dotLimit {
				l.Points = append(l.Points, at)
			}
		}
		l.Path = path.String()
		p.Lines = append(p.Lines, l)
	}
	return p, nil
}

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

// coordinate writes a place in the viewBox.
func coordinate(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// number writes the value of a tick.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
