//go:build gpu && linux && cgo && (amd64 || arm64)

package cuda

// #include <cuda.h>
import "C"

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unsafe"

	"gorgonia.org/cu"

	"alexnet/model/gpu/device"
)

// module is code on a device.
type module struct {
	*resource
	cu      cu.Module
	entries map[string]int
}

// kernel is an entry of a module.
type kernel struct {
	dev    *Device
	name   string
	cu     cu.Function
	params int

	mu     sync.Mutex
	shared int // the most shared memory that it may have so far
}

// logBytes is room for the messages of the driver's compiler.
const logBytes = 8 << 10

// Load compiles PTX.
func (d *Device) Load(ptx string) (device.Module, error) {
	entries, err := parameters(ptx)
	if err != nil {
		return nil, err
	}
	m := &module{entries: entries}
	log := make([]byte, logBytes)
	err = d.do(func() (err error) {
		m.cu, err = cu.LoadDataEx(ptx, &cu.JITErrorLogBuffer{Buffer: log})
		return check("cuModuleLoadDataEx", err)
	})
	if err != nil {
		text, _, _ := bytes.Cut(log, []byte{0})
		if s := strings.TrimSpace(string(text)); s != "" {
			return nil, fmt.Errorf("%w\n%s", err, s)
		}
		return nil, err
	}
	m.resource = d.add(modules, func() error { return check("cuModuleUnload", m.cu.Unload()) })
	return m, nil
}

// Unload frees the module.
func (m *module) Unload() error { return m.Close() }

// Kernel finds an entry.
func (m *module) Kernel(name string) (device.Kernel, error) {
	k := &kernel{dev: m.dev, name: name, params: m.entries[name], shared: freeShared}
	err := m.dev.do(func() (err error) {
		k.cu, err = m.cu.Function(name)
		return check("cuModuleGetFunction", err)
	})
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", name, err)
	}
	return k, nil
}

// Name returns the entry's name.
func (k *kernel) Name() string { return k.name }

// freeShared is what every kernel may have of shared memory, by CUDA's programming guide
// (48 KB); more has to be asked for.
const freeShared = 48 << 10

// share allows the kernel so many bytes of shared memory of a block's choice.
func (k *kernel) share(bytes int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if bytes <= k.shared {
		return nil
	}
	// cu.Function is a CUfunction in a struct of its own, as the next line has checked.
	const _ = uint(unsafe.Sizeof(cu.Function{}) - unsafe.Sizeof(C.CUfunction(nil)))
	f := *(*C.CUfunction)(unsafe.Pointer(&k.cu))
	code := C.cuFuncSetAttribute(f, C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(bytes))
	if err := failed("cuFuncSetAttribute", int(code)); err != nil {
		return err
	}
	k.shared = bytes
	return nil
}

// The parts of PTX that say what parameters an entry has.
var (
	commentTable = regexp.MustCompile(`//[^\n]*|(?s:/\*.*?\*/)`)
	entryTable   = regexp.MustCompile(`\.entry\s+([\w$]+)\s*(\(([^)]*)\))?`)
)

// parameters counts the parameters of each entry of PTX. The driver reads as many as an
// entry declares, whatever it was given, and eight bytes of each is what it is given.
func parameters(ptx string) (map[string]int, error) {
	n := make(map[string]int)
	for _, e := range entryTable.FindAllStringSubmatch(commentTable.ReplaceAllString(ptx, " "), -1) {
		if strings.Contains(e[3], "[") {
			return nil, fmt.Errorf("PTX: kernel %s has a parameter that is not a number", e[1])
		}
		n[e[1]] = strings.Count(e[3], ".param")
	}
	return n, nil
}
