package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"alexnet/ingest/convert"
	"alexnet/ingest/decode"
	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/tools/drawn"
)

// pictures draws a small set into a folder.
func pictures(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pictures")
	if err := drawn.WriteFolder(context.Background(), dir, drawn.Options{Classes: 2, TrainPerClass: 3, ValPerClass: 2, Seed: 4}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// ingest runs the command and returns its exit status and output.
func ingest(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = cli.Run(context.Background(), "ingest", description, &flags{stdout: &out, stderr: &errs}, args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestCommand(t *testing.T) {
	src, out := pictures(t), filepath.Join(t.TempDir(), "out")
	status, stdout, stderr := ingest(t, "--src", src, "--out", out+"/", "--size=24", "--jobs", "2")
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	for _, want := range []string{
		`(?m)^ *split +seen +written +rejected +shards +bytes$`,
		`(?m)^ *train +6 +6 +0 +1 +[0-9.]+ kB$`,
		`(?m)^ *val +4 +4 +0 +1 +[0-9.]+ kB$`,
		`(?m)^classes: +2$`,
		`(?m)^decoder: +` + regexp.QuoteMeta(decode.Name()) + `$`,
		`(?m)^baseline: +mean of all training pictures$`,
		`(?m)^mean RGB: +[0-9]+\.[0-9]{2} [0-9]+\.[0-9]{2} [0-9]+\.[0-9]{2}$`,
		`(?m)^colours: +standard deviations [0-9.]+ [0-9.]+ [0-9.]+ `,
		`(?m)^time: +10 files in .* images/s$`,
		`\nnext: +train --records ` + regexp.QuoteMeta(out) + `/\n$`,
	} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("the summary lacks %s:\n%s", want, stdout)
		}
	}
	if !strings.Contains(stderr, "source:  "+src) || !strings.Contains(stderr, "decoder: "+decode.Name()) {
		t.Errorf("standard error: %s", stderr)
	}
	m, err := records.ReadManifest(out)
	if err != nil {
		t.Fatal(err)
	}
	if m.Shape != (records.Shape{C: 3, H: 24, W: 24}) || m.Pixels != records.Int16 || m.Compression != records.None {
		t.Errorf("manifest: %v %v %v", m.Shape, m.Pixels, m.Compression)
	}
	if err := records.Verify(context.Background(), out, nil); err != nil {
		t.Errorf("verify: %v", err)
	}

	status, stdout, _ = ingest(t, "--src="+src, "--out="+out, "--size", "24")
	if status != 0 || !strings.HasPrefix(stdout, out+": complete already, made from the same files with the same options\n") {
		t.Errorf("again: status %d: %s", status, stdout)
	}
	status, _, stderr = ingest(t, "--src="+src, "--out="+out, "--size", "25")
	if status != 1 || !strings.Contains(stderr, "size was 24, is 25") {
		t.Errorf("another size: status %d: %s", status, stderr)
	}
}

// TestIgnored names the files that are no pictures, and says why not.
func TestIgnored(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows lets no name have a line's end")
	}
	src := pictures(t)
	classes, err := os.ReadDir(filepath.Join(src, "train"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.gif", "b\nb.gif", "c.gif", "d.gif", ".e.jpg"} {
		if err := os.WriteFile(filepath.Join(src, "train", classes[0].Name(), name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	_, _, stderr := ingest(t, "--src", src, "--out", filepath.Join(t.TempDir(), "out"), "--size", "8")
	for _, want := range []string{`ignored: 4 in train: no image extension (a.gif, "b\nb.gif", c.gif, …)`, "ignored: 1 in train: hidden file (.e.jpg)"} {
		if !strings.Contains(stderr, want+"\n") {
			t.Errorf("standard error lacks %s:\n%s", want, stderr)
		}
	}
}

// TestInside writes among the class folders, as from within the set's own
// folder, and runs again.
func TestInside(t *testing.T) {
	src := filepath.Join(pictures(t), "train")
	for i, want := range []string{"split", "complete already"} {
		status, stdout, stderr := ingest(t, "--src", src, "--out", filepath.Join(src, "out"), "--size", "16")
		if status != 0 || !strings.Contains(stdout, want) {
			t.Errorf("run %d: status %d: %s%s", i+1, status, stdout, stderr)
		}
	}
}

func TestJSON(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	status, stdout, stderr := ingest(t, "--src", pictures(t), "--out", out, "--size", "16", "--json", "--pixels", "uint8", "--compress", "zstd", "--shard-size", "1536B")
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var r struct {
		Event   string
		Out     string
		Splits  []convert.SplitSummary
		Digest  string
		MeanRGB []float64 `json:"mean_rgb"`
		Rate    float64   `json:"images_per_second"`
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("not one JSON object on one line (%v): %s", err, stdout)
	}
	if r.Event != "summary" || r.Out != out || len(r.Splits) != 2 || r.Splits[0].Shards != 3 || r.Splits[0].Seen != 6 || len(r.MeanRGB) != 3 || r.Rate <= 0 || len(r.Digest) != 64 {
		t.Errorf("summary %+v", r)
	}
}

func TestFailures(t *testing.T) {
	src := pictures(t)
	empty, noImages := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(noImages, "notes.txt"), []byte("notes"), 0o666); err != nil {
		t.Fatal(err)
	}
	truncated := filepath.Join(t.TempDir(), "ILSVRC2012_img_train.tar")
	tars := filepath.Join(t.TempDir(), "tars")
	if err := drawn.WriteTars(context.Background(), tars, drawn.Options{Classes: 1, TrainPerClass: 2}); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(tars, "ILSVRC2012_img_train.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(truncated, whole[:len(whole)*2/3], 0o666); err != nil {
		t.Fatal(err)
	}
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		args   []string
		status int
		text   string
	}{
		{"no source", nil, 2, "missing flags: --src"},
		{"unknown flag", []string{"--src", src, "--sise", "3"}, 2, "unknown flag --sise"},
		{"size of a shard", []string{"--src", src, "--shard-size", "lots"}, 2, `--shard-size: "lots" is not a size; write for example 256MB or 1GiB`},
		{"pixels", []string{"--src", src, "--pixels", "float"}, 2, `--pixels must be one of "int16","uint8"`},
		{"size", []string{"--src", src, "--size", "5000"}, 2, "--size is 5000; 1 to 4096 are possible"},
		{"limit", []string{"--src", src, "--limit=-1"}, 2, "--limit is -1: give a number above 0, or 0 for all"},
		{"held out twice", []string{"--src", src, "--val-fraction", "0.1"}, 2, "--val-fraction is for sources with a training split and without a validation split"},
		{"missing folder", []string{"--src", "nowhere"}, 1, "nowhere: no such file or directory"},
		{"empty folder", []string{"--src", empty}, 1, empty},
		{"no images", []string{"--src", noImages}, 1, noImages},
		{"truncated tar", []string{"--src", truncated}, 1, truncated},
		{"output is a file", []string{"--src", src, "--out", blocked}, 2, "--out " + blocked + " is a file"},
		{"unwritable output", []string{"--src", src, "--out", filepath.Join(blocked, "out")}, 1, blocked},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := test.args
			if !strings.Contains(strings.Join(args, " "), "--out") {
				args = append(args, "--out", filepath.Join(t.TempDir(), "out"))
			}
			status, stdout, stderr := ingest(t, args...)
			if status != test.status || !strings.Contains(stderr, test.text) || stdout != "" {
				t.Errorf("status %d, want %d; standard error %q lacks %q; standard output %q", status, test.status, stderr, test.text, stdout)
			}
			if !strings.Contains(stderr, "ingest: ") {
				t.Errorf("standard error %q does not name the command", stderr)
			}
		})
	}
}

// Records without a training split are not for train.
func TestNextWithoutTraining(t *testing.T) {
	dir := t.TempDir()
	with, val := filepath.Join(dir, "with"), filepath.Join(dir, "val")
	src := pictures(t)
	if status, _, stderr := ingest(t, "--src", src, "--out", with, "--size", "16"); status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	if err := os.RemoveAll(filepath.Join(src, "train")); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := ingest(t, "--src", src, "--out", val, "--size", "16", "--mean", with)
	if status != 0 || !strings.HasSuffix(stdout, "\nnext:      evaluate --records "+val+"/ --checkpoint RUN\n") {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
}

func TestHelp(t *testing.T) {
	status, stdout, stderr := ingest(t, "--help")
	if status != 0 || !strings.Contains(stdout, "ingest --src ILSVRC2012 --out out/") || !strings.Contains(stdout, "--max-rejects=SHARE") || stderr != "" {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

func TestByteCount(t *testing.T) {
	for text, want := range map[string]byteCount{
		"1": 1, "256MB": 256e6, "256 mb": 256e6, "1GiB": 1 << 30, "1.5k": 1500, "64KiB": 65536, "12B": 12, "0": -1, "": -1, "MB": -1, "-3MB": -1,
		"1XB": -1, "1e30GB": -1, "NaN": -1, "1.5.2MB": -1,
	} {
		got := byteCount(-1)
		if err := got.UnmarshalText([]byte(text)); (err != nil) != (want == -1) || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}

// TestLines checks the progress where there is no terminal: a line now and then.
func TestLines(t *testing.T) {
	var stderr bytes.Buffer
	now := time.Unix(1000, 0)
	c := newConsole(&flags{stderr: &stderr})
	c.now = func() time.Time { return now }
	for i := range 121 {
		p := convert.Progress{Phase: convert.PhaseConvert, Done: 100 + i*10, Earlier: 100, Total: 2500, Shards: 3, AllShards: 40}
		if i > 60 {
			p.Rejected = 2
		}
		c.progress(p)
		now = now.Add(100 * time.Millisecond)
	}
	c.progress(convert.Progress{Phase: convert.PhaseFinish, Done: 2500, Total: 2500})
	c.stop()
	want := `going on: 3 of 40 shards are finished
converting: 600 of 2500 files, 100 images/s, 19s left
converting: 1100 of 2500 files, 100 images/s, 14s left, 2 rejected
`
	if stderr.String() != want {
		t.Errorf("lines:\n%swant:\n%s", stderr.String(), want)
	}
}

// TestPassing tells now and then how far an archive is looked through.
func TestPassing(t *testing.T) {
	var stderr bytes.Buffer
	now := time.Unix(1000, 0)
	c := newConsole(&flags{stderr: &stderr})
	c.now = func() time.Time { return now }
	tell := c.passing("looked through for pictures")
	for i := range int64(60) {
		tell("a.tar", i*1e9, 138e9)
		now = now.Add(100 * time.Millisecond)
	}
	if want := "a.tar: 50.0 GB of 138.0 GB looked through for pictures\n"; stderr.String() != want {
		t.Errorf("%q, want %q", stderr.String(), want)
	}
}

func TestPublished(t *testing.T) {
	for seen, want := range map[int]string{
		1281167: "train:     1,281,167 seen, as published\n",
		1281160: "train:     1,281,160 seen, 7 fewer than the 1,281,167 published\n",
		1282167: "train:     1,282,167 seen, 1,000 more than the 1,281,167 published\n",
	} {
		s := convert.Summary{Splits: []convert.SplitSummary{{Name: "train", Seen: seen, Written: seen - 1, Damaged: 2, Published: 1281167}}}
		text := summaryText(&flags{Out: "out"}, s)
		if !strings.Contains(text, want) || !strings.Contains(text, "damaged:   2 of the written are of files that end too early; "+filepath.Join("out", "damaged.jsonl")) {
			t.Errorf("the summary lacks %q:\n%s", want, text)
		}
	}
}
