package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"alexnet/ingest/source"
	"alexnet/tools/cli"
)

// run calls the command as from a shell.
func run(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = cli.Run(context.Background(), "mkilsvrc", description, &flags{}, args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestMakesSources(t *testing.T) {
	for _, c := range []struct {
		args    []string
		file    string // one of those that are written
		images  int
		classes int
	}{
		{[]string{"--classes", "2", "--per-class", "2", "--val-per-class", "1"}, "train/n99000001/n99000001_1.JPEG", 6, 2},
		{[]string{"--classes", "2", "--train-per-class", "1", "--val-per-class", "0", "--layout", "tars"}, "ILSVRC2012_img_train.tar", 2, 2},
		{[]string{"--classes", "1", "--per-class", "1", "--val-per-class", "1", "--devkit"}, "val/ILSVRC2012_val_00000001.JPEG", 2, 1000},
		{[]string{"--classes", "2", "--per-class", "1", "--val-per-class", "0", "--test-per-class", "2", "--layout", "tars"}, "ILSVRC2012_img_test.tar", 6, 2},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		args := append([]string{"--out", dir}, c.args...)
		if status, _, stderr := run(args...); status != cli.Done || stderr != "" {
			t.Fatalf("%v: status %d, %s", c.args, status, stderr)
		}
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(c.file))); err != nil {
			t.Error(err)
		}
		s, err := source.Open(context.Background(), dir, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, split := range s.Splits() {
			n += len(split.Items)
		}
		if n != c.images || len(s.Classes()) != c.classes {
			t.Errorf("%v: %d images of %d classes, want %d of %d", c.args, n, len(s.Classes()), c.images, c.classes)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if status, _, stderr := run(args...); status != cli.Failed || !strings.Contains(stderr, "is not empty") {
			t.Errorf("%v again: status %d, %q; want 1 and a message", c.args, status, stderr)
		}
	}
}

func TestUsage(t *testing.T) {
	if status, stdout, _ := run("--help"); status != cli.Done || !strings.Contains(stdout, "mkilsvrc --out pictures --classes 8 --per-class 60") {
		t.Errorf("--help: status %d, %q", status, stdout)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "missing flags: --out=DIR"},
		{[]string{"--out", "x", "--classes", "21"}, "--classes is 21, want 1 to 20"},
		{[]string{"--out", "x", "--per-class", "0", "--val-per-class", "0"}, "--per-class is 0, want a picture in train or val"},
		{[]string{"--out", "x", "--val-per-class=-1"}, "--val-per-class is -1, want 0 to 999999"},
		{[]string{"--out", "x", "--test-per-class=-1"}, "--test-per-class is -1, want 0 to 999999"},
		{[]string{"--out", "x", "--layout", "zip"}, `--layout must be one of "folder","tars" but got "zip"`},
	} {
		if status, _, stderr := run(c.args...); status != cli.Usage || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: status %d, %q; want 2 and %q", c.args, status, stderr, c.want)
		}
	}
}
