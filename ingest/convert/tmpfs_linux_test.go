package convert

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullFileSystem writes to a file system that is too small.
func TestFullFileSystem(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small file system; TestFullDisk stands in for it")
	}
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=600k"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	defer unix.Unmount(mount, 0)
	src := smallSource(t)
	cfg := config(src, filepath.Join(mount, "out"))
	cfg.Size, cfg.Jobs = 64, 1
	cfg.ShardBytes = 6 * 3 * 64 * 64 * 2 // 147 kB a shard, 811 kB in all
	_, err := Run(context.Background(), cfg)
	checkFull(t, err, cfg.Out)

	if err := unix.Mount("tmpfs", mount, "tmpfs", unix.MS_REMOUNT, "size=20m"); err != nil {
		t.Fatal(err)
	}
	s := convert(t, cfg)
	if s.Files >= 33 {
		t.Errorf("%d files dealt with after the disk was full: nothing was kept", s.Files)
	}
	undisturbed := cfg
	undisturbed.Out = filepath.Join(t.TempDir(), "undisturbed")
	convert(t, undisturbed)
	sameTree(t, "after a full file system", cfg.Out, undisturbed.Out)
}
