package records

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// On a disk that is really full, no shard, no mean and no temporary is left.
// (TestDiskGetsFull simulates it where nothing can be mounted.)
func TestFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("no small disk to fill: mounting a tmpfs: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	shape := Shape{C: 3, H: 100, W: 100}
	for _, c := range []Compression{None, Zstd} {
		w, err := CreateShard(filepath.Join(dir, "s.arrow"), testOptions(Int16, c, shape))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range testRecords(20, shape) {
			if err = w.Write(r); err != nil {
				break
			}
		}
		if err == nil {
			_, err = w.Commit()
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("error %v, want ENOSPC", err)
		}
		wantError(t, err, "s.arrow", "no space left on device")
		if left := names(t, dir); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	}
	big := Shape{C: 3, H: 300, W: 300}
	_, err := WriteMean(filepath.Join(dir, MeanName), testMean(Int16, big))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v, want ENOSPC", err)
	}
	if left := names(t, dir); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}
