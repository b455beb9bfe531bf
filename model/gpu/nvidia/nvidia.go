// Package nvidia computes convolutions and products of matrices on NVIDIA's GPUs with
// cuDNN 9 and cuBLAS 12 or 13, which it finds at run time: nothing of them is needed to
// build, and cgo is not used.
//
// [Open] makes a device.Library of them. Images lie in memory as N x H x W x C (cuDNN's
// NHWC), weights as Out x Kernel x Kernel x C/Groups. Convolutions go through cuDNN's
// older interface (cudnnConvolutionForward and its two gradients, cuDNN API reference,
// "cudnn_cnn"), whose algorithms are chosen by cuDNN's heuristics: the same ones in each
// run with the same release on the same kind of GPU. Products go through cublasGemmEx.
//
// [JoinRanks] makes of NCCL 2.9 or later what sums gradients over the GPUs of several
// processes. Its sums are queued and captured as everything else.
//
// Calls only queue work, on the stream that they are given, and allocate no memory of the
// GPU, so that a stream may capture them as a graph. The libraries load their own code
// when it is first used, though, and a convolution whose first algorithm is refused goes
// on to its next: a caller runs each call once before it captures it.
package nvidia

import (
	"errors"
	"fmt"
	"strings"

	"alexnet/model/gpu/device"
)

// VariableDNN and VariableBLAS name the environment variables that choose the libraries:
// the path of a file or of the folder that it is in, or "none".
const (
	VariableDNN  = "ALEXNET_CUDNN"
	VariableBLAS = "ALEXNET_CUBLAS"
)

// None is the value of a variable that forbids a library.
const None = "none"

// Options say what the libraries work with. The zero value is of use where the caller's
// thread has a current CUDA context.
type Options struct {
	// Bind runs a function that calls the libraries, on a thread of the system whose
	// current CUDA context is always the same one: what the libraries make belongs to it.
	// nil runs it on the caller's thread as that is, locked meanwhile.
	Bind func(func() error) error

	// Device gives the memory of cuBLAS's workspaces and says whether the GPU is still
	// there when a call has failed. With nil cuBLAS uses memory of its own, and products
	// in more than one stream may not give the same bits each time.
	Device device.Device

	// Streams is how many streams products will be queued in, 2 when it is 0. Each has a
	// workspace of its own: 32 MiB from compute capability 9.0 on, 4 MiB before, which is
	// what cuBLAS's manual recommends.
	Streams int

	// Measure lets cuDNN choose algorithms by running them all. It takes seconds and
	// memory, and what it chooses may differ from run to run.
	Measure bool
}

// ErrClosed is what a closed library or convolution returns.
var ErrClosed = errors.New("nvidia: closed")

// Error is a call that a library has refused.
type Error struct {
	Library string // "cuDNN", "cuBLAS", "NCCL"
	Call    string // function of the library
	Status  int    // cudnnStatus_t, cublasStatus_t or ncclResult_t
	Name    string // of the status, "CUDNN_STATUS_BAD_PARAM"
	Text    string // what else the library said, often ""
}

// Error names all of it.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s: %s (%d)", e.Library, e.Call, e.Name, e.Status)
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// unsupported reports whether the library has no way to do this, and another algorithm
// may have.
func (e *Error) unsupported() bool {
	if e.Library == labelDNN {
		return e.Status/1000 == dnnNotSupported || e.Status == dnnCompilationFailed
	}
	return e.Library == labelBLAS && e.Status == blasNotSupported
}

// refused reports whether another algorithm may be taken where this one is not. cuDNN's
// word for one that it does not have for a type or a layout is not always the same; sizes
// and descriptors are known to be right by then.
func (e *Error) refused() bool {
	return e.unsupported() || e.Library == labelDNN && e.Status/1000 == dnnBadParam
}

// memory reports whether memory did not suffice. cuDNN reports the GPU's as the host's
// too: its old ALLOC_FAILED is that number.
func (e *Error) memory() bool {
	if e.Library == labelDNN {
		return e.Status == dnnHostAllocationFailed || e.Status == dnnDeviceAllocationFailed
	}
	return e.Library == labelBLAS && e.Status == blasAllocFailed
}

// execution reports whether the GPU failed, as one that is lost does.
func (e *Error) execution() bool {
	if e.Library == labelDNN {
		return e.Status/1000 == dnnExecutionFailed || e.Status/1000 == dnnInternalError
	}
	if e.Library == labelNCCL {
		return e.Status == ncclUnhandledCUDA
	}
	return e.Status == blasExecutionFailed || e.Status == blasInternalError || e.Status == blasMappingError
}

// explain makes of a refused call the error of the device that is behind it, if one is.
func explain(err error, d device.Device) error {
	var e *Error
	if !errors.As(err, &e) || !e.memory() && !e.execution() {
		return err
	}
	var free int64
	var lost error
	if d != nil {
		free, lost = d.FreeMemory()
	}
	switch {
	case e.memory():
		return &device.MemoryError{Free: free, Err: err}
	case lost != nil:
		return &device.LostError{Call: e.Call, Err: errors.Join(err, lost)}
	}
	return err
}

// UnsupportedError says that a convolution is none that cuDNN can compute, within what
// was allowed.
type UnsupportedError struct {
	What string // the direction and sizes
	Err  error  // why each algorithm was passed over
}

// Error gives all reasons.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("cuDNN has no way to compute %s: %v", e.What, strings.ReplaceAll(e.Err.Error(), "\n", "; "))
}

// Is reports that it is a device.ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == device.ErrUnsupported }

// Unwrap returns the reasons.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// MissingError says that there is no usable library, and why.
type MissingError struct {
	Library  string // "cuDNN"
	Variable string // that chooses it
	Looked   []string
	Err      error  // nil if the user has forbidden it
	Hint     string // what to do
}

// Error says where was looked and what to do.
func (e *MissingError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s is not used: %s=%s", e.Library, e.Variable, None)
	}
	text := fmt.Sprintf("%s is not here: %v", e.Library, strings.ReplaceAll(e.Err.Error(), "\n", "; "))
	if len(e.Looked) > 0 {
		text += "; looked in the system's folders (LD_LIBRARY_PATH, ldconfig) and in " + strings.Join(e.Looked, ", ")
	}
	return text + "; " + e.Hint
}

// Unwrap returns the causes.
func (e *MissingError) Unwrap() error { return e.Err }
