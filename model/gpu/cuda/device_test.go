//go:build gpu && linux && cgo && (amd64 || arm64)

package cuda

import (
	_ "embed"
	"errors"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"alexnet/model/gpu/device"
)

//go:embed testdata/test.ptx
var testPTX string

// TestDevice runs on the machine's GPU. Without one, TestFakeDriver still runs all of it
// but what the compiler, the scheduler and the clock of a real one do.
func TestDevice(t *testing.T) {
	d, err := Open(0)
	var none *NoGPUError
	if errors.As(err, &none) {
		t.Skip("this needs a GPU: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	i := d.Info()
	t.Logf("%s, compute capability %d.%d, %d MiB, %d multiprocessors, %s", i.Name, i.Major, i.Minor, i.Memory>>20, i.Units, i.Library)
	testDevice(t, d)
}

// testDevice tests a device, real or not, and closes it.
func testDevice(t *testing.T, d *Device) {
	for _, test := range []struct {
		name string
		f    func(*testing.T, *Device)
	}{
		{"info", testInfo}, {"memory", testMemory}, {"too much memory", testTooMuch}, {"wrong memory", testWrongMemory},
		{"order", testOrder}, {"time", testTime}, {"kernel", testKernel}, {"shared memory", testShared},
		{"wrong launches", testWrongLaunches}, {"bad PTX", testBadPTX}, {"graph", testGraph}, {"failed capture", testFailedCapture},
		{"threads", testThreads},
	} {
		t.Run(test.name, func(t *testing.T) { test.f(t, d) })
	}
	if l := d.Live(); l != (Live{}) {
		t.Errorf("not freed: %+v", l)
	}
	testClose(t, d)
}

// stage is a stream, with memory of the device and the host for so many float32.
type stage struct {
	t      *testing.T
	d      *Device
	s      device.Stream
	at     device.Ptr
	host   []byte
	floats []float32
}

func newStage(t *testing.T, d *Device, n int) *stage {
	t.Helper()
	s := &stage{t: t, d: d}
	var err error
	if s.s, err = d.NewStream(); err != nil {
		t.Fatal(err)
	}
	if s.at, err = d.Alloc(4 * n); err != nil {
		t.Fatal(err)
	}
	if s.host, err = d.AllocHost(4 * n); err != nil {
		t.Fatal(err)
	}
	s.floats = unsafe.Slice((*float32)(unsafe.Pointer(&s.host[0])), n)
	t.Cleanup(func() {
		ok(t, s.s.Close())
		ok(t, d.Release(s.at))
		ok(t, d.ReleaseHost(s.host))
	})
	return s
}

// ok fails the test for an error.
func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill writes f(i) into the host's memory.
func (s *stage) fill(f func(i int) float32) {
	for i := range s.floats {
		s.floats[i] = f(i)
	}
}

// load copies f(i) to the device.
func (s *stage) load(f func(i int) float32) {
	s.t.Helper()
	s.fill(f)
	ok(s.t, s.s.CopyIn(s.at, s.host))
	ok(s.t, s.s.Sync())
}

// want compares what is on the device.
func (s *stage) want(f func(i int) float32) {
	s.t.Helper()
	s.fill(func(int) float32 { return -1 })
	ok(s.t, s.s.CopyOut(s.host, s.at))
	ok(s.t, s.s.Sync())
	for i, v := range s.floats {
		if v != f(i) {
			s.t.Fatalf("value %d is %g, not %g", i, v, f(i))
		}
	}
}

// kernels loads the test's module.
func kernels(t *testing.T, d *Device, names ...string) []device.Kernel {
	t.Helper()
	m, err := d.Load(testPTX)
	ok(t, err)
	t.Cleanup(func() { ok(t, m.Unload()) })
	var ks []device.Kernel
	for _, name := range names {
		k, err := m.Kernel(name)
		ok(t, err)
		if k.Name() != name {
			t.Errorf("the kernel's name is %s, not %s", k.Name(), name)
		}
		ks = append(ks, k)
	}
	return ks
}

func testInfo(t *testing.T, d *Device) {
	i := d.Info()
	if i.Name == "" || i.Major < 5 || i.Units < 1 || i.Memory < 1<<28 || i.Driver < 11000 || !strings.HasPrefix(i.Library, "CUDA ") {
		t.Errorf("an unlikely GPU: %+v", i)
	}
	free, err := d.FreeMemory()
	if err != nil || free <= 0 || free > i.Memory {
		t.Errorf("%d bytes of %d free, %v", free, i.Memory, err)
	}
}

func testMemory(t *testing.T, d *Device) {
	s := newStage(t, d, 100_003)
	if s.at%256 != 0 || uintptr(unsafe.Pointer(&s.host[0]))%64 != 0 {
		t.Errorf("memory at %#x and %p", s.at, &s.host[0])
	}
	s.load(func(i int) float32 { return float32(i) })
	s.want(func(i int) float32 { return float32(i) })

	// Parts of it: zeros from 10, a copy of the first ten values at 1000, of one at 99999.
	ok(t, s.s.Clear(s.at.Add(40), 4*5))
	ok(t, s.s.Copy(s.at.Add(4000), s.at, 40))
	s.floats[0] = 7
	ok(t, s.s.CopyIn(s.at.Add(4*99_999), s.host[:4]))
	ok(t, s.s.Copy(s.at, s.at, 0))
	ok(t, s.s.Clear(s.at, 0))
	ok(t, s.s.CopyIn(s.at, nil))
	ok(t, s.s.CopyOut(nil, s.at))
	ok(t, s.s.Sync())
	s.want(func(i int) float32 {
		switch {
		case i >= 10 && i < 15:
			return 0
		case i >= 1000 && i < 1010:
			return float32(i - 1000)
		case i == 99_999:
			return 7
		}
		return float32(i)
	})
	if s.s.Handle() == 0 {
		t.Error("the stream has no handle")
	}
}

func testTooMuch(t *testing.T, d *Device) {
	before := d.Live()
	p, err := d.Alloc(1 << 50)
	var e *device.MemoryError
	if !errors.As(err, &e) || p != 0 || e.Bytes != 1<<50 || e.Free <= 0 || !strings.Contains(err.Error(), "CUDA_ERROR_OUT_OF_MEMORY: out of memory") {
		t.Errorf("a petabyte gave %#x, %v", p, err)
	}
	if d.Live() != before {
		t.Error("what was not allocated is counted")
	}
	for _, n := range []int{0, -1} {
		if _, err := d.Alloc(n); err == nil {
			t.Errorf("Alloc(%d) gave no error", n)
		}
		if _, err := d.AllocHost(n); err == nil {
			t.Errorf("AllocHost(%d) gave no error", n)
		}
	}
}

func testWrongMemory(t *testing.T, d *Device) {
	s := newStage(t, d, 16)
	if err := s.s.CopyIn(s.at, make([]byte, 8)); err == nil || !strings.Contains(err.Error(), "not of AllocHost") {
		t.Errorf("a copy from Go's memory: %v", err)
	}
	if err := s.s.CopyOut(make([]byte, 8), s.at); err == nil || !strings.Contains(err.Error(), "not of AllocHost") {
		t.Errorf("a copy to Go's memory: %v", err)
	}
	if err := d.Release(s.at + 1); err == nil {
		t.Error("memory that is not Alloc's was released")
	}
	for _, b := range [][]byte{nil, make([]byte, 8), s.host[8:]} {
		if err := d.ReleaseHost(b); err == nil {
			t.Error("memory that is not AllocHost's was released")
		}
	}
	p, err := d.Alloc(8)
	ok(t, err)
	ok(t, d.Release(p))
	if err := d.Release(p); err == nil {
		t.Error("memory was released twice")
	}
}

// testOrder lets a second stream take what the first one makes, many times over.
func testOrder(t *testing.T, d *Device) {
	const n = 1 << 20
	a, b := newStage(t, d, n), newStage(t, d, n)
	made, err := d.NewEvent()
	ok(t, err)
	taken, err := d.NewEvent()
	ok(t, err)
	defer func() { ok(t, errors.Join(made.Close(), taken.Close())) }()
	ok(t, taken.Sync()) // never recorded: does not wait
	axpy := kernels(t, d, "axpy")[0]
	a.load(func(int) float32 { return 0 })
	b.load(func(int) float32 { return 1 })
	ones, err := d.Alloc(4 * n)
	ok(t, err)
	defer func() { ok(t, d.Release(ones)) }()
	ok(t, a.s.Copy(ones, b.at, 4*n))
	ok(t, a.s.Sync())
	ok(t, b.s.Clear(b.at, 4*n))
	ok(t, b.s.Sync())
	const rounds = 50
	for range rounds { // a counts up, b sums what it sees: 1 + 2 + ... + rounds
		ok(t, a.s.Wait(taken))
		ok(t, a.s.Launch(axpy, device.Grid{Blocks: [3]int{n / 256}, Threads: [3]int{256}}, device.Args(nil).Ptr(a.at, ones).Float(1).Int(n)))
		ok(t, a.s.Record(made))
		ok(t, b.s.Wait(made))
		ok(t, b.s.Launch(axpy, device.Grid{Blocks: [3]int{n / 256}, Threads: [3]int{256}}, device.Args(nil).Ptr(b.at, a.at).Float(1).Int(n)))
		ok(t, b.s.Record(taken))
	}
	b.want(func(int) float32 { return rounds * (rounds + 1) / 2 })
	ok(t, a.s.Sync())
}

func testTime(t *testing.T, d *Device) {
	s := newStage(t, d, 1<<22)
	first, err := d.NewEvent()
	ok(t, err)
	last, err := d.NewEvent()
	ok(t, err)
	defer func() { ok(t, errors.Join(first.Close(), last.Close(), last.Close())) }()
	if _, err := last.Since(first); err == nil {
		t.Error("there was time between events that never came")
	}
	ok(t, s.s.Record(first))
	for range 20 {
		ok(t, s.s.Clear(s.at, 4<<22))
	}
	ok(t, s.s.Record(last))
	ok(t, last.Sync())
	for _, e := range []device.Event{first, last} {
		if done, err := e.Done(); err != nil || !done {
			t.Errorf("after Sync, Done is %v, %v", done, err)
		}
	}
	if ms, err := last.Since(first); err != nil || !(ms > 0) {
		t.Errorf("20 x 16 MiB took %g ms, %v", ms, err)
	}
}

func testKernel(t *testing.T, d *Device) {
	axpy := kernels(t, d, "axpy")[0]
	const n = 1000
	x, y := newStage(t, d, n), newStage(t, d, n)
	x.load(func(i int) float32 { return float32(i) })
	y.load(func(i int) float32 { return 0.5 })
	// Blocks of 128 threads beyond the end; the last three values are not to be touched.
	ok(t, y.s.Launch(axpy, device.Grid{Blocks: [3]int{8}, Threads: [3]int{128}}, device.Args(nil).Ptr(y.at, x.at).Float(-2.5).Int(n-3)))
	y.want(func(i int) float32 {
		if i >= n-3 {
			return 0.5
		}
		return 0.5 - 2.5*float32(i)
	})
}

func testShared(t *testing.T, d *Device) {
	tail := kernels(t, d, "tail")[0]
	s := newStage(t, d, 1)
	for _, bytes := range []int{16, 48 << 10, 64 << 10, 16} {
		ok(t, s.s.Launch(tail, device.Grid{Shared: bytes}, device.Args(nil).Ptr(s.at).Int(bytes)))
		s.want(func(int) float32 { return math.Float32frombits(uint32(bytes)) })
	}
	err := s.s.Launch(tail, device.Grid{Shared: 1 << 20}, device.Args(nil).Ptr(s.at).Int(1<<20))
	if err == nil || !strings.Contains(err.Error(), "cuFuncSetAttribute: CUDA_ERROR_INVALID_VALUE") {
		t.Errorf("a megabyte of shared memory: %v", err)
	}
}

func testWrongLaunches(t *testing.T, d *Device) {
	axpy := kernels(t, d, "axpy")[0]
	s := newStage(t, d, 16)
	args := device.Args(nil).Ptr(s.at, s.at).Float(1).Int(16)
	err := s.s.Launch(axpy, device.Grid{}, args[:3])
	if err == nil || !strings.Contains(err.Error(), "axpy has 4 parameters, not 3") {
		t.Errorf("a parameter was left out: %v", err)
	}
	err = s.s.Launch(axpy, device.Grid{Threads: [3]int{1025}}, args)
	if err == nil || !strings.Contains(err.Error(), "kernel axpy, blocks [1 1 1], threads [1025 1 1], 0 bytes shared: cuLaunchKernel: CUDA_ERROR_INVALID_VALUE") {
		t.Errorf("1025 threads: %v", err)
	}
	m, err := d.Load(testPTX)
	ok(t, err)
	defer func() { ok(t, errors.Join(m.Unload(), m.Unload())) }()
	if _, err := m.Kernel("gemm"); err == nil || !strings.Contains(err.Error(), "kernel gemm: cuModuleGetFunction: ") {
		t.Errorf("a kernel that is not there: %v", err)
	}
}

func testBadPTX(t *testing.T, d *Device) {
	_, err := d.Load(".version 7.0\n.target sm_80\n.address_size 64\nthis is not PTX\n")
	if err == nil || !strings.Contains(err.Error(), "cuModuleLoadDataEx: CUDA_ERROR_INVALID_PTX") || !strings.Contains(err.Error(), "\nptxas application ptx input, line 4;") {
		t.Errorf("the compiler said: %v", err)
	}
}

func testGraph(t *testing.T, d *Device) {
	axpy := kernels(t, d, "axpy")[0]
	const n = 4096
	x, y := newStage(t, d, n), newStage(t, d, n)
	x.load(func(i int) float32 { return float32(i) })
	y.load(func(int) float32 { return 100 })
	g, err := y.s.Capture(func() error {
		if err := y.s.Clear(y.at, 4*n/2); err != nil {
			return err
		}
		return y.s.Launch(axpy, device.Grid{Blocks: [3]int{n / 64}, Threads: [3]int{64}}, device.Args(nil).Ptr(y.at, x.at).Float(1).Int(n))
	})
	ok(t, err)
	y.want(func(int) float32 { return 100 }) // captured, not done
	const runs = 3
	for range runs {
		ok(t, y.s.Run(g))
	}
	y.want(func(i int) float32 {
		if i < n/2 {
			return float32(i)
		}
		return 100 + runs*float32(i)
	})
	ok(t, g.Close())
}

func testFailedCapture(t *testing.T, d *Device) {
	s := newStage(t, d, 16)
	before, wrong := d.Live(), errors.New("wrong")
	if g, err := s.s.Capture(func() error { return wrong }); !errors.Is(err, wrong) || g != nil {
		t.Errorf("Capture returned %v, %v", g, err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = s.s.Capture(func() error { panic("wrong") })
	}()
	if l := d.Live(); l != before {
		t.Errorf("%+v is left of captures that failed, %+v before", l, before)
	}
	s.load(func(i int) float32 { return float32(i) }) // the stream works on
	s.want(func(i int) float32 { return float32(i) })
}

// testThreads calls from many threads of the system, none of which has the context.
func testThreads(t *testing.T, d *Device) {
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			p, err := d.Alloc(1 << 10)
			if err == nil {
				err = d.Release(p)
			}
			errs[i] = errors.Join(err, d.Do(func() error { return nil }))
		})
	}
	wg.Wait()
	ok(t, errors.Join(errs...))
}

// testClose leaves some of everything to Close.
func testClose(t *testing.T, d *Device) {
	s, err := d.NewStream()
	ok(t, err)
	e, err := d.NewEvent()
	ok(t, err)
	_, err = d.Alloc(100)
	ok(t, err)
	_, err = d.AllocHost(100)
	ok(t, err)
	_, err = d.Load(testPTX)
	ok(t, err)
	g, err := s.Capture(func() error { return nil })
	ok(t, err)
	if l := d.Live(); l != (Live{1, 1, 1, 1, 1, 1}) {
		t.Errorf("live: %+v", l)
	}
	ok(t, d.Close())
	ok(t, d.Close())
	if l := d.Live(); l != (Live{}) {
		t.Errorf("after Close, live: %+v", l)
	}
	ok(t, errors.Join(s.Close(), e.Close(), g.Close()))
	_, err = d.Alloc(100)
	for _, err := range []error{err, s.Sync(), e.Sync(), s.Run(g), s.Record(e), d.Do(func() error { return nil })} {
		if !errors.Is(err, errClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestParameters(t *testing.T) {
	n, err := parameters(testPTX + "\n// .entry comment(.param .u32 a)\n/* .entry other() */ .entry none { } .entry empty()")
	if err != nil || len(n) != 4 || n["axpy"] != 4 || n["tail"] != 2 || n["none"] != 0 || n["empty"] != 0 {
		t.Errorf("parameters are %v, %v", n, err)
	}
	if _, err := parameters(".entry big(.param .align 8 .b8 s[24])"); err == nil || !strings.Contains(err.Error(), "big") {
		t.Errorf("a struct as a parameter: %v", err)
	}
}

func TestPointers(t *testing.T) {
	args := device.Args(nil).Ptr(0x7f00_1234_5678).Int(-2).Float(1.5).Word(1<<63 | 5)
	var got []uint64
	for _, p := range pointers(args) {
		got = append(got, *(*uint64)(p))
	}
	if want := []uint64{0x7f0012345678, 0xffff_ffff_ffff_fffe, 0x3fc00000, 1<<63 | 5}; !slices.Equal(got, want) {
		t.Errorf("the parameters are %#x, not %#x", got, want)
	}
	if len(pointers(nil)) != 0 {
		t.Error("no parameters have pointers")
	}
}

// TestIllegalAddress loses a real GPU's context, and so does it in a process of its own.
func TestIllegalAddress(t *testing.T) {
	if os.Getenv("ALEXNET_TEST_LOSE") == "" {
		d, err := Open(0)
		if err != nil {
			t.Skip("this needs a GPU: ", err)
		}
		ok(t, d.Close())
		again(t, "TestIllegalAddress", "ALEXNET_TEST_LOSE=1")
		return
	}
	d, err := Open(0)
	ok(t, err)
	s, err := d.NewStream()
	ok(t, err)
	m, err := d.Load(testPTX)
	ok(t, err)
	axpy, err := m.Kernel("axpy")
	ok(t, err)
	err = errors.Join(s.Launch(axpy, device.Grid{}, device.Args(nil).Ptr(8, 8).Float(1).Int(1)), s.Sync())
	var lost *device.LostError
	if !errors.As(err, &lost) {
		t.Fatalf("a write to nowhere: %v", err)
	}
	if err := d.Close(); !errors.As(err, &lost) {
		t.Errorf("Close of a lost GPU: %v", err)
	}
}
