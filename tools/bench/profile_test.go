package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/tools/cli"
)

// TestProfile: the lines of a step's parts sum to the step, and --compare passes over
// them.
func TestProfile(t *testing.T) {
	args := []string{"--stage", "train,predict", "--profile", "--net", "alexnet-small", "--batch", "4", "--time", "1ms"}
	status, stdout, stderr := run(t, append(args, "--json")...)
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, %s", status, stderr)
	}
	sum, step, flops := map[string]float64{}, map[string]float64{}, map[string]int{}
	stages := 0
	for line := range strings.Lines(stdout) {
		var l profileLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		switch {
		case l.Profile == "":
			stages++
			continue
		case l.Pass == passStep:
			step[l.Profile] = l.Seconds
		default:
			sum[l.Profile] += l.Seconds
		}
		if l.GFLOPS > 0 {
			flops[l.Profile]++
		}
	}
	if stages != 2 || len(step) != 2 {
		t.Fatalf("%d results and %d profiles:\n%s", stages, len(step), stdout)
	}
	for stage, want := range step {
		if want <= 0 || math.Abs(sum[stage]-want) > 1e-6*want {
			t.Errorf("%s: parts of %g s in a step of %g s", stage, sum[stage], want)
		}
	}
	// 8 layers with weights forwards, and the step.
	if flops["predict"] != 9 || flops["train"] < 8+8+1 {
		t.Errorf("GFLOP/s in %v lines", flops)
	}
	file := filepath.Join(t.TempDir(), "before.jsonl")
	if err := os.WriteFile(file, []byte(stdout), 0o666); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr = run(t, append(args, "--compare", file)...)
	if status != 0 || !strings.Contains(stdout, "Where a step of train goes") || !strings.Contains(stdout, "conv1      conv       predict") {
		t.Errorf("status %d, %s\n%s", status, stderr, stdout)
	}
}

func TestWrongUsageOfProfile(t *testing.T) {
	for _, args := range [][]string{{"--profile", "--stage", "stream"}, {"--profile", "--stage", "train", "--result"}} {
		if status, _, stderr := run(t, args...); status != cli.Usage || !strings.Contains(stderr, "--profile") {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
	}
}
