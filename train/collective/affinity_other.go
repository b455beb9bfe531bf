//go:build !linux

package collective

// affinity returns the processors that this process may use: none, since it is not known.
func affinity() mask { return mask{} }
