package bucket

import (
	"errors"
	"fmt"
)

// ErrChanged says that an object is not the one that it was.
var ErrChanged = errors.New("the object was replaced meanwhile")

// Error is a request to a store that has failed for good.
type Error struct {
	Op       string // "stat", "read", "list", "put", "remove", "open"
	Object   string // its address, for messages
	Attempts int    // how often it was tried
	Err      error  // of the last attempt
	Hint     string // what to do, or ""
}

// Error names the request, the object, the cause and what to do.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s %s: %v", e.Op, e.Object, e.Err)
	if e.Attempts > 1 {
		text += fmt.Sprintf(" (after %d attempts)", e.Attempts)
	}
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
