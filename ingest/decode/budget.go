package decode

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"
)

// Budget bounds the memory that large pictures take while they are decoded. It
// is shared by the Decoders of a process: one that meets a picture which needs
// more than 32 MB waits until that much of the budget is free. The pixels that
// a Decoder lends after that are its own, and not counted.
type Budget struct {
	bytes int64
	free  *semaphore.Weighted
}

// NewBudget returns a budget of so many bytes. A picture that alone needs more
// is rejected as too large.
func NewBudget(bytes int64) *Budget {
	return &Budget{bytes: bytes, free: semaphore.NewWeighted(bytes)}
}

// acquire waits for need bytes and returns how many must be released: none when
// need is small or there is no budget.
func (b *Budget) acquire(need int64) (held int64, err error) {
	if b == nil || need <= large {
		return 0, nil
	}
	if need > b.bytes {
		return 0, &Error{TooLarge, fmt.Errorf("decoding takes %d MB of memory, all large pictures together may take %d MB", (need+1<<20-1)>>20, b.bytes>>20)}
	}
	// The others finish whatever happens to this one, so waiting has an end.
	if err := b.free.Acquire(context.Background(), need); err != nil {
		return 0, &Error{TooLarge, err}
	}
	return need, nil
}

// release gives back what acquire returned.
func (b *Budget) release(held int64) {
	if held > 0 {
		b.free.Release(held)
	}
}
