package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"alexnet/ingest/convert"
	"alexnet/ingest/source"
	"alexnet/tools/cli"
	"alexnet/tools/drawn"
	"alexnet/train/checkpoint"
	"alexnet/train/loop"
	"alexnet/train/reproduce"
	"alexnet/train/traintest"
)

const asCommand = "ALEXNET_REPRODUCE_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// command runs the command as a user does.
func command(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = cli.Run(ctx, "reproduce", description, &flags{stderr: &errs}, args, &out, &errs)
	return status, out.String(), errs.String()
}

// drawings ingests drawn pictures.
func drawings(t *testing.T, classes, train, val int, seed uint64) (dir string) {
	t.Helper()
	pictures, dir := filepath.Join(t.TempDir(), "pictures"), filepath.Join(t.TempDir(), "drawings")
	o := drawn.Options{Classes: classes, TrainPerClass: train, ValPerClass: val, Seed: seed}
	if err := drawn.WriteFolder(t.Context(), pictures, o); err != nil {
		t.Fatal(err)
	}
	src, err := source.Open(t.Context(), pictures, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if _, err := convert.Run(t.Context(), convert.Config{Source: src, Out: dir, Size: 72, Seed: seed, MaxRejects: convert.DefaultMaxRejects}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// noise makes records of noise, which is quicker.
func noise(t *testing.T, d traintest.Data) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "noise")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := d.Make(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tiny is the command line of a row of tiny nets.
func tiny(system, records, out string, more ...string) []string {
	return append([]string{system, "--records", records, "--out", out, "--net", "alexnet-small", "--batch", "8", "--epochs", "2", "--threads", "1"}, more...)
}

// bytesOf returns the contents of all checkpoints and rows below a folder by their
// names within it.
func bytesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || d.IsDir() || filepath.Ext(path) != ".safetensors" && !strings.HasPrefix(d.Name(), "row-") {
			return err
		}
		data, err := os.ReadFile(path)
		all[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A small drawn data set goes through 7 CNNs* from nothing. Killed in the middle of each
// kind of training it goes on to the same row and the same checkpoints, byte for byte.
func TestSevenCNNsFromNothing(t *testing.T) {
	kills := []string{"cnn-2", "pretrained-6", "finetuned-7"}
	nets := []string{"--star-net", "alexnet-small"}
	total := 7
	if testing.Short() {
		kills, nets, total = kills[1:2], append(nets, "--limit", "1"), 2
	}
	records, many := drawings(t, 3, 8, 4, 1), drawings(t, 5, 5, 2, 2)
	args := func(out string) []string {
		return tiny("7cnns*", records, out, append(nets, "--pretrain-records", many, "--checkpoint-every", "2", "--json")...)
	}
	whole, killed := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "killed")
	status, want, errs := command(t.Context(), args(whole)...)
	if status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	var row reproduce.Row
	if err := json.Unmarshal([]byte(want), &row); err != nil {
		t.Fatalf("%q: %v", want, err)
	}
	h := row.Here
	if row.Title != "7 CNNs*" || row.Paper.Top1 != .367 || row.Paper.TestTop5 != .153 || len(h.Averaged) != total || h.NetsOfPaper != 7 ||
		h.Views != 10 || h.Images != 12 || h.TrainImages != 24 || h.Classes != 3 || h.DataSet != "drawings" {
		t.Errorf("the row is %s", want)
	}
	if last := h.Averaged[total-1]; last.Pretrained == nil || last.Pretrained.Classes != 5 || last.Pretrained.TrainImages != 25 || last.PretrainedEpochs != 2 || last.Epochs != 1 {
		t.Errorf("the last net is %+v", last)
	}
	for _, run := range kills {
		if !killedIn(t, filepath.Join(killed, run), args(killed)...) {
			t.Errorf("%s was not hit: the command ended by itself", run)
		}
	}
	status, got, errs := command(t.Context(), args(killed)...)
	if status != cli.Done || got != want {
		t.Errorf("gone on: status %d, row\n%s, undisturbed\n%s\n%s", status, got, want, errs)
	}
	if strings.Contains(errs, "== "+filepath.Join(killed, "cnn-1")+":") || !strings.Contains(errs, "; from step ") && !testing.Short() {
		t.Errorf("it did not go on where it was:\n%s", errs)
	}
	a, b := bytesOf(t, whole), bytesOf(t, killed)
	for name := range a {
		if a[name] != b[name] {
			t.Errorf("%s differs after the kills", name)
		}
	}
	if len(a) != len(b) {
		t.Errorf("%d files after the kills, %d undisturbed", len(b), len(a))
	}
	// Once more: nothing is trained again.
	if status, got, errs := command(t.Context(), args(killed)...); status != cli.Done || got != want || strings.Contains(errs, "== ") {
		t.Errorf("once more: status %d, %s\n%s", status, got, errs)
	}
}

// killedIn starts the command as a process, kills it once a run has a checkpoint, and
// reports whether it was still running.
func killedIn(t *testing.T, run string, args ...string) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("it failed by itself: %v\n%s", err, errs.String())
			}
			return false
		case <-time.After(time.Millisecond):
		}
		if any, err := checkpoint.Any(run); err == nil && any {
			_ = cmd.Process.Kill()
			return <-ended != nil
		}
	}
}

// The nets of one system are those of another; runs are ones that train knows, and
// a row is kept for the table.
func TestSystemsShareNets(t *testing.T) {
	records, out := noise(t, traintest.Data{Classes: 4, Train: 16, Val: 6, Size: 72, Seed: 1}), filepath.Join(t.TempDir(), "out")
	status, text, errs := command(t.Context(), tiny("1cnn", records, out)...)
	for _, want := range []string{"1 CNN: error, %", "paper: ILSVRC-2012, 1,000 classes, 1.2 million images, about 90 epochs ", " 40.7 ", " 18.2", "here: noise, 4 classes, 16 images, 2 epochs, 1 x alexnet-small ",
		"here: 6 images of split val, 10 views, each net as it was after its best validation; in brackets: 95 %, Wilson score", "cnn-1"} {
		if status != cli.Done || !strings.Contains(text, want) {
			t.Fatalf("status %d, the text lacks %q:\n%s%s", status, want, text, errs)
		}
	}
	one := bytesOf(t, filepath.Join(out, "cnn-1"))
	status, text, errs = command(t.Context(), tiny("5cnns", records, out, "--limit", "2")...)
	if status != cli.Done || strings.Contains(errs, filepath.Join(out, "cnn-1")+": alexnet") || !strings.Contains(errs, filepath.Join(out, "cnn-2")+": alexnet-small, 2 epochs of batches of 8, learning rate 0.005 (step), seed 2; from the beginning") ||
		!strings.Contains(text, "here 2 of the paper's 5 nets are averaged") || !reflect.DeepEqual(bytesOf(t, filepath.Join(out, "cnn-1")), one) {
		t.Errorf("status %d:\n%s%s", status, text, errs)
	}
	if c, err := loop.ReadConfig(filepath.Join(out, "cnn-2")); err != nil || c.Settings.Seed != 2 || c.Limits.Epochs != 2 || !reflect.DeepEqual(c.Settings.Schedule.DropAt, []int{1}) {
		t.Errorf("config %+v, error %v", c, err)
	}
	status, text, errs = command(t.Context(), "table", filepath.Dir(out))
	for _, want := range []string{"Sparse coding  47.1   28.2   paper: ILSVRC-2010", "SIFT + FVs ", "1 CNN ", "7 CNNs* ", "here: noise, 4 classes, 16 images, 2 epochs, 2 (of 5) x alexnet-small"} {
		if status != cli.Done || !strings.Contains(text, want) {
			t.Errorf("status %d, the table lacks %q:\n%s%s", status, want, text, errs)
		}
	}
	if status, text, _ := command(t.Context(), "table", out, "--json"); status != cli.Done || strings.Count(text, "\n") != 2 || strings.Index(text, `"1cnn"`) > strings.Index(text, `"5cnns"`) {
		t.Errorf("status %d: %s", status, text)
	}
	// Other settings are not taken for the same run.
	status, _, errs = command(t.Context(), tiny("1cnn", records, out, "--lr", "0.02")...)
	for _, want := range []string{"the run " + filepath.Join(out, "cnn-1"), "schedule.base: 0.005 in the checkpoint, 0.02 here"} {
		if status != cli.Failed || !strings.Contains(errs, want) {
			t.Errorf("another rate: status %d, %s", status, errs)
		}
	}
}

// Errors stand below the paper's of the same split, and those of a split that the paper
// does not have are named.
func TestSplits(t *testing.T) {
	column := func(text, line, number string) int {
		t.Helper()
		for l := range strings.Lines(text) {
			if strings.HasPrefix(strings.TrimSpace(l), line) || strings.Contains(l, "  "+line) {
				return strings.Index(l, number)
			}
		}
		t.Fatalf("no line %q in\n%s", line, text)
		return 0
	}
	for split, want := range map[string]struct{ one, five string }{"val": {"38.1", "16.4 "}, "test": {"", "16.4\n"}, "train": {"38.1", "16.4 "}} {
		var row reproduce.Row
		s, err := reproduce.Find("5cnns")
		if err != nil {
			t.Fatal(err)
		}
		row.System, row.Title, row.Paper = s.Name, s.Title, s.Paper
		row.Here.Split, row.Here.Images, row.Here.DataSet = split, 8, "noise"
		row.Here.Errors.Top1Error, row.Here.Errors.Top5Error = .375, .125
		row.Here.Averaged = []reproduce.Net{{Net: "alexnet", Epochs: 3}}
		text := rowText(row)
		here := "here: noise, "
		if split == "train" {
			here = "here: split train of noise, "
		}
		if got, want := column(text, here, "12.50"), column(text, "paper: ", want.five); got != want {
			t.Errorf("%s: top-5 in column %d, the paper's in %d:\n%s", split, got, want, text)
		}
		if want.one != "" && column(text, here, "37.50") != column(text, "paper: ", want.one) {
			t.Errorf("%s: top-1 is not below the paper's:\n%s", split, text)
		}
		if there := strings.Contains(text, "top-1 error of the test split, which the paper does not give: 37.50 "); there != (split == "test") || !strings.Contains(text, "37.50 ") {
			t.Errorf("%s: top-1 is missing:\n%s", split, text)
		}
		table := tableText([]reproduce.Row{row})
		_, table, _ = strings.Cut(table, "Table 2")
		head := "top-5  "
		if split == "test" {
			head = "top-5 of the test split"
		}
		if got, want := column(table, here, "12.50"), column(table, "model", head); got != want {
			t.Errorf("%s: top-5 in column %d of table 2, want %d:\n%s", split, got, want, table)
		}
	}
}

// An interrupted row says how to go on, and more epochs are added to what there is.
func TestInterruptedAndProlonged(t *testing.T) {
	records, out := noise(t, traintest.Data{Classes: 4, Train: 16, Val: 6, Size: 72, Seed: 1}), filepath.Join(t.TempDir(), "out")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	status, text, errs := command(ctx, tiny("1cnn", records, out)...)
	if want := fmt.Sprintf("interrupted: %s is saved at step 0; the same command goes on from there", filepath.Join(out, "cnn-1")); status != cli.Failed || text != "" || !strings.Contains(errs, want) {
		t.Fatalf("status %d, %s%s", status, text, errs)
	}
	if status, _, errs := command(t.Context(), tiny("1cnn", records, out)...); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	// Of three epochs the rate drops at another.
	longer := tiny("1cnn", records, out)
	longer[len(longer)-3] = "3"
	status, _, errs = command(t.Context(), longer...)
	if status != cli.Failed || !strings.Contains(errs, "schedule.drop_at") {
		t.Errorf("another schedule: status %d, %s", status, errs)
	}
}

func TestWrongUsage(t *testing.T) {
	records := noise(t, traintest.Data{Classes: 4, Train: 8, Val: 4, Size: 72, Seed: 1})
	blind := noise(t, traintest.Data{Classes: 4, Train: 8, Size: 72, Seed: 1})
	out := t.TempDir()
	for _, tc := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"1cnn", "--out", out}, cli.Usage, "missing flags: --records"},
		{[]string{"1cnn-star", "--records", records, "--out", out}, cli.Usage, "missing flags: --pretrain-records"},
		{tiny("9cnns", records, out), cli.Usage, "unexpected argument"},
		{tiny("1cnn", records, out, "--seed", "0"), cli.Usage, "--seed not 0"},
		{tiny("1cnn", records, out, "--lr=-1"), cli.Usage, "must not be negative"},
		{tiny("1cnn", records, out, "--limit=-1"), cli.Usage, "--limit must not be negative"},
		{tiny("1cnn", records, out, "--split", "test"), cli.Usage, "has no such split"},
		{tiny("1cnn", blind, out), cli.Failed, `has no split "val" to measure on`},
		{tiny("1cnn", records, out, "--net", "resnet"), cli.Failed, `unknown net "resnet": there are alexnet`},
		{tiny("1cnn", records, out, "--net", "alexnet"), cli.Failed, "too small for the 224x224 crops"},
		{tiny("ablate", records, out, "--variant", "no-brain"), cli.Failed, `unknown variant "no-brain": there are no-lrn, `},
		{tiny("ablate", records, out, "--seeds", "0"), cli.Usage, "--seeds must be at least 1"},
		{[]string{"table", filepath.Join(out, "none")}, cli.Failed, "no such file"},
	} {
		status, text, errs := command(t.Context(), tc.args...)
		if status != tc.status || text != "" || !strings.Contains(errs, tc.want) {
			t.Errorf("%v: status %d, %s; want %d, %s", tc.args, status, errs, tc.status, tc.want)
		}
	}
}

// The runs are those of train, which goes on with one that was interrupted, and the row
// of an ensemble is what evaluate says of them.
func TestTrainAndEvaluateKnowTheRuns(t *testing.T) {
	if os.Getenv("ALEXNET_SLOW") == "" {
		t.Skip("builds train and evaluate: .ci/run does it, with ALEXNET_SLOW=1")
	}
	records, out := noise(t, traintest.Data{Classes: 4, Train: 16, Val: 14, Size: 72, Seed: 1}), filepath.Join(t.TempDir(), "out")
	programs := t.TempDir()
	for _, name := range []string{"train", "tools/evaluate"} {
		build := exec.Command("go", "build", "-o", filepath.Join(programs, filepath.Base(name)+".exe"), "alexnet/"+name)
		if text, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	first := filepath.Join(out, "cnn-1")
	if status, _, errs := command(ctx, tiny("5cnns", records, out)...); status != cli.Failed || !strings.Contains(errs, first+" is saved at step 0") {
		t.Fatalf("interrupted: status %d: %s", status, errs)
	}
	train := exec.Command(filepath.Join(programs, "train.exe"), "--resume", "--run", first, "--threads", "1")
	if text, err := train.CombinedOutput(); err != nil || !bytes.Contains(text, []byte("4 steps, 2 epochs; all epochs are done")) {
		t.Fatalf("%v: %s", err, text)
	}
	status, text, errs := command(t.Context(), tiny("5cnns", records, out, "--json")...)
	if status != cli.Done || strings.Contains(errs, "== "+first+":") {
		t.Fatalf("status %d: %s", status, errs)
	}
	args := []string{"--records", records, "--views", "10", "--threads", "1", "--json"}
	for k := 1; k <= 5; k++ {
		args = append(args, "--checkpoint", filepath.Join(out, fmt.Sprintf("cnn-%d", k)))
	}
	answer, err := exec.Command(filepath.Join(programs, "evaluate.exe"), args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	type figures struct {
		Images, Nets, Views int
		Top1                int        `json:"top1_correct"`
		Top5                int        `json:"top5_correct"`
		Loss                float64    `json:"loss"`
		Error               float64    `json:"top1_error"`
		Interval            [2]float64 `json:"top1_error_interval"`
	}
	var row struct{ Here figures }
	var want figures
	if err := json.Unmarshal([]byte(text), &row); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(answer, &want); err != nil {
		t.Fatal(err)
	}
	if row.Here != want || want.Nets != 5 || want.Images != 14 {
		t.Errorf("the row has %+v, evaluate says %+v", row.Here, want)
	}
}

func TestHelpHasExamples(t *testing.T) {
	for _, name := range []string{"1cnn", "5cnns", "1cnn-star", "7cnns-star", "table", "ablate", "figure1"} {
		if status, out, _ := command(t.Context(), name, "--help"); status != cli.Done || !strings.Contains(out, "    reproduce "+name+" ") {
			t.Errorf("%s: status %d, %s", name, status, out)
		}
	}
}
