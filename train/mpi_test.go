package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"alexnet/tools/cli"
	"alexnet/train/checkpoint"
	"alexnet/train/loop"
	"alexnet/train/traintest"
)

// mpirun prepares the command as a launcher starts it. It skips the test where there is no
// launcher.
func mpirun(t *testing.T, ranks int, said *bytes.Buffer, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("mpirun")
	if err != nil {
		t.Skip("no mpirun: ", err)
	}
	own := []string{"-n", strconv.Itoa(ranks), "--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"}
	if os.Geteuid() == 0 {
		own = append(own, "--allow-run-as-root")
	}
	cmd := exec.CommandContext(t.Context(), path, append(append(own, os.Args[0]), args...)...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Stdout, cmd.Stderr = said, said
	return cmd
}

// The records and the command line of these tests: 25 steps of 8 an epoch, and the last
// of 3.
func ranksRun(t *testing.T) func(run string, more ...string) []string {
	dir := makeRecords(t, traintest.Data{Classes: 4, Train: 203, Val: 6, Size: 72, Seed: 1})
	return func(run string, more ...string) []string {
		return append(base(dir, run, "--epochs", "2", "--lr", "0.00005", "--checkpoint-every", "5", "--threads", "1", "--workers", "1"), more...)
	}
}

// drift compares the losses of two runs step by step and returns the largest difference.
func drift(t *testing.T, want, got string) float64 {
	t.Helper()
	a, b := metrics(t, want), metrics(t, got)
	if len(a) != len(b) {
		t.Fatalf("%d lines of metrics, want %d", len(b), len(a))
	}
	largest := 0.0
	for i, l := range a {
		if b[i].Step != l.Step || b[i].Images != l.Images || b[i].LR != l.LR {
			t.Errorf("line %+v, want %+v", b[i], l)
		}
		if l.Val == nil {
			t.Logf("step %2d  %.7f  %.7f", l.Step, l.Loss, b[i].Loss)
		}
		largest = max(largest, math.Abs(l.Loss-b[i].Loss))
	}
	return largest
}

// lossTolerance is what the losses of two runs, of 1.4 nats, may differ by after 52 steps
// whose sums were taken in other orders.
const lossTolerance = 1e-4

// Processes under a launcher train as one does.
func TestMPI(t *testing.T) {
	if testing.Short() {
		t.Skip("several runs of 52 steps")
	}
	args, one := ranksRun(t), filepath.Join(t.TempDir(), "one")
	mpirun(t, 2, nil) // or skip
	if status, _, text := command(t.Context(), args(one)...); status != cli.Done {
		t.Fatalf("status %d: %s", status, text)
	}
	same := func(t *testing.T, run string) {
		if d := drift(t, one, run); d > lossTolerance {
			t.Errorf("losses differ by %g", d)
		}
	}
	t.Run("two ranks", func(t *testing.T) {
		var said bytes.Buffer
		run := filepath.Join(t.TempDir(), "run")
		if err := mpirun(t, 2, &said, args(run)...).Run(); err != nil {
			t.Fatalf("%v\n%s", err, said.String())
		}
		for text, times := range map[string]int{"ranks:   2 (Open MPI ": 1, ", each with up to 4 images of a batch": 1, "engine: ": 1, "epoch 2 done": 1, "alexnet-small: 52 steps": 1} {
			if n := strings.Count(said.String(), text); n != times {
				t.Errorf("%q was said %d times, not %d:\n%s", text, n, times, said.String())
			}
		}
		same(t, run)
	})
	t.Run("killed and resumed", func(t *testing.T) {
		run := filepath.Join(t.TempDir(), "run")
		killRank(t, run, args(run))
		again := []string{"--resume", "--run", run, "--threads", "1", "--max-steps", "30"}
		if status, _, text := command(t.Context(), again...); status != cli.Done {
			t.Fatalf("resumed with one rank: status %d: %s", status, text)
		}
		var said bytes.Buffer
		if err := mpirun(t, 3, &said, again[:len(again)-2]...).Run(); err != nil {
			t.Fatalf("resumed with three ranks: %v\n%s", err, said.String())
		}
		same(t, run)
	})
}

// killRank starts two ranks, of which the second is killed in step 12 or a little later,
// and looks that this ends both.
func killRank(t *testing.T, run string, args []string) {
	t.Helper()
	var said bytes.Buffer
	cmd := mpirun(t, 2, &said, args...)
	cmd.Env = append(cmd.Env, dieOf+"=1", dieAt+"=12")
	err := cmd.Run()
	ended := time.Now()
	var status *exec.ExitError
	if !errors.As(err, &status) {
		t.Fatalf("a rank was killed, and yet: %v\n%s", err, said.String())
	}
	text, err := os.ReadFile(filepath.Join(run, diedFile))
	if err != nil {
		t.Fatalf("no rank was killed: %v\n%s", err, said.String())
	}
	died, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ended %v after the death", ended.Sub(died))
	if c, _, err := checkpoint.Latest(run); err != nil || c.Progress.Step < 10 || c.Progress.Step > 20 {
		t.Fatalf("the last checkpoint: %+v, %v", c, err)
	}
}

// A rank that fails ends all with its own message, and a wrong command line with its own
// status.
func TestMPIFails(t *testing.T) {
	if testing.Short() {
		t.Skip("several processes")
	}
	var errs bytes.Buffer
	run := filepath.Join(t.TempDir(), "run")
	cmd := mpirun(t, 2, &errs, base(filepath.Join(t.TempDir(), "none"), run)...)
	var status *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &status) || status.ExitCode() != cli.Failed || !strings.Contains(errs.String(), " of 2: ") {
		t.Errorf("no records: %v\n%s", err, errs.String())
	}
	errs.Reset()
	cmd = mpirun(t, 2, &errs, "--resume", "--init", "file", "--run", run)
	if err := cmd.Run(); !errors.As(err, &status) || status.ExitCode() != cli.Usage || !strings.Contains(errs.String(), "give one of them") {
		t.Errorf("a wrong command line: %v\n%s", err, errs.String())
	}
	errs.Reset()
	cmd = mpirun(t, 2, &errs, base("x", run)...)
	cmd.Env = append(cmd.Env, "ALEXNET_MPI=/no/such/libmpi.so")
	if err := cmd.Run(); !errors.As(err, &status) || status.ExitCode() != cli.Failed || !strings.Contains(errs.String(), "has started 2 ranks, and this one cannot join them") {
		t.Errorf("no library: %v\n%s", err, errs.String())
	}
}

// The environment that makes a rank kill itself, as kill -9 does, after so many steps.
const (
	dieOf = "ALEXNET_TRAIN_TEST_DIE_RANK"
	dieAt = "ALEXNET_TRAIN_TEST_DIE_STEP"

	diedFile = "died"
)

// watchAndDie kills this process if it is the rank that is to die, once the run has a
// line of metrics of that step.
func watchAndDie() {
	rank, step := os.Getenv(dieOf), os.Getenv(dieAt)
	if rank == "" || os.Getenv("OMPI_COMM_WORLD_RANK") != rank {
		return
	}
	run := ""
	for i, arg := range os.Args {
		if arg == "--run" {
			run = os.Args[i+1]
		}
	}
	go func() {
		for {
			text, _ := os.ReadFile(filepath.Join(run, loop.MetricsFile)) // not there at first
			if bytes.Contains(text, fmt.Appendf(nil, `"step":%s,`, step)) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		_ = os.WriteFile(filepath.Join(run, diedFile), time.Now().AppendFormat(nil, time.RFC3339Nano), 0o666)
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			panic(err)
		}
	}()
}
