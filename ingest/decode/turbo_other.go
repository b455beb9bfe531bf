//go:build !((linux || darwin) && (amd64 || arm64)) || static

package decode

import (
	"errors"
	"runtime"
)

// turbo stands for libjpeg-turbo where it cannot be called.
type turbo struct{}

type turboHandle struct{}

func turboPaths() []string { return nil }

func openTurbo(string) (*turbo, error) {
	return nil, errors.New("not used on " + runtime.GOOS + "/" + runtime.GOARCH + " or by a static build")
}

func (t *turbo) name() string { return "" }

func (d *Decoder) withTurbo(*turbo, []byte, *jpegHeader) error {
	return &Error{Unsupported, errors.New("libjpeg-turbo cannot be called here")}
}

func (d *Decoder) dropHandle() { d.turbo = nil }
