package ptx

import "fmt"

// SyntaxError says that a text is not PTX.
type SyntaxError struct {
	Line int // from one
	Msg  string
}

// Error names the line.
func (e *SyntaxError) Error() string { return fmt.Sprintf("ptx: line %d: %s", e.Line, e.Msg) }

// UnsupportedError says that a text may well be PTX, but uses something that the
// interpreter does not execute.
type UnsupportedError struct {
	Line int
	What string // such as "instruction mma.sync.aligned.m16n8k16"
}

// Error names the line and what it uses.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("ptx: line %d: %s is not supported", e.Line, e.What)
}

// LaunchError says that a kernel cannot be launched so.
type LaunchError struct {
	Entry string
	Msg   string
}

// Error names the entry.
func (e *LaunchError) Error() string { return fmt.Sprintf("ptx: launch of %s: %s", e.Entry, e.Msg) }

// Kind is what a kernel did wrong.
type Kind string

// The kinds of faults.
const (
	OutOfBounds   Kind = "access out of bounds"
	Misaligned    Kind = "misaligned access"
	Divergence    Kind = "threads do not meet" // at a barrier, or at an instruction of a warp
	Uninitialised Kind = "uninitialised value"
	Race          Kind = "race"
	Endless       Kind = "too many instructions"
	Trap          Kind = "trap"
)

// Fault says what a kernel did wrong, and where.
type Fault struct {
	Kind   Kind
	Entry  string
	Line   int    // of the PTX, from one
	Text   string // the instruction
	Source string // file and line of the source, where the PTX has .loc
	Block  [3]int
	Thread [3]int
	Msg    string
	Err    error // of Memory, or nil
}

// Error tells it all.
func (e *Fault) Error() string {
	s := fmt.Sprintf("ptx: %s: line %d", e.Entry, e.Line)
	if e.Source != "" {
		s += " (" + e.Source + ")"
	}
	s += fmt.Sprintf(": %s: block %v thread %v: %s: %s", e.Text, e.Block, e.Thread, string(e.Kind), e.Msg)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the error of Memory.
func (e *Fault) Unwrap() error { return e.Err }
