//go:build !linux

package augment

import "testing"

// memory returns n bytes.
func memory(_ *testing.B, n int) []byte { return aligned(n) }
