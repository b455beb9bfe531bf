package model

import "io"

// WriteTensors writes a safetensors file.
func WriteTensors(w io.Writer, meta map[string]string, ts []Tensor) error { panic("not yet") }

// ReadTensors reads a safetensors file.
func ReadTensors(r io.Reader) (map[string]string, []Tensor, error) { panic("not yet") }

// CheckTensors returns a *MismatchError if ts are not the parameters of the net.
func (n *Net) CheckTensors(ts []Tensor) error { panic("not yet") }

// MismatchError says that tensors do not belong to a net.
type MismatchError struct{ Net, Problem string }

func (e *MismatchError) Error() string { return e.Problem }

// FormatError says that a file is not a sound safetensors file.
type FormatError struct {
	Problem string
	Err     error // the cause, or nil
}

func (e *FormatError) Error() string { return e.Problem }

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// UnsupportedError says that a sound safetensors file holds what this package does not read.
type UnsupportedError struct{ Problem string }

func (e *UnsupportedError) Error() string { return e.Problem }
