package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"alexnet/records"
)

// TestStreamFlags streams a rank's part, block by block, to a slow consumer.
func TestStreamFlags(t *testing.T) {
	status, stdout, stderr := run(t, "--stage", "stream", "--net", "alexnet-small", "--size", "66", "--batch", "6", "--time", "1ms", "--json",
		"--rank", "1", "--world", "2", "--shuffle", "block", "--window", "100", "--depth", "3", "--on-corrupt", "skip", "--cache", "1MiB", "--consume", "100000")
	got := results(t, stdout)
	if status != 0 || len(got) != 1 || got[0].Images%3 != 0 || !strings.HasPrefix(got[0].Note, "rank 1 of 2, batches of 6 at 100000 images/s, 64 x 64") || got[0].Kept != 0 {
		t.Errorf("status %d, %s, %s", status, stderr, stdout)
	}
}

// TestBatchOfAll has no larger batches than there are records.
func TestBatchOfAll(t *testing.T) {
	status, stdout, stderr := run(t, "--stage", "stream", "--net", "alexnet-small", "--size", "66", "--batch", "5000", "--time", "1ms", "--json")
	got := results(t, stdout)
	if status != 0 || len(got) != 1 || got[0].Batch != 1024 || got[0].Images%1024 != 0 || !strings.HasPrefix(got[0].Note, "batches of 1024, ") {
		t.Errorf("status %d, %s, %s", status, stderr, stdout)
	}
	if small, large := madeUpRows(66, records.Int16), madeUpRows(4096, records.Int16); small != 1024 || large < 1 || large > 50 {
		t.Errorf("%d small pictures and %d large ones", small, large)
	}
}

// TestPacer looks at when it would be done.
func TestPacer(t *testing.T) {
	p := pacer{rate: 1000}
	begin := time.Now()
	p.wait(t.Context(), 5)
	if now := time.Now(); now.Sub(begin) < 5*time.Millisecond || p.due.Before(begin.Add(5*time.Millisecond)) {
		t.Errorf("after %v", now.Sub(begin))
	}
	// A sleep that was a little too long is made up for.
	p.due = time.Now().Add(-lateness / 2)
	due := p.due
	p.wait(t.Context(), 5)
	if !p.due.Equal(due.Add(5*time.Millisecond)) && time.Since(due) < lateness {
		t.Errorf("due %v later", p.due.Sub(due))
	}
	// A long time without a batch is not.
	due = time.Now().Add(-time.Hour)
	p.due = due
	p.wait(t.Context(), 5)
	if p.due.Sub(due) < time.Hour {
		t.Errorf("an hour is made up for")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.rate = 0.001
	p.wait(ctx, 1000) // returns
}

func TestCopyRate(t *testing.T) {
	rate, err := copyRate(t.Context(), 2, 0)
	if err != nil || rate <= 0 {
		t.Errorf("%v, %v", rate, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := copyRate(ctx, 1, time.Hour); err == nil {
		t.Error("no error when cancelled")
	}
}

func TestSweep(t *testing.T) {
	args := []string{"--sweep", "--net", "alexnet-small", "--size", "66", "--time", "0s"}
	status, stdout, stderr := run(t, args...)
	if status != 0 || strings.Count(stdout, "1 worker  ") != 2 || strings.Count(stdout, "\n    1024 ") != 2 || !strings.HasPrefix(stdout, "stream, float32 nchw, of 3x66x66 int16, made up\n\nimages/s\n") {
		t.Errorf("status %d, %s, %s", status, stderr, stdout)
	}
	status, stdout, stderr = run(t, append(args, "--records", smallRecords(t, 66), "--json")...)
	got := results(t, stdout)
	if status != 0 || len(got) < 12 || got[0].Batch != 32 || got[0].Workers != 1 || got[1].Workers != 2 || got[len(got)-1].Batch != 1024 {
		t.Errorf("status %d, %s, %s", status, stderr, stdout)
	}
	for processors, want := range map[int]int{1: 4, 2: 4, 4: 4, 6: 4, 8: 8, 64: 64} {
		if list := sweepWorkers(processors); list[0] != 1 || list[len(list)-1] != want {
			t.Errorf("%d processors: %v", processors, list)
		}
	}
}
