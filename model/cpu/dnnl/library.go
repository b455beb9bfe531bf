//go:build linux && (amd64 || arm64) && !static

package dnnl

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// libraryPaths returns where oneDNN may be found.
func libraryPaths() []string {
	return []string{"libdnnl.so.3", "libdnnl.so.3.6", "libdnnl.so.2"} // Ubuntu 24.04, Debian 13, Debian 12
}

// Library is a loaded oneDNN. It may be shared.
type Library struct {
	version [3]int
	symbols map[string]uintptr

	opaque bool  // has release 3's functions
	relu   int32 // what the library calls it

	// Functions that take floats, which only these bindings can pass. Those of release
	// 3 have another form.
	lrnForward   func(op unsafe.Pointer, prop, alg int32, data uintptr, size int64, alpha, beta, k float32) int32
	lrnBackward  func(op unsafe.Pointer, alg int32, diff, data uintptr, size int64, alpha, beta, k float32) int32
	eltForward   func(op unsafe.Pointer, prop, alg int32, data uintptr, alpha, beta float32) int32
	eltBackward  func(op unsafe.Pointer, alg int32, diff, data uintptr, alpha, beta float32) int32
	appendElt    func(ops uintptr, scale float32, alg int32, alpha, beta float32) int32
	lrnForward3  func(out, engine uintptr, prop, alg int32, src, dst uintptr, size int64, alpha, beta, k float32, attr uintptr) int32
	lrnBackward3 func(out, engine uintptr, alg int32, diffSrc, diffDst, src uintptr, size int64, alpha, beta, k float32, hint, attr uintptr) int32
	eltForward3  func(out, engine uintptr, prop, alg int32, src, dst uintptr, alpha, beta float32, attr uintptr) int32
	eltBackward3 func(out, engine uintptr, alg int32, diffSrc, diffDst, data uintptr, alpha, beta float32, hint, attr uintptr) int32
	appendElt3   func(ops uintptr, alg int32, alpha, beta float32) int32
}

// Name returns the library's name and release, such as "oneDNN 2.6.3".
func (l *Library) Name() string {
	return fmt.Sprintf("oneDNN %d.%d.%d", l.version[0], l.version[1], l.version[2])
}

// versionInfo is dnnl_version_t.
type versionInfo struct {
	major, minor, patch int32
	_                   *byte // a hash
	cpuRuntime          uint32
}

const runtimeOMP = 2

// These are the functions that are called by name: all releases', and those of 2
// and of 3 alone.
var (
	namesTable = []string{
		"dnnl_engine_create", "dnnl_engine_destroy", "dnnl_stream_create", "dnnl_stream_wait", "dnnl_stream_destroy",
		"dnnl_memory_desc_get_size", "dnnl_memory_desc_equal",
		"dnnl_memory_create", "dnnl_memory_set_data_handle", "dnnl_memory_destroy",
		"dnnl_primitive_attr_create", "dnnl_primitive_attr_destroy", "dnnl_primitive_attr_set_post_ops",
		"dnnl_primitive_attr_set_scratchpad_mode", "dnnl_post_ops_create", "dnnl_post_ops_destroy",
		"dnnl_reorder_primitive_desc_create", "dnnl_primitive_desc_destroy", "dnnl_primitive_desc_query_md",
		"dnnl_primitive_create", "dnnl_primitive_execute", "dnnl_primitive_destroy",
		"omp_set_num_threads",
	}
	operationsTable = []string{
		"dnnl_convolution_forward", "dnnl_convolution_backward_data", "dnnl_convolution_backward_weights",
		"dnnl_inner_product_forward", "dnnl_inner_product_backward_data", "dnnl_inner_product_backward_weights",
		"dnnl_pooling_forward", "dnnl_pooling_backward",
	}
)

// names returns the functions of the library's release.
func (l *Library) names() []string {
	names, suffix := append([]string{}, namesTable...), "_desc_init"
	if l.opaque {
		names, suffix = append(names, "dnnl_memory_desc_create_with_tag", "dnnl_memory_desc_create_with_strides", "dnnl_memory_desc_destroy"), "_primitive_desc_create"
	} else {
		names = append(names, "dnnl_memory_desc_init_by_tag", "dnnl_memory_desc_init_by_strides", "dnnl_primitive_desc_create")
	}
	for _, o := range operationsTable {
		names = append(names, o+suffix)
	}
	return names
}

// Open loads oneDNN from a file. The path is what the system's loader takes: a
// name without a slash is looked for in the usual places.
func Open(path string) (*Library, error) {
	runtime.LockOSThread() // the loader keeps its last error for each thread
	defer runtime.UnlockOSThread()
	// Global, because OpenMP, which comes with it, must be one for all.
	lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("dnnl: %w", err)
	}
	l, err := bind(lib, path)
	if err != nil {
		_ = purego.Dlclose(lib) // the other error says more
		return nil, err
	}
	return l, nil
}

// bind looks the functions up.
func bind(lib uintptr, path string) (*Library, error) {
	at, err := purego.Dlsym(lib, "dnnl_version")
	if err != nil {
		return nil, fmt.Errorf("dnnl: %s is not oneDNN: %w", path, err)
	}
	var version func() *versionInfo
	purego.RegisterFunc(&version, at)
	v := version()
	l := &Library{version: [3]int{int(v.major), int(v.minor), int(v.patch)}, symbols: make(map[string]uintptr)}
	switch {
	case v.major != 3 && (v.major != 2 || v.minor < 5):
		return nil, fmt.Errorf("dnnl: %s is %s: release 2.5 to 3 is needed", path, l.Name())
	case v.cpuRuntime != runtimeOMP:
		return nil, fmt.Errorf("dnnl: %s is %s built without OpenMP, whose threads are needed", path, l.Name())
	}
	l.opaque, l.relu = v.major == 3, 0x1f
	if l.opaque {
		l.relu = 0x20
	}
	for _, name := range l.names() {
		if l.symbols[name], err = purego.Dlsym(lib, name); err != nil {
			return nil, fmt.Errorf("dnnl: %s is %s, incomplete: %w", path, l.Name(), err)
		}
	}
	for _, f := range l.withFloats() {
		if at, err = purego.Dlsym(lib, f.name); err != nil {
			return nil, fmt.Errorf("dnnl: %s is %s, incomplete: %w", path, l.Name(), err)
		}
		purego.RegisterFunc(f.to, at)
	}
	return l, nil
}

// call calls a function that returns a dnnl_status_t. Memory of Go that it is
// given must be on the heap and outlive the call.
func (l *Library) call(name string, args ...uintptr) error {
	rc, _, _ := purego.SyscallN(l.symbols[name], args...)
	return check(name, int32(rc))
}

// check turns a status into an error.
func check(name string, status int32) error {
	if status != 0 {
		return &Error{Call: name, Status: int(status)}
	}
	return nil
}

// value calls a function that returns a number or a pointer.
func (l *Library) value(name string, args ...uintptr) uintptr {
	v, _, _ := purego.SyscallN(l.symbols[name], args...)
	return v
}

// binding is a function that takes floats.
type binding struct {
	to   any
	name string
}

// withFloats returns them for the library's release.
func (l *Library) withFloats() []binding {
	if l.opaque {
		return []binding{
			{&l.lrnForward3, "dnnl_lrn_forward_primitive_desc_create"}, {&l.lrnBackward3, "dnnl_lrn_backward_primitive_desc_create"},
			{&l.eltForward3, "dnnl_eltwise_forward_primitive_desc_create"}, {&l.eltBackward3, "dnnl_eltwise_backward_primitive_desc_create"},
			{&l.appendElt3, "dnnl_post_ops_append_eltwise"},
		}
	}
	return []binding{
		{&l.lrnForward, "dnnl_lrn_forward_desc_init"}, {&l.lrnBackward, "dnnl_lrn_backward_desc_init"},
		{&l.eltForward, "dnnl_eltwise_forward_desc_init"}, {&l.eltBackward, "dnnl_eltwise_backward_desc_init"},
		{&l.appendElt, "dnnl_post_ops_append_eltwise"},
	}
}
