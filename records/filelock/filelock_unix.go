//go:build unix

package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lasting says that there are locks that end with the process.
const lasting = true

// take reports false where another process holds the lock.
func take(f *os.File, shared bool) bool {
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	return !errors.Is(unix.Flock(int(f.Fd()), how|unix.LOCK_NB), unix.EWOULDBLOCK)
}
