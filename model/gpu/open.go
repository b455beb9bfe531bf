//go:build !gpu

package gpu

// Count fails like Open.
func Count() (int, error) { return 0, &NotBuiltError{} }

// OpenLocal fails like Open.
func OpenLocal(int) (*Machine, error) { return Open(0) }

// Open fails: this is a build without the tag gpu. The error is a *NotBuiltError.
func Open(int) (*Machine, error) { return nil, &NotBuiltError{} }
