//go:build linux || darwin

package pipeline

import (
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

// TestFaultIsAnError makes the hardware object in the middle of a picture. A
// batch that cannot be written is no damage of the record, and not skipped.
func TestFaultIsAnError(t *testing.T) {
	ds, split := open(t, usual.write(t))
	p, err := OpenSplit(t.Context(), ds, split, Options{Batch: 8, Crop: 9, Workers: 3, Allocator: readOnly{}, OnCorrupt: Skip})
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := p.Next(t.Context()); ok {
		t.Fatalf("batch %d came out", b.Step)
	}
	start := `pipeline: epoch 0, step 0: record 0 of split "train": writing to the memory of the batch: `
	if err := p.Err(); err == nil || !strings.HasPrefix(err.Error(), start) {
		t.Errorf("got %v, want an error that begins with %q", err, start)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
