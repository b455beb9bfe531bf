package main

import (
	"fmt"
	"io"
	"strings"

	"alexnet/pipeline"
)

// verdictWidth is where the lines of a verdict are broken.
const verdictWidth = 110

// doctor prints where the time of a stream went, and what follows.
func doctor(w io.Writer, title string, d pipeline.Diagnosis) error {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s: where the time went (fetch, read and augment take turns in the same goroutines)\n", title)
	fmt.Fprintf(&text, "  %-9s %10s %8s %15s %16s %9s %7s\n", "", "goroutines", "busy", "waits for input", "waits for output", "MB/s", "queue")
	percent := func(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }
	for _, s := range d.Stages {
		fmt.Fprintf(&text, "  %-9s %10d %8s %15s %16s %9s %7s\n", s.Name, s.Goroutines,
			percent(s.Busy), percent(s.Input), percent(s.Output),
			orDash(figures(s.BytesPerSecond/1e6), s.Name != "order"), orDash(fmt.Sprintf("%.1f", s.Queue), s.Queue > 0))
	}
	line := " "
	for _, word := range strings.Fields(d.Verdict) {
		if len(line)+1+len(word) > verdictWidth {
			fmt.Fprintln(&text, line)
			line = "   "
		}
		line += " " + word
	}
	fmt.Fprintln(&text, line)
	_, err := io.WriteString(w, text.String())
	return err
}
