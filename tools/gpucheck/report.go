package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// report gathers results and prints them as they come.
type report struct {
	f       *flags
	out     io.Writer
	Date    time.Time         `json:"date"`
	Source  string            `json:"source,omitempty"` // the commit that the program was built of
	Go      string            `json:"go"`
	System  string            `json:"system"`
	Facts   map[string]string `json:"facts"`
	Results []result          `json:"results"`
	Seconds float64           `json:"seconds"`
	Checks  int               `json:"checks"`
	Failed  []string          `json:"failed"`
	Skipped []string          `json:"skipped"`
	Targets int               `json:"targets"`
	Missed  []string          `json:"missed"`
}

func newReport(f *flags, out io.Writer) *report {
	return &report{f: f, out: out, Date: time.Now().UTC().Truncate(time.Second), Source: source(), Go: runtime.Version(),
		System: runtime.GOOS + "/" + runtime.GOARCH, Facts: map[string]string{}, Failed: []string{}, Skipped: []string{}, Missed: []string{}}
}

// source returns the commit that the program was built of, if it knows.
func source() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var commit, changed string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", changed"
		}
	}
	return commit + changed
}

// run runs a part. That it does not come to its end is a failure of its own, and the
// parts after it go on.
func (r *report) run(ctx context.Context, p part, launch launcher) {
	began := time.Now()
	err := launch(ctx, r.f, p, r.add)
	if err != nil {
		r.add(result{Part: p.name, What: "the part as a whole", Status: failed, Note: err.Error()})
	}
	r.add(result{Part: p.name, What: "time", Status: measured, Value: time.Since(began).Seconds(), Unit: "s"})
	r.Seconds += time.Since(began).Seconds()
}

// add takes a result, counts and prints it.
func (r *report) add(res result) {
	r.Results = append(r.Results, res)
	name := res.Part + ": " + res.What
	switch res.Status {
	case failed:
		r.Checks++
		r.Failed = append(r.Failed, name)
	case passed:
		r.Checks++
	case skipped:
		r.Skipped = append(r.Skipped, name)
	case missed:
		r.Targets++
		r.Missed = append(r.Missed, name)
	case met:
		r.Targets++
	}
	if res.Headline != "" {
		r.Facts[res.Headline] = res.Note
	}
	r.print(res)
}

// write writes the files that were asked for.
func (r *report) write() error {
	if r.f.JSON != "" {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(r.f.JSON, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	if r.f.Markdown != "" {
		return os.WriteFile(r.f.Markdown, []byte(r.markdown()), 0o644)
	}
	return nil
}

// summary prints the last lines, and returns an error when a check failed.
func (r *report) summary() error {
	fmt.Fprintf(r.out, "\n%d checks, %d failed, %d skipped; %d of %d targets met; %.0f s\n", r.Checks, len(r.Failed), len(r.Skipped),
		r.Targets-len(r.Missed), r.Targets, r.Seconds)
	if len(r.Missed) > 0 {
		fmt.Fprintf(r.out, "targets missed: %s\n", strings.Join(r.Missed, "; "))
	}
	if len(r.Failed) > 0 {
		return fmt.Errorf("%d of %d checks failed: %s", len(r.Failed), r.Checks, strings.Join(r.Failed, "; "))
	}
	return nil
}

// compare sets our speeds beside PyTorch's best of the same run.
func (r *report) compare() {
	rec := &recorder{part: "ratio", each: r.add}
	const wanted = 1.3 // the issue's
	for _, ours := range r.ours() {
		theirs, ok := r.best(them, ours.Precision, ours.Batch)
		if !ok {
			continue
		}
		what := fmt.Sprintf("ours over PyTorch, %s, batch %d", ours.Precision, ours.Batch)
		if ours.Precision == bf16 {
			rec.target(what, ours.Value/theirs.Value, wanted, "x")
		} else {
			rec.measure(what, ours.Value/theirs.Value, "x", theirs.Variant)
		}
	}
}

// ours returns our fastest training on synthetic batches of each precision and batch, in
// the order in which they were measured.
func (r *report) ours() []result {
	var list []result
	for _, res := range r.Results {
		known := slices.ContainsFunc(list, func(o result) bool { return o.Precision == res.Precision && o.Batch == res.Batch })
		if res.Program == us && !known {
			best, _ := r.best(us, res.Precision, res.Batch)
			list = append(list, best)
		}
	}
	return list
}

// best returns the fastest of a program's ways.
func (r *report) best(program, precision string, batch int) (best result, ok bool) {
	for _, res := range r.Results {
		if res.Program == program && res.Precision == precision && res.Batch == batch && res.Value > best.Value {
			best, ok = res, true
		}
	}
	return best, ok
}
