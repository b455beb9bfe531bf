package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
)

// report prints results as they come: a table, or one JSON object a line.
type report struct {
	w       io.Writer
	json    *json.Encoder
	result  bool // lines for a harness
	paced   bool // the consumer of the stream sets its speed
	results []result
}

func newReport(f *flags) *report {
	r := &report{w: f.stdout, result: f.Result, paced: f.Consume > 0}
	if f.JSON {
		r.json = json.NewEncoder(f.stdout)
	}
	return r
}

// tableRow is the layout of the table.
const tableRow = "%-8s %-8s %8s %12s %6s %8s %10s %7s  %s\n"

// heading writes the machine and, under it, the table's heading.
func heading(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s/%s, %d processors, %s\n\n"+tableRow,
		runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version(),
		"stage", "type", "images/s", "images/CPU-s", "GB/s", "of limit", "allocs/img", "threads", "what")
	return err
}

// add prints a result.
func (r *report) add(res result) error {
	if !r.paced {
		res.Kept, res.CPUKept = r.kept(res)
	}
	r.results = append(r.results, res)
	if r.json != nil {
		return errors.Join(r.json.Encode(res), r.profileLines(res))
	}
	if r.result {
		_, err := fmt.Fprintf(r.w, "RESULT alexnet_%s %d %d %.6f %.6f\n", res.harnessName(), res.Threads, res.Images, res.Seconds, res.CPU)
		return err
	}
	if len(r.results) == 1 {
		if err := heading(r.w); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(r.w, tableRow,
		res.Stage, orDash(res.Dtype, res.Dtype != ""), figures(res.Rate), orDash(figures(res.CPURate), res.CPURate > 0),
		figures(res.Rate*res.Moved/1e9), fmt.Sprintf("%.1f %%", 100*res.LimitRatio), allocations(res.Allocs),
		fmt.Sprint(res.Threads), res.Note+res.shares())
	return err
}

// harnessName is the stage, with its type and layout where they are not the
// usual ones.
func (r result) harnessName() string {
	name := r.Stage
	if r.Dtype != "" && r.Dtype != "float32" {
		name += "_" + r.Dtype
	}
	if r.Layout != "" && r.Layout != "nchw" {
		name += "_" + r.Layout
	}
	return name
}

// kept returns which part of its kernel's speed a stream has, and of its images
// a CPU second; 0 when unknown.
func (r *report) kept(res result) (kept, cpu float64) {
	for _, k := range r.results {
		if res.Stage != "stream" || k.Stage != "augment" || k.Dtype != res.Dtype || k.Layout != res.Layout {
			continue
		}
		kept = res.Rate / k.Rate
		if k.CPURate > 0 {
			cpu = res.CPURate / k.CPURate
		}
	}
	return kept, cpu
}

// shares says where the time went, for ingest.
func (r result) shares() string {
	total := r.Read + r.Decode + r.Resize + r.Write
	if total == 0 {
		return ""
	}
	share := func(name string, seconds float64) string { return fmt.Sprintf("%s %.1f %%", name, 100*seconds/total) }
	text := fmt.Sprintf("; %s a core; %s, %s, %s", figures(r.WallPerCore), share("read", r.Read), share("decode", r.Decode), share("resize", r.Resize))
	if r.Write > 0 {
		text += ", " + share("write", r.Write)
	}
	return text
}

// end prints what the columns mean, and what stages found out besides.
func (r *report) end() error {
	if r.json != nil || r.result || len(r.results) == 0 {
		return nil
	}
	least, most := math.Inf(1), 0.0
	for _, res := range r.results {
		least, most = min(least, res.Copy), max(most, res.Copy)
	}
	limit := figures(least / 1e9)
	if high := figures(most / 1e9); high != limit {
		limit += " to " + high
	}
	if _, err := fmt.Fprintf(r.w, "\nGB/s counts what each stage reads and writes: see bench --help. The limit, what copying moved just before it, was %s GB/s.\n", limit); err != nil {
		return err
	}
	for _, res := range r.results {
		if res.Kept == 0 {
			continue
		}
		cpu := ""
		if res.CPUKept > 0 {
			cpu = fmt.Sprintf(", %.1f %% a CPU second", 100*res.CPUKept)
		}
		if _, err := fmt.Fprintf(r.w, "The stream of %s keeps %.1f %% of its kernel's images a second%s.\n", res.Dtype, 100*res.Kept, cpu); err != nil {
			return err
		}
	}
	for _, res := range r.results {
		if err := profileTable(r.w, res); err != nil {
			return err
		}
		if res.Diagnosis == nil {
			continue
		}
		if err := doctor(r.w, fmt.Sprintf("%s, %s", res.Stage, res.Dtype), *res.Diagnosis); err != nil {
			return err
		}
	}
	return nil
}

// orDash returns text, or a dash where nothing is known.
func orDash(text string, known bool) string {
	if known {
		return text
	}
	return "-"
}

// allocations writes a number of allocations an image: 0 for what a steady
// state has, in which only an epoch's beginning allocates.
func allocations(x float64) string {
	if x >= 100 {
		return figures(x)
	}
	if x < 0.005 {
		return "0"
	}
	return fmt.Sprintf("%.2f", x)
}

// figures writes a rate with three or more significant figures.
func figures(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}
