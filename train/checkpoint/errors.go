package checkpoint

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNone says that a folder has no checkpoint.
var ErrNone = errors.New("there is no checkpoint")

// DamagedError reports a file that is no whole checkpoint: cut short, altered, or
// something else altogether.
type DamagedError struct {
	File string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("checkpoint %s is damaged: %v", e.File, e.Err)
}

// Unwrap returns the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// UnsupportedError reports a sound file that this package does not read.
type UnsupportedError struct {
	File, Problem, Advice string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("checkpoint %s: %s; %s", e.File, e.Problem, e.Advice)
}

// MismatchError reports a checkpoint that belongs to something else than what is
// at hand.
type MismatchError struct {
	File string
	// Of says what differs: "net", "classes", "records" or "settings".
	Of string
	// Differences are "what: value in the checkpoint, value here".
	Differences []string
	// Advice says what to do.
	Advice string
}

// maxShown bounds the differences that an error message lists.
const maxShown = 5

func (e *MismatchError) Error() string {
	shown := e.Differences
	more := ""
	if len(shown) > maxShown {
		more = fmt.Sprintf(" and %d more", len(shown)-maxShown)
		shown = shown[:maxShown]
	}
	return fmt.Sprintf("checkpoint %s has other %s: %s%s; %s", e.File, e.Of, strings.Join(shown, ", "), more, e.Advice)
}
