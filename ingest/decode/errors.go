package decode

import (
	"errors"
	"image/jpeg"
	"image/png"
	"io"
)

// Reason classes of an [Error]. They are written to rejects.jsonl and are part
// of its format.
const (
	Empty       = "empty"        // no bytes at all
	NotAnImage  = "not-an-image" // no known signature
	Truncated   = "truncated"    // the data end too early
	Unsupported = "unsupported"  // a correct file of a kind that is not read
	TooLarge    = "too-large"    // above the Limits
	Malformed   = "malformed"    // the data contradict the format
)

// Error says why a file gave no picture.
type Error struct {
	Reason string // one of the classes above
	Err    error  // the cause in the decoder's words
}

// Error returns the class and the cause.
func (e *Error) Error() string { return e.Reason + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// classify sorts an error of image/jpeg or image/png into its class.
func classify(err error) *Error {
	var (
		jpegKind jpeg.UnsupportedError
		pngKind  png.UnsupportedError
		entropy  jpeg.FormatError
		chunks   png.FormatError
	)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &Error{Truncated, err}
	case errors.As(err, &entropy) && entropy == "short Huffman data":
		// image/jpeg's name for an end of file within entropy-coded data.
		return &Error{Truncated, err}
	case errors.As(err, &chunks) && chunks == "not enough pixel data":
		return &Error{Truncated, err}
	case errors.As(err, &jpegKind), errors.As(err, &pngKind):
		return &Error{Unsupported, err}
	}
	return &Error{Malformed, err}
}
