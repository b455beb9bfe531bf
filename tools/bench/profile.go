package main

import (
	"fmt"
	"io"
	"time"

	"alexnet/model/cpu"
)

// profiled keeps the engine's profile, if it has one.
func (c *clock) profiled(engine *cpu.Engine) {
	if p := engine.Profile(); len(p.Parts) > 0 {
		c.profile = &p
	}
}

// profileLine is a part of a step. The JSON names are the format of --profile with
// --json.
type profileLine struct {
	// Profile is the stage.
	Profile string `json:"profile"`
	// Layer is empty for what is not one layer's.
	Layer string `json:"layer,omitempty"`
	Kind  string `json:"kind,omitempty"`
	// Pass is images, forward, backward (or its parts weights and data), update or
	// predict; graph for what is left of the step's time, and step for all of it.
	Pass    string  `json:"pass"`
	Seconds float64 `json:"seconds_per_step"`
	Share   float64 `json:"share"`
	// Fastest is the least that it took in any step: without what else the machine was
	// busy with. That of the step is the sum.
	Fastest float64 `json:"fastest_seconds"`
	// GFLOPS are those of convolutions and fully connected layers: 10^9 a second.
	GFLOPS float64 `json:"gflops,omitempty"`
}

// The passes of lines that the engine does not have.
const (
	passGraph = "graph"
	passStep  = "step"
)

// profileLines works out the lines of a result: its parts, what is left, and the step.
func profileLines(r result) []profileLine {
	p := r.Profile
	if p == nil {
		return nil
	}
	steps := float64(max(p.Backwards, p.Predictions, 1))
	line := func(layer, kind, pass string, t, fastest time.Duration, operations float64) profileLine {
		l := profileLine{Profile: r.Stage, Layer: layer, Kind: kind, Pass: pass, Seconds: t.Seconds() / steps, Share: t.Seconds() / p.Wall.Seconds(), Fastest: fastest.Seconds()}
		if t > 0 {
			l.GFLOPS = operations / t.Seconds() / 1e9
		}
		return l
	}
	var lines []profileLine
	var sum, fastest time.Duration
	var operations float64
	for _, t := range p.Parts {
		lines = append(lines, line(t.Layer, string(t.Kind), string(t.Pass), t.Time, t.Fastest, t.Operations))
		sum, fastest, operations = sum+t.Time, fastest+t.Fastest, operations+t.Operations
	}
	return append(lines, line("", "", passGraph, p.Wall-sum, 0, 0), line("", "", passStep, p.Wall, fastest, operations))
}

// profileLines writes the lines of a result as JSON.
func (r *report) profileLines(res result) error {
	for _, l := range profileLines(res) {
		if err := r.json.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

// profileTable writes them as a table.
func profileTable(w io.Writer, res result) error {
	for i, l := range profileLines(res) {
		if i == 0 {
			if _, err := fmt.Fprintf(w, "\nWhere a step of %s goes (graph: all that is no part of it; step: the sum)\n%-10s %-10s %-10s %10s %8s %11s %10s\n",
				res.Stage, "layer", "kind", "pass", "ms a step", "share", "fastest ms", "GFLOP/s"); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(w, "%-10s %-10s %-10s %10.2f %6.1f %% %11.2f %10s\n", orDash(l.Layer, l.Layer != ""), orDash(l.Kind, l.Kind != ""), l.Pass,
			1e3*l.Seconds, 100*l.Share, 1e3*l.Fastest, orDash(fmt.Sprintf("%.1f", l.GFLOPS), l.GFLOPS > 0)); err != nil {
			return err
		}
	}
	return nil
}
