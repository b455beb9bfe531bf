package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/tools/cli"
)

// run runs the command and returns its exit status and what it printed.
func run(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = cli.Run(t.Context(), "killtest", description, &flags{}, args, &out, &err)
	return status, out.String(), err.String()
}

// TestKills kills the real command eight times.
func TestKills(t *testing.T) {
	if os.Getenv("ALEXNET_SLOW") == "" {
		t.Skip("builds and runs ingest: .ci/run does it, with ALEXNET_SLOW=1")
	}
	work := t.TempDir()
	status, stdout, stderr := run(t, "--kills", "8", "--per-job", "3", "--work", work)
	if status != cli.Done || !strings.Contains(stdout, "8 kills hit a running ingest") || !strings.Contains(stdout, "every file was as undisturbed") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestTasksKilled kills tasks that share a job, and their merge.
func TestTasksKilled(t *testing.T) {
	if os.Getenv("ALEXNET_SLOW") == "" {
		t.Skip("builds and runs ingest: .ci/run does it, with ALEXNET_SLOW=1")
	}
	status, stdout, stderr := run(t, "--kills", "6", "--tasks", "3", "--per-job", "2", "--work", t.TempDir())
	if status != cli.Done || !strings.Contains(stdout, "6 kills hit a running ingest") || !strings.Contains(stdout, "each job was shared by 3 tasks; ") || !strings.Contains(stdout, "every file was as undisturbed") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
}

// TestStoreKilled kills jobs that write to a store.
func TestStoreKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs ingest")
	}
	files := t.TempDir()
	status, stdout, stderr := run(t, "--kills", "2", "--work", t.TempDir(), "--out-url", "file://"+filepath.ToSlash(files), "--out-files", files)
	if status != cli.Done || !strings.Contains(stdout, "2 kills hit a running ingest") || !strings.Contains(stdout, "every file was as undisturbed") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	if left, err := os.ReadDir(files); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if status, _, stderr := run(t, "--out-url", "file:///x"); status != cli.Usage || !strings.Contains(stderr, "--out-url and --out-files belong together") {
		t.Errorf("half of it: status %d, %s", status, stderr)
	}
}

// TestDifferences notices a file that is missing, another, or one too many.
func TestDifferences(t *testing.T) {
	want := map[string]string{"a": "1", "b": "2", "c": "3"}
	err := differences(want, map[string]string{"a": "1", "b": "0", "d": "4"})
	if err == nil || err.Error() != "b differs\nc is missing\nd is left over" {
		t.Errorf("%v", err)
	}
	if err := differences(want, want); err != nil {
		t.Error(err)
	}
}

// TestWrongIngest has a command that fails by itself.
func TestWrongIngest(t *testing.T) {
	if status, _, stderr := run(t, "--ingest", filepath.Join(t.TempDir(), "none"), "--src", t.TempDir()); status != cli.Failed || !strings.Contains(stderr, "undisturbed: ingest: ") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if status, _, stderr := run(t, "--kills", "0"); status != cli.Usage || !strings.Contains(stderr, "--kills 0, --per-job 1: must be at least 1") {
		t.Errorf("status %d, %s", status, stderr)
	}
}
