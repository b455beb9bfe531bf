//go:build !linux && !darwin

package records

// adviseWillNeed does nothing: no such call is known here.
func adviseWillNeed([]byte) {}

// adviseDontNeed does nothing.
func adviseDontNeed(string, []byte, span) {}

// adviseHuge does nothing: no such call is known here.
func adviseHuge([]byte) bool { return false }
