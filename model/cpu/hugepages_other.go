//go:build !linux

package cpu

// adviseHuge does nothing: there are huge pages without asking, or none.
func adviseHuge([]float32) {}
