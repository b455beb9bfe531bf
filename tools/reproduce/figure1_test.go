package main

import (
	"bytes"
	"context"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/tools/cli"
	"alexnet/train/reproduce"
	"alexnet/train/traintest"
)

// Figure 1 is made from nothing; killed and interrupted on the way it goes on to the
// same outcome, checkpoints and drawing, byte for byte.
func TestFigure1(t *testing.T) {
	records := noise(t, traintest.Data{Classes: 2, Train: 64, Val: 2, Size: 28, Grey: true, Seed: 1})
	args := func(out string, more ...string) []string {
		return append([]string{"figure1", "--records", records, "--out", out, "--net", "lenet", "--batch", "8", "--rates", "0.000001,0.0002,0.001",
			"--search-epochs", "1", "--epochs", "6", "--until", "0.1", "--threads", "1", "--checkpoint-every", "1"}, more...)
	}
	whole, killed := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "killed")
	status, want, errs := command(t.Context(), args(whole, "--json")...)
	if status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	var o reproduce.Outcomes
	if err := json.Unmarshal([]byte(want), &o); err != nil {
		t.Fatal(err)
	}
	if o.DataSet != "noise" || o.Net != "lenet" || o.ReLU.WholeEpochs < 2 || o.Tanh.WholeEpochs < 2 || o.Ratio == 0 || o.Paper.Ratio != 6 || len(o.ReLU.Tried) != 3 {
		t.Errorf("the outcome is %s", want)
	}
	for _, run := range []string{"relu-0.0002", "tanh-0.001"} {
		if !killedIn(t, filepath.Join(killed, run), args(killed)...) {
			t.Errorf("%s was not hit: the command ended by itself", run)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if status, _, errs := command(ctx, args(killed)...); status != cli.Failed || !strings.Contains(errs, "interrupted: ") || !strings.Contains(errs, "the same command goes on from there") {
		t.Errorf("interrupted: status %d: %s", status, errs)
	}
	status, got, errs := command(t.Context(), args(killed, "--json")...)
	if status != cli.Done || got != want || strings.Contains(errs, "== "+filepath.Join(killed, "relu-0.000001")+":") || !strings.Contains(errs, "; from step ") {
		t.Errorf("gone on: status %d,\n%s, undisturbed\n%s\n%s", status, got, want, errs)
	}
	files := bytesOf(t, whole)
	for _, name := range []string{"figure1.json", "figure1.svg", "figure1.png"} {
		files[name] = read(t, filepath.Join(whole, name))
	}
	for name, data := range files {
		if read(t, filepath.Join(killed, name)) != data {
			t.Errorf("%s differs after the kills", name)
		}
	}
	if img, err := png.Decode(strings.NewReader(files["figure1.png"])); err != nil || img.Bounds().Dx() != 1280 {
		t.Errorf("error %v", err)
	}
	for _, text := range []string{`stroke-dasharray="8 5"`, ">10 %</text>", "prefers-color-scheme: dark", ">training error, %</text>", ">epochs</text>", ">ReLU, rate ", "lenet on noise by epoch"} {
		if !strings.Contains(files["figure1.svg"], text) {
			t.Errorf("the drawing lacks %q", text)
		}
	}
	// Once more: nothing is trained, and a person can read it.
	status, text, errs := command(t.Context(), args(whole)...)
	for _, want := range []string{"epochs to a training error of 10 %", "paper: CIFAR-10, a four-layer net, to 25 % ", "here: noise, lenet, rates 1e-06 0.0002 0.001 ",
		" (of whole epochs ", "after the 1 epochs of the search", "*: went on", "does best at the highest rate", "drawn in " + filepath.Join(whole, "figure1.svg")} {
		if status != cli.Done || !strings.Contains(text, want) || strings.Contains(errs, "== ") {
			t.Fatalf("status %d, the text lacks %q:\n%s%s", status, want, text, errs)
		}
	}
	// Other settings are not taken for the same runs.
	if status, _, errs := command(t.Context(), args(whole, "--seed", "2")...); status != cli.Failed || !strings.Contains(errs, "seed: 1 in the checkpoint, 2 here") {
		t.Errorf("another seed: status %d, %s", status, errs)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFigure1WrongUsage(t *testing.T) {
	records := noise(t, traintest.Data{Classes: 2, Train: 8, Size: 28, Grey: true, Seed: 1})
	out := filepath.Join(t.TempDir(), "out")
	for _, tc := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--rates", "0.1,0.1"}, cli.Usage, "learning rate 0.1 is given twice"},
		{[]string{"--rates=-0.1"}, cli.Usage, "must be a positive number"},
		{[]string{"--until", "25"}, cli.Usage, "must lie between 0 and 1"},
		{[]string{"--epochs", "2"}, cli.Usage, "the search alone has 3"},
		{[]string{"--seed", "0"}, cli.Usage, "--seed not 0"},
		{[]string{"--threads=-1"}, cli.Usage, "must not be negative"},
		{[]string{"--out", "s3://bucket/figure1"}, cli.Usage, "--out s3://bucket/figure1: this must be"},
		{[]string{"--precision", "fp8"}, cli.Usage, "--precision"},
		{[]string{"--net", "resnet"}, cli.Failed, `unknown net "resnet"`},
		{nil, cli.Failed, "the run " + filepath.Join(out, "relu-0.001")}, // three channels are wanted
	} {
		status, text, errs := command(t.Context(), append([]string{"figure1", "--records", records, "--out", out}, tc.args...)...)
		if status != tc.status || text != "" || !strings.Contains(errs, tc.want) {
			t.Errorf("%v: status %d, %s; want %d, %s", tc.args, status, errs, tc.status, tc.want)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("what was refused has left a folder")
	}
}

// Where an activation does not get there, the text says so, and draws what there is.
func TestRaceThatIsNotWon(t *testing.T) {
	o := reproduce.Outcomes{Rates: []float64{0.1, 0.2, 0.3}, Until: 0.25, SearchEpochs: 1, Paper: reproduce.PaperRace()}
	tries := []reproduce.Try{{Rate: 0.1, Errors: []float64{0.5}}, {Rate: 0.2, Errors: []float64{0.4}, WentOn: true}, {Rate: 0.3, Diverged: true}}
	o.ReLU = reproduce.Runner{Activation: "relu", Rate: 0.2, Errors: []float64{0.4, 0.2}, WholeEpochs: 2, Epochs: 1.75, Tried: tries}
	o.Tanh = reproduce.Runner{Activation: "tanh", Rate: 0.2, Errors: []float64{0.4, 0.39, 0.38}, Tried: tries}
	o.MoreThan = 3 / 1.75
	text := raceText(o)
	for _, want := range []string{"not reached", "none of 3", "38.00", "more than 1.71: tanh did not get there", "diverged", "40.00*"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "note:") {
		t.Errorf("a note for a rate in the middle:\n%s", text)
	}
	var names bytes.Buffer
	for _, s := range raceChart(o).Series {
		names.WriteString(s.Name + ";")
	}
	if want := "ReLU, rate 0.2: 1.8 epochs;tanh, rate 0.2;"; names.String() != want {
		t.Errorf("series %s, want %s", names.String(), want)
	}
	o.MoreThan = 0
	if text := raceText(o); !strings.Contains(text, "unknown: ReLU did not get there") {
		t.Errorf("%s", text)
	}
}
