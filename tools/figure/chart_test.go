package figure

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestChart(t *testing.T) {
	c := Chart{Title: "errors of <net>", XLabel: "epoch", YLabel: "error, %", Series: []Series{
		{Name: "training", Color: 1, X: []float64{1, 2, 3}, Y: []float64{80, 40, 20}},
		{Name: "validation", Color: 2, Dots: true, X: []float64{1, 3}, Y: []float64{70, 0}},
	}, Marks: []Mark{{2, "rate 0.001"}, {2.1, "rate 0.0001"}}}
	svg, err := c.SVG()
	if err != nil {
		t.Fatal(err)
	}
	text := string(svg)
	// 568 units are 3 epochs, 276 are 80 %.
	for _, want := range []string{
		`<path d="M245.3,34L434.7,172L624,241" fill="none" class="line-1"`, `<path d="M245.3,68.5L624,310" fill="none" class="line-2"`,
		`<circle cx="624" cy="310" r="3" class="dot-2"/>`, `>training</text>`, `>error, %</text>`, `>epoch</text>`,
		`aria-label="errors of &lt;net&gt;"`, `x="434.7" y="34" dx="5" dy="14">rate 0.001</text>`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "0.0001") || strings.Contains(text, `r="3" class="dot-1"`) {
		t.Errorf("a text over another, or dots that nobody wanted:\n%s", text)
	}
	d := xml.NewDecoder(strings.NewReader(text))
	for err = nil; err == nil; _, err = d.Token() {
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("not well-formed: %v", err)
	}
}

func TestAxis(t *testing.T) {
	for _, c := range []struct{ top, least, end, step float64 }{
		{80, 0, 80, 20}, {1, 0, 1, 0.2}, {0.93, 0, 1, 0.2}, {6, 1, 6, 1}, {3, 1, 3, 1}, {90, 1, 100, 20}, {0, 0, 1, 0.2}, {2.31, 0, 2.5, 0.5}, {6.9, 0, 7, 1},
	} {
		if end, step := axis(c.top, c.least); math.Abs(end-c.end) > 1e-9 || math.Abs(step-c.step) > 1e-9 {
			t.Errorf("axis(%g, %g) is %g in steps of %g, want %g and %g", c.top, c.least, end, step, c.end, c.step)
		}
	}
}

func TestChartRefused(t *testing.T) {
	for want, series := range map[string][]Series{
		"no points":                        {{}},
		"series a has 2 and 1 coordinates": {{Name: "a", X: []float64{1, 2}, Y: []float64{1}}},
		"series a has the point (1, NaN)":  {{Name: "a", X: []float64{1}, Y: []float64{math.NaN()}}},
		"series a has the point (-1, 2)":   {{Name: "a", X: []float64{-1}, Y: []float64{2}}},
		"series a has the point (1, +Inf)": {{Name: "a", X: []float64{1}, Y: []float64{math.Inf(1)}}},
	} {
		c := Chart{Title: "t", Series: series}
		if _, err := c.SVG(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
