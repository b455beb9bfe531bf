//go:build gpu && !(linux && cgo && (amd64 || arm64))

package cuda

import "alexnet/model/gpu/device"

// Open says that this program was built without what CUDA needs.
func Open(int) (device.Device, error) {
	return nil, &NoGPUError{Reason: "this GPU build has no CUDA: that needs Linux on amd64 or arm64, and a C compiler when it is built (CGO_ENABLED=1)"}
}
