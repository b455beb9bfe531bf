package pipeline

import (
	"os"
	"path/filepath"
	"runtime/debug"
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

// TestNoFileStaysOpen has streams come and go, of records in a folder and in a store: none
// leaves a file open until the garbage collector comes.
func TestNoFileStaysOpen(t *testing.T) {
	dir := usual.write(t)
	store := upload(t, dir)
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before := openFiles(t)
	p, err := Open(t.Context(), dir, Options{Batch: 8, Crop: 9})
	takeAll(t, p, err)
	p, err = openStore(t, store, Options{Batch: 8, Crop: 9})
	takeAll(t, p, err)
	if after := openFiles(t); after > before {
		t.Errorf("%d files are open, and %d were", after, before)
	}
}

// openFiles counts this process's files.
func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
