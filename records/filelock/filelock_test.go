package filelock

import (
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"testing"
)

func TestLock(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no locks that end with the process")
	}
	path := filepath.Join(t.TempDir(), "lock")
	for _, shared := range []bool{false, true} {
		first, err := Open(path, shared)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, false); !errors.Is(err, ErrLocked) || err.Error() != path+": locked by another process" {
			t.Errorf("beside a shared one (%t), alone: %v", shared, err)
		}
		second, err := Open(path, true)
		if (err == nil) != shared {
			t.Errorf("beside a shared one (%t), shared: %v", shared, err)
		}
		for _, l := range []io.Closer{first, second} {
			if l == nil {
				continue
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
