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

	"alexnet/records"
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

// The stage train in bfloat16 is a result of its own.
func TestPrecision(t *testing.T) {
	status, stdout, stderr := run(t, "--stage", "train", "--net", "alexnet-small", "--batch", "8", "--time", "20ms", "--precision", "bf16", "--json")
	if status != 0 {
		if !strings.Contains(stderr, "precision bf16: ") || !strings.Contains(stderr, "use precision fp32") {
			t.Errorf("status %d, %s", status, stderr)
		}
		t.Skip(stderr)
	}
	if r := results(t, stdout); len(r) != 1 || r[0].Dtype != "bfloat16" || r[0].harnessName() != "train_bfloat16" || !strings.Contains(r[0].Note, ", bf16, ") {
		t.Errorf("results %+v", r)
	}
}

func TestAllStages(t *testing.T) {
	status, stdout, stderr := run(t, "--net", "alexnet-small", "--size", "72", "--batch", "8", "--time", "20ms", "--workers", "2", "--threads", "2", "--json")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, %s", status, stderr)
	}
	const crop = 3 * 64 * 64
	want := []result{
		{Stage: "read", Bytes: 2 * 3 * 72 * 72, Moved: 2 * 3 * 72 * 72, Note: "3x72x72 int16, made up"},
		{Stage: "augment", Dtype: "float32", Layout: "nchw", Batch: 8, Bytes: 4 * crop, Moved: 6 * crop, Note: "64 x 64 nchw, from rows in memory, 3x72x72 int16, made up"},
		{Stage: "stream", Dtype: "float32", Layout: "nchw", Batch: 8, Bytes: 4 * crop, Moved: 6 * crop, Note: "batches of 8, 64 x 64 nchw, from 3x72x72 int16, made up"},
		{Stage: "train", Dtype: "float32", Layout: "nchw", Batch: 8, Bytes: 4 * crop, Moved: 4 * crop, Note: "alexnet-small, batches of noise of 8; CPU: "},
	}
	got := results(t, stdout)
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), stdout)
	}
	for i, r := range got {
		w := want[i]
		if r.Stage != w.Stage || !strings.HasPrefix(r.Note, w.Note) || !near(perImage(r), w.Bytes) || r.Moved != w.Moved ||
			r.Dtype != w.Dtype || r.Layout != w.Layout || r.Batch != w.Batch || r.Workers != 2 {
			t.Errorf("line %d: %+v, %v bytes an image, want %+v", i, r, perImage(r), w)
		}
		if r.Images < 1 || !near(r.Rate, float64(r.Images)/r.Seconds) {
			t.Errorf("%s: %d images in %v s are not %v a second", r.Stage, r.Images, r.Seconds, r.Rate)
		}
		if r.CPU > 0 && (!near(r.CPURate, float64(r.Images)/r.CPU) || r.PerCore != r.CPURate) {
			t.Errorf("%s: %d images in %v CPU seconds are not %v a second", r.Stage, r.Images, r.CPU, r.CPURate)
		}
		if r.Copy <= 0 || !near(r.LimitRatio, r.Rate*r.Moved/r.Copy) {
			t.Errorf("%s: %v images/s of %v bytes are not %v of %v bytes/s", r.Stage, r.Rate, r.Moved, r.LimitRatio, r.Copy)
		}
		if (r.Diagnosis != nil) != (r.Stage == "stream") || (r.Kept > 0) != (r.Stage == "stream") {
			t.Errorf("%s: diagnosis %v, keeps %v", r.Stage, r.Diagnosis, r.Kept)
		}
	}
}

// TestKeys holds the names that --json has.
func TestKeys(t *testing.T) {
	_, stdout, _ := run(t, "--stage", "stream", "--net", "alexnet-small", "--size", "66", "--batch", "4", "--time", "1ms", "--json")
	var object map[string]any
	if err := json.Unmarshal([]byte(stdout), &object); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"stage", "images_per_second", "images_per_core", "bytes_per_second", "images", "seconds", "threads",
		"images_per_second_per_core", "limit_ratio", "copy_bytes_per_second", "bytes_moved_per_image", "allocs_per_image",
		"dtype", "layout", "batch", "workers", "diagnosis", "note",
	} {
		if _, ok := object[key]; !ok {
			t.Errorf("no %q in %s", key, stdout)
		}
	}
	if d, _ := object["diagnosis"].(map[string]any); d["verdict"] == "" || d["limit"] == nil {
		t.Errorf("diagnosis: %v", d)
	}
}

// TestTypes goes through all types, of uint8 records, in the other layout.
func TestTypes(t *testing.T) {
	args := []string{"--net", "alexnet-small", "--size", "66", "--batch", "5", "--time", "1ms", "--dtype", "all", "--layout", "nhwc", "--pixels", "uint8"}
	for _, name := range []string{"augment", "stream"} {
		status, stdout, stderr := run(t, append(args, "--stage", name, "--json")...)
		got := results(t, stdout)
		if status != 0 || len(got) != 4 {
			t.Fatalf("status %d, %s, %s", status, stderr, stdout)
		}
		for i, want := range []struct {
			dtype string
			size  float64
		}{{"float32", 4}, {"float16", 2}, {"bfloat16", 2}, {"stored", 1}} {
			r := got[i]
			if r.Dtype != want.dtype || r.Layout != "nhwc" || !near(perImage(r), want.size*3*64*64) || r.Moved != (want.size+1)*3*64*64 {
				t.Errorf("%s: %+v, %v bytes an image, want %+v", name, r, perImage(r), want)
			}
		}
	}
	_, stdout, _ := run(t, append(args, "--stage", "augment", "--result")...)
	for _, want := range []string{"RESULT alexnet_augment_nhwc ", "RESULT alexnet_augment_float16_nhwc ", "RESULT alexnet_augment_stored_nhwc "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("--result lacks %q:\n%s", want, stdout)
		}
	}
}

// TestRecords measures real records, of another split's name, and trains on
// them.
func TestRecords(t *testing.T) {
	dir := t.TempDir()
	if err := makeUpRecords(dir, "val", 66, records.Int16, records.None, 3); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := run(t, "--records", dir, "--split", "val", "--stage", "train", "--net", "alexnet-small", "--batch", "4", "--time", "0s", "--json")
	got := results(t, stdout)
	if status != 0 || len(got) != 1 || got[0].Stage != "train" || got[0].Images != 4 || got[0].Diagnosis == nil ||
		!strings.HasPrefix(got[0].Note, "alexnet-small, streamed batches of 4; CPU: ") {
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
	if r.Read <= 0 || r.Decode <= 0 || r.Resize <= 0 || r.Write != 0 || r.Read+r.Decode+r.Resize > r.Seconds || !near(r.WallPerCore, r.Rate) {
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
	status, stdout, stderr := run(t, "--net", "alexnet-small", "--size", "72", "--stage", "stream", "--time", "1ms", "--dtype", "bfloat16")
	if status != 0 {
		t.Fatalf("status %d, %s", status, stderr)
	}
	lines := strings.Split(stdout, "\n")
	if len(lines) < 15 || strings.Join(strings.Fields(lines[2]), " ") != "stage type images/s images/CPU-s GB/s of limit allocs/img threads what" ||
		!strings.HasPrefix(lines[3], "stream   bfloat16 ") || !strings.HasSuffix(lines[3], "batches of 128, 64 x 64 nchw, from 3x72x72 int16, made up") {
		t.Fatalf("table:\n%s", stdout)
	}
	for i, name := range []string{"order", "fetch", "read", "augment", "consumer"} {
		if !strings.HasPrefix(lines[9+i], "  "+name) || !strings.Contains(lines[9+i], " %") {
			t.Errorf("doctor:\n%s", stdout)
		}
	}
	for _, line := range lines {
		if len(line) > 140 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	var table bytes.Buffer
	r := newReport(&flags{stdout: &table})
	if err := r.add(result{Stage: "read", Rate: 1234.5, Moved: 2.5e6, LimitRatio: 0.25, Allocs: 0.004, Threads: 3, Note: "x"}); err != nil {
		t.Fatal(err)
	}
	if want := "read     -            1234            -   3.09   25.0 %          0       3  x\n"; !strings.HasSuffix(table.String(), want) {
		t.Errorf("row without CPU time:\n%swant\n%s", table.String(), want)
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
		{[]string{"--workers=-1"}, 2, "--workers -1: must not be negative"},
		{[]string{"--images=-1"}, 2, "--images -1: must not be negative"},
		{[]string{"--soak=-1s"}, 2, "--soak -1s: must not be negative"},
		{[]string{"--consume=-1"}, 2, "--consume -1: must not be negative"},
		{[]string{"--consume=NaN"}, 2, "--consume NaN: must not be negative"},
		{[]string{"--cache=much"}, 2, `"much" is not a size`},
		{[]string{"--dtype", "int4"}, 2, `"float32","float16","bfloat16","stored","all"`},
		{[]string{"--layout", "chwn"}, 2, `unknown layout "chwn": use nchw or nhwc`},
		{[]string{"--shuffle", "none"}, 2, `unknown shuffle "none": use global or block`},
		{[]string{"--on-corrupt", "mend"}, 2, `use stop or skip`},
		{[]string{"--stage", "read", "--dtype", "all"}, 2, "--dtype all: the stage read has no type to choose"},
		{[]string{"--window", "5"}, 2, "--window is for --shuffle block"},
		{[]string{"--rank", "1"}, 2, "--rank 1: of how many? give --world"},
		{[]string{"--rank", "2", "--world", "2"}, 2, "--rank 2: the ranks of --world 2 are 0 to 1"},
		{[]string{"--batch", "2", "--world", "3"}, 2, "--world 3: batches of 2 have no image for each rank"},
		{[]string{"--pixels", "uint8", "--records", missing}, 2, "--pixels is for made-up records"},
		{[]string{"--result", "--compare", missing}, 2, "--result and --compare exclude each other"},
		{[]string{"--soak", "1s", "--images", "5"}, 2, "--soak and --images exclude each other"},
		{[]string{"--check-epoch", "--sweep"}, 2, "--check-epoch and --sweep exclude each other"},
		{[]string{"--sweep", "--result"}, 2, "--sweep and --result exclude each other"},
		{[]string{"--sweep", "--workers", "2"}, 2, "--sweep and --workers exclude each other"},
		{[]string{"--sweep", "--batch", "2"}, 2, "--sweep and --batch exclude each other"},
		{[]string{"--soak", "1s", "--dtype", "all"}, 2, "--soak and --dtype all exclude each other"},
		{[]string{"--images", "1", "--stage", "train"}, 2, "--images and --stage train exclude each other"},
		{[]string{"--check-epoch", "--dtype", "float16"}, 2, "--check-epoch and --dtype exclude each other"},
		{[]string{"--check-epoch", "--rank", "1", "--world", "2"}, 2, "--check-epoch and --rank exclude each other"},
		{[]string{"--check-epoch", "--batch", "4"}, 2, "--batch 4: --check-epoch needs an image for each of 8 ranks"},
		{[]string{"--compare", missing}, 1, missing},
		{[]string{"--stage", "decode"}, 2, `must be one of "all","ingest","read","augment","stream","train"`},
		{[]string{"--net", "vgg", "--size", "8"}, 2, `--net: `},
		{[]string{"--records", missing}, 1, missing},
		{[]string{"--stage", "augment", "--size", "100"}, 1, "records of 100x100 are too small for the 224x224 crops of net alexnet"},
		{[]string{"--stage", "stream", "--size", "100"}, 1, "records of 100x100 are too small for the 224x224 crops of net alexnet"},
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
	for _, tt := range []struct{ args, want string }{
		{"--stage all", "bench: interrupted: read: context canceled"},
		{"--check-epoch", "bench: interrupted: check-epoch: world 1: rank 0: pipeline: stopped: context canceled"},
		{"--sweep", "bench: interrupted: batches of 32, 1 workers: stream: context canceled"},
		{"--soak 1h", "bench: interrupted: soak: after 0 images: context canceled"},
	} {
		var out, errs bytes.Buffer
		args := append(strings.Fields(tt.args), "--size", "66", "--net", "alexnet-small", "--json")
		status := cli.Run(ctx, "bench", description, &flags{stdout: &out, stderr: &errs}, args, &out, &errs)
		if status != 1 || !strings.Contains(errs.String(), tt.want) || out.Len() != 0 {
			t.Errorf("%s: status %d, %q, %q", tt.args, status, errs.String(), out.String())
		}
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

// Where no stage cuts crops, records may be smaller than the net's.
func TestSmallRecords(t *testing.T) {
	if status, _, stderr := run(t, "--stage", "read", "--size", "40", "--time", "1ms"); status != cli.Done {
		t.Errorf("status %d, %s", status, stderr)
	}
}
