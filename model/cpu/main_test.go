package cpu

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if an engine leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
