package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/model/cpu"
	"alexnet/tools/cli"
	"alexnet/train/checkpoint"
	"alexnet/train/loop"
)

// A run keeps its precision: it is in the run's configuration, --resume refuses
// another, and --init takes weights of any. Where the machine has no bfloat16, that is
// what the user is told.
func TestPrecision(t *testing.T) {
	dir, runs := makeRecords(t, small), t.TempDir()
	wide, half := filepath.Join(runs, "fp32"), filepath.Join(runs, "bf16")
	if status, _, errs := command(t.Context(), base(dir, wide, "--max-steps", "1")...); status != cli.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	status, _, errs := command(t.Context(), "--resume", "--run", wide, "--precision", "bf16")
	if status != cli.Failed || !strings.Contains(errs, "has other settings: precision: fp32 in the checkpoint, bf16 here; ") {
		t.Errorf("fp32 resumed with bf16: status %d, %s", status, errs)
	}
	weights, _, err := checkpoint.Find(wide)
	if err != nil {
		t.Fatal(err)
	}
	args := base(dir, half, "--precision", "bf16", "--init", weights.File, "--max-steps", "2")
	status, _, errs = command(t.Context(), args...)
	if missing := missingHalf(t); missing != nil {
		if status != cli.Failed || !strings.Contains(errs, missing.Error()) || !strings.Contains(errs, "use precision fp32") {
			t.Errorf("without bfloat16: status %d, %s", status, errs)
		}
		t.Skip(missing)
	}
	if status != cli.Done || !strings.Contains(errs, ", bf16, ") {
		t.Fatalf("status %d: %s", status, errs)
	}
	if c, err := loop.ReadConfig(half); err != nil || c.Settings.Precision != loop.BF16 {
		t.Errorf("config %+v, error %v", c.Settings, err)
	}
	status, _, errs = command(t.Context(), "--resume", "--run", half, "--precision", "fp32")
	if status != cli.Failed || !strings.Contains(errs, "has other settings: precision: bf16 in the checkpoint, fp32 here; ") {
		t.Errorf("bf16 resumed with fp32: status %d, %s", status, errs)
	}
	if status, _, errs = command(t.Context(), "--resume", "--run", half, "--epochs", "1"); status != cli.Done || !strings.Contains(errs, ", bf16, ") {
		t.Errorf("bf16 resumed: status %d, %s", status, errs)
	}
}

// missingHalf says why this machine has no bfloat16, nil if it has.
func missingHalf(t *testing.T) error {
	t.Helper()
	net, err := model.Preset("alexnet-small", 2)
	if err != nil {
		t.Fatal(err)
	}
	e, err := cpu.New(net, model.State{}, cpu.Options{Batch: 1, Precision: cpu.BF16})
	var missing *cpu.PrecisionError
	if errors.As(err, &missing) {
		return err
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return nil
}
