//go:build !linux

package atomicfile

import (
	"errors"
	"os"
)

// setDirect reports that this system has no such thing, or none that is worth
// its while.
func setDirect(_ *os.File, on bool) error {
	if !on {
		return nil
	}
	return errors.ErrUnsupported
}
