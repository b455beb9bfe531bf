package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
)

// report prints results as they come: a table, or one JSON object a line.
type report struct {
	w      io.Writer
	json   *json.Encoder
	result bool // lines for a harness
	rows   int
}

func newReport(f *flags) *report {
	r := &report{w: f.stdout, result: f.Result}
	if f.JSON {
		r.json = json.NewEncoder(f.stdout)
	}
	return r
}

// add prints a result.
func (r *report) add(res result) error {
	if r.json != nil {
		return r.json.Encode(res)
	}
	if r.result {
		_, err := fmt.Fprintf(r.w, "RESULT alexnet_%s %d %d %.6f %.6f\n", res.Stage, res.Threads, res.Images, res.Seconds, res.CPU)
		return err
	}
	if r.rows++; r.rows == 1 {
		_, err := fmt.Fprintf(r.w, "%s/%s, %d processors, %s\n\n%-8s %12s %18s %10s %8s  %s\n",
			runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version(),
			"stage", "images/s", "images/CPU-second", "MB/s", "threads", "what")
		if err != nil {
			return err
		}
	}
	cpu := "-"
	if res.CPURate > 0 {
		cpu = figures(res.CPURate)
	}
	_, err := fmt.Fprintf(r.w, "%-8s %12s %18s %10s %8d  %s\n",
		res.Stage, figures(res.Rate), cpu, figures(res.Bytes/1e6), res.Threads, res.Note+res.shares())
	return err
}

// shares says where the time went, for ingest.
func (r result) shares() string {
	total := r.Read + r.Decode + r.Resize + r.Write
	if total == 0 {
		return ""
	}
	share := func(name string, seconds float64) string { return fmt.Sprintf("%s %.1f %%", name, 100*seconds/total) }
	text := fmt.Sprintf("; %s a core; %s, %s, %s", figures(r.PerCore), share("read", r.Read), share("decode", r.Decode), share("resize", r.Resize))
	if r.Write > 0 {
		text += ", " + share("write", r.Write)
	}
	return text
}

// end prints what the columns mean.
func (r *report) end() error {
	if r.json != nil || r.result {
		return nil
	}
	_, err := fmt.Fprintln(r.w, "\nMB/s counts what each stage reads or makes: see bench --help.")
	return err
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
