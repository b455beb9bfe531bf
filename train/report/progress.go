package report

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"alexnet/pipeline"

	"golang.org/x/term"
)

// Status is what the progress line shows.
type Status struct {
	Epoch, Epochs       int // Epoch counts from 1
	Step, StepsPerEpoch int // steps done within the epoch
	Loss, Top1          float64
	ImagesPerSecond     float64
	WaitShare           float64
	// Limit is what the training waits for, pipeline.LimitConsumer or "" when it
	// hardly waits, and DiskBytesPerSecond what was read from disks, 0 when it is
	// not known.
	Limit              pipeline.Limit
	DiskBytesPerSecond float64
	// Skipped is the number of damaged records that were skipped.
	Skipped int
	// Left is the time to the end of the run, 0 when it is not known.
	Left time.Duration
}

// String returns the progress line.
func (s Status) String() string {
	text := fmt.Sprintf("epoch %d/%d  step %d/%d  loss %.4f  top-1 %.1f %%  %s images/s  waiting for data %.0f %%%s",
		s.Epoch, s.Epochs, s.Step, s.StepsPerEpoch, s.Loss, 100*s.Top1, speed(s.ImagesPerSecond), 100*s.WaitShare, s.why())
	if s.Skipped > 0 {
		text += fmt.Sprintf("  %d skipped", s.Skipped)
	}
	if s.Left > 0 {
		text += "  " + remaining(s.Left) + " left"
	}
	return text
}

// why says what the training waits for.
func (s Status) why() string {
	switch {
	case s.Limit == "" || s.Limit == pipeline.LimitConsumer:
		return ""
	case s.Limit == pipeline.LimitDisk && s.DiskBytesPerSecond > 0:
		return fmt.Sprintf(" (%s, %s MB/s)", s.Limit, speed(s.DiskBytesPerSecond/1e6))
	}
	return fmt.Sprintf(" (%s)", s.Limit)
}

// speed shows a decimal only where it says something.
func speed(perSecond float64) string {
	if perSecond < 10 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return fmt.Sprintf("%.0f", perSecond)
}

// remaining rounds a duration to what an estimate is worth.
func remaining(d time.Duration) string {
	if d >= time.Hour {
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return d.Round(time.Second).String()
}

// redraw is how often a progress line on a terminal is rewritten, and lineEvery the
// longest that nothing is written off it.
const (
	redraw    = 200 * time.Millisecond
	lineEvery = 30 * time.Second
)

// Progress shows a run as it goes: on a terminal one line that rewrites itself,
// elsewhere a plain line now and then. It is not safe for concurrent use.
type Progress struct {
	w     io.Writer
	width func() int // columns of the terminal; nil when w is none
	drawn time.Time
	open  bool // an unfinished line is on the terminal
}

// NewProgress shows progress on w, which is a terminal or not.
func NewProgress(w io.Writer) *Progress {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return &Progress{w: w, drawn: time.Now()}
	}
	return &Progress{w: w, width: func() int {
		columns, _, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return 0
		}
		return columns
	}}
}

// Show shows how it goes, such as a Status. Off the terminal only what has keep set
// is written, and what comes when nothing was for half a minute.
func (p *Progress) Show(s fmt.Stringer, keep bool) {
	if p.width == nil {
		if now := time.Now(); keep || now.Sub(p.drawn) >= lineEvery {
			p.drawn = now
			fmt.Fprintln(p.w, s.String())
		}
		return
	}
	if now := time.Now(); now.Sub(p.drawn) >= redraw {
		p.drawn = now
		p.draw(s.String())
	}
}

// draw replaces the terminal's current line.
func (p *Progress) draw(text string) {
	if columns := p.width(); columns > 1 && len(text) >= columns {
		text = text[:columns-1] // a wrapped line could not be rewritten
	}
	fmt.Fprintf(p.w, "\r%s\x1b[K", text)
	p.open = true
}

// Print writes a line of text that stays.
func (p *Progress) Print(text string) {
	if p.open {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.open = false
	}
	fmt.Fprintln(p.w, strings.TrimRight(text, "\n"))
}

// Done ends the line that rewrites itself, if there is one.
func (p *Progress) Done() {
	if p.open {
		fmt.Fprintln(p.w)
		p.open = false
	}
}
