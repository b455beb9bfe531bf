//go:build !linux

package pipeline

// diskBytes returns 0: these systems do not tell.
func diskBytes() int64 { return 0 }

// diskKnown says whether diskBytes tells anything.
const diskKnown = false
