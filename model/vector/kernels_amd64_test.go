//go:build amd64 && !noasm && !purego

package vector

import "testing"

// TestLesserProcessors runs the tests of twins as on processors that have less.
func TestLesserProcessors(t *testing.T) {
	own := kernels
	defer func() { kernels = own }()
	for in := none; in < own; in++ {
		kernels = in
		TestTwins(t)
		TestMask(t)
	}
}
