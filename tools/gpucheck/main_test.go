package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"alexnet/tools/cli"
)

// childEnv makes the test binary the command, or one that goes wrong: tests start it as
// gpucheck starts itself.
const childEnv = "GPUCHECK_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "command":
		main()
	case "hangs":
		fmt.Println(`{"part":"machine","what":"first","status":"ok"}`)
		time.Sleep(time.Minute)
	case "crashes":
		fmt.Println(`{"part":"machine","what":"first","status":"ok"}`)
		fmt.Fprintln(os.Stderr, "loaded\nSIGSEGV: segmentation violation")
		os.Exit(2)
	case "rambles":
		fmt.Println("{\"part\":\"machine\",\"what\":\"first\",\"status\":\"ok\"}\ncuda says hello")
	}
}

// outcome is what a run of the command gave.
type outcome struct {
	status         int
	stdout, stderr string
	report         report
	markdown       string
}

// check runs the command here, its parts by the launcher.
func check(t *testing.T, launch launcher, args ...string) outcome {
	t.Helper()
	dir := t.TempDir()
	jsonFile, mdFile := filepath.Join(dir, "out.json"), filepath.Join(dir, "out.md")
	var stdout, stderr strings.Builder
	o := outcome{status: cli.Run(t.Context(), "gpucheck", description, &flags{launch: launch}, append(args, "--json", jsonFile, "--markdown", mdFile), &stdout, &stderr)}
	o.stdout, o.stderr = stdout.String(), stderr.String()
	if b, err := os.ReadFile(jsonFile); err == nil {
		if err := json.Unmarshal(b, &o.report); err != nil {
			t.Error(err)
		}
	}
	if b, err := os.ReadFile(mdFile); err == nil {
		o.markdown = string(b)
	}
	return o
}

// TestStandIn runs checks that need no GPU: all of them on the CPU's engine, and on a GPU
// of plain Go, which executes our kernels, those that do not take long (CI runs the rest).
func TestStandIn(t *testing.T) {
	for device, o := range map[string]struct {
		least int
		parts []string
	}{
		"soft": {24, []string{"travel", "errors", "ranks"}},
		"cpu":  {45, []string{"parity", "repeat", "resume", "travel", "errors"}},
	} {
		t.Run(device, func(t *testing.T) {
			least, parts := o.least, o.parts
			if device == "soft" && os.Getenv("ALEXNET_SLOW") == "" {
				t.Skip("executes our kernels for some seconds: .ci/run does it, with ALEXNET_SLOW=1")
			}
			args := []string{"--device", device}
			if device == "soft" {
				args = append(args, "--only", strings.Join(parts, ","))
			}
			o := check(t, direct, args...)
			if o.status != 0 || o.report.Checks < least || len(o.report.Failed) > 0 {
				t.Errorf("status %d, %d checks\n%s%s", o.status, o.report.Checks, o.stdout, o.stderr)
			}
			t.Logf("\n%s", o.stdout)
			for _, want := range parts {
				if !strings.Contains(o.markdown, "| "+want+" |") {
					t.Errorf("no %s in\n%s", want, o.markdown)
				}
			}
		})
	}
}

// TestTimings: what is measured comes out, though it says nothing here.
func TestTimings(t *testing.T) {
	for device, want := range map[string][]string{
		"soft": {"bench: training, bf16, batch 2", "bench: training, bf16, batch 2, groups made of zeros", "bench: training, bf16, batch 2, algorithms chosen by running them", "copies: page-locked to device, 4 KiB", "stream: from records, bf16, batch 2, travelling as stored (uint8)",
			"bench: product of 16 x 16 matrices, bf16", "layers: bf16, batch 2, a step: conv2, weights", "layers: bf16, batch 2: conv2, forward, groups made of zeros", "stream: from records, not waiting, the fastest way"},
		"cpu": {"bench: training, fp32, batch 2", "stream: from records, fp32, batch 2, travelling as float32"},
	} {
		t.Run(device, func(t *testing.T) {
			if testing.Short() && device == "soft" {
				t.Skip("executes our kernels for some seconds")
			}
			o := check(t, direct, "--device", device, "--only", "bench,copies,stream,layers")
			if o.status != 0 {
				t.Errorf("status %d\n%s%s", o.status, o.stdout, o.stderr)
			}
			for _, w := range want {
				found := false
				for _, r := range o.report.Results {
					if r.Part+": "+r.What == w {
						found = r.Value > 0
					}
				}
				if !found {
					t.Errorf("%s was not measured", w)
				}
			}
			t.Logf("\n%s\n%s", o.stdout, o.markdown)
		})
	}
}

// TestIsolation: parts are processes; one that hangs, crashes or says nonsense keeps what
// it has found, fails, and does not stop the others.
func TestIsolation(t *testing.T) {
	quick := func(ctx context.Context, f *flags, p part, each func(result)) error {
		p.limit = 2 * time.Second
		return isolated(ctx, f, p, each)
	}
	launchers := map[string]launcher{"hangs": quick, "crashes": isolated, "rambles": isolated}
	for child, want := range map[string]string{
		"hangs":   "did not end within",
		"crashes": "exit status 2: loaded / SIGSEGV: segmentation violation",
		"rambles": `"cuda says hello" is no result`,
	} {
		t.Run(child, func(t *testing.T) {
			t.Setenv(childEnv, child)
			o := check(t, launchers[child], "--device", "cpu", "--only", "machine,errors")
			if o.status != cli.Failed || len(o.report.Failed) != 2 || o.report.Failed[1] != "errors: the part as a whole" || o.report.Checks != 4 {
				t.Errorf("status %d: %+v", o.status, o.report)
			}
			if !strings.Contains(o.stdout, want) || !strings.Contains(o.stdout, "4 checks, 2 failed") {
				t.Errorf("%s\nwants %q", o.stdout, want)
			}
		})
	}
	t.Setenv(childEnv, "command")
	o := check(t, isolated, "--device", "cpu", "--only", "errors,machine")
	if o.status != cli.Done || o.report.Checks < 10 || o.report.Facts["device"] == "" {
		t.Errorf("status %d: %+v\n%s%s", o.status, o.report, o.stdout, o.stderr)
	}
	o = check(t, isolated, "--device", "cpu", "--only", "errors,machine", "--limit", "1ms")
	if o.status != cli.Failed || !strings.Contains(o.stdout, "no time was left for it") {
		t.Errorf("status %d: %+v\n%s%s", o.status, o.report, o.stdout, o.stderr)
	}
}

// TestInterrupt: Ctrl-C ends the part in hand, and the others are not begun.
func TestInterrupt(t *testing.T) {
	t.Setenv(childEnv, "hangs")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stop := func(ctx context.Context, f *flags, p part, each func(result)) error {
		return isolated(ctx, f, p, func(res result) { each(res); cancel() })
	}
	var stdout, stderr strings.Builder
	status := cli.Run(ctx, "gpucheck", description, &flags{launch: stop}, []string{"--device", "cpu", "--only", "machine,errors"}, &stdout, &stderr)
	if status != cli.Failed || !strings.Contains(stdout.String(), "interrupted") || strings.Contains(stdout.String(), "errors") {
		t.Errorf("status %d\n%s%s", status, stdout.String(), stderr.String())
	}
}

// TestNoGPU: a build without the tag says what to do.
func TestNoGPU(t *testing.T) {
	if s, err := openSite("gpu", 0); err == nil {
		if err := s.close(); err != nil {
			t.Error(err)
		}
		t.Skip("there is a GPU")
	}
	o := check(t, direct, "--only", "machine")
	if o.status != cli.Failed || !strings.Contains(o.stdout, "the part as a whole") {
		t.Errorf("status %d\n%s%s", o.status, o.stdout, o.stderr)
	}
	t.Log(o.stdout)
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"--only", "parity,speed"}, {"--device", "tpu"}, {"--part", "speed"}} {
		if o := check(t, direct, args...); o.status != cli.Usage {
			t.Errorf("%v: status %d, %s", args, o.status, o.stderr)
		}
	}
}
