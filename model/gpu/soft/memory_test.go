package soft

import (
	"errors"
	"math"
	"strings"
	"testing"
	"unsafe"

	"alexnet/model/gpu/device"
)

// must returns a value that there is no error with.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fails checks that there is an error which says all of the words.
func fails(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one that says %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error is %q; want one that says %q", err, w)
		}
	}
}

// closes checks that a device says nothing in the end.
func closes(t *testing.T, d *Device) {
	t.Helper()
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

func alloc(t *testing.T, d *Device, bytes int) device.Ptr {
	t.Helper()
	return must[device.Ptr](t)(d.Alloc(bytes))
}

func allocHost(t *testing.T, d *Device, bytes int) []byte {
	t.Helper()
	return must[[]byte](t)(d.AllocHost(bytes))
}

func newStream(t *testing.T, d *Device) *Stream {
	t.Helper()
	return must[device.Stream](t)(d.NewStream()).(*Stream)
}

func newEvent(t *testing.T, d *Device) *Event {
	t.Helper()
	return must[device.Event](t)(d.NewEvent()).(*Event)
}

// values are bytes as numbers.
func values(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

func TestAllocGivesPoisonedAlignedMemoryWithGuards(t *testing.T) {
	d := Open(Options{})
	s, h := newStream(t, d), allocHost(t, d, 100)
	if address(h)%64 != 0 {
		t.Errorf("AllocHost at %#x", address(h))
	}
	a, b := alloc(t, d, 100), alloc(t, d, 100)
	if a%256 != 0 || b%256 != 0 || b < a+256 || a < 0x7f00_0000_0000 {
		t.Errorf("Alloc at %#x and %#x", a, b)
	}
	clear(h)
	ok(t, s.CopyOut(h, a))
	ok(t, s.Sync())
	for i, v := range values(h) {
		if v == v || math.Float32frombits(math.Float32bits(v)<<16) == math.Float32frombits(math.Float32bits(v)<<16) {
			t.Fatalf("value %d of new memory is %v", i, v)
		}
	}
	ok(t, d.Release(a))
	ok(t, d.Release(b))
	ok(t, d.ReleaseHost(h))
	ok(t, s.Close())
	closes(t, d)
}

func TestMemoryIsLimited(t *testing.T) {
	d := Open(Options{Memory: 1024})
	a := alloc(t, d, 500)
	if free := must[int64](t)(d.FreeMemory()); free != 512 {
		t.Errorf("%d bytes are free, want 512", free)
	}
	_, err := d.Alloc(513)
	var m *device.MemoryError
	if !errors.As(err, &m) || m.Bytes != 513 || m.Free != 512 {
		t.Errorf("Alloc of too much: %v", err)
	}
	b := alloc(t, d, 512)
	ok(t, d.Release(a))
	ok(t, d.Release(b))
	if free := must[int64](t)(d.FreeMemory()); free != 1024 {
		t.Errorf("%d bytes are free in the end", free)
	}
	_, err = d.Alloc(0)
	fails(t, err, "0 bytes")
	closes(t, d)
}

func TestFaultsOfMemory(t *testing.T) {
	d := Open(Options{})
	d.FailAlloc(2)
	a := alloc(t, d, 4)
	_, err := d.Alloc(4)
	if m := (*device.MemoryError)(nil); !errors.As(err, &m) {
		t.Errorf("the second Alloc: %v", err)
	}
	ok(t, d.Release(a))
	ok(t, d.Release(alloc(t, d, 4)))
	d.FailAllocHost(1)
	_, err = d.AllocHost(4)
	fails(t, err, "page-locked")
	ok(t, d.ReleaseHost(allocHost(t, d, 4)))
	d.SetFreeMemory(5, 3)
	for _, want := range []int64{5, 3, 1 << 30} {
		if free := must[int64](t)(d.FreeMemory()); free != want {
			t.Errorf("FreeMemory says %d, want %d", free, want)
		}
	}
	closes(t, d)
}

func TestWrongUseOfMemoryIsFound(t *testing.T) {
	d := Open(Options{})
	defer d.Close()
	s := newStream(t, d)
	a, b, h := alloc(t, d, 64), alloc(t, d, 64), allocHost(t, d, 64)
	var use *UseError
	for _, c := range []struct {
		name string
		err  error
		says string
	}{
		{"past the end", s.Clear(a, 65), "outside"},
		{"in a guard", s.Clear(a.Add(128), 4), "outside"},
		{"before", s.Clear(16, 4), "no memory of the device"},
		{"negative", s.Clear(a, -4), "-4 bytes"},
		{"other memory of the host", s.CopyIn(a, make([]byte, 8)), "AllocHost"},
		{"other memory of the host, out", s.CopyOut(make([]byte, 8), a), "AllocHost"},
		{"overlapping", s.Copy(a, a.Add(8), 16), "overlaps"},
		{"release within", d.Release(a.Add(8)), "not what Alloc returned"},
		{"release of nothing", d.Release(0), "not what Alloc returned"},
		{"release of other memory", d.ReleaseHost(make([]byte, 8)), "AllocHost"},
		{"release of a part", d.ReleaseHost(h[8:]), "AllocHost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fails(t, c.err, c.says)
			if !errors.As(c.err, &use) {
				t.Errorf("%v is no UseError", c.err)
			}
		})
	}
	ok(t, d.Release(b))
	fails(t, d.Release(b), "before", "memory_test.go")
	fails(t, s.Clear(b, 4), "released at memory_test.go")
	ok(t, d.ReleaseHost(h))
	fails(t, d.ReleaseHost(h), "AllocHost")
	fails(t, s.CopyIn(a, h), "AllocHost")
}

func TestReleaseOfMemoryInUse(t *testing.T) {
	for _, policy := range []Policy{Late, Eager, Random} {
		d := Open(Options{Policy: policy})
		s := newStream(t, d)
		a, h := alloc(t, d, 64), allocHost(t, d, 64)
		ok(t, s.CopyIn(a, h))
		fails(t, d.Release(a), "CopyIn of 64 bytes", "memory_test.go")
		fails(t, d.ReleaseHost(h), "CopyIn of 64 bytes")
		fails(t, s.Close(), "waited")
		ok(t, s.Sync())
		ok(t, d.Release(a))
		ok(t, d.ReleaseHost(h))
		ok(t, s.Close())
		ok(t, d.Close())
	}
}

func TestCloseReportsLeaksAndUndoneWork(t *testing.T) {
	d := Open(Options{})
	s := newStream(t, d)
	newEvent(t, d)
	a := alloc(t, d, 64)
	allocHost(t, d, 32)
	must[device.Graph](t)(s.Capture(func() error { return s.Clear(a, 4) }))
	NewLibrary(d)
	ok(t, s.Clear(a, 64))
	err := d.Close()
	fails(t, err, "waited for all work of stream 0", "stream 0, of memory_test.go", "event 0", "allocation of 64 bytes of memory_test.go", "32 bytes", "graph of 1 pieces", "library")
	var leak *LeakError
	if !errors.As(err, &leak) || len(leak.Leaks) != 6 {
		t.Errorf("%d leaks in %v", len(leak.Leaks), err)
	}
	fails(t, d.Close(), "closed")
	_, err = d.Alloc(4)
	fails(t, err, "closed")
	fails(t, s.Sync(), "closed")
}

func TestClosedThingsAreNotUsed(t *testing.T) {
	d := Open(Options{})
	s, e := newStream(t, d), newEvent(t, d)
	g := must[device.Graph](t)(s.Capture(func() error { return nil }))
	ok(t, g.Close())
	fails(t, s.Run(g), "closed")
	fails(t, g.Close(), "closed")
	ok(t, e.Close())
	fails(t, s.Record(e), "event 0", "closed")
	fails(t, s.Wait(e), "closed")
	fails(t, e.Sync(), "closed")
	fails(t, e.Close(), "closed")
	ok(t, s.Close())
	fails(t, s.Sync(), "stream 0", "closed")
	fails(t, s.Close(), "closed")
	other := Open(Options{})
	closes(t, other)
	s, e = newStream(t, d), newEvent(t, other)
	fails(t, s.Record(e), "another device")
	ok(t, e.Close())
	ok(t, s.Close())
	closes(t, d)
}
