package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"alexnet/tools/cli"
	"alexnet/train/checkpoint"
	"alexnet/train/loop"
)

// process starts the command as a process of its own.
func process(t *testing.T, errs *bytes.Buffer, args ...string) (cmd *exec.Cmd, ended chan error) {
	t.Helper()
	cmd = exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Stderr = errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended = make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return cmd, ended
}

// killedAt starts the command, kills it (SIGKILL) once the metrics of the run have so
// many lines, after a little more, and reports whether it was hit before its end.
func killedAt(t *testing.T, run string, lines int, more time.Duration, args ...string) bool {
	t.Helper()
	var errs bytes.Buffer
	cmd, ended := process(t, &errs, args...)
	for seen := 0; seen < lines; {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("it failed by itself: %v\n%s", err, errs.String())
			}
			return false
		case <-time.After(time.Millisecond):
		}
		text, _ := os.ReadFile(filepath.Join(run, loop.MetricsFile)) // not there at first
		seen = bytes.Count(text, []byte("\n"))
	}
	time.Sleep(more)
	_ = cmd.Process.Kill() // it may have ended
	return <-ended != nil
}

// The real command with the real engine is killed at twenty random steps, at any
// moment within them, and resumed: each time the last checkpoint is that of the
// undisturbed run, byte for byte.
func TestTwentyKills(t *testing.T) {
	if os.Getenv("ALEXNET_SLOW") == "" {
		t.Skip("twenty runs, each in two processes: .ci/run does it, with ALEXNET_SLOW=1")
	}
	dir, random := makeRecords(t, small), rand.New(rand.NewPCG(20, 12))
	args := func(run string) []string {
		return append(base(dir, run, "--batch", "4", "--epochs", "2", "--checkpoint-every", "3", "--ema", "0.9", "--crop-group", "3", "--color", "stddev",
			"--color-divisor", "1.1", "--threads", "1"), "--schedule", "cosine", "--warmup-steps", "2")
	}
	last := func(run string) []byte {
		c, warnings, err := checkpoint.Latest(run)
		if err != nil || len(warnings) > 0 || c.Progress.Step != 10 {
			t.Fatalf("the newest checkpoint is %+v, warnings %v, error %v", c, warnings, err)
		}
		data, err := os.ReadFile(c.File)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	whole := filepath.Join(t.TempDir(), "whole")
	if status, _, errs := command(t.Context(), args(whole)...); status != cli.Done {
		t.Fatalf("undisturbed: status %d, %s", status, errs)
	}
	want := last(whole)
	hits := 0
	for tries := 0; hits < 20; tries++ {
		if tries == 60 {
			t.Fatalf("%d kills of %d tries hit a running command", hits, tries)
		}
		run := filepath.Join(t.TempDir(), fmt.Sprint("run-", tries))
		if !killedAt(t, run, random.IntN(11), time.Duration(random.Int64N(int64(20*time.Millisecond))), args(run)...) {
			continue // it was done already
		}
		hits++
		again := []string{"--resume", "--run", run, "--threads", "1"}
		if _, err := loop.ReadConfig(run); err != nil { // killed before it had written anything
			again = args(run)
		}
		if status, _, errs := command(t.Context(), again...); status != cli.Done {
			t.Fatalf("kill %d: resumed: status %d, %s", hits, status, errs)
		}
		if !bytes.Equal(last(run), want) {
			t.Fatalf("kill %d: the last checkpoint of %s differs from that of the undisturbed run", hits, run)
		}
	}
}
