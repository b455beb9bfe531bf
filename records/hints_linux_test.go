package records

import (
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resident counts the pages of a mapping that are in memory.
func resident(t *testing.T, mapping []byte) int {
	t.Helper()
	page := os.Getpagesize()
	state := make([]byte, (len(mapping)+page-1)/page)
	if _, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mapping[0])), uintptr(len(mapping)), uintptr(unsafe.Pointer(&state[0]))); e != 0 {
		t.Skipf("mincore: %v", e)
	}
	n := 0
	for _, s := range state {
		n += int(s & 1)
	}
	return n
}

// DontNeed takes rows out of memory, WillNeed brings them back unasked.
func TestHintsMovePages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.arrow")
	writeShard(t, path, testOptions(Int16, None, paperShape), testRecords(8, paperShape))
	s, err := openShard(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for i := range s.rows {
		if err := s.fetch(i); err != nil {
			t.Fatal(err)
		}
	}
	all := resident(t, s.mapping)
	s.dontNeed(0, s.rows)
	if left := resident(t, s.mapping); left > all/2 {
		t.Skipf("this file system keeps %d of %d pages in memory", left, all)
	}
	row := 2 * paperShape.Size() / os.Getpagesize() // pages
	s.willNeed(3, 5)
	for begun := time.Now(); resident(t, s.mapping) < 2*row; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("%d pages came back for a hint about rows of %d", resident(t, s.mapping), 2*row)
		}
	}
	if n := resident(t, s.mapping); n > 6*row {
		t.Errorf("%d pages came back for a hint about %d", n, 2*row)
	}
}
