package pipeline

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDiskBytes writes a file, has the system forget it, and reads it again: the
// count must have seen that, and must not allocate.
func TestDiskBytes(t *testing.T) {
	d := openDiskCounter()
	defer d.close()
	if n := testing.AllocsPerRun(100, func() { d.bytes() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	path := filepath.Join(t.TempDir(), "file")
	const size = 8 << 20
	if err := os.WriteFile(path, make([]byte, size), 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Skipf("this file system forgets nothing: %v", err)
	}
	before := d.bytes()
	if _, err := os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	switch read := d.bytes() - before; {
	case read >= 0 && read < size/2:
		t.Skip("the system does not count, or has kept the file (tmpfs)")
	case read < 0 || read > 64*size:
		t.Errorf("%d bytes read for a file of %d", read, size)
	}
}
