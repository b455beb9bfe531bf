//go:build !gpu

package gpu

// Open fails: this is a build without the tag gpu. The error is a *NotBuiltError.
func Open(int) (*Machine, error) { return nil, &NotBuiltError{} }
