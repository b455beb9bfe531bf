//go:build gpu

package cuda

// NoGPUError says that there is no GPU here that this program can use, and why.
type NoGPUError struct {
	Reason string
	Err    error // what the driver said; nil if there is no driver
}

// Error returns the reason.
func (e *NoGPUError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap returns what the driver said.
func (e *NoGPUError) Unwrap() error { return e.Err }
