package atomicfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// setDirect turns direct writing to an open file on or off.
func setDirect(f *os.File, on bool) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = conn.Control(func(fd uintptr) {
		var flags int
		if flags, set = unix.FcntlInt(fd, unix.F_GETFL, 0); set != nil {
			return
		}
		flags &^= unix.O_DIRECT
		if on {
			flags |= unix.O_DIRECT
		}
		_, set = unix.FcntlInt(fd, unix.F_SETFL, flags)
	})
	return errors.Join(err, set)
}
