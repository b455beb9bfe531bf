package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullFileSystem runs the command on a file system that is too small, makes
// room, and runs it again.
func TestFullFileSystem(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small file system; the tests of package convert simulate one")
	}
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=200k"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	defer unix.Unmount(mount, 0)
	out := filepath.Join(mount, "out")
	args := []string{"--src", pictures(t), "--out", out, "--size", "64", "--jobs", "1", "--shard-size", "50kB"}
	status, stdout, stderr := ingest(t, args...)
	want := regexp.MustCompile(`(?m)^ingest: (shard|writing|creating|finishing) ` + regexp.QuoteMeta(out) + `/.*\.arrow.*: no space left on device; [1-9] of 5 shards are finished and kept in ` +
		regexp.QuoteMeta(out) + `: make room there and run the same command again to go on$`)
	if status != 1 || stdout != "" || !want.MatchString(stderr) {
		t.Fatalf("status %d, %q, standard error\n%s\nwant %v", status, stdout, stderr, want)
	}
	if _, err := os.Stat(filepath.Join(out, "manifest.json")); err == nil {
		t.Error("a manifest was written")
	}
	if err := unix.Mount("tmpfs", mount, "tmpfs", unix.MS_REMOUNT, "size=20m"); err != nil {
		t.Fatal(err)
	}
	if status, stdout, stderr := ingest(t, args...); status != 0 || !regexp.MustCompile(`(?m)^ *train +6 +6 +0 `).MatchString(stdout) {
		t.Errorf("with room: status %d, %s%s", status, stdout, stderr)
	}
}
