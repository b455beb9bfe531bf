// Package dnnl runs layers of nets on oneDNN, Intel's library of them, which it
// finds at run time: nothing of it is needed to build, and cgo is not used.
//
// [Find] says whether the library is here. A [Context] holds what a net needs of
// it; its methods make a [Primitive], the computation of one layer in one
// direction for sizes fixed beforehand. oneDNN chooses the order in which values
// lie in memory, which a [Desc] stands for; [Context.Reorder] converts. Values
// are float32, or bfloat16 where a layer's description asks for it: then its
// input, weights and output and their gradients are, but for biases and the
// gradients of the weights.
//
// oneDNN computes with OpenMP. Its results are the same bits for the same release,
// kind of processor and number of threads.
package dnnl

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// Variable names the environment variable that chooses the library: the path of a
// libdnnl file, or "none".
const Variable = "ALEXNET_DNNL"

// None is the value of the [Variable] that forbids oneDNN.
const None = "none"

// Arg says which role a buffer has for a primitive.
type Arg int32

// The roles of buffers, numbered as in dnnl_types.h.
const (
	Src         Arg = 1
	Dst         Arg = 17
	Weights     Arg = 33
	Bias        Arg = 41
	Workspace   Arg = 64
	DiffSrc     Arg = 129
	DiffDst     Arg = 145
	DiffWeights Arg = 161
	DiffBias    Arg = 169

	argScratch Arg = 80
)

// ErrClosed is what a closed Context returns.
var ErrClosed = errors.New("dnnl: the context is closed")

// Error is a call that oneDNN has refused.
type Error struct {
	Call   string // function of the library
	Status int    // dnnl_status_t
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("oneDNN: %s: %s", e.Call, e.text())
}

// text names the status.
func (e *Error) text() string {
	switch e.Status {
	case 1:
		return "out of memory"
	case 2:
		return "invalid arguments"
	case statusUnimplemented:
		return "oneDNN offers no such operation for these sizes on this processor"
	case 5:
		return "runtime error"
	}
	return fmt.Sprintf("status %d", e.Status)
}

const statusUnimplemented = 3

// Unimplemented reports whether err says that oneDNN lacks what was asked for, and
// another implementation must do it.
func Unimplemented(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == statusUnimplemented
}

// MissingError says that there is no usable oneDNN, and why.
type MissingError struct {
	Hint string // what to do, "" if the user has forbidden it
	Err  error  // nil if the user has forbidden it
}

// Error implements error.
func (e *MissingError) Error() string {
	switch {
	case e.Err == nil:
		return "oneDNN is not used: " + Variable + "=" + None
	case e.Hint == "":
		return fmt.Sprintf("oneDNN is not here: %v", e.Err)
	}
	return fmt.Sprintf("oneDNN is not here: %v; %s", e.Err, e.Hint)
}

// Unwrap returns the cause.
func (e *MissingError) Unwrap() error { return e.Err }

// found is the result of a search.
type found struct {
	library *Library
	err     error
}

//nolint:gochecknoglobals // read only: a library is loaded once in a process
var find = sync.OnceValue(func() found {
	l, err := findFor(os.Getenv(Variable))
	return found{l, err}
})

// Find returns the oneDNN of this machine: the file that the [Variable] names, or
// the newest of the usual places. The error is a *MissingError. The result is
// always the same.
func Find() (*Library, error) {
	f := find()
	return f.library, f.err
}

// findFor is Find for a value of the variable.
func findFor(choice string) (*Library, error) {
	switch choice {
	case None:
		return nil, &MissingError{}
	case "":
		var errs []error
		for _, path := range libraryPaths() {
			l, err := Open(path)
			if err == nil {
				return l, nil
			}
			errs = append(errs, err)
		}
		if len(errs) == 0 {
			return nil, &MissingError{Err: errors.New("it is not used on this system or by this build")}
		}
		return nil, &MissingError{Hint: installHint, Err: errs[len(errs)-1]}
	}
	l, err := Open(choice)
	if err != nil {
		return nil, &MissingError{Hint: "set " + Variable + " to the path of libdnnl, or to " + None, Err: err}
	}
	return l, nil
}

const installHint = "install it: apt-get install libdnnl2 (Debian 12), libdnnl3.6 (Debian 13), libdnnl3 (Ubuntu 24.04)"
