//go:build linux && (amd64 || arm64) && !static

package nvidia

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"alexnet/model/gpu/device"

	"github.com/ebitengine/purego"
	"go.uber.org/goleak"
)

// headersVariable names a folder with NVIDIA's headers (cudnn.h, cublas_v2.h): the fakes
// are then compiled against those, which proves that their prototypes are the true ones.
const headersVariable = "ALEXNET_TEST_CUDA_HEADERS"

// childVariable makes the test's program another one: it opens the libraries and says
// what it found. The loader's memory of what is loaded cannot be emptied in one process.
const childVariable = "ALEXNET_TEST_CHILD"

func TestMain(m *testing.M) {
	if root, ok := os.LookupEnv(childVariable); ok {
		child(root)
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if built.dir != "" {
			os.RemoveAll(built.dir)
		}
		os.Exit(code)
	}))
}

// child prints what is found below a folder that stands for the system's root.
func child(root string) {
	p := herePlaces(runtime.GOARCH)
	p.root = root
	l, err := openAt(p, Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s from %s and %s\n", l.Name(), l.(*library).dnn.path, l.(*library).blas.path)
	if err := l.Close(); err != nil {
		fmt.Println(err)
	}
}

// built holds the libraries that were compiled.
var built struct {
	mu  sync.Mutex
	dir string
}

// build compiles C into a library, to a path that is relative to a folder of all of the
// test's libraries, and skips the test where there is no compiler.
func build(t *testing.T, source, to string, flags ...string) string {
	t.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "nvidia")
		if err != nil {
			t.Fatal(err)
		}
		built.dir = dir
	}
	to = filepath.Join(built.dir, to)
	if isFile(to) {
		return to
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc to make the fake cuDNN and cuBLAS with: apt-get install gcc libc6-dev")
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"-O1", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Werror", "-Wno-unused-function",
		"-Wl,-Bsymbolic", "-Wl,-soname," + filepath.Base(to), "-o", to}
	if dir := os.Getenv(headersVariable); dir != "" {
		args = append(args, "-DNVIDIA_HEADERS", "-I"+dir, "-Wno-deprecated-declarations")
	}
	args = append(args, filepath.Join("testdata", source))
	if out, err := exec.Command(gcc, append(args, flags...)...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return to
}

// buildDNN makes a fake cuDNN in a folder, and the parts without which it is not used.
// Bytes of the library are replaced by others of the same length.
func buildDNN(t *testing.T, dir string, replace ...string) string {
	t.Helper()
	lib := variant(t, build(t, "cudnn.c", "cudnn/libcudnn.so.9", "-ldl"), dir+"/libcudnn.so.9", replace...)
	for _, name := range partsTable {
		part, link := build(t, "part.c", "parts/"+name), filepath.Join(filepath.Dir(lib), name)
		if err := os.Symlink(part, link); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	return lib
}

// buildBLAS makes a fake cuBLAS.
func buildBLAS(t *testing.T, to string, replace ...string) string {
	t.Helper()
	return variant(t, build(t, "cublas.c", "cublas/libcublas.so.12"), to, replace...)
}

// variant copies a library with some of its bytes replaced.
func variant(t *testing.T, lib, to string, replace ...string) string {
	t.Helper()
	to = filepath.Join(built.dir, to)
	if isFile(to) {
		return to
	}
	b, err := os.ReadFile(lib)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !bytes.Contains(b, []byte(replace[i])) || len(replace[i]) != len(replace[i+1]) {
			t.Fatalf("%q cannot become %q", replace[i], replace[i+1])
		}
		b = bytes.ReplaceAll(b, []byte(replace[i]), []byte(replace[i+1]))
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

// controls are the functions by which a test speaks with a fake.
type controls struct {
	fail       func(name string, status, skip int32)
	calls      func(name string) int32
	live       func() int32
	overlapped func() int32
	forgive    func(n int32)
}

func (c *controls) register(t *testing.T, f *functions) uintptr {
	t.Helper()
	lib, err := purego.Dlopen(f.path, purego.RTLD_LAZY)
	if err != nil {
		t.Fatal(err)
	}
	purego.RegisterLibFunc(&c.fail, lib, "fake_fail")
	purego.RegisterLibFunc(&c.calls, lib, "fake_calls")
	purego.RegisterLibFunc(&c.live, lib, "fake_live")
	purego.RegisterLibFunc(&c.forgive, lib, "fake_forgive")
	purego.RegisterLibFunc(&c.overlapped, lib, "fake_overlapped")
	return lib
}

// fakes are the libraries of a test.
type fakes struct {
	*library
	dnn struct {
		controls
		clear  func(dir int32)
		rank   func(dir, algorithm, status, determinism, math, executes int32, memory uint64)
		algo   func(dir int32) int32
		math   func(dir int32) int32
		stream func() uint64
		work   func() uint64
	}
	blas struct {
		controls
		need func(bool)
		last func(what int32) uint64
	}
}

// paths are the places in which the variables name the libraries.
func paths(dnn, blas string) places {
	return places{getenv: func(name string) string {
		return map[string]string{VariableDNN: dnn, VariableBLAS: blas}[name]
	}}
}

// open opens the fakes and closes them when the test is done. Then nothing that they made
// may be left.
func open(t *testing.T, o Options) *fakes {
	t.Helper()
	dnn, blas := buildDNN(t, "default"), buildBLAS(t, "default/libcublas.so.12")
	l, err := openAt(paths(dnn, blas), o)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakes{library: l.(*library)}
	lib := f.dnn.register(t, f.library.dnn)
	purego.RegisterLibFunc(&f.dnn.clear, lib, "fake_rank_clear")
	purego.RegisterLibFunc(&f.dnn.rank, lib, "fake_rank")
	purego.RegisterLibFunc(&f.dnn.algo, lib, "fake_last_algo")
	purego.RegisterLibFunc(&f.dnn.math, lib, "fake_last_math")
	purego.RegisterLibFunc(&f.dnn.stream, lib, "fake_last_stream")
	purego.RegisterLibFunc(&f.dnn.work, lib, "fake_last_work")
	lib = f.blas.register(t, f.library.blas)
	purego.RegisterLibFunc(&f.blas.need, lib, "fake_need_workspace")
	purego.RegisterLibFunc(&f.blas.last, lib, "fake_last")
	f.blas.need(o.Device != nil)
	f.ranks()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if n, m := f.dnn.live(), f.blas.live(); n != 0 || m != 0 {
			t.Errorf("%d objects of cuDNN and %d of cuBLAS are left", n, m)
		}
		if f.dnn.overlapped()+f.blas.overlapped() != 0 {
			t.Error("a handle was used by two calls at a time")
		}
	})
	return f
}

// rank is a line of the heuristics' answer.
type rank struct {
	algorithm, status, determinism, math, executes int32
	memory                                         uint64
}

// setRanks gives the fake a direction's algorithms.
func (f *fakes) setRanks(dir int, ranks ...rank) {
	at := [3]int32{forward: 0, backwardWeights: 1, backwardData: 2}[dir]
	f.dnn.clear(at)
	for _, r := range ranks {
		f.dnn.rank(at, r.algorithm, r.status, r.determinism, r.math, r.executes, r.memory)
	}
}

// ranks gives the fake those that most tests use.
func (f *fakes) ranks() {
	f.setRanks(forward,
		rank{algorithm: 7, status: 3000, determinism: 1, math: 1},
		rank{algorithm: 4, determinism: 1, memory: 1<<64 - 4096},
		rank{algorithm: 6, math: 1, memory: 1024},
		rank{algorithm: 1, determinism: 1, math: 1, memory: 4096},
		rank{algorithm: 0, determinism: 1, math: 3})
	f.setRanks(backwardWeights,
		rank{algorithm: 0, math: 1},
		rank{algorithm: 1, determinism: 1, math: 1, memory: 2048},
		rank{algorithm: 3, math: 3, memory: 512})
	f.setRanks(backwardData,
		rank{algorithm: 0, math: 1, memory: 128},
		rank{algorithm: 1, determinism: 1, memory: 8192})
}

// stream is a device.Stream of which only the handle is used.
type stream struct {
	device.Stream
	handle uintptr
}

func (s stream) Handle() uintptr { return s.handle }

// gpu is a device.Device that gives the host's memory.
type gpu struct {
	device.Device
	mu     sync.Mutex
	major  int
	memory map[device.Ptr][]byte
	limit  int    // bytes
	spare  []byte // what is given, if it is there: else new memory
	lost   error
}

func (g *gpu) Info() device.Info { return device.Info{Major: g.major} }

func (g *gpu) FreeMemory() (int64, error) { return 77 << 20, g.lost }

func (g *gpu) Alloc(bytes int) (device.Ptr, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if bytes > g.limit {
		return 0, &device.MemoryError{Bytes: bytes, Err: fmt.Errorf("only %d are left", g.limit)}
	}
	g.limit -= bytes
	b := g.spare
	if b != nil {
		b = b[len(g.memory)*bytes:]
	} else {
		b = make([]byte, bytes+256)
	}
	at := (pointer(b) + 255) &^ 255
	if g.memory == nil {
		g.memory = make(map[device.Ptr][]byte)
	}
	g.memory[at] = b
	return at, nil
}

func (g *gpu) Release(at device.Ptr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.memory[at] == nil {
		return fmt.Errorf("%#x was not allocated", at)
	}
	if g.spare != nil {
		g.limit = len(g.spare) - 256
	}
	delete(g.memory, at)
	return nil
}

// kept holds all memory that the fakes were shown: it is on the heap and stays there.
var kept struct {
	mu  sync.Mutex
	all []any
}

// pointer returns the address of values, which stay where they are until forget.
func pointer[T any](v []T) device.Ptr {
	kept.mu.Lock()
	defer kept.mu.Unlock()
	kept.all = append(kept.all, v)
	return device.Ptr(uintptr(unsafe.Pointer(&v[0])))
}

func forget() {
	kept.mu.Lock()
	defer kept.mu.Unlock()
	kept.all = nil
}

// runChild runs the test's program as a child with just this environment.
func runChild(t *testing.T, root string, env ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(env, childVariable+"="+root)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}
