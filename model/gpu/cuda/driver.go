//go:build gpu && linux && cgo && (amd64 || arm64)

package cuda

// #cgo LDFLAGS: -Wl,--as-needed -L${SRCDIR}/shim -ldl
// #include <stdlib.h>
// #include "driver.h"
import "C"

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"unsafe"
)

// The flags of the linker, which come before cu's: --as-needed leaves out a libcuda.so
// of which no function is needed, and shim has a libcuda.a of nothing for -lcuda where
// the machine has none at all.

// variable names another file to load instead of the driver's library.
const variable = "ALEXNET_CUDA"

// loadDriver loads the driver's library and initialises it, the first time.
//
//nolint:gochecknoglobals // a process has one driver
var loadDriver = sync.OnceValue(func() error {
	file := "libcuda.so.1"
	if s := os.Getenv(variable); s != "" {
		file = s
	}
	if file == "none" {
		return &NoGPUError{Reason: "no NVIDIA driver is wanted (" + variable + "=none)"}
	}
	name := C.CString(file)
	defer C.free(unsafe.Pointer(name))
	var d C.alexnet_driver
	C.alexnet_load_driver(name, &d)
	problem, missing := C.GoString(&d.problem[0]), C.GoString(&d.missing[0])
	switch {
	case d.loaded == 0 && strings.Contains(problem, "No such file"):
		return &NoGPUError{Reason: fmt.Sprintf("no NVIDIA driver on this machine (%s was not found)", file)}
	case d.loaded == 0:
		return &NoGPUError{Reason: fmt.Sprintf("the NVIDIA driver could not be loaded (%s)", problem)}
	case missing != "":
		return &NoGPUError{Reason: fmt.Sprintf("the NVIDIA driver is too old for this program: %s has no %s (built for CUDA %s)",
			file, missing, version(C.CUDA_VERSION))}
	case d.init != 0:
		return &NoGPUError{Reason: "no GPU", Err: failed("cuInit", int(d.init))}
	}
	return nil
})

// version writes 12040 as 12.4.
func version(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }
