package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"alexnet/tools/cli"
)

// run runs the command and returns its exit status and outputs. It checks that
// no made-up records stay behind.
func run(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	temporary := t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, temporary)
	}
	var out, errs bytes.Buffer
	status = cli.Run(t.Context(), "bench", description, &flags{stdout: &out, stderr: &errs}, args, &out, &errs)
	left, err := os.ReadDir(temporary)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return status, out.String(), errs.String()
}

// results parses the lines of --json.
func results(t *testing.T, stdout string) []result {
	t.Helper()
	var list []result
	for line := range strings.Lines(stdout) {
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, r)
	}
	return list
}

// perImage is what a stage's bytes come to for one image.
func perImage(r result) float64 { return r.Bytes / r.Rate }

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b) }

func TestAllStages(t *testing.T) {
	status, stdout, stderr := run(t, "--net", "alexnet-small", "--size", "72", "--batch", "8", "--time", "20ms", "--workers", "2", "--json")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, %s", status, stderr)
	}
	want := []struct {
		stage string
		bytes float64
		note  string
	}{
		{"read", 2 * 3 * 72 * 72, "3x72x72 int16, none, made up"},
		{"augment", 4 * 3 * 64 * 64, "3x72x72 to 64 x 64 float32"},
		{"stream", 4 * 3 * 64 * 64, "batches of 8, 64 x 64, from 3x72x72 int16, none, made up"},
		{"train", 4 * 3 * 64 * 64, "alexnet-small on the CPU, batches of noise of 8"},
	}
	got := results(t, stdout)
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), stdout)
	}
	for i, r := range got {
		if r.Stage != want[i].stage || r.Note != want[i].note || !near(perImage(r), want[i].bytes) {
			t.Errorf("line %d: %+v, %v bytes an image, want %+v", i, r, perImage(r), want[i])
		}
		if r.Images < 1 || !near(r.Rate, float64(r.Images)/r.Seconds) {
			t.Errorf("%s: %d images in %v s are not %v a second", r.Stage, r.Images, r.Seconds, r.Rate)
		}
		if r.CPU > 0 && !near(r.CPURate, float64(r.Images)/r.CPU) {
			t.Errorf("%s: %d images in %v CPU seconds are not %v a second", r.Stage, r.Images, r.CPU, r.CPURate)
		}
	}
}

// TestRecords measures real records, of another split's name, and trains on
// them.
func TestRecords(t *testing.T) {
	dir := t.TempDir()
	if err := makeUpRecords(dir, "val", 66, 3); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := run(t, "--records", dir, "--split", "val", "--stage", "train", "--net", "alexnet-small", "--batch", "4", "--time", "0s", "--json")
	got := results(t, stdout)
	if status != 0 || len(got) != 1 || got[0].Stage != "train" || got[0].Images != 4 ||
		got[0].Note != "alexnet-small on the CPU, streamed batches of 4" {
		t.Errorf("status %d, %s, %+v", status, stderr, got)
	}
}

// TestIngest decodes three pictures and passes over one that is none.
func TestIngest(t *testing.T) {
	src := t.TempDir()
	size := 0
	for i := range 3 {
		var file bytes.Buffer
		m := image.NewRGBA(image.Rect(0, 0, 40, 30+i))
		m.Set(i, i, color.RGBA{R: 200, A: 255})
		if err := png.Encode(&file, m); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(src, "train", "n00000001", fmt.Sprintf("n00000001_%d.JPEG", i)), file.Bytes())
		size += file.Len()
	}
	args := []string{"--stage", "ingest", "--src", src, "--size", "16", "--jobs", "1", "--time", "30ms"}
	status, stdout, stderr := run(t, append(args, "--json")...)
	got := results(t, stdout)
	if status != 0 || len(got) != 1 || got[0].Stage != "ingest" || got[0].Images < 1 || !strings.HasSuffix(got[0].Note, ", to 16 x 16") {
		t.Fatalf("status %d, %s, %+v", status, stderr, got)
	}
	if b := perImage(got[0]); b < float64(size)/3-20 || b > float64(size)/3+20 {
		t.Errorf("%v bytes an image, want about %d", b, size/3)
	}

	r := got[0]
	if r.Read <= 0 || r.Decode <= 0 || r.Resize <= 0 || r.Write != 0 || r.Read+r.Decode+r.Resize > r.Seconds || !near(r.PerCore, r.Rate) {
		t.Errorf("the parts of %+v", r)
	}
	_, stdout, _ = run(t, append(args, "--json", "--preload")...)
	if got := results(t, stdout); len(got) != 1 || !strings.HasSuffix(got[0].Note, ", from memory") || got[0].Read >= got[0].Decode {
		t.Errorf("--preload: %s", stdout)
	}
	_, stdout, _ = run(t, append(args, "--json", "--write", "--preload")...)
	if got := results(t, stdout); len(got) != 1 || got[0].Images != 3 || got[0].Write <= 0 || got[0].Decode <= 0 || !near(perImage(got[0]), float64(size)/3) {
		t.Errorf("--write: %s", stdout)
	}
	_, stdout, _ = run(t, append(args, "--result")...)
	var threads, images int
	var wall, cpu float64
	if n, err := fmt.Sscanf(stdout, "RESULT alexnet_ingest %d %d %f %f\n", &threads, &images, &wall, &cpu); n != 4 || err != nil ||
		threads != 1 || images < 1 || wall < 0.03 || strings.Count(stdout, "\n") != 1 {
		t.Errorf("--result: %q", stdout)
	}
	_, stdout, _ = run(t, args...)
	for _, want := range []string{" a core; read ", " %, decode ", " %, resize "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the table lacks %q:\n%s", want, stdout)
		}
	}

	bad := t.TempDir()
	write(t, filepath.Join(bad, "train", "n00000001", "n00000001_1.JPEG"), []byte("<html>not found</html>"))
	status, _, stderr = run(t, "--stage", "ingest", "--src", bad, "--time", "1ms")
	if want := "bench: ingest: no picture of " + bad + " could be decoded in the time\n"; status != 1 || stderr != want {
		t.Errorf("status %d, %q, want %q", status, stderr, want)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTable(t *testing.T) {
	status, stdout, stderr := run(t, "--net", "alexnet-small", "--size", "72", "--stage", "augment", "--time", "1ms")
	if status != 0 {
		t.Fatalf("status %d, %s", status, stderr)
	}
	lines := strings.Split(stdout, "\n")
	if len(lines) != 7 || strings.Join(strings.Fields(lines[2]), " ") != "stage images/s images/CPU-second MB/s threads what" ||
		!strings.HasPrefix(lines[3], "augment ") || !strings.HasSuffix(lines[3], "3x72x72 to 64 x 64 float32") {
		t.Errorf("table:\n%s", stdout)
	}
	var table bytes.Buffer
	r := newReport(&flags{stdout: &table})
	if err := r.add(result{Stage: "read", Rate: 1234.5, Bytes: 2.5e6, Threads: 3, Note: "x"}); err != nil {
		t.Fatal(err)
	}
	if want := "read             1234                  -       2.50        3  x\n"; !strings.HasSuffix(table.String(), want) {
		t.Errorf("row without CPU time:\n%swant %s", table.String(), want)
	}
}

func TestErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	tests := []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--stage", "ingest"}, 2, "--stage ingest needs pictures: give --src"},
		{[]string{"--result", "--json"}, 2, "--result and --json exclude each other"},
		{[]string{"--batch", "0"}, 2, "--batch 0: must be at least 1"},
		{[]string{"--size", "0"}, 2, "--size 0: must lie between 1 and 4096"},
		{[]string{"--time=-1s"}, 2, "--time -1s: must not be negative"},
		{[]string{"--stage", "decode"}, 2, `must be one of "all","ingest","read","augment","stream","train"`},
		{[]string{"--net", "vgg", "--size", "8"}, 2, `--net: `},
		{[]string{"--records", missing}, 1, missing},
		{[]string{"--stage", "augment", "--size", "100"}, 1, "augment: augment: crop of 224 pixels is larger than the pictures, which are 100 x 100"},
		{[]string{"--stage", "stream", "--size", "100"}, 1, "stream: pipeline: Crop: augment: crop of 224 pixels is larger"},
	}
	for _, tt := range tests {
		status, _, stderr := run(t, tt.args...)
		if status != tt.status || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: status %d, %q, want %d and %q", tt.args, status, stderr, tt.status, tt.want)
		}
	}
}

// TestInterrupted wants an error, not a result of half a measurement.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	status := cli.Run(ctx, "bench", description, &flags{stdout: &out, stderr: &errs}, []string{"--size", "72", "--net", "alexnet-small"}, &out, &errs)
	if status != 1 || !strings.Contains(errs.String(), "read: context canceled") || out.Len() != 0 {
		t.Errorf("status %d, %q, %q", status, errs.String(), out.String())
	}
}

func TestCPUTime(t *testing.T) {
	before, ok := cpuTime()
	if !ok {
		t.Skip("this system does not tell the CPU time of a process")
	}
	sum := 0
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		for i := range 1000 {
			sum += i
		}
		if now, _ := cpuTime(); now > before {
			return
		}
	}
	t.Errorf("10 s of work (%d) took no CPU time", sum)
}
