//go:build !linux

package collective

// affinity returns the processors that a process may use: none, since it is not known.
func affinity(int) mask { return mask{} }
