//go:build gpu && linux && cgo && (amd64 || arm64)

package cuda

// #include <cuda.h>
import "C"

import (
	"errors"
	"fmt"
	"reflect"

	"alexnet/model/gpu/device"
)

// Error is an error of the driver.
type Error struct {
	Call string // the function
	Code int    // what it returned, a CUresult
	Name string // the code's name, such as CUDA_ERROR_INVALID_VALUE
	Text string // the driver's explanation
}

// Error names the call, the code and what the driver says of it.
func (e *Error) Error() string {
	if e.Text == "" {
		return e.Call + ": " + e.Name
	}
	return e.Call + ": " + e.Name + ": " + e.Text
}

// errClosed is what a device and all that was made of it return afterwards.
var errClosed = errors.New("the GPU was closed")

// check returns the error of a call of cu's.
func check(call string, err error) error {
	if err == nil {
		return nil
	}
	// cu's type of error, which is not exported, is the code itself.
	if v := reflect.ValueOf(err); v.Kind() == reflect.Int {
		return failed(call, int(v.Int()))
	}
	return fmt.Errorf("%s: %w", call, err)
}

// failed returns the error of a function of the driver that returned code.
func failed(call string, code int) error {
	if code == C.CUDA_SUCCESS {
		return nil
	}
	e := &Error{Call: call, Code: code, Name: fmt.Sprintf("CUDA error %d", code)}
	var name, text *C.char
	if C.cuGetErrorName(C.CUresult(code), &name) == C.CUDA_SUCCESS && name != nil {
		e.Name = C.GoString(name)
	}
	if C.cuGetErrorString(C.CUresult(code), &text) == C.CUDA_SUCCESS && text != nil {
		e.Text = C.GoString(text)
	}
	if lost(code) {
		return &device.LostError{Call: call, Err: e}
	}
	return e
}

// lost reports whether an error leaves a context that only a new process can replace, by
// CUDA's own words for most of these codes; the others say that the device is gone.
func lost(code int) bool {
	switch code {
	case C.CUDA_ERROR_ILLEGAL_ADDRESS, C.CUDA_ERROR_LAUNCH_FAILED, C.CUDA_ERROR_LAUNCH_TIMEOUT,
		C.CUDA_ERROR_ILLEGAL_INSTRUCTION, C.CUDA_ERROR_MISALIGNED_ADDRESS,
		C.CUDA_ERROR_INVALID_ADDRESS_SPACE, C.CUDA_ERROR_INVALID_PC,
		C.CUDA_ERROR_HARDWARE_STACK_ERROR, C.CUDA_ERROR_ASSERT,
		C.CUDA_ERROR_ECC_UNCORRECTABLE, C.CUDA_ERROR_NVLINK_UNCORRECTABLE,
		C.CUDA_ERROR_CONTEXT_IS_DESTROYED, C.CUDA_ERROR_DEINITIALIZED,
		C.CUDA_ERROR_DEVICE_UNAVAILABLE, C.CUDA_ERROR_EXTERNAL_DEVICE, C.CUDA_ERROR_UNKNOWN:
		return true
	}
	return false
}

// isCode reports whether err is the driver's error of that code.
func isCode(err error, code int) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}
