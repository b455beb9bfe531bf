package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPairUp(t *testing.T) {
	earlier := []result{
		{Stage: "read", Workers: 2, Rate: 1, CPURate: 1},
		{Stage: "read", Workers: 2, Rate: 100, CPURate: 50, Note: "x"}, // the last counts
		{Stage: "stream", Dtype: "float32", Workers: 2, Rate: 10, CPURate: 5},
		{Stage: "train", Workers: 2, Rate: 7},
	}
	now := []result{
		{Stage: "read", Workers: 2, Rate: 150, CPURate: 40, Note: "x"},
		{Stage: "stream", Dtype: "float16", Workers: 2, Rate: 20, CPURate: 9},
		{Stage: "train", Workers: 2, Rate: 14, CPURate: 3, Note: "y"},
	}
	got := pairUp(earlier, now)
	for i := range got {
		got[i].note = ""
	}
	want := []comparison{
		{Compared: "both", Stage: "read", Workers: 2, Before: 100, After: 150, Ratio: 1.5, CPUBefore: 50, CPUAfter: 40, CPURatio: 0.8},
		{Compared: "new", Stage: "stream", Dtype: "float16", Workers: 2, After: 20, CPUAfter: 9},
		{Compared: "both", Stage: "train", Workers: 2, Before: 7, After: 14, Ratio: 2, CPUAfter: 3},
		{Compared: "missing", Stage: "stream", Dtype: "float32", Workers: 2, Before: 10, CPUBefore: 5},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
}

// TestCompare compares with a run of the command itself, which the comparing
// run's own output, comparison and all, can be the next.
func TestCompare(t *testing.T) {
	args := []string{"--net", "alexnet-small", "--size", "66", "--stage", "augment", "--time", "1ms"}
	_, before, _ := run(t, append(args, "--json", "--dtype", "all")...)
	file := filepath.Join(t.TempDir(), "before.jsonl")
	write(t, file, []byte(before+"\n"))
	status, stdout, stderr := run(t, append(args, "--compare", file)...)
	if status != 0 || strings.Count(stdout, "missing\n") != 3 || !strings.Contains(stdout, "\n  augment  float32  nchw     128 ") || strings.Contains(stdout, "not the same") {
		t.Errorf("status %d, %s, %s", status, stderr, stdout)
	}
	status, after, stderr := run(t, append(args, "--compare", file, "--json", "--dtype", "stored")...)
	if status != 0 || strings.Count(after, `"compared":"missing"`) != 3 || strings.Count(after, `"compared":"both"`) != 1 || !strings.Contains(after, `"images_per_second_ratio":`) {
		t.Errorf("status %d, %s, %s", status, stderr, after)
	}
	write(t, file, []byte(after))
	status, stdout, stderr = run(t, "--net", "alexnet-small", "--size", "72", "--stage", "augment", "--time", "1ms", "--dtype", "stored", "--compare", file)
	if status != 0 || strings.Contains(stdout, "missing") || !strings.Contains(stdout, "not the same work; before it was: 64 x 64 nchw, from rows in memory, 3x66x66") {
		t.Errorf("status %d, %s, %s", status, stderr, stdout)
	}
}

func TestCompareErrors(t *testing.T) {
	const good = `{"stage":"read","images_per_second":5}` + "\n"
	for _, tt := range []struct{ text, want string }{
		{"", "it holds no results"},
		{"\n\n", "it holds no results"},
		{good + "stage read\n", "line 2 is not a result of bench --json: invalid character"},
		{good + "\n" + `{"images_per_second":5}`, `line 3 is not a result of bench --json: it has no "stage"`},
		{`{"stage":"read"}`, `line 1 is not a result of bench --json: its "images_per_second" are missing`},
		{`{"stage":"read","images_per_second":-1}`, `line 1 is not a result`},
		{`{"stage":"read","images_per_second":"fast"}`, `line 1 is not a result`},
		{good + `[1]`, `line 2 is not a result`},
		{good + `{"stage":"` + strings.Repeat("x", 1<<20) + `"}`, "line 2: bufio.Scanner: token too long"},
	} {
		file := filepath.Join(t.TempDir(), "earlier.jsonl")
		if err := os.WriteFile(file, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := run(t, "--stage", "augment", "--size", "66", "--compare", file)
		if status != 1 || stdout != "" || !strings.Contains(stderr, "bench: --compare: "+file+": "+tt.want) {
			t.Errorf("%.80q: status %d, %q", tt.text, status, stderr)
		}
	}
}
