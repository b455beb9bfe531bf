//go:build linux && (amd64 || arm64) && !static

package nvidia

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ebitengine/purego"
)

// The functions that are called by name.
var (
	namesDNNTable = []string{
		"cudnnGetVersion", "cudnnGetCudartVersion", "cudnnCreate", "cudnnDestroy", "cudnnSetStream",
		"cudnnCreateTensorDescriptor", "cudnnSetTensor4dDescriptor", "cudnnDestroyTensorDescriptor",
		"cudnnCreateFilterDescriptor", "cudnnSetFilter4dDescriptor", "cudnnDestroyFilterDescriptor",
		"cudnnCreateConvolutionDescriptor", "cudnnSetConvolution2dDescriptor", "cudnnDestroyConvolutionDescriptor",
		"cudnnSetConvolutionGroupCount", "cudnnSetConvolutionMathType", "cudnnGetConvolution2dForwardOutputDim",
		"cudnnGetLastErrorString",
	}
	namesBLASTable = []string{
		"cublasGetProperty", "cublasCreate_v2", "cublasDestroy_v2", "cublasSetStream_v2", "cublasSetWorkspace_v2",
		"cublasSetMathMode", "cublasGemmEx",
	}
	namesNCCLTable = []string{
		"ncclGetUniqueId", "ncclCommInitRank", "ncclAllReduce", "ncclCommGetAsyncError", "ncclCommAbort",
	}
)

// functions is a loaded library.
type functions struct {
	label   string
	path    string
	version [3]int
	symbols map[string]uintptr
	name    func(status int32) string // of a status
	text    func(status int32) string // what more there is to say
	last    [256]byte                 // for cudnnGetLastErrorString
	number  int32                     // for cublasGetProperty; the release of NCCL, as it counts
}

// partsTable are the parts of cuDNN 9 that convolutions cannot do without. The library
// ends the process when one of them is wanted and cannot be loaded, so that is looked
// into before anything in it is called.
var partsTable = []string{"libcudnn_graph.so.9", "libcudnn_ops.so.9", "libcudnn_cnn.so.9"}

// load opens a library and what it needs. A library that will not do stays loaded: those
// of NVIDIA's are not made to be unloaded.
func load(w wanted, c candidate) (uintptr, error) {
	if strings.Contains(c.path, "/") {
		if err := checkName(c.path); err != nil {
			return 0, err
		}
		if !w.alone {
			preload(companions(c))
		}
	}
	lib, err := purego.Dlopen(c.path, purego.RTLD_LAZY|purego.RTLD_GLOBAL)
	if err != nil && !strings.Contains(err.Error(), filepath.Base(c.path)) {
		return 0, fmt.Errorf("%s: %w", c.path, err)
	}
	return lib, err
}

// preload loads files that need each other, in an order that is found by trying. What
// cannot be loaded may not be needed: whether it was shows later.
func preload(files []string) {
	for len(files) > 0 {
		var again []string
		for _, f := range files {
			if _, err := purego.Dlopen(f, purego.RTLD_LAZY|purego.RTLD_GLOBAL); err != nil {
				again = append(again, f)
			}
		}
		if len(again) == len(files) {
			return
		}
		files = again
	}
}

// find opens the first candidate that will do.
func find(p places, w wanted, bind func(lib uintptr, c candidate) (*functions, error), near ...string) (*functions, error) {
	list, looked, err := p.candidates(w, near...)
	if err != nil {
		return nil, err
	}
	var tried []error
	for _, c := range list {
		lib, err := load(w, c)
		if err != nil {
			tried = append(tried, err)
			continue
		}
		f, err := bind(lib, c)
		if err == nil {
			return f, nil
		}
		tried = append(tried, err)
	}
	return nil, w.missing(looked, tried)
}

// resolve looks functions up.
func (f *functions) resolve(lib uintptr, names []string) error {
	for _, name := range names {
		at, err := purego.Dlsym(lib, name)
		if err != nil {
			return fmt.Errorf("%s is %s, incomplete: %w", f.path, f.title(), err)
		}
		f.symbols[name] = at
	}
	return nil
}

// title returns the library's name and release.
func (f *functions) title() string {
	return fmt.Sprintf("%s %d.%d.%d", f.label, f.version[0], f.version[1], f.version[2])
}

// bindDNN makes sure that the library is cuDNN 9 and looks its functions up.
func bindDNN(lib uintptr, c candidate) (*functions, error) {
	f := &functions{label: labelDNN, path: c.path, symbols: make(map[string]uintptr)}
	at, err := purego.Dlsym(lib, "cudnnGetVersion")
	if err != nil {
		return nil, fmt.Errorf("%s is not cuDNN: %w", c.path, err)
	}
	for _, part := range partsTable {
		if _, err := purego.Dlopen(part, purego.RTLD_LAZY|purego.RTLD_GLOBAL); err != nil {
			return nil, fmt.Errorf("%s lacks a part: %w", c.path, err)
		}
	}
	n, _, _ := purego.SyscallN(at)
	v := int(n)
	f.version = [3]int{v / 10000, v / 100 % 100, v % 100}
	if v < 90000 { // up to release 8 the major one stood for thousands
		f.version = [3]int{v / 1000, v / 100 % 10, v % 100}
	}
	if f.version[0] != 9 {
		return nil, fmt.Errorf("%s is %s: release 9 is needed", c.path, f.title())
	}
	names := namesDNNTable
	for _, d := range directionTable {
		names = append(names[:len(names):len(names)], d.heuristic, d.measure, d.workspace, d.execute)
	}
	if err := f.resolve(lib, append(names, "cudnnGetErrorString")); err != nil {
		return nil, err
	}
	purego.RegisterFunc(&f.name, f.symbols["cudnnGetErrorString"])
	f.text = func(int32) string {
		f.value("cudnnGetLastErrorString", address(&f.last[0]), uintptr(len(f.last)))
		text, _, _ := strings.Cut(string(f.last[:]), "\x00")
		return strings.TrimSpace(text)
	}
	return f, nil
}

// bindBLAS makes sure that the library is cuBLAS 12 or 13 and looks its functions up.
func bindBLAS(lib uintptr, c candidate) (*functions, error) {
	f := &functions{label: labelBLAS, path: c.path, symbols: make(map[string]uintptr)}
	at, err := purego.Dlsym(lib, "cublasGetProperty")
	if err != nil {
		return nil, fmt.Errorf("%s is not cuBLAS: %w", c.path, err)
	}
	for i := range f.version { // libraryPropertyType: major, minor, patch
		if rc, _, _ := purego.SyscallN(at, uintptr(i), address(&f.number)); int32(rc) != 0 {
			return nil, fmt.Errorf("%s is not cuBLAS: it does not know its release (status %d)", c.path, int32(rc))
		}
		f.version[i] = int(f.number)
	}
	if f.version[0] != 12 && f.version[0] != 13 {
		return nil, fmt.Errorf("%s is %s: release 12 or 13 is needed", c.path, f.title())
	}
	if err := f.resolve(lib, append(namesBLASTable[:len(namesBLASTable):len(namesBLASTable)], "cublasGetStatusName", "cublasGetStatusString")); err != nil {
		return nil, err
	}
	purego.RegisterFunc(&f.name, f.symbols["cublasGetStatusName"])
	purego.RegisterFunc(&f.text, f.symbols["cublasGetStatusString"])
	return f, nil
}

// loadBoth finds cuDNN and the cuBLAS that goes with it. Both errors are given when
// neither is here.
func loadBoth(p places) (dnn, blas *functions, err error) {
	dnn, errDNN := find(p, wantedDNN(), bindDNN)
	cuda := 0
	var near []string
	if errDNN == nil {
		cuda = int(dnn.value("cudnnGetCudartVersion")) / 1000
		if strings.Contains(dnn.path, "/") {
			near = append(near, filepath.Dir(dnn.path))
			if site := siteOf(dnn.path); site != "" {
				for _, sub := range wantedBLAS(cuda).pip {
					near = append(near, filepath.Join(site, "nvidia", sub, "lib"))
				}
			}
		}
	}
	blas, errBLAS := find(p, wantedBLAS(cuda), bindBLAS, near...)
	if err := errors.Join(errDNN, errBLAS); err != nil {
		return nil, nil, err
	}
	return dnn, blas, nil
}

// call calls a function that returns a status. Memory of Go that it is given must be on
// the heap and outlive the call.
func (f *functions) call(name string, args ...uintptr) error {
	rc, _, _ := purego.SyscallN(f.symbols[name], args...)
	status := int32(rc)
	if status == 0 {
		return nil
	}
	return &Error{Library: f.label, Call: name, Status: int(status), Name: f.name(status), Text: f.text(status)}
}

// value calls a function that returns a number, or nothing.
func (f *functions) value(name string, args ...uintptr) uintptr {
	v, _, _ := purego.SyscallN(f.symbols[name], args...)
	return v
}
