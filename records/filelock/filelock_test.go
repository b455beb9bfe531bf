package filelock

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestLock(t *testing.T) {
	if !lasting {
		t.Skip("this system has no locks that end with the process")
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

// A lock that was removed, and perhaps made again by another one, after it was opened and
// before it is had is none: nobody else can see it.
func TestGone(t *testing.T) {
	if !lasting {
		t.Skip("this system has no locks that end with the process")
	}
	for _, again := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "lock")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if again {
			other, err := Open(path, false)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
		}
		if err := hold(f, path, false); !errors.Is(err, ErrGone) {
			t.Errorf("made again %t: error %v, want that it was removed", again, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none", "lock"), true); !errors.Is(err, ErrGone) {
		t.Errorf("without its folder: error %v", err)
	}
}
