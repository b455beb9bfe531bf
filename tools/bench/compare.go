package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// readResults reads the lines that --json wrote.
func readResults(path string) ([]result, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--compare: %w", err)
	}
	defer file.Close()
	list, err := parseResults(file)
	if err != nil {
		return nil, fmt.Errorf("--compare: %s: %w", path, err)
	}
	return list, nil
}

// parseResults parses the lines of --json. Those of --compare itself and of
// --profile, which may be among them, do not count.
func parseResults(r io.Reader) ([]result, error) {
	const longest = 1 << 20
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longest)
	var list []result
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var parsed struct {
			result
			Compared string `json:"compared"`
			Profile  string `json:"profile"`
		}
		err := json.Unmarshal(line, &parsed)
		switch {
		case err != nil:
		case parsed.Compared != "", parsed.Profile != "":
			continue
		case parsed.Stage == "":
			err = errors.New(`it has no "stage"`)
		case parsed.Rate <= 0:
			err = errors.New(`its "images_per_second" are missing, or not more than 0`)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d is not a result of bench --json: %w", n, err)
		}
		list = append(list, parsed.result)
	}
	switch err := lines.Err(); {
	case err != nil:
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	case len(list) == 0:
		return nil, errors.New("it holds no results: write them with bench --json")
	}
	return list, nil
}

// comparison is a stage before and now. The JSON names are the format of
// --compare with --json.
type comparison struct {
	// Compared is "both", "new" for a stage that only this run has, or "missing"
	// for one that only the earlier run has.
	Compared string `json:"compared"`
	Stage    string `json:"stage"`
	Dtype    string `json:"dtype,omitempty"`
	Layout   string `json:"layout,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	Workers  int    `json:"workers"`
	// Rates in images a CPU second and a second; 0 where there is none.
	CPUBefore float64 `json:"images_per_cpu_second_before,omitempty"`
	CPUAfter  float64 `json:"images_per_cpu_second_after,omitempty"`
	CPURatio  float64 `json:"images_per_cpu_second_ratio,omitempty"`
	Before    float64 `json:"images_per_second_before,omitempty"`
	After     float64 `json:"images_per_second_after,omitempty"`
	Ratio     float64 `json:"images_per_second_ratio,omitempty"`
	// NoteBefore is what the earlier run says it measured, where that is not what
	// this one says: other records, another net.
	NoteBefore string `json:"note_before,omitempty"`

	note string
}

// pairUp compares results with earlier ones: those of this run in their order,
// then the earlier ones that have no partner. The last of several equal ones
// counts.
func pairUp(earlier, now []result) []comparison {
	var list []comparison
	at := map[comparison]int{}
	entry := func(r result) *comparison {
		key := comparison{Stage: r.Stage, Dtype: r.Dtype, Layout: r.Layout, Batch: r.Batch, Workers: r.Workers}
		i, ok := at[key]
		if !ok {
			i = len(list)
			at[key] = i
			list = append(list, key)
		}
		return &list[i]
	}
	for _, r := range now {
		c := entry(r)
		c.After, c.CPUAfter, c.note = r.Rate, r.CPURate, r.Note
	}
	for _, r := range earlier {
		c := entry(r)
		c.Before, c.CPUBefore, c.NoteBefore = r.Rate, r.CPURate, r.Note
	}
	for i := range list {
		c := &list[i]
		switch {
		case c.Before == 0:
			c.Compared = "new"
			continue
		case c.After == 0:
			c.Compared = "missing"
			continue
		}
		c.Compared, c.Ratio = "both", c.After/c.Before
		if c.NoteBefore == c.note {
			c.NoteBefore = ""
		}
		if c.CPUBefore > 0 {
			c.CPURatio = c.CPUAfter / c.CPUBefore
		}
	}
	return list
}

// compare prints how the results differ from the earlier ones.
func (b *bench) compare(now []result) error {
	list := pairUp(b.earlier, now)
	if b.JSON {
		out := json.NewEncoder(b.stdout)
		for _, c := range list {
			if err := out.Encode(c); err != nil {
				return err
			}
		}
		return nil
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\nCompared with %s:\n", b.Compare)
	fmt.Fprintf(&text, "  %-39s   %27s   %27s\n", "", "images a CPU second", "images a second")
	fmt.Fprintf(&text, "  %-8s %-8s %-6s %5s %8s   %9s %9s %7s   %9s %9s %7s\n",
		"stage", "type", "layout", "batch", "workers", "before", "now", "ratio", "before", "now", "ratio")
	for _, c := range list {
		rate := func(x float64) string { return orDash(figures(x), x > 0) }
		ratio := func(x float64) string { return orDash(fmt.Sprintf("%.3f", x), x > 0) }
		remark := ""
		switch {
		case c.Compared != "both":
			remark = "  " + c.Compared
		case c.NoteBefore != "":
			remark = "\n           not the same work; before it was: " + c.NoteBefore
		}
		fmt.Fprintf(&text, "  %-8s %-8s %-6s %5s %8d   %9s %9s %7s   %9s %9s %7s%s\n",
			c.Stage, orDash(c.Dtype, c.Dtype != ""), orDash(c.Layout, c.Layout != ""), orDash(fmt.Sprint(c.Batch), c.Batch > 0), c.Workers,
			rate(c.CPUBefore), rate(c.CPUAfter), ratio(c.CPURatio), rate(c.Before), rate(c.After), ratio(c.Ratio), remark)
	}
	_, err := io.WriteString(b.stdout, text.String())
	return err
}
