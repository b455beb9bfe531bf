//go:build !(linux && (amd64 || arm64)) || static

package nvidia

import (
	"errors"

	"alexnet/model/gpu/device"
)

var errNoLibraries = errors.New("nvidia: NVIDIA's libraries are not used on this system or by this build")

// Open returns an error: the libraries cannot be called here.
func Open(Options) (device.Library, error) {
	return nil, errNoLibraries
}
