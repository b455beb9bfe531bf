package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"alexnet/tools/cli"
)

// row is the layout of the table: part, what, figure, limit, status, note.
const row = "%-8s %-62s %14s %8s  %-7s  %s\n"

// print prints a result, and the heading before the first.
func (r *report) print(res result) {
	if len(r.Results) == 1 {
		fmt.Fprintf(r.out, row, "part", "what", "figure", "limit", "", "")
	}
	limit := ""
	if res.Limit != 0 {
		limit = figure(res.Limit)
	}
	value := ""
	if res.Value != 0 || res.Unit != "" || res.Limit != 0 {
		value = strings.TrimSpace(figure(res.Value) + " " + res.Unit)
	}
	var notes []string
	for _, n := range []string{res.Variant, res.details(), res.Note} {
		if n != "" {
			notes = append(notes, n)
		}
	}
	fmt.Fprintf(r.out, row, res.Part, res.What, value, limit, res.Status, strings.Join(notes, "; "))
}

// details says in words what else a result holds.
func (r *result) details() string {
	var words []string
	if r.StepMS > 0 {
		words = append(words, fmt.Sprintf("%.2f ms a step", r.StepMS))
	}
	if r.Share > 0 {
		words = append(words, fmt.Sprintf("%.1f %% of the peak", 100*r.Share))
	}
	if r.Fastest > 0 {
		words = append(words, fmt.Sprintf("%s to %s", figure(r.Slowest), figure(r.Fastest)))
	}
	return strings.Join(words, ", ")
}

// figure writes a number: rates in whole numbers, small ones with two significant digits.
func figure(x float64) string {
	a := math.Abs(x)
	switch {
	case x == 0:
		return "0"
	case a >= 1000:
		return cli.FormatCount(int64(math.Round(x)))
	case a >= 100:
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	case a >= 0.1:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.2g", x)
}

// markdown returns the tables for a README: where and when, the checks by part, speeds.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "`gpucheck` on %s", r.Date.Format("2 January 2006"))
	var names []string
	for name := range r.Facts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "; %s: %s", name, r.Facts[name])
	}
	fmt.Fprintf(&b, "; %s. %d checks, %d failed, %d skipped, in %.0f s.\n", r.Go, r.Checks, len(r.Failed), len(r.Skipped), r.Seconds)
	r.checksTable(&b)
	r.speedTable(&b)
	r.otherTable(&b)
	return b.String()
}

// checksTable counts the checks of each part and shows what came nearest to its limit.
func (r *report) checksTable(b *strings.Builder) {
	type count struct {
		part            string
		passed, failed  int
		nearest, of     float64
		what, complaint string
	}
	var counts []*count
	for _, res := range r.Results {
		if res.Status != passed && res.Status != failed {
			continue
		}
		i := slices.IndexFunc(counts, func(c *count) bool { return c.part == res.Part })
		if i < 0 {
			i = len(counts)
			counts = append(counts, &count{part: res.Part})
		}
		c := counts[i]
		if res.Status == passed {
			c.passed++
		} else {
			c.failed++
			c.complaint = cmp.Or(c.complaint, res.What)
		}
		if res.Limit > 0 && (c.of == 0 || res.Value/res.Limit > c.nearest/c.of) {
			c.nearest, c.of, c.what = res.Value, res.Limit, res.What
		}
	}
	if len(counts) == 0 {
		return
	}
	b.WriteString("\n| checks | passed | failed | nearest to its limit |\n| --- | --- | --- | --- |\n")
	for _, c := range counts {
		near := "-"
		if c.of > 0 {
			near = fmt.Sprintf("%s: %s of %s", c.what, figure(c.nearest), figure(c.of))
		}
		lost := fmt.Sprint(c.failed)
		if c.failed > 0 {
			lost += ": " + c.complaint
		}
		fmt.Fprintf(b, "| %s | %d | %s | %s |\n", c.part, c.passed, cell(lost), cell(near))
	}
}

// speedTable has a line for each precision and batch, ours beside theirs.
func (r *report) speedTable(b *strings.Builder) {
	for i, ours := range r.ours() {
		if i == 0 {
			b.WriteString("\n| training, synthetic | images/s | ms a step | of the peak | PyTorch's best | ratio |\n| --- | --- | --- | --- | --- | --- |\n")
		}
		share, other, ratio, name := "-", "-", "-", fmt.Sprintf("%s, batch %d", ours.Precision, ours.Batch)
		if ours.Variant != "" {
			name += ", " + ours.Variant
		}
		if ours.Share > 0 {
			share = fmt.Sprintf("%.1f %%", 100*ours.Share)
		}
		if theirs, ok := r.best(them, ours.Precision, ours.Batch); ok {
			other = fmt.Sprintf("%s (%s)", figure(theirs.Value), theirs.Variant)
			ratio = fmt.Sprintf("%.2f", ours.Value/theirs.Value)
		}
		fmt.Fprintf(b, "| %s | %s | %.2f | %s | %s | %s |\n", name, figure(ours.Value), ours.StepMS, share, cell(other), ratio)
	}
}

// otherTable has the other figures.
func (r *report) otherTable(b *strings.Builder) {
	first := true
	for _, res := range r.Results {
		if res.Status != measured && res.Status != met && res.Status != missed || res.Unit == "" || res.Program != "" ||
			res.Part == "ratio" || res.Part == "layers" || res.What == "time" {
			continue
		}
		if first {
			b.WriteString("\n| measured | figure | |\n| --- | --- | --- |\n")
			first = false
		}
		note := strings.Trim(res.details()+"; "+res.Note, "; ")
		if res.Status != measured {
			note = fmt.Sprintf("target %s: %s", figure(res.Limit), res.Status)
		}
		fmt.Fprintf(b, "| %s: %s | %s %s | %s |\n", res.Part, cell(res.What), figure(res.Value), res.Unit, cell(note))
	}
}

// cell makes a text fit into a table's cell.
func cell(text string) string {
	return strings.NewReplacer("|", "/", "\n", " ").Replace(text)
}
