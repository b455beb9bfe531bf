package model

// FormatError says that a file is not a sound safetensors file.
type FormatError struct {
	Problem string
	Err     error // the cause, or nil
}

// Error says what is wrong.
func (e *FormatError) Error() string {
	if e.Err != nil {
		return "malformed safetensors: " + e.Problem + ": " + e.Err.Error()
	}
	return "malformed safetensors: " + e.Problem
}

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// UnsupportedError says that a sound safetensors file holds something that this
// package does not read.
type UnsupportedError struct {
	Problem string
}

// Error says what is not supported.
func (e *UnsupportedError) Error() string { return "unsupported safetensors: " + e.Problem }

// NotFiniteError says that an update has met values that are NaN or infinite.
type NotFiniteError struct {
	Where string // the first parameter, or its gradient: "the gradient of conv1.weight"
}

// Error names the place.
func (e *NotFiniteError) Error() string { return e.Where + " holds values that are not finite" }

// MismatchError says that tensors are not the parameters of a net.
type MismatchError struct {
	Net     string // the net's name
	Problem string // the first difference
}

// Error names the net and the first difference.
func (e *MismatchError) Error() string {
	return "weights do not fit net " + e.Net + ": " + e.Problem
}
