//go:build !windows && !plan9 && !js && !wasip1

package atomicfile

import (
	"errors"
	"os"
	"syscall"
)

// syncDir flushes a folder, so that a rename in it survives a power cut. File
// systems that cannot do this for folders say so with EINVAL or ENOTSUP, and
// then there is nothing more to be done.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
