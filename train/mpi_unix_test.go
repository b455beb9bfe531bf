//go:build unix

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"alexnet/tools/cli"
	"alexnet/train/checkpoint"
	"alexnet/train/collective"
	"alexnet/train/loop"
)

// A run that is told to save while it still joins the others does.
func TestToldAtTheStart(t *testing.T) {
	dir, run := makeRecords(t, small), filepath.Join(t.TempDir(), "run")
	var out, errs bytes.Buffer
	f := &flags{stdout: &out, stderr: &errs, join: func() (collective.Group, error) {
		err := syscall.Kill(os.Getpid(), syscall.SIGUSR1)
		time.Sleep(5 * time.Millisecond) // any thread may get it, soon
		return collective.Alone{}, err
	}}
	args := base(dir, run, "--epochs", "50")
	status := cli.Run(t.Context(), "train", description, f, args, &out, &errs)
	if status != cli.Failed || !strings.Contains(errs.String(), "train: interrupted after step ") {
		t.Errorf("status %d: %s", status, errs.String())
	}
}

// The launcher passes SIGUSR1 on, and all ranks end in the same step, with a checkpoint.
func TestMPIStops(t *testing.T) {
	if testing.Short() {
		t.Skip("several processes")
	}
	args := ranksRun(t)
	var said bytes.Buffer
	run := filepath.Join(t.TempDir(), "run")
	cmd := mpirun(t, 2, &said, args(run, "--epochs", "2000")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	for running, told := true, false; running; {
		select {
		case err = <-ended:
			running = false
		case <-time.After(10 * time.Millisecond):
			text, _ := os.ReadFile(filepath.Join(run, loop.MetricsFile)) // not there at first
			if !told && bytes.Contains(text, []byte(`"step":3,`)) {
				told = true
				if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
					t.Error(err)
				}
			}
		}
	}
	var status *exec.ExitError
	if !errors.As(err, &status) || status.ExitCode() != cli.Failed || strings.Count(said.String(), "interrupted after step ") != 1 {
		t.Errorf("%v\n%s", err, said.String())
	}
	if c, _, err := checkpoint.Latest(run); err != nil || c.Progress.Step < 3 || c.Progress.StepInEpoch == 0 {
		t.Errorf("the checkpoint is %+v, %v", c, err)
	}
}
