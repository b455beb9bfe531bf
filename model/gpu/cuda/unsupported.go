//go:build gpu && !(linux && cgo && (amd64 || arm64))

package cuda

import "alexnet/model/gpu/device"

// Device stands for a GPU that this build cannot use.
type Device struct{ device.Device }

// Do runs f.
func (*Device) Do(f func() error) error { return f() }

// Count says what Open does.
func Count() (int, error) {
	_, err := Open(0)
	return 0, err
}

// Open says that this program was built without what CUDA needs.
func Open(int) (*Device, error) {
	return nil, &NoGPUError{Reason: "this GPU build has no CUDA: that needs Linux on amd64 or arm64, and a C compiler when it is built (CGO_ENABLED=1)"}
}
