//go:build !amd64 || noasm || purego

package resize

// vectors stands for the kernels that this build does not have.
type vectors struct{}

func (vectors) detect()                                               {}
func (vectors) can(size, rows int) bool                               { return false }
func (vectors) pairs(dst []uint32, src []uint8, pitch, columns int)   {}
func (vectors) across(dst, band []uint32, a *axis, positions int)     {}
func (vectors) rows(dst []uint8, groups []uint32, stride int)         {}
func (vectors) down(dst, rows []uint8, stride int, p []uint32, b int) {}
