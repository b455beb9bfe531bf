//go:build !windows

package disk

import (
	"errors"
	"syscall"
)

// isNotFolder says whether a file lies where a path has a folder.
func isNotFolder(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
