package soft

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// RaceError says that two pieces of work use the same memory, at least one of them writes
// it, and neither stream order nor events say which comes first.
type RaceError struct {
	First, Second string // the pieces of work, in the order they happened to be done in
	Memory        string // what both use
}

// Error names the work and the memory.
func (e *RaceError) Error() string {
	return fmt.Sprintf("soft: a race: %s, and %s, use %s, and nothing says which comes first", e.First, e.Second, e.Memory)
}

// UseError says that memory was used that must not be: outside of allocations, released,
// not of AllocHost, or changed under a copy.
type UseError struct {
	Work string // what used it: a piece of work or a call
	What string // what is wrong
}

// Error says what used which memory.
func (e *UseError) Error() string {
	if e.Work == "" { // within the package, where the work is not known yet
		return e.What
	}
	return fmt.Sprintf("soft: %s: %s", e.Work, e.What)
}

// LeakError says what a closed device was not given back.
type LeakError struct {
	Leaks []string // each with where it was made
}

// Error names them all.
func (e *LeakError) Error() string {
	return fmt.Sprintf("soft: %d not given back: %s", len(e.Leaks), strings.Join(e.Leaks, "; "))
}

// problems are what went wrong in work that was done.
type problems struct {
	list []error
	more int
}

// maxProblems is how many problems are kept: one mistake has a long train.
const maxProblems = 20

func (p *problems) add(err error) {
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, err)
}

func (p *problems) err() error {
	if p.more == 0 {
		return errors.Join(p.list...)
	}
	return fmt.Errorf("%w\nand %d more", errors.Join(p.list...), p.more)
}

// here is the package's part of the names of its functions.
const here = "/model/gpu/soft."

// caller returns the file and line that called the package.
func caller() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.Contains(f.Function, here) || strings.HasSuffix(f.File, "_test.go") {
			return fmt.Sprintf("%s:%d", f.File[strings.LastIndexByte(f.File, '/')+1:], f.Line)
		}
		if !more {
			return "?"
		}
	}
}
