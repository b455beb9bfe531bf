//go:build !linux

package pipeline

// hugePages does nothing: these systems choose pages themselves.
func hugePages([]byte) {}
