package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"alexnet/ingest/convert"
	"alexnet/ingest/decode"
	"alexnet/ingest/source"
	"alexnet/tools/cli"
)

// lineEvery is how often a line tells of the progress where there is no
// terminal.
const lineEvery = 5 * time.Second

// console tells the user how it goes: progress on standard error, results on
// standard output. On a terminal the progress is a bar, elsewhere a line every
// few seconds.
type console struct {
	flags          *flags
	stdout, stderr io.Writer
	now            func() time.Time

	phase string    // of the bar or the lines
	since time.Time // when the phase began
	last  time.Time // when the last line was written

	bars *mpb.Progress // nil without a terminal
	bar  *mpb.Bar
}

func newConsole(f *flags) *console {
	c := &console{flags: f, stdout: f.stdout, stderr: f.stderr, now: time.Now}
	if file, ok := f.stderr.(*os.File); ok && hasRoom(int(file.Fd())) {
		c.bars = mpb.New(mpb.WithOutput(f.stderr), mpb.WithWidth(40))
	}
	return c
}

// hasRoom says whether a file is a terminal that shows lines. Some, such as a container's,
// say that they have none, and a bar would not be seen.
func hasRoom(fd int) bool {
	columns, lines, err := term.GetSize(fd)
	return err == nil && columns > 0 && lines > 0
}

// start says what is about to happen.
func (c *console) start(described string, cfg *convert.Config) {
	f := c.flags
	fmt.Fprintf(c.stderr, "source:  %s\n", described)
	for _, k := range cfg.Source.Skipped() {
		fmt.Fprintf(c.stderr, "ignored: %s\n", ignoredText(k))
	}
	fmt.Fprintf(c.stderr, "decoder: %s\n", cfg.Decoder())
	if hint := decode.Find().Hint(); hint != "" && cfg.Decoder() == decode.Name() {
		fmt.Fprintf(c.stderr, "         %s\n", hint)
	}
	fmt.Fprintf(c.stderr, "records: %s, %v, %s, compression %s\n", f.outName(), cfg.Shape(), f.Pixels, f.Compress)
	if cfg.Task.Count > 0 {
		fmt.Fprintf(c.stderr, "task:    %v\n", cfg.Task)
	}
	if hint := f.shardHint(os.Getenv); hint != "" {
		fmt.Fprintf(c.stderr, "note:    %s\n", hint)
	}
}

// ignoredText says which files of a source are no items, and why: "2 in train: no
// image extension (a.gif, b.gif)".
func ignoredText(k source.Skip) string {
	var names []string
	for _, name := range k.Examples {
		if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			name = strconv.Quote(name)
		}
		names = append(names, name)
	}
	if k.Count > len(names) {
		names = append(names, "…")
	}
	where := ""
	if k.Split != "" {
		where = " in " + k.Split
	}
	return fmt.Sprintf("%d%s: %s (%s)", k.Count, where, k.Reason, strings.Join(names, ", "))
}

// passing shows, every few seconds, how far an archive is done with something that
// precedes the job.
func (c *console) passing(what string) func(file string, done, size int64) {
	c.last = c.now()
	return func(file string, done, size int64) {
		if now := c.now(); now.Sub(c.last) >= lineEvery {
			c.last = now
			c.note(fmt.Sprintf("%s: %s of %s %s", file, cli.FormatBytes(done), cli.FormatBytes(size), what))
		}
	}
}

// progress shows how far the job is.
func (c *console) progress(p convert.Progress) {
	now := c.now()
	if p.Phase != c.phase {
		c.stop()
		c.phase, c.since, c.last = p.Phase, now, now
		if p.Phase == convert.PhaseFinish {
			return
		}
		if c.bars != nil {
			c.bar = c.newBar(p)
		}
		if p.Earlier > 0 {
			c.note(fmt.Sprintf("going on: %d of %d shards are finished", p.Shards, p.AllShards))
		}
	}
	switch {
	case c.bar != nil:
		c.bar.SetCurrent(int64(p.Done))
	case now.Sub(c.last) >= lineEvery:
		c.last = now
		fmt.Fprintf(c.stderr, "%s: %d of %d files%s\n", c.title(p.Phase), p.Done, p.Total, c.speed(p, now))
	}
}

// note writes a line, above the bar where there is one.
func (c *console) note(text string) {
	if c.bars != nil {
		fmt.Fprintln(c.bars, text)
		return
	}
	fmt.Fprintln(c.stderr, text)
}

// newBar makes the bar of a phase. Its right side shows the latest progress.
func (c *console) newBar(p convert.Progress) *mpb.Bar {
	since, earlier := c.since, p.Earlier
	return c.bars.AddBar(int64(p.Total),
		mpb.BarOptional(mpb.BarRemoveOnComplete(), p.Phase == convert.PhaseBaseline),
		mpb.PrependDecorators(decor.Name(c.title(p.Phase)+" "), decor.CountersNoUnit("%d/%d")),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			done := convert.Progress{Done: int(s.Current), Total: int(s.Total), Earlier: earlier}
			return strings.TrimPrefix(speed(done, time.Since(since)), ", ")
		})))
}

func (c *console) title(phase string) string {
	if phase == convert.PhaseBaseline {
		return "mean of a sample"
	}
	return "converting"
}

func (c *console) speed(p convert.Progress, now time.Time) string {
	text := speed(p, now.Sub(c.since))
	if p.Rejected > 0 {
		text += fmt.Sprintf(", %d rejected", p.Rejected)
	}
	return text
}

// speed gives ", 93 images/s, 12m3s left".
func speed(p convert.Progress, took time.Duration) string {
	done := p.Done - p.Earlier
	if done <= 0 || took <= 0 {
		return ""
	}
	rate := float64(done) / took.Seconds()
	left := time.Duration(float64(p.Total-p.Done) / rate * float64(time.Second)).Round(time.Second)
	return fmt.Sprintf(", %.0f images/s, %v left", rate, left)
}

// stop ends the bar.
func (c *console) stop() {
	if c.bar == nil {
		return
	}
	if !c.bar.Completed() {
		c.bar.Abort(false)
	}
	c.bar.Wait()
	c.bar = nil
}

// end prints the results of a job, or sorts its error.
func (c *console) end(s convert.Summary, err error) error {
	c.stop()
	var wrong *convert.ConfigError
	switch {
	case errors.As(err, &wrong):
		return &cli.UsageError{Err: err}
	case err != nil:
		return err
	}
	if err := c.finish(s); err != nil {
		return fmt.Errorf("the work is complete, but the summary could not be written: %w", err)
	}
	return nil
}

// finish prints the results.
func (c *console) finish(s convert.Summary) error {
	if c.flags.JSON {
		return json.NewEncoder(c.stdout).Encode(newResult(c.flags.Out, s))
	}
	_, err := io.WriteString(c.stdout, summaryText(c.flags, s))
	return err
}

// result is the summary as JSON.
type result struct {
	Event         string                 `json:"event"`
	Out           string                 `json:"out"`
	AlreadyDone   bool                   `json:"already_done"`
	Shard         string                 `json:"shard,omitempty"` // of a task: "3/7"
	Splits        []convert.SplitSummary `json:"splits"`
	Classes       int                    `json:"classes"`
	Bytes         int64                  `json:"bytes"`
	Decoder       string                 `json:"decoder"`
	Filter        string                 `json:"filter"`
	Baseline      string                 `json:"baseline"`
	Digest        string                 `json:"digest"`
	MeanRGB       *[3]float64            `json:"mean_rgb,omitempty"`
	StdDev        *[3]float64            `json:"pca_std_dev,omitempty"`
	Files         int                    `json:"files"`
	Decoded       int                    `json:"decoded"`
	Seconds       float64                `json:"seconds"`
	ImagesPerSec  float64                `json:"images_per_second"`
	ReadSeconds   float64                `json:"read_seconds"`
	DecodeSeconds float64                `json:"decode_seconds"`
	ResizeSeconds float64                `json:"resize_seconds"`
	WriteSeconds  float64                `json:"write_seconds"`
}

func newResult(out string, s convert.Summary) result {
	r := result{
		Event: "summary", Out: out, AlreadyDone: s.AlreadyDone, Splits: s.Splits, Classes: s.Classes, Bytes: s.Bytes,
		Decoder: s.Decoder, Filter: s.Filter, Baseline: s.Baseline, Digest: s.Digest, Files: s.Files, Decoded: s.Decoded, Seconds: s.Elapsed.Seconds(),
		ReadSeconds: s.Read.Seconds(), DecodeSeconds: s.Decode.Seconds(), ResizeSeconds: s.Resize.Seconds(), WriteSeconds: s.Write.Seconds(),
	}
	if s.HasPCA {
		r.MeanRGB, r.StdDev = &s.MeanRGB, &s.StdDev
	}
	if s.Task != nil {
		r.Event, r.Shard = "task", s.Task.Task.String()
	}
	if s.Shards > 0 {
		r.Event = "index"
	}
	if s.Elapsed > 0 {
		r.ImagesPerSec = float64(s.Files) / s.Elapsed.Seconds()
	}
	return r
}

// summaryText is what stands on standard output at the end.
func summaryText(f *flags, s convert.Summary) string {
	var b strings.Builder
	if s.Shards > 0 {
		return fmt.Sprintf("%s is prepared for tasks: %d output shards, baseline: %s\nnext:      ingest … --out %s --shard i/n\n", f.outName(), s.Shards, s.Baseline, f.outValue())
	}
	if s.Task != nil {
		fmt.Fprintf(&b, "task %v of %s is done: %d of %d output shards\n", s.Task.Task, f.outName(), s.Task.Shards, s.Task.AllShards)
	}
	if s.AlreadyDone {
		fmt.Fprintf(&b, "%s: complete already, made from the same files with the same options\n", f.outName())
	}
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "split\tseen\twritten\trejected\tshards\tbytes\t")
	rejected, damaged := 0, 0
	for _, c := range s.Splits {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\t\n", c.Name, c.Seen, c.Written, c.Rejected, c.Shards, cli.FormatBytes(c.Bytes))
		rejected, damaged = rejected+c.Rejected, damaged+c.Damaged
	}
	table.Flush()
	if rejected > 0 && s.Task == nil {
		fmt.Fprintf(&b, "rejected:  %s says which and why\n", f.outFile("rejects.jsonl"))
	}
	if damaged > 0 && s.Task == nil {
		fmt.Fprintf(&b, "damaged:   %d of the written are of files that end too early; %s says which\n", damaged, f.outFile("damaged.jsonl"))
	}
	for _, c := range s.Splits {
		if c.Published > 0 {
			fmt.Fprintf(&b, "%-10s %s\n", c.Name+":", publishedText(c))
		}
	}
	fmt.Fprintf(&b, "classes:   %d\n", s.Classes)
	fmt.Fprintf(&b, "decoder:   %s\n", s.Decoder)
	fmt.Fprintf(&b, "filter:    %s\n", s.Filter)
	fmt.Fprintf(&b, "baseline:  %s\n", s.Baseline)
	if s.HasPCA {
		fmt.Fprintf(&b, "mean RGB:  %.2f %.2f %.2f\n", s.MeanRGB[0], s.MeanRGB[1], s.MeanRGB[2])
		fmt.Fprintf(&b, "colours:   standard deviations %.2f %.2f %.2f along the principal components\n", s.StdDev[0], s.StdDev[1], s.StdDev[2])
	}
	if s.Digest != "" {
		fmt.Fprintf(&b, "digest:    %s\n", s.Digest)
	}
	if s.Files > 0 && s.Decoded > 0 && s.Elapsed > 0 {
		each := func(d time.Duration, n int) time.Duration {
			return (d / time.Duration(n)).Round(time.Microsecond)
		}
		fmt.Fprintf(&b, "time:      %d files in %v, %.0f images/s\n", s.Files, s.Elapsed.Round(10*time.Millisecond), float64(s.Files)/s.Elapsed.Seconds())
		fmt.Fprintf(&b, "a file:    read %v, decode %v, resize %v, write %v\n",
			each(s.Read, s.Decoded), each(s.Decode, s.Decoded), each(s.Resize, s.Decoded), each(s.Write, s.Files))
	}
	if s.Task != nil {
		fmt.Fprintf(&b, "next:      when all %d tasks are done: ingest --merge --out %s\n", s.Task.Task.Count, f.outValue())
		return b.String()
	}
	next := "train --records " + f.outValue()
	if !slices.ContainsFunc(s.Splits, func(c convert.SplitSummary) bool { return c.Name == source.Train }) {
		next = "evaluate --records " + f.outValue() + " --checkpoint RUN"
	}
	fmt.Fprintf(&b, "next:      %s\n", next)
	return b.String()
}

// publishedText compares what was seen of a known set with what was published.
func publishedText(c convert.SplitSummary) string {
	seen := cli.FormatCount(c.Seen) + " seen, "
	switch d := c.Seen - c.Published; {
	case d < 0:
		return seen + fmt.Sprintf("%s fewer than the %s published", cli.FormatCount(-d), cli.FormatCount(c.Published))
	case d > 0:
		return seen + fmt.Sprintf("%s more than the %s published", cli.FormatCount(d), cli.FormatCount(c.Published))
	}
	return seen + "as published"
}
