package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/tools/cli"
	"alexnet/train/loop"
	"alexnet/train/reproduce"
	"alexnet/train/traintest"
)

// Every variant is trained with the base's seeds and schedule, and differs from it in
// the one thing that it is named for; killed in the middle, the comparison goes on to
// the same figures.
func TestAblate(t *testing.T) {
	records := noise(t, traintest.Data{Classes: 4, Train: 16, Val: 10, Size: 72, Seed: 1})
	args := func(out string, more ...string) []string {
		return append([]string{"ablate", "--records", records, "--out", out, "--net", "alexnet-small", "--batch", "8", "--epochs", "1", "--lr", "0.01",
			"--threads", "1", "--views", "1", "--checkpoint-every", "1", "--json"}, more...)
	}
	var some []string
	variants := []string{"no-lrn", "no-overlap", "single-tower", "half-tower", "no-dropout", "no-crops", "no-flips", "no-color", "tanh"}
	if testing.Short() {
		variants = []string{"no-lrn", "no-crops"}
		some = []string{"--variant", "no-lrn,no-crops"}
	}
	whole, killed := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "killed")
	status, want, errs := command(t.Context(), args(whole, some...)...)
	if status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	var c reproduce.Comparison
	if err := json.Unmarshal([]byte(want), &c); err != nil {
		t.Fatal(err)
	}
	base, err := loop.ReadConfig(filepath.Join(whole, "base-1"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range c.Variant {
		names = append(names, v.Name)
		own, err := loop.ReadConfig(filepath.Join(whole, v.Name+"-1"))
		if err != nil {
			t.Fatal(err)
		}
		checkVariant(t, v.Name, base, own)
		if d := v.Top1Error - c.Base.Top1Error; math.Abs(d-v.Top1.Mean) > 1e-12 || v.Top1.Interval[0] > d || v.Top1.Interval[1] < d {
			t.Errorf("%s: error %g, the base's %g, delta %+v", v.Name, v.Top1Error, c.Base.Top1Error, v.Top1)
		}
	}
	if strings.Join(names, " ") != strings.Join(variants, " ") || c.Images != 10 || c.Split != "val" || c.Views != 1 || c.Epochs != 1 || len(c.Left) > 0 {
		t.Errorf("the comparison is %s", want)
	}
	if !killedIn(t, filepath.Join(killed, "no-crops-1"), args(killed, some...)...) {
		t.Error("it ended by itself")
	}
	status, got, errs := command(t.Context(), args(killed, some...)...)
	if status != cli.Done || got != want || strings.Contains(errs, "== "+filepath.Join(killed, "base-1")) {
		t.Errorf("gone on: status %d,\n%s, undisturbed\n%s\n%s", status, got, want, errs)
	}
	for name, data := range bytesOf(t, whole) {
		if other, err := os.ReadFile(filepath.Join(killed, name)); err != nil || string(other) != data {
			t.Errorf("%s differs after the kill; error %v", name, err)
		}
	}
}

// checkVariant compares a variant's run with the base's.
func checkVariant(t *testing.T, name string, base, own loop.RunConfig) {
	t.Helper()
	same := own.Settings
	layers := func(n *model.Net, kinds ...model.Kind) (count int) {
		for _, l := range n.Layers {
			for _, k := range kinds {
				if l.Kind == k {
					count++
				}
			}
		}
		return count
	}
	ok, parameters := false, own.Net.ParamCount()-base.Net.ParamCount()
	switch name {
	case "no-lrn":
		ok = layers(own.Net, model.LRN) == 0 && parameters == 0
	case "no-overlap":
		ok = own.Net.Layers[3].Kernel == 2 && parameters == 0
	case "single-tower":
		ok = parameters > 0
	case "half-tower":
		ok = own.Net.Layers[0].Out == base.Net.Layers[0].Out/2
	case "no-dropout":
		ok = layers(own.Net, model.Dropout) == 0
	case "tanh":
		ok = layers(own.Net, model.ReLU) == 0 && layers(own.Net, model.Tanh) == layers(base.Net, model.ReLU)
	case "no-crops":
		ok, same.CenterCrops = same.CenterCrops, false
	case "no-flips":
		ok, same.NoFlip = same.NoFlip, false
	case "no-color":
		ok, same.Color = same.Color == loop.ColorNone, base.Settings.Color
	}
	text := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if !ok || text(same) != text(base.Settings) || strings.HasPrefix(name, "no-c") && text(own.Net) != text(base.Net) {
		t.Errorf("%s: settings %s, net %s", name, text(own.Settings), text(own.Net))
	}
}

// Several seeds are averaged, and the text says what is compared.
func TestAblateWithSeeds(t *testing.T) {
	records, out := noise(t, traintest.Data{Classes: 4, Train: 16, Val: 10, Size: 72, Seed: 1}), filepath.Join(t.TempDir(), "out")
	args := []string{"ablate", "--records", records, "--out", out, "--net", "alexnet-small", "--batch", "8", "--epochs", "1", "--threads", "1",
		"--seed", "3", "--seeds", "2", "--variant", "no-lrn"}
	status, text, errs := command(t.Context(), args...)
	for _, want := range []string{"here: noise, 4 classes, 16 images; alexnet-small, 1 epochs of batches of 8, learning rate 0.005, seeds [3 4]",
		"on 10 images of split val, 10 views", "\nbase ", "\nno-lrn ", " +1.4, +1.2 ", "no local response normalisation (3.3)", "standard deviation over the seeds"} {
		if status != cli.Done || !strings.Contains(text, want) {
			t.Fatalf("status %d, the text lacks %q:\n%s%s", status, want, text, errs)
		}
	}
	status, text, errs = command(t.Context(), append(args, "--json")...)
	var c reproduce.Comparison
	if err := json.Unmarshal([]byte(text), &c); err != nil || status != cli.Done {
		t.Fatalf("status %d, %v: %s%s", status, err, text, errs)
	}
	v := c.Variant[0]
	a, b := v.Top1OfSeeds, c.Base.Top1OfSeeds
	if len(a) != 2 || len(b) != 2 {
		t.Fatalf("%s", text)
	}
	d0, d1 := a[0]-b[0], a[1]-b[1]
	if math.Abs(v.Top1.Mean-(d0+d1)/2) > 1e-12 || math.Abs(v.Top1.Deviation-math.Abs(d0-d1)/math.Sqrt2) > 1e-12 {
		t.Errorf("deltas of the seeds are %g and %g, the mean is %+v", d0, d1, v.Top1)
	}
}

// What changes nothing is left out and named.
func TestAblateOfNothing(t *testing.T) {
	records, out := noise(t, traintest.Data{Classes: 4, Train: 8, Val: 4, Size: 28, Grey: true, Seed: 1}), filepath.Join(t.TempDir(), "out")
	args := []string{"ablate", "--records", records, "--out", out, "--net", "lenet", "--batch", "8", "--epochs", "1", "--threads", "1"}
	status, _, errs := command(t.Context(), append(args, "--variant", "no-lrn,no-color")...)
	if status != cli.Failed || !strings.Contains(errs, "there is nothing to compare") {
		t.Errorf("status %d: %s", status, errs)
	}
	status, text, errs := command(t.Context(), append(args, "--variant", "no-lrn,no-flips,no-color,no-dropout")...)
	if status != cli.Done || !strings.Contains(text, "change nothing of this net and its recipe: no-lrn, no-flips, no-color\n") || !strings.Contains(text, "\nno-dropout ") {
		t.Errorf("status %d:\n%s%s", status, text, errs)
	}
}
