package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"alexnet/tools/cli"
)

// soakLines parses the lines of --soak --json.
func soakLines(t *testing.T, stdout string) (samples []sample, end soakEnd) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	for i, line := range lines {
		if i == len(lines)-1 {
			if err := json.Unmarshal([]byte(line), &end); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			break
		}
		var s sample
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		samples = append(samples, s)
	}
	return samples, end
}

func TestSoak(t *testing.T) {
	args := []string{"--net", "alexnet-small", "--size", "66", "--batch", "4", "--dtype", "float16", "--soak", "300ms"}
	status, stdout, stderr := run(t, append(args, "--json")...)
	if status != 0 {
		t.Fatalf("status %d, %s", status, stderr)
	}
	samples, end := soakLines(t, stdout)
	if len(samples) < 1 || len(samples) > soakSamples {
		t.Fatalf("%d samples", len(samples))
	}
	before := sample{}
	for _, s := range samples {
		if s.Images <= before.Images || s.Elapsed <= before.Elapsed || s.Rate <= 0 || s.RSS == 0 || s.Anonymous == 0 || s.Anonymous > s.RSS ||
			s.Heap == 0 || s.Goroutines < 3 || s.WaitShare < 0 || s.WaitShare > 1 {
			t.Errorf("%+v after %+v", s, before)
		}
		before = s
	}
	if end.Stage != "soak" || end.Dtype != "float16" || end.Images != before.Images || end.Diagnosis.Verdict == "" || (end.Growth != nil) != (len(samples) > 2) {
		t.Errorf("%+v", end)
	}
	_, stdout, _ = run(t, args...)
	for _, want := range []string{"  seconds ", "memory in MiB\n", " images/s; ", "\nstream, float16: where the time went", "  consumer "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}

func TestSoakImages(t *testing.T) {
	status, stdout, stderr := run(t, "--net", "alexnet-small", "--size", "66", "--batch", "4", "--images", "30", "--json")
	_, end := soakLines(t, stdout)
	if status != 0 || end.Images != 32 || end.Growth != nil {
		t.Errorf("status %d, %s, %s", status, stderr, stdout)
	}
}

// TestSoakInterrupted wants what was seen, and an error.
func TestSoakInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	status := cli.Run(ctx, "bench", description, &flags{stdout: &out, stderr: &errs},
		[]string{"--records", smallRecords(t, 66), "--net", "alexnet-small", "--batch", "16", "--depth", "1", "--consume", "20", "--soak", "1h"}, &out, &errs)
	if status != 1 || !strings.Contains(errs.String(), "soak: after ") || !strings.Contains(errs.String(), "context deadline exceeded") ||
		!strings.Contains(out.String(), "too few samples") {
		t.Errorf("status %d, %q, %q", status, errs.String(), out.String())
	}
}

// TestDue takes a few samples of any run, and never too many.
func TestDue(t *testing.T) {
	for _, f := range []flags{{Soak: time.Second}, {Soak: 20 * time.Second}, {Soak: 10 * time.Hour}, {Images: 1000}, {Images: 7}} {
		s := &soaker{bench: &bench{flags: &f}}
		length := f.Soak
		if length == 0 {
			length = time.Minute
		}
		// A clock of 10,000 batches.
		for i := range 10000 {
			elapsed := time.Duration(i) * length / 10000
			s.began = time.Now().Add(-elapsed)
			s.images = f.Images * int64(i) / 10000
			if s.due() {
				s.samples = append(s.samples, sample{Elapsed: elapsed.Seconds()})
			}
		}
		if n := len(s.samples); n < 4 || n >= soakSamples {
			t.Errorf("%v, %d images: %d samples", f.Soak, f.Images, n)
		}
	}
}

func TestProcessMemory(t *testing.T) {
	use := processMemory(1 << 30)
	if use.all == 0 || use.anonymous == 0 || use.anonymous > use.all || use.all > 1<<40 {
		t.Errorf("%+v", use)
	}
}
