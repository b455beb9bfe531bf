package main

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/tools/cli"
	"alexnet/train/checkpoint"
)

// savedNet saves a net, with the weights of a seed, as the only checkpoint of a run.
func savedNet(t *testing.T, net *model.Net, seed uint64, classes []string) (run, file string) {
	t.Helper()
	run = t.TempDir()
	file, err := (&checkpoint.Store{Run: run, Keep: 1}).Save(&checkpoint.Checkpoint{
		Net: net, Classes: classes, Settings: []byte("{}"),
		Progress: checkpoint.Progress{Step: 7, Schedule: []byte("{}")}, State: model.State{Weights: net.Init(seed)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return run, file
}

func TestKernels(t *testing.T) {
	net, err := model.Preset("alexnet-small", 2)
	if err != nil {
		t.Fatal(err)
	}
	run, file := savedNet(t, net, 1, []string{"n0", "n1"})
	name := filepath.Join(t.TempDir(), "kernels.png")
	status, out, msg := inspect(t, "kernels", run, "--out", name, "--scale", "2")
	if status != cli.Done || !strings.Contains(out, "kernels of") || !strings.Contains(out, " of conv1 after step 7, towers: 2; contrast by figure") {
		t.Fatalf("status %d, %s%s", status, out, msg)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := png.Decode(f); err != nil {
		t.Fatal(err)
	}
	status, out, msg = inspect(t, "kernels", file, "--out", name, "--contrast", "kernel", "--json")
	if status != cli.Done || !strings.Contains(out, `"layer":"conv1",`) || !strings.Contains(out, `"contrast":"kernel"`) {
		t.Errorf("as JSON: status %d, %s%s", status, out, msg)
	}
	for want, args := range map[string][]string{
		"checkpoint: stat nowhere":                      {"kernels", "nowhere"},
		"--scale must not be negative":                  {"kernels", run, "--scale=-1"},
		"it has no averaged weights":                    {"kernels", run, "--weights", "average"},
		"creating " + filepath.Join(run, "no", "k.png"): {"kernels", run, "--png", filepath.Join(run, "no", "k.png")},
	} {
		if status, out, msg := inspect(t, args...); status == cli.Done || out != "" || !strings.Contains(msg, want) {
			t.Errorf("%v: status %d, %s%s, want %q", args, status, out, msg, want)
		}
	}
}
