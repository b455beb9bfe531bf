package main

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/tools/cli"
)

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-9*math.Abs(want) }

func TestRing(t *testing.T) {
	for _, tc := range []struct {
		bytes         float64
		ranks         int
		gbit, latency float64
		want          float64
	}{
		{244e6, 1, 10, 1, 0},
		{250e6, 2, 8, 0, 0.25},
		{250e6, 5, 8, 0, 0.4},
		{250e6, 5, 8, 0.001, 0.408},
	} {
		if got := ring(tc.bytes, tc.ranks, tc.gbit, tc.latency); !near(got, tc.want) {
			t.Errorf("%+v: %g", tc, got)
		}
	}
}

// Two layers of known cost: the second's gradient is done after 2/5 of the first's backward
// pass is still to come.
func TestEstimate(t *testing.T) {
	net := &model.Net{Name: "two", Input: model.Shape{C: 1, H: 1, W: 1000}, Classes: 1000, Layers: []model.Layer{
		{Name: "a", Kind: model.FC, Out: 1000},
		{Name: "b", Kind: model.FC, Out: 1000},
		{Name: "prob", Kind: model.Softmax},
	}}
	if err := net.Validate(); err != nil {
		t.Fatal(err)
	}
	// Multiply-adds: 1 + 1 forward, 2 for b and 1 for a backward; 4.004 MB each.
	const bytes = 4 * 1001000
	m := machine{rate: 20}
	gbitOf := func(seconds float64) float64 { return bytes * 8 / 1e9 / seconds } // of two ranks
	for _, tc := range []struct{ each, exposed float64 }{
		{0.5, 0.5}, // b's is over before a's is done, which is all exposed
		{1, 1},     // just so
		{1.5, 2},   // a's has to wait
	} {
		s := estimate(net, m, 100, 2, gbitOf(tc.each), 0)
		if !near(s.compute, 5) || !near(s.sum, 2*tc.each) || !near(s.exposed, tc.exposed) {
			t.Errorf("%+v: %+v", tc, s)
		}
	}
	if s := estimate(net, m, 100, 1, 10, 1); s.sum != 0 || s.exposed != 0 {
		t.Errorf("alone: %+v", s)
	}
}

func TestConvert(t *testing.T) {
	f := &flags{Cores: 4, PicturesPerCore: 100, Bytes: 1000, TaskGbit: 10, StoreGbit: 25}
	for _, tc := range []struct {
		tasks                  int
		processor, read, write float64
		limit                  string
	}{
		{1, 1431167. / 400, 157.3 * 0.8, 1.431167 * 0.8, "processors"},
		{2, 1431167. / 800, 157.3 * 0.4, 1.431167 * 0.4, "processors"},
		{1000, 1431167. / 400e3, 157.3 * 8 / 25, 1.431167 * 8 / 25, "reading"},
	} {
		c := f.convert(tc.tasks)
		if _, limit := c.all(); !near(c.processor, tc.processor) || !near(c.read, tc.read) || !near(c.write, tc.write) || limit != tc.limit {
			t.Errorf("%+v: %+v, %s", tc, c, limit)
		}
	}
	f.Bytes = 1e6
	if _, limit := f.convert(1000).all(); limit != "writing" {
		t.Errorf("limited by %s", limit)
	}
}

// The page has what the command prints.
func TestPage(t *testing.T) {
	var out, errs bytes.Buffer
	if status := cli.Run(context.Background(), "estimate", description, &flags{}, nil, &out, &errs); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	page, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), out.String()) {
		t.Errorf("README.md lacks\n%s", out.String())
	}
}

func TestWrongUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"all numbers must be positive": {"--ranks", "8,0"},
		"an image for each rank":       {"--largest", "100"},
		"unknown net":                  {"--net", "resnet"},
	} {
		var out, errs bytes.Buffer
		status := cli.Run(context.Background(), "estimate", description, &flags{}, args, &out, &errs)
		if status != cli.Usage || !strings.Contains(errs.String(), want) || out.Len() > 0 {
			t.Errorf("%v: status %d, %s", args, status, errs.String())
		}
	}
}
