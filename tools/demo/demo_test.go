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
	status = cli.Run(t.Context(), "demo", description, &flags{}, args, &out, &err)
	return status, out.String(), err.String()
}

// The smallest demo goes through all commands, twice into the same folder.
func TestDemo(t *testing.T) {
	if os.Getenv("ALEXNET_SLOW") == "" {
		t.Skip("builds and runs all commands: .ci/run does it, with ALEXNET_SLOW=1")
	}
	t.Chdir(filepath.Join("..", "..")) // where a user starts it
	out := filepath.Join(t.TempDir(), "demo")
	args := []string{"--out", out, "--classes", "2", "--train", "4", "--val", "2", "--epochs", "1"}
	for range 2 {
		status, stdout, stderr := run(t, args...)
		if status != cli.Done {
			t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
		}
		for _, want := range []string{"$ ingest --src ", "all 4 files are as they were written", "by chance      50.0 %", "of 4)", "ingest --src ILSVRC2012 --out out"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("lacks %q:\n%s", want, stdout)
			}
		}
		for _, file := range []string{"pictures/ILSVRC2012_img_train.tar", "records/manifest.json", "run/summary.json", "sheet.png", "report/index.html"} {
			if _, err := os.Stat(filepath.Join(out, file)); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestForeignFolderIsKept(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "thesis.tex")
	if err := os.WriteFile(mine, []byte("years"), 0o666); err != nil {
		t.Fatal(err)
	}
	status, _, stderr := run(t, "--out", dir)
	if want := dir + " is not empty and was not made by a demo: remove it or name another folder with --out"; status != cli.Failed || !strings.Contains(stderr, want) {
		t.Errorf("status %d, %q", status, stderr)
	}
	if data, err := os.ReadFile(mine); err != nil || string(data) != "years" {
		t.Errorf("%q, %v", data, err)
	}
}
