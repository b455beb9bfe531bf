package cpu

import (
	"fmt"

	"github.com/pbnjay/memory"
)

// MemoryError says that the buffers for a batch are larger than the machine's memory.
type MemoryError struct {
	Batch int    // images that the engine was asked to take at a time
	Needs uint64 // bytes, at least
	Has   uint64 // bytes of the whole machine
}

// Error says what to do.
func (e *MemoryError) Error() string {
	return fmt.Sprintf("batches of %d images need at least %d MiB of memory, and this machine has %d MiB: use a smaller batch",
		e.Batch, e.Needs>>20, e.Has>>20)
}

// arena makes the long-lived buffers and counts their bytes.
type arena struct {
	bytes int64
	limit uint64 // of bytes; 0: that is not known
}

// limitOf returns the memory of the machine in bytes, unless another number is given.
func limitOf(given uint64) uint64 {
	if given > 0 {
		return given
	}
	return memory.TotalMemory()
}

// floats returns n zeros, unless claim panics.
func (a *arena) floats(n int) []float32 {
	a.claim(n, 4)
	buf := make([]float32, n)
	adviseHuge(buf)
	return buf
}

// claim counts n values of so many bytes. It panics with a *MemoryError where the machine
// has no such memory, which tooLarge makes an error of: Go would end the process.
func (a *arena) claim(n, size int) {
	needs := uint64(a.bytes) + uint64(size)*uint64(n)
	if a.limit > 0 && needs > a.limit {
		panic(&MemoryError{Needs: needs, Has: a.limit})
	}
	a.bytes = int64(needs)
}

// tooLarge returns what was recovered from a panic as the error of a batch, nil if it is
// another panic.
func tooLarge(recovered any, batch int) *MemoryError {
	e, ok := recovered.(*MemoryError)
	if !ok {
		return nil
	}
	e.Batch = batch
	return e
}
