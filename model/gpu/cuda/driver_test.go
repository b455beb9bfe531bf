//go:build gpu && linux && cgo && (amd64 || arm64)

package cuda

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gorgonia.org/cu"

	"alexnet/model/gpu/device"
)

// again runs one test of this program in a process of its own, since a process loads one
// driver only, and returns what it wrote.
func again(t *testing.T, name string, env ...string) string {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.v")
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s with %v: %v\n%s", name, env, err, out)
	}
	return string(out)
}

// TestStartsWithoutDriver is about this program itself: no driver is linked.
func TestStartsWithoutDriver(t *testing.T) {
	f, err := elf.Open("/proc/self/exe")
	ok(t, err)
	defer f.Close()
	libs, err := f.ImportedLibraries()
	ok(t, err)
	for _, l := range libs {
		if strings.Contains(l, "libcuda") {
			t.Errorf("the program needs %s to start: has cu a function that functions.h has not?", l)
		}
	}
	symbols, err := f.DynamicSymbols()
	ok(t, err)
	for _, s := range symbols {
		if strings.HasPrefix(s.Name, "cu") && s.Section != elf.SHN_UNDEF {
			t.Errorf("%s is visible to other libraries", s.Name)
		}
	}
}

// TestWithoutGPU is Open on machines that have no GPU, each in a process of its own.
func TestWithoutGPU(t *testing.T) {
	fake := buildFake(t)
	text := filepath.Join(t.TempDir(), "text.so")
	ok(t, os.WriteFile(text, []byte("no library"), 0o666))
	for _, test := range []struct{ name, want, env, driver string }{
		{name: "no driver", driver: "libcuda-is-not-here.so.1", want: "no NVIDIA driver on this machine (libcuda-is-not-here.so.1 was not found)"},
		{name: "none", driver: "none", want: "no NVIDIA driver is wanted (ALEXNET_CUDA=none)"},
		{name: "not a library", driver: text, want: "the NVIDIA driver could not be loaded (" + text + ": file too short)"},
		{name: "another library", driver: "libc.so.6", want: "the NVIDIA driver is too old for this program: libc.so.6 has no cu"},
		{name: "no GPU", driver: fake, env: "ALEXNET_FAKE_INIT=100", want: "no GPU: cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected"},
		{name: "unknown error", driver: fake, env: "ALEXNET_FAKE_INIT=12345", want: "no GPU: cuInit: CUDA error 12345"},
		{name: "hidden", driver: fake, env: "ALEXNET_FAKE_DEVICES=0", want: "no GPU: the NVIDIA driver has none (CUDA_VISIBLE_DEVICES may hide it)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := again(t, "TestOpenFails", variable+"="+test.driver, test.env, "ALEXNET_TEST_FAILS=1")
			if !strings.Contains(out, "<"+test.want) {
				t.Errorf("Open said\n%swhich is not %q", out, test.want)
			}
		})
	}
}

// TestOpenFails is run by TestWithoutGPU.
func TestOpenFails(t *testing.T) {
	if os.Getenv("ALEXNET_TEST_FAILS") == "" {
		t.Skip("TestWithoutGPU runs it, in processes of its own")
	}
	if _, err := cu.NumDevices(); err == nil || cu.Version() != -1 {
		t.Error("the driver was used before Open")
	}
	for range 2 {
		_, err := Open(0)
		var none *NoGPUError
		if !errors.As(err, &none) {
			t.Fatalf("Open returned %v", err)
		}
		fmt.Printf("<%v>\n", err)
	}
}

// TestThisMachine says what Open says here.
func TestThisMachine(t *testing.T) {
	d, err := Open(0)
	if err != nil {
		t.Log(err)
		return
	}
	t.Log(d.Info().Name)
	ok(t, d.Close())
}

// buildFake builds testdata/driver.c, or skips the test where there is no C compiler.
func buildFake(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "libcuda.so.1")
	if out, err := compiler(t, "-O1", "-shared", "-fPIC", "-o", file, "testdata/driver.c"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// TestFakeDriver runs the tests of a device on a driver that is made of C only.
func TestFakeDriver(t *testing.T) {
	if os.Getenv("ALEXNET_TEST_FAKE") == "" {
		fake := variable + "=" + buildFake(t)
		again(t, "TestFakeDriver", fake, "ALEXNET_TEST_FAKE=1")
		again(t, "TestDevice", fake)
		again(t, "TestIllegalAddress", fake)
		return
	}
	for _, ordinal := range []int{-1, 1} {
		if _, err := Open(ordinal); err == nil || !strings.Contains(err.Error(), "there are 1") {
			t.Errorf("Open(%d): %v", ordinal, err)
		}
	}
	open := func(t *testing.T) *Device {
		d, err := Open(0)
		ok(t, err)
		return d
	}
	t.Run("device", func(t *testing.T) { testDevice(t, open(t)) })
	t.Run("errors", func(t *testing.T) {
		d := open(t)
		testErrors(t, d)
		ok(t, d.Close())
	})
	t.Run("two devices", func(t *testing.T) {
		a, b := open(t), open(t)
		testForeign(t, a, b)
		ok(t, a.Close())
	})
	for _, call := range []string{"cuDeviceGetCount", "cuDevicePrimaryCtxRetain"} {
		t.Run(call, func(t *testing.T) {
			t.Setenv("ALEXNET_FAKE_FAIL", call+"=1")
			if _, err := Open(0); err == nil || err.Error() != call+": CUDA_ERROR_INVALID_VALUE" {
				t.Errorf("Open: %v", err)
			}
		})
	}
}

// testErrors lets each call fail in turn: the error names it, and is of the right type.
func testErrors(t *testing.T, d *Device) {
	s := newStage(t, d, 16)
	e, err := d.NewEvent()
	ok(t, err)
	ok(t, s.s.Record(e))
	axpy := kernels(t, d, "axpy")[0]
	g, err := s.s.Capture(func() error { return nil })
	ok(t, err)
	calls := map[string]func() error{
		"cuCtxSetCurrent":    s.s.Sync,
		"cuMemGetInfo":       func() error { _, err := d.FreeMemory(); return err },
		"cuMemAlloc":         func() error { _, err := d.Alloc(1); return err },
		"cuMemHostAlloc":     func() error { _, err := d.AllocHost(1); return err },
		"cuStreamCreate":     func() error { _, err := d.NewStream(); return err },
		"cuEventCreate":      func() error { _, err := d.NewEvent(); return err },
		"cuModuleLoadDataEx": func() error { _, err := d.Load(testPTX); return err },
		"cuMemcpyHtoDAsync":  func() error { return s.s.CopyIn(s.at, s.host) },
		"cuMemcpyDtoHAsync":  func() error { return s.s.CopyOut(s.host, s.at) },
		"cuMemcpyDtoDAsync":  func() error { return s.s.Copy(s.at, s.at, 4) },
		"cuMemsetD8Async":    func() error { return s.s.Clear(s.at, 4) },
		"cuLaunchKernel": func() error {
			return s.s.Launch(axpy, device.Grid{}, device.Args(nil).Ptr(s.at, s.at).Float(0).Int(1))
		},
		"cuEventRecord":       func() error { return s.s.Record(e) },
		"cuStreamWaitEvent":   func() error { return s.s.Wait(e) },
		"cuStreamSynchronize": s.s.Sync,
		"cuEventSynchronize":  e.Sync,
		"cuEventQuery":        func() error { _, err := e.Done(); return err },
		"cuEventElapsedTime":  func() error { _, err := e.Since(e); return err },
		"cuGraphLaunch":       func() error { return s.s.Run(g) },
		"cuStreamBeginCapture": func() error {
			_, err := s.s.Capture(func() error { return nil })
			return err
		},
		"cuGraphInstantiate": func() error {
			_, err := s.s.Capture(func() error { return nil })
			return err
		},
	}
	symbols := map[string]string{
		"cuMemGetInfo": "cuMemGetInfo_v2", "cuMemAlloc": "cuMemAlloc_v2", "cuMemcpyHtoDAsync": "cuMemcpyHtoDAsync_v2",
		"cuMemcpyDtoHAsync": "cuMemcpyDtoHAsync_v2", "cuMemcpyDtoDAsync": "cuMemcpyDtoDAsync_v2",
		"cuStreamBeginCapture": "cuStreamBeginCapture_v2", "cuGraphInstantiate": "cuGraphInstantiateWithFlags",
	}
	for call, f := range calls {
		t.Run(call, func(t *testing.T) {
			symbol := call
			if s := symbols[call]; s != "" {
				symbol = s
			}
			t.Setenv("ALEXNET_FAKE_FAIL", symbol+"=700")
			var lost *device.LostError
			if err := f(); !errors.As(err, &lost) || lost.Call != call || !strings.Contains(err.Error(), call+": CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered") {
				t.Errorf("the GPU was lost: %v", err)
			}
			t.Setenv("ALEXNET_FAKE_FAIL", symbol+"=1")
			var plain *Error
			if err := f(); !errors.As(err, &plain) || plain.Call != call || plain.Code != 1 || errors.As(err, &lost) {
				t.Errorf("a wrong value: %v", err)
			}
			t.Setenv("ALEXNET_FAKE_FAIL", "")
			if err := f(); err != nil {
				t.Errorf("the next call: %v", err)
			}
		})
	}
	t.Run("600", func(t *testing.T) { // cuEventQuery's "not ready" is none
		t.Setenv("ALEXNET_FAKE_FAIL", "cuEventQuery=600")
		if done, err := e.Done(); done || err != nil {
			t.Errorf("an event that has not come: %v, %v", done, err)
		}
	})
	ok(t, errors.Join(g.Close(), e.Close()))
}

// testForeign hands one device what is of another.
func testForeign(t *testing.T, a, b *Device) {
	s, err := a.NewStream()
	ok(t, err)
	e, err := b.NewEvent()
	ok(t, err)
	other, err := b.NewStream()
	ok(t, err)
	g, err := other.Capture(func() error { return nil })
	ok(t, err)
	m, err := b.Load(testPTX)
	ok(t, err)
	k, err := m.Kernel("tail")
	ok(t, err)
	mine, err := a.NewEvent()
	ok(t, err)
	_, since := mine.Since(e)
	for name, err := range map[string]error{
		"Record": s.Record(e), "Wait": s.Wait(e), "Run": s.Run(g), "Since": since,
		"Launch": s.Launch(k, device.Grid{}, device.Args(nil).Ptr(0).Int(0)),
	} {
		if err == nil {
			t.Errorf("%s took what is of another device", name)
		}
	}
	ok(t, errors.Join(s.Close(), mine.Close(), b.closeOnly()))
}

// closeOnly frees what is there, but keeps the context that the fake driver has once.
func (d *Device) closeOnly() error {
	var errs []error
	for k := range d.live {
		for _, r := range d.list(kind(k)) {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(append(errs, d.dev.ReleasePrimaryCtx())...)
}
