package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/model/cpu"
	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/train/checkpoint"
	"alexnet/train/eval"
	"alexnet/train/traintest"
)

var data = traintest.Data{Classes: 4, Train: 1, Val: 9, Size: 72, Seed: 1}

func dataset(t *testing.T, d traintest.Data) *records.Dataset {
	t.Helper()
	dir := t.TempDir()
	if err := d.Make(dir); err != nil {
		t.Fatal(err)
	}
	ds, err := records.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// checkpoints makes a run with a checkpoint a seed, of which that of step best has
// the best validation.
func checkpoints(t *testing.T, ds *records.Dataset, best int, seeds ...uint64) (run string, files []string) {
	t.Helper()
	run = t.TempDir()
	store := checkpoint.Store{Run: run, Keep: 9}
	for i, seed := range seeds {
		net, err := model.Preset("alexnet-small", len(ds.Manifest.Classes))
		if err != nil {
			t.Fatal(err)
		}
		file, err := store.Save(&checkpoint.Checkpoint{
			Net: net, Classes: checkpoint.Classes(ds.Manifest), Records: ds.Manifest.Digest, Settings: []byte(`{"schedule":{"kind":"step"}}`),
			Progress: checkpoint.Progress{Step: i, Schedule: []byte("{}"), Best: &checkpoint.Best{Step: best, Top1: .5}},
			State:    model.State{Weights: net.Init(seed)},
		})
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return run, files
}

func command(t *testing.T, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = cli.Run(t.Context(), "evaluate", description, &flags{stdout: &out, stderr: &errs}, args, &out, &errs)
	return status, out.String(), errs.String()
}

// expect evaluates nets of these seeds without the command.
func expect(t *testing.T, ds *records.Dataset, views int, seeds ...uint64) eval.Result {
	t.Helper()
	var engines []model.Engine
	for _, seed := range seeds {
		net, err := model.Preset("alexnet-small", len(ds.Manifest.Classes))
		if err != nil {
			t.Fatal(err)
		}
		e, err := cpu.New(net, model.State{Weights: net.Init(seed)}, cpu.Options{Batch: 4})
		if err != nil {
			t.Fatal(err)
		}
		engines = append(engines, e)
	}
	split, err := ds.OpenSplit("val")
	if err != nil {
		t.Fatal(err)
	}
	defer split.Close()
	r, err := eval.Evaluate(t.Context(), engines, ds, split, eval.Options{Views: views})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEvaluate(t *testing.T) {
	ds := dataset(t, data)
	run, files := checkpoints(t, ds, 1, 11, 12, 13)
	for _, tc := range []struct {
		name  string
		args  []string
		views int
		seeds []uint64
		files []string
	}{
		{"a file, in the centre", []string{"--checkpoint", files[0]}, 1, []uint64{11}, files[:1]},
		{"a run's best, ten views", []string{"--checkpoint", run, "--views", "10", "--batch", "20"}, 10, []uint64{12}, files[1:2]},
		{"two averaged", []string{"--checkpoint", files[2], "--checkpoint", files[0], "--batch", "3"}, 1, []uint64{13, 11}, []string{files[2], files[0]}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, out, errs := command(t, append(tc.args, "--records", ds.Dir, "--json")...)
			if status != cli.Done || strings.Contains(errs, "warning") {
				t.Fatalf("status %d: %s", status, errs)
			}
			var got answer
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%q: %v", out, err)
			}
			want := expect(t, ds, tc.views, tc.seeds...)
			// The engine rounds differently for another size of batch.
			if math.Abs(got.Loss-want.Loss) < 1e-6*want.Loss {
				want.Loss = got.Loss
			}
			if got.Result != want || fmt.Sprint(got.Checkpoints) != fmt.Sprint(tc.files) {
				t.Errorf("answer %+v, want %+v of %v", got, want, tc.files)
			}
			if got.Shares.Top1Accuracy != float64(got.Top1)/9 || got.Shares.Top1Error != float64(9-got.Top1)/9 || got.Shares.Top5Accuracy != 1 || got.Shares.Top5Error != 0 {
				t.Errorf("shares %+v", got)
			}
		})
	}
	status, out, errs := command(t, "--records", ds.Dir, "--checkpoint", files[0])
	r := expect(t, ds, 1, 11)
	in := r.Top1Interval()
	want := fmt.Sprintf("split val: 9 images, views: 1, nets: 1, mean loss %.4f\ntop-1 error %6.2f %% (%.2f-%.2f), accuracy %6.2f %% (%d of 9)\n"+
		"top-5 error   0.00 %% (0.00-29.91), accuracy 100.00 %% (9 of 9)\nin brackets: intervals (95 %%, Wilson score)\n",
		r.Loss, 100*r.Top1Error(), 100*in.Low, 100*in.High, 100*r.Top1Accuracy(), r.Top1)
	if status != cli.Done || out != want || !strings.Contains(errs, files[0]+": alexnet-small after step 0; CPU: ") {
		t.Errorf("status %d, answer\n%s, want\n%s; %s", status, out, want, errs)
	}
}

// The average of a run that keeps one is measured when it is asked for, and named.
func TestAverage(t *testing.T) {
	ds := dataset(t, data)
	_, files := checkpoints(t, ds, 0, 11)
	status, _, errs := command(t, "--records", ds.Dir, "--checkpoint", files[0], "--weights", "average")
	if status != cli.Failed || !strings.Contains(errs, files[0]+": it has no averaged weights, which only runs with --ema keep") {
		t.Errorf("status %d: %s", status, errs)
	}
	c, err := checkpoint.Read(files[0])
	if err != nil {
		t.Fatal(err)
	}
	c.Average = c.Net.Init(12)
	file, err := (&checkpoint.Store{Run: t.TempDir(), Keep: 1}).Save(c)
	if err != nil {
		t.Fatal(err)
	}
	for weights, w := range map[string]struct {
		seed uint64
		said string
	}{"own": {11, "after step 0, own weights (it has averaged ones too: --weights average); "}, "average": {12, "after step 0, averaged weights; "}} {
		status, out, errs := command(t, "--records", ds.Dir, "--checkpoint", file, "--weights", weights, "--json")
		var got answer
		if err := json.Unmarshal([]byte(out), &got); err != nil || status != cli.Done || !strings.Contains(errs, w.said) {
			t.Fatalf("%s: status %d, error %v: %s", weights, status, err, errs)
		}
		if want := expect(t, ds, 1, w.seed); math.Abs(got.Loss-want.Loss) > 1e-6*want.Loss || got.Top1 != want.Top1 || got.Weights != weights {
			t.Errorf("%s: %+v, want %+v", weights, got, want)
		}
	}
}

func TestOtherRecords(t *testing.T) {
	_, files := checkpoints(t, dataset(t, data), 0, 11)
	d := data
	d.Seed = 2
	status, _, errs := command(t, "--records", dataset(t, d).Dir, "--checkpoint", files[0])
	if status != cli.Done || !strings.Contains(errs, "warning: "+files[0]+" was trained on other records than ") {
		t.Errorf("status %d: %s", status, errs)
	}
}

func TestFailures(t *testing.T) {
	ds := dataset(t, data)
	run, files := checkpoints(t, ds, 0, 11, 12)
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged.safetensors")
	text[len(text)-2] ^= 1
	if err := os.WriteFile(damaged, text, 0o666); err != nil {
		t.Fatal(err)
	}
	fewer, small, bare, unlabelled := data, data, data, data
	fewer.Classes, small.Size, bare.Val, unlabelled.Unlabelled = 3, 60, 0, true
	empty := t.TempDir()
	for _, tc := range []struct {
		name       string
		records    string
		checkpoint string
		more       []string
		status     int
		want       string
	}{
		{"no records", filepath.Join(empty, "no"), run, nil, cli.Failed, "run ingest"},
		{"no split", dataset(t, bare).Dir, run, nil, cli.Failed, `"val"`},
		{"no such file", ds.Dir, filepath.Join(empty, "no"), nil, cli.Failed, "checkpoint: stat " + filepath.Join(empty, "no")},
		{"an empty folder", ds.Dir, empty, nil, cli.Failed, "there is no checkpoint in " + filepath.Join(empty, checkpoint.Folder)},
		{"damaged", ds.Dir, damaged, nil, cli.Failed, damaged + " is damaged: the checksum"},
		{"other classes", dataset(t, fewer).Dir, run, nil, cli.Failed, files[0] + " has other classes: 4 classes in the checkpoint, 3 here"},
		{"small images", dataset(t, small).Dir, run, nil, cli.Failed, "has images of 60x60, too small for the 64x64 crops of net alexnet-small"},
		{"views", ds.Dir, run, []string{"--views", "5"}, cli.Usage, "--views"},
		{"batch", ds.Dir, run, []string{"--batch", "0"}, cli.Usage, "--batch must be at least 1"},
		{"pairs", ds.Dir, run, []string{"--confused=-1"}, cli.Usage, "--confused must not be negative"},
		{"damage", ds.Dir, run, []string{"--on-corrupt", "mend"}, cli.Usage, "use stop or skip"},
		{"no labels", dataset(t, unlabelled).Dir, run, nil, cli.Failed, "the images of split val have no labels, so that there is no error to measure: name a file for the nets' answers with --predictions FILE"},
		{"no submission", ds.Dir, run, []string{"--predictions", filepath.Join(empty, "p.txt")}, cli.Failed, "it cannot be a submission to ILSVRC: the class n00000000 has no number"},
		{"no folder", ds.Dir, run, []string{"--predictions", filepath.Join(empty, "no", "p.jsonl")}, cli.Failed, "creating " + filepath.Join(empty, "no", "p.jsonl")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, out, errs := command(t, append([]string{"--records", tc.records, "--checkpoint", tc.checkpoint}, tc.more...)...)
			if status != tc.status || out != "" || !strings.Contains(errs, tc.want) {
				t.Errorf("status %d, %q; want status %d, %q", status, errs, tc.status, tc.want)
			}
		})
	}
	for _, args := range [][]string{{"--records", ds.Dir}, {"--checkpoint", run}} {
		if status, _, errs := command(t, args...); status != cli.Usage || !strings.Contains(errs, "missing flags") {
			t.Errorf("evaluate %v: status %d, %s", args, status, errs)
		}
	}
}

// A checkpoint is measured in its run's precision, or in another if that is asked for.
func TestPrecision(t *testing.T) {
	ds := dataset(t, data)
	run, files := checkpoints(t, ds, 0, 11)
	c, err := checkpoint.Read(files[0])
	if err != nil {
		t.Fatal(err)
	}
	c.Settings = []byte(`{"precision":"bf16"}`)
	store := checkpoint.Store{Run: run, Keep: 1}
	if _, err := store.Save(c); err != nil {
		t.Fatal(err)
	}
	status, _, errs := command(t, "--records", ds.Dir, "--checkpoint", files[0], "--precision", "fp32")
	if status != cli.Done || strings.Contains(errs, "bf16") {
		t.Errorf("in fp32: status %d, %s", status, errs)
	}
	status, _, errs = command(t, "--records", ds.Dir, "--checkpoint", files[0])
	e, err := cpu.New(c.Net, model.State{}, cpu.Options{Batch: 1, Precision: cpu.BF16})
	var missing *cpu.PrecisionError
	if errors.As(err, &missing) { // where there is no bfloat16
		if status != cli.Failed || !strings.Contains(errs, files[0]+": "+err.Error()) {
			t.Errorf("in bf16, which is not here: status %d, %s", status, errs)
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if status != cli.Done || !strings.Contains(errs, ", bf16, ") {
		t.Errorf("in bf16: status %d, %s", status, errs)
	}
}
