package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/train/checkpoint"
	"alexnet/train/loop"
	"alexnet/train/report"
	"alexnet/train/traintest"
)

const asCommand = "ALEXNET_TRAIN_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		watchAndDie()
		main()
	}
	os.Exit(m.Run())
}

// The records of most tests: three steps of 8 an epoch.
var small = traintest.Data{Classes: 4, Train: 20, Val: 6, Size: 72, Seed: 1}

func makeRecords(t *testing.T, d traintest.Data) string {
	t.Helper()
	dir := t.TempDir()
	if err := d.Make(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// command runs train as a user does and returns its exit status and its output.
func command(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = cli.Run(ctx, "train", description, &flags{stdout: &out, stderr: &errs}, args, &out, &errs)
	return status, out.String(), errs.String()
}

// base is the command line of a small run.
func base(records, run string, more ...string) []string {
	return append([]string{"--records", records, "--run", run, "--net", "alexnet-small", "--batch", "8", "--log-every", "1"}, more...)
}

func metrics(t *testing.T, run string) []report.Line {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(run, loop.MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	var lines []report.Line
	for line := range strings.Lines(string(text)) {
		var l report.Line
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, l.Timeless())
	}
	return lines
}

func TestTrain(t *testing.T) {
	dir, run := makeRecords(t, small), filepath.Join(t.TempDir(), "run")
	status, out, errs := command(t.Context(), base(dir, run, "--epochs", "2", "--json")...)
	if status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	var events []string
	for line := range strings.Lines(out) {
		var l struct{ Event, End string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events = append(events, l.Event+l.End)
	}
	if got := strings.Join(events, " "); got != "step step step epoch step step step epoch summaryepochs" {
		t.Errorf("events on standard output: %s", got)
	}
	for _, want := range []string{"engine:  CPU: ", " thread", dir + ", 20 training and 6 validation images of 3x72x72, 4 classes\n",
		"alexnet-small, crops of 64x64, 367300 parameters\n", "batch 8, 2 epochs, learning rate " + recipeRate(t) + " (step), seed 1\n",
		"\nepoch 1/2  step 3/3  loss ", " images/s  waiting for data ", "\nepoch 2 done: step 6, loss "} {
		if !strings.Contains(errs, want) {
			t.Errorf("standard error lacks %q:\n%s", want, errs)
		}
	}
	if strings.Contains(errs, "warning") {
		t.Errorf("a warning where nothing is odd:\n%s", errs)
	}
	if n := len(metrics(t, run)); n != 8 {
		t.Errorf("%d lines of metrics, want 8", n)
	}
	// Once more with other values, from the weights of that run.
	file := filepath.Join(run, checkpoint.Folder, "step-00000006.safetensors")
	second := filepath.Join(t.TempDir(), "run")
	status, out, errs = command(t.Context(), base(dir, second, "--init", file, "--max-steps", "1", "--schedule", "plateau", "--lr", "0.002", "--color", "none")...)
	if status != cli.Done || !strings.Contains(out, "alexnet-small: 1 steps, 0 epochs; --max-steps is reached\n") {
		t.Fatalf("status %d: %s%s", status, out, errs)
	}
	c, err := loop.ReadConfig(second)
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Settings.Schedule; s.Kind != "plateau" || s.Base != .002 || s.Factor != .1 || s.Patience != 5 || s.MaxDrops != 3 || c.Settings.Color != "none" || c.Init != file {
		t.Errorf("config %+v", c)
	}
	first, again := metrics(t, run)[0], metrics(t, second)[0]
	if again.Loss == first.Loss || again.LR != .002 {
		t.Errorf("the first step with --init has loss %v, as from fresh weights, or rate %v", again.Loss, again.LR)
	}
	// A run's folder stands for its best checkpoint, and the new run knows which that was.
	best, _, err := checkpoint.BestOf(run)
	if err != nil {
		t.Fatal(err)
	}
	third := filepath.Join(t.TempDir(), "run")
	if status, _, errs := command(t.Context(), base(dir, third, "--init", run, "--max-steps", "1")...); status != cli.Done || !strings.Contains(errs, "first weights: own of "+best.File+"\n") {
		t.Errorf("status %d: %s", status, errs)
	}
	if c, err := loop.ReadConfig(third); err != nil || c.Init != best.File {
		t.Errorf("config %+v, %v", c, err)
	}
}

// The command is killed by the system in the middle of its work, at whatever moment
// that is, and resumed.
func TestKilledAndResumed(t *testing.T) {
	dir, run, whole := makeRecords(t, small), filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "whole")
	if !killedAt(t, run, 6, 0, base(dir, run, "--epochs", "1000000", "--checkpoint-every", "2")...) {
		t.Fatal("it ended by itself")
	}
	killed := metrics(t, run)
	last := killed[len(killed)-1].Step
	steps := []string{"--max-steps", jsonText(t, last+2)}
	status, _, text := command(t.Context(), append([]string{"--resume", "--run", run}, steps...)...)
	if status != cli.Done || !strings.Contains(text, "resuming from "+filepath.Join(run, checkpoint.Folder, "step-")) {
		t.Fatalf("resumed: status %d, %s", status, text)
	}
	if status, _, text := command(t.Context(), base(dir, whole, append(steps, "--epochs", "1000000")...)...); status != cli.Done {
		t.Fatalf("undisturbed: status %d, %s", status, text)
	}
	got, want := metrics(t, run), metrics(t, whole)
	if !reflect.DeepEqual(got, want) || got[len(got)-1].Step != last+2 {
		t.Errorf("metrics of the killed run\n%+v\nof the undisturbed one\n%+v", got, want)
	}
	if !reflect.DeepEqual(killed, want[:len(killed)]) {
		t.Errorf("before the kill\n%+v\nundisturbed\n%+v", killed, want)
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestResume(t *testing.T) {
	dir, run := makeRecords(t, small), filepath.Join(t.TempDir(), "run")
	if status, _, errs := command(t.Context(), base(dir, run, "--max-steps", "2", "--checkpoint-every", "1")...); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	file := func(step string) string {
		return filepath.Join(run, checkpoint.Folder, "step-0000000"+step+".safetensors")
	}

	status, _, errs := command(t.Context(), base(dir, run)...)
	if status != cli.Failed || !strings.Contains(errs, run+" already holds checkpoints: go on with --resume, or give another --run") {
		t.Errorf("a second run: status %d, %s", status, errs)
	}
	status, _, errs = command(t.Context(), "--resume", "--run", run, "--lr", "0.5", "--seed", "2")
	if status != cli.Failed || !strings.Contains(errs, file("2")+" has other settings: schedule.base: "+recipeRate(t)+" in the checkpoint, 0.5 here, seed: 1 in the checkpoint, 2 here; leave out these flags") {
		t.Errorf("other flags: status %d, %s", status, errs)
	}
	big := small
	big.Size, big.Train, big.Val = 224, 1, 0
	status, _, errs = command(t.Context(), "--resume", "--run", run, "--net", "alexnet", "--records", makeRecords(t, big))
	if status != cli.Failed || !strings.Contains(errs, file("2")+" has other net: input.h: 64 in the checkpoint, 224 here") {
		t.Errorf("another net: status %d, %s", status, errs)
	}

	text, err := os.ReadFile(file("2"))
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-9]++
	if err := os.WriteFile(file("2"), text, 0o666); err != nil {
		t.Fatal(err)
	}
	status, out, errs := command(t.Context(), "--resume", "--run", run, "--epochs", "1")
	if status != cli.Done || !strings.Contains(errs, "warning: checkpoint "+file("2")+" is damaged: ") ||
		!strings.Contains(errs, "resuming from "+file("1")+": step 1\n") || !strings.Contains(out, "alexnet-small: 3 steps, 1 epochs; all epochs are done\nvalidation after epoch 1: top-1 ") {
		t.Errorf("a damaged checkpoint: status %d, %s%s", status, out, errs)
	}
	if got := metrics(t, run); len(got) != 4 || got[1].Step != 2 {
		t.Errorf("metrics %+v", got)
	}
}

// A run that goes on with other threads says so where that changes the numbers.
func TestResumeWithOtherThreads(t *testing.T) {
	dir, run := makeRecords(t, small), filepath.Join(t.TempDir(), "run")
	if status, _, errs := command(t.Context(), base(dir, run, "--max-steps", "1", "--threads", "1")...); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	c, _, err := checkpoint.Latest(run)
	if err != nil || c.Engine == "" {
		t.Fatalf("engine %q, error %v", c.Engine, err)
	}
	for _, threads := range []string{"1", "2"} {
		status, _, errs := command(t.Context(), "--resume", "--run", run, "--max-steps", "1", "--threads", threads)
		differs := strings.HasPrefix(c.Engine, "oneDNN") && threads == "2"
		if status != cli.Done || strings.Contains(errs, ", was "+c.Engine+": from here on its numbers differ in the last bits") != differs {
			t.Errorf("%s threads after %s: status %d, %s", threads, c.Engine, status, errs)
		}
	}
}

// A run that was killed before its first checkpoint begins again.
func TestResumeWithoutACheckpoint(t *testing.T) {
	dir, run := makeRecords(t, small), filepath.Join(t.TempDir(), "run")
	if status, _, errs := command(t.Context(), base(dir, run, "--max-steps", "1")...); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	if err := os.RemoveAll(filepath.Join(run, checkpoint.Folder)); err != nil {
		t.Fatal(err)
	}
	want := metrics(t, run)
	status, _, errs := command(t.Context(), "--resume", "--run", run, "--max-steps", "1")
	if status != cli.Done || !strings.Contains(errs, run+" has no checkpoint yet: starting from the beginning\n") {
		t.Errorf("status %d: %s", status, errs)
	}
	if got := metrics(t, run); !reflect.DeepEqual(got, want) {
		t.Errorf("metrics %+v, want %+v", got, want)
	}
}

// The order of a run stays what it was, and what becomes of damaged records may
// change.
func TestStreamFlags(t *testing.T) {
	d := small
	d.Shards = 5
	dir, run := makeRecords(t, d), filepath.Join(t.TempDir(), "run")
	args := base(dir, run, "--epochs", "2", "--shuffle", "block", "--window", "10", "--on-corrupt", "skip", "--cache", "0", "--max-steps", "2")
	if status, _, errs := command(t.Context(), args...); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	c, err := loop.ReadConfig(run)
	if err != nil || c.Settings.Shuffle != pipeline.ShuffleBlock || c.Settings.Window != 10 || c.Limits.OnCorrupt != pipeline.Skip || c.Limits.Cache != -1 {
		t.Errorf("config %+v, %+v, error %v", c.Settings, c.Limits, err)
	}
	if err := os.Remove(filepath.Join(dir, records.ShardName("train", 3, 5))); err != nil {
		t.Fatal(err)
	}
	status, _, errs := command(t.Context(), "--resume", "--run", run, "--shuffle", "global")
	if status != cli.Failed || !strings.Contains(errs, "shuffle: block in the checkpoint, global here") {
		t.Errorf("another shuffle: status %d, %s", status, errs)
	}
	status, _, errs = command(t.Context(), "--resume", "--run", run, "--on-corrupt", "stop")
	if status != cli.Failed || !strings.Contains(errs, "train-00003-of-00005.arrow is listed in manifest.json and is not there") || !strings.HasSuffix(errs, "--on-corrupt skip\n") {
		t.Errorf("a missing shard: status %d, %s", status, errs)
	}
	status, out, errs := command(t.Context(), "--resume", "--run", run, "--on-corrupt", "skip", "--cache", "1MB")
	if status != cli.Done || !strings.Contains(errs, "warning: the 4 records of train-00003-of-00005.arrow are skipped: ") || !strings.Contains(errs, " skipped\n") ||
		!strings.Contains(out, "damaged records: skipped ") {
		t.Errorf("skipping: status %d, %s%s", status, out, errs)
	}
	if c, err = loop.ReadConfig(run); err != nil || c.Limits.Cache != 1e6 || c.Settings.Window != 10 {
		t.Errorf("config %+v, %+v, error %v", c.Settings, c.Limits, err)
	}
}

// A run of a program that knew one shuffle and one precision only goes on.
func TestResumeOfAnOldRun(t *testing.T) {
	dir, run := makeRecords(t, small), filepath.Join(t.TempDir(), "run")
	if status, _, errs := command(t.Context(), base(dir, run, "--max-steps", "2")...); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	file := filepath.Join(run, loop.ConfigFile)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	old := bytes.Replace(text, []byte(`"eigenvalue",
    "shuffle": "global"`), []byte(`"eigenvalue"`), 1)
	old = bytes.Replace(old, []byte(`
    "precision": "fp32",`), nil, 1)
	if bytes.Contains(old, []byte("shuffle")) || bytes.Contains(old, []byte("precision")) {
		t.Fatalf("config.json is %s", text)
	}
	if err := os.WriteFile(file, old, 0o666); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := command(t.Context(), "--resume", "--run", run, "--epochs", "1"); status != cli.Done {
		t.Errorf("status %d: %s", status, errs)
	}
}

func TestInterrupted(t *testing.T) {
	dir, run := makeRecords(t, small), filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	status, _, errs := command(ctx, base(dir, run)...)
	want := "train: interrupted after step 0, which is saved in " + filepath.Join(run, checkpoint.Folder, "step-00000000.safetensors") + "; go on with: train --resume --run " + run + "\n"
	if status != cli.Failed || !strings.HasSuffix(errs, want) {
		t.Errorf("status %d, %s; want %s", status, errs, want)
	}
}

func TestNotes(t *testing.T) {
	d := small
	d.Size, d.Val = 128, 0
	dir := makeRecords(t, d)
	status, _, errs := command(t.Context(), base(dir, filepath.Join(t.TempDir(), "run"), "--max-steps", "1")...)
	if status != cli.Done || !strings.Contains(errs, "warning: crops of 64x64 show 25 % of the area of records of 128x128: `ingest --size 72` gives the paper's proportion (224 of 256)\n") ||
		!strings.Contains(errs, dir+" has no validation split: training without validation\n") {
		t.Errorf("status %d: %s", status, errs)
	}
	if got := paperSide(224); got != 256 {
		t.Errorf("crops of 224 are for records of %d", got)
	}
}

// Without validation the paper's schedule has nothing to go by.
func TestPlateauWithoutValidation(t *testing.T) {
	d := small
	d.Size, d.Train, d.Val = 224, 2, 0
	f := &flags{Records: makeRecords(t, d)}
	p, err := f.plan(t.Context(), io.Discard)
	if err != nil || p.config.Settings.Schedule.Kind != "constant" || !strings.Contains(strings.Join(p.notes, "\n"), "the learning rate stays constant") {
		t.Errorf("plan %+v, error %v", p, err)
	}
	if p.net.Name != "alexnet" || p.config.Run != filepath.Join("runs", "alexnet") || p.config.Settings.Batch != 128 || p.config.Limits.Epochs != 90 {
		t.Errorf("defaults %+v of net %s", p.config, p.net.Name)
	}
	plateau := "plateau"
	f.Schedule = &plateau
	if p, err = f.plan(t.Context(), io.Discard); err != nil || p.config.Settings.Schedule.Kind != "plateau" {
		t.Errorf("asked for, it is not changed: %+v, error %v", p, err)
	}
}

func TestWrongUsage(t *testing.T) {
	dir := makeRecords(t, small)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "--records DIR is missing: the folder that ingest wrote"},
		{[]string{"--records"}, "--records"},
		{[]string{"--nosuch"}, "unknown flag --nosuch"},
		{[]string{"--records", dir, "extra"}, "unexpected argument extra"},
		{[]string{"--records", "x", "--init-weights", "own"}, "--init-weights says which weights of --init, and there is no --init"},
		{[]string{"--resume", "--init", "x"}, "--init gives the first weights of a new run"},
		{base(dir, "s3://bucket/r"), "--run s3://bucket/r: this must be on this machine"},
		{base(dir, "r", "--net", "resnet"), `must be one of "alexnet","alexnet-small"`},
		{base(dir, "r", "--device", "tpu"), "--device"},
		{base(dir, "r", "--color", "sepia"), "--color"},
		{base(dir, "r", "--shuffle", "sorted"), `must be one of "global","block"`},
		{base(dir, "r", "--window", "100"), "--window is for --shuffle block, and the shuffle is global"},
		{base(dir, "r", "--shuffle", "block", "--window=-1"), "window of -1 records: must lie between 1 and"},
		{base(dir, "r", "--on-corrupt", "ignore"), `must be one of "stop","skip"`},
		{base(dir, "r", "--cache", "much"), `--cache: "much" is not a size`},
		{base(dir, "r", "--batch", "0"), "batch of 0 images: must be at least 1"},
		{base(dir, "r", "--epochs", "0"), "0 epochs: must be at least 1"},
		{base(dir, "r", "--lr", "0"), "learning rate 0: must be a positive number"},
		{base(dir, "r", "--momentum", "1.5"), "momentum 1.5: must be"},
		{base(dir, "r", "--weight-decay=-1"), "weight decay -1: must be"},
		{base(dir, "r", "--threads=-1"), "--threads -1: must not be negative"},
		{base(dir, "r", "--workers=-1"), "workers -1: must not be negative"},
		{base(dir, "r", "--checkpoint-every=-1"), "checkpoint-every -1: must not be negative"},
		{base(dir, "r", "--schedule", "constant", "--drop-at", "3"), "--drop-at is for --schedule step, and the schedule is constant"},
		{base(dir, "r", "--patience", "3"), "--patience is for --schedule plateau, and the schedule is step"},
		{base(dir, "r", "--schedule", "plateau", "--factor", "2"), "factor 2 must lie between 0 and 1"},
		{base(dir, "r", "--drop-at", "0"), "cannot drop before epoch 0"},
		{[]string{"--records", dir, "--net", "alexnet", "--schedule", "step"}, "--schedule step needs --drop-at EPOCH"},
	} {
		status, out, errs := command(t.Context(), tc.args...)
		if status != cli.Usage || out != "" || !strings.Contains(errs, tc.want) {
			t.Errorf("train %s: status %d, %q; want %q", strings.Join(tc.args, " "), status, errs, tc.want)
		}
	}
	if status, out, _ := command(t.Context(), "--help"); status != cli.Done || !strings.Contains(out, "train --records out/ --net alexnet-small") {
		t.Errorf("--help: status %d, %s", status, out)
	}
}

func TestFailures(t *testing.T) {
	dir, run := makeRecords(t, small), filepath.Join(t.TempDir(), "run")
	missing := filepath.Join(t.TempDir(), "missing")
	newer := makeRecords(t, small)
	manifest := filepath.Join(newer, records.ManifestName)
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`"version": 2`), []byte(`"version": 7`), 1)
	if err := os.WriteFile(manifest, text, 0o666); err != nil {
		t.Fatal(err)
	}
	grey := small
	grey.Grey = true
	greyDir := makeRecords(t, grey)
	more := small
	more.Classes = 5
	foreign := filepath.Join(t.TempDir(), "run")
	if status, _, errs := command(t.Context(), base(makeRecords(t, more), foreign, "--max-steps", "1")...); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	weights := filepath.Join(foreign, checkpoint.Folder, "step-00000001.safetensors")
	for _, tc := range []struct {
		name string
		args []string
		want []string
	}{
		{"no records", base(missing, run), []string{missing, "run ingest"}},
		{"records of another version", base(newer, run), []string{manifest, "version 7"}},
		{"no GPU", base(dir, run, "--device", "gpu"), []string{"--device gpu: this build has no GPU engine: build it"}},
		{"small records", []string{"--records", dir, "--run", run, "--batch", "1"},
			[]string{dir + " has images of 72x72, too small for the 224x224 crops of net alexnet: ingest with a larger --size, or use a smaller net"}},
		{"grey records", base(greyDir, run), []string{greyDir + " has images of 1 channels, and net alexnet-small takes 3"}},
		{"weights that are not there", base(dir, run, "--init", missing), []string{"--init " + missing + ": ", "no such file"}},
		{"a folder without checkpoints", base(dir, run, "--init", dir), []string{"--init " + dir + ": ", "there is no checkpoint in"}},
		{"weights of another net", base(dir, run, "--init", weights), []string{"--init " + weights + ": ", "fc8"}},
		{"weights that are none", base(dir, run, "--init", manifest), []string{"--init " + manifest + ": ", "is damaged"}},
		{"nothing to resume", []string{"--resume", "--run", missing}, []string{missing + " is not the folder of a run"}},
		{"a run within a file", base(dir, filepath.Join(dir, records.ManifestName, "run")), []string{"the run's folder: "}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, _, errs := command(t.Context(), tc.args...)
			if status != cli.Failed {
				t.Errorf("status %d, want %d", status, cli.Failed)
			}
			for _, want := range tc.want {
				if !strings.Contains(errs, want) {
					t.Errorf("%q lacks %q", errs, want)
				}
			}
		})
	}
}

// recipeRate returns the learning rate that alexnet-small recommends.
func recipeRate(t *testing.T) string {
	t.Helper()
	net, err := model.Preset("alexnet-small", 4)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.FormatFloat(net.Recipe().LearningRate, 'g', -1, 64)
}

// Records at a URL train the same net, and the run keeps the URL as it was given.
func TestTrainFromURL(t *testing.T) {
	dir := makeRecords(t, small)
	at := (&url.URL{Scheme: "file", Host: "localhost", Path: "/" + strings.TrimPrefix(filepath.ToSlash(dir), "/")}).String()
	var lines [2][]report.Line
	for k, where := range []string{dir, at} {
		run := filepath.Join(t.TempDir(), "run")
		status, _, errs := command(t.Context(), base(where, run, "--max-steps", "2", "--requests", "5")...)
		if status != cli.Done || strings.Contains(errs, "--cache-dir DIR keeps it on a disk") != (k == 1) {
			t.Fatalf("status %d: %s", status, errs)
		}
		lines[k] = metrics(t, run)
		if c, err := loop.ReadConfig(run); err != nil || c.Limits.Requests != 5 || k == 1 && c.Records != at {
			t.Errorf("the run's config: %+v, %v", c, err)
		}
		if k == 1 { // it goes on from there
			if status, _, errs := command(t.Context(), "--resume", "--run", run, "--device", "cpu", "--max-steps", "3"); status != cli.Done {
				t.Errorf("resumed: status %d: %s", status, errs)
			}
		}
	}
	if got, want := jsonText(t, lines[1]), jsonText(t, lines[0]); got != want {
		t.Errorf("the metrics are\n%s\nand of the folder\n%s", got, want)
	}
}
