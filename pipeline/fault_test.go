//go:build linux || darwin

package pipeline

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// readOnly allocates memory that faults when it is written to.
type readOnly struct{}

func (readOnly) Alloc(bytes int) ([]byte, error) {
	return syscall.Mmap(-1, 0, bytes, syscall.PROT_READ, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

func (readOnly) Free(pixels []byte) error { return syscall.Munmap(pixels) }

// TestFaultIsAnError makes the hardware object in the middle of a picture, as
// it does when a disk fails under a mapped row whose checksum was good.
func TestFaultIsAnError(t *testing.T) {
	ds, split := open(t, usual.write(t))
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Workers: 3, Allocator: readOnly{}})
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := p.Next(); ok {
		t.Fatalf("batch %d came out", b.Step)
	}
	var io *fs.PathError
	start := `pipeline: epoch 0, step 0: record 0 of split "train": row 0: read mapped train-00000-of-00002.arrow: `
	if err := p.Err(); !errors.As(err, &io) || !strings.HasPrefix(err.Error(), start) {
		t.Errorf("got %v, want an fs.PathError that begins with %q", err, start)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
