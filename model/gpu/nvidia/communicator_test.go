//go:build linux && (amd64 || arm64) && !static

package nvidia

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebitengine/purego"

	"alexnet/model/gpu/device"
	"alexnet/train/collective"
)

// Its fakes are those of ranks that are goroutines.
type fakeNCCL struct {
	controls
	async  func(status int32)
	aborts func() int32
	stream func() uint64
	hold   func(graphs int32)
}

// buildNCCL makes a fake NCCL.
func buildNCCL(t *testing.T, to string, replace ...string) string {
	t.Helper()
	return variant(t, build(t, "nccl.c", "nccl/libnccl.so.2", "-pthread"), to, replace...)
}

func control(t *testing.T, path string) *fakeNCCL {
	t.Helper()
	f := &fakeNCCL{}
	lib := f.register(t, &functions{path: path})
	purego.RegisterLibFunc(&f.async, lib, "fake_async")
	purego.RegisterLibFunc(&f.aborts, lib, "fake_aborts")
	purego.RegisterLibFunc(&f.stream, lib, "fake_stream")
	purego.RegisterLibFunc(&f.hold, lib, "fake_hold")
	return f
}

// there is where a rank finds NCCL: a file, a folder, or None.
func there(choice string) places {
	return places{getenv: func(name string) string {
		if name == VariableNCCL {
			return choice
		}
		return ""
	}}
}

// seated is a device of which only the place is asked for.
type seated struct {
	gpu
	bus string
}

func (a *seated) Info() device.Info { return device.Info{Bus: a.bus} }

// joinAll lets ranks join, each by its own choice of a library, and a GPU of its own.
func joinAll(choices []string, alter func(rank int, o *RanksOptions)) ([]*Communicator, []error) {
	comms, errs := make([]*Communicator, len(choices)), make([]error, len(choices))
	var wg sync.WaitGroup
	for r, g := range collective.Goroutines(len(choices)) {
		o := RanksOptions{Device: &seated{bus: string(rune('a' + r))}, Patience: 20 * time.Millisecond}
		if alter != nil {
			alter(r, &o)
		}
		wg.Go(func() { comms[r], errs[r] = joinAt(there(choices[r]), g, o) })
	}
	wg.Wait()
	return comms, errs
}

// eachRank calls f for all at once.
func eachRank(comms []*Communicator, f func(rank int, c *Communicator) error) error {
	errs := make([]error, len(comms))
	var wg sync.WaitGroup
	for r, c := range comms {
		wg.Go(func() { errs[r] = f(r, c) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// synced is a stream whose work is done.
type synced struct{ stream }

func (synced) Sync() error { return nil }

// TestCommunicator: ranks join, with an id that reaches them whole, and sum.
func TestCommunicator(t *testing.T) {
	defer forget()
	lib := buildNCCL(t, "ranks/libnccl.so.2")
	f := control(t, lib)
	const world = 3
	ids, aborts := f.calls("ncclGetUniqueId"), f.aborts()
	comms, errs := joinAll(slices.Repeat([]string{lib}, world), nil)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := f.calls("ncclGetUniqueId") - ids; n != 1 || f.live() != world {
		t.Errorf("%d ids, %d communicators", n, f.live())
	}
	err := eachRank(comms, func(rank int, c *Communicator) error {
		values := make([]float32, 100)
		for turn := range 3 {
			n, err := c.Labelled(rank + 10*turn)
			if err != nil || n != 3+30*turn {
				t.Errorf("%d labelled, %v", n, err)
			}
			for i := range values {
				values[i] = float32((rank + 1) * (i + turn))
			}
			if err := c.AllReduce(stream{handle: 7}, pointer(values).Add(4*turn), len(values)-turn); err != nil {
				return err
			}
			for i, v := range values {
				if want := float32(6 * (i + turn)); i >= turn && v != want {
					t.Fatalf("turn %d: value %d is %g, want %g", turn, i, v, want)
				}
			}
			if err := c.Wait(synced{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || f.stream() != 7 || comms[0].Name() != "NCCL 2.22.3" {
		t.Errorf("%v; stream %d, %s", err, f.stream(), comms[0].Name())
	}
	for _, bad := range []error{comms[0].AllReduce(stream{handle: 7}, 0, 1), comms[0].AllReduce(stream{handle: 7}, 8, 0)} {
		if bad == nil {
			t.Error("a sum of nothing")
		}
	}
	close := func(_ int, c *Communicator) error { return errors.Join(c.Close(), c.Close()) }
	if err := eachRank(comms, close); err != nil || f.live() != 0 || f.aborts()-aborts != world {
		t.Errorf("%v; %d communicators are left, %d aborts", err, f.live(), f.aborts()-aborts)
	}
	if err := comms[1].AllReduce(stream{handle: 7}, 8, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed one: %v", err)
	}
}

// TestJoinRefused: all ranks are told, and whether they can do without NCCL.
func TestJoinRefused(t *testing.T) {
	lib := buildNCCL(t, "refused/libnccl.so.2")
	other := buildNCCL(t, "other/libnccl.so.2", "version 22203", "version 22105")
	old := buildNCCL(t, "old/libnccl.so.2", "version 22203", "version 02804")
	f := control(t, lib)
	both := []string{lib, lib}
	bus := func(bus ...string) func(int, *RanksOptions) {
		return func(rank int, o *RanksOptions) { o.Device = &seated{bus: bus[rank]} }
	}
	for _, test := range []struct {
		name    string
		choices []string
		alter   func(int, *RanksOptions)
		fail    string // call of rank 0
		missing bool
		says    [2]string
	}{
		{"none", []string{lib, None}, nil, "", true, [2]string{"NCCL is not here: rank 1 (on ", "NCCL is not used: ALEXNET_NCCL=none"}},
		{"no file", []string{"/nowhere/libnccl.so.2", lib}, nil, "", true, [2]string{"/nowhere/libnccl.so.2: no such file", "NCCL is not here: rank 0 (on "}},
		{"old", []string{old, lib}, nil, "", true, [2]string{"is NCCL 2.8.4: release 2.9 or later of NCCL 2 is needed", "rank 0 (on "}},
		{"another release", []string{lib, other}, nil, "", false, [2]string{"has NCCL 2.21.5, but rank 0", "has NCCL 2.21.5, but rank 0"}},
		{"one GPU", both, bus("x", "x"), "", false, [2]string{"ranks 0 and 1 have the same GPU, x of ", "CUDA_VISIBLE_DEVICES"}},
		{"no id", both, nil, "ncclGetUniqueId", false, [2]string{"NCCL: ncclGetUniqueId: unhandled cuda error (1): the fake was told to", "has failed in preparing NCCL"}},
		{"no id, none", []string{lib, None}, nil, "ncclGetUniqueId", false, [2]string{"NCCL: ncclGetUniqueId: unhandled", "has failed in preparing NCCL"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.fail != "" {
				f.fail(test.fail, ncclUnhandledCUDA, 0)
			}
			_, errs := joinAll(test.choices, test.alter)
			for r, err := range errs {
				missing := (*MissingError)(nil)
				if err == nil || !strings.Contains(err.Error(), test.says[r]) || errors.As(err, &missing) != test.missing {
					t.Errorf("rank %d: %v", r, err)
				}
			}
			if f.live() != 0 {
				t.Errorf("%d communicators are left", f.live())
			}
		})
	}
	// The same place in two machines is two GPUs; one that is not known is none.
	for _, alter := range []func(int, *RanksOptions){
		func(rank int, o *RanksOptions) { bus("x", "x")(rank, o); o.host = string(rune('a' + rank)) },
		func(rank int, o *RanksOptions) { o.Device = nil },
	} {
		comms, errs := joinAll(both, alter)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if err := eachRank(comms, func(_ int, c *Communicator) error { return c.Close() }); err != nil {
			t.Error(err)
		}
	}
	f.fail("ncclCommInitRank", ncclUnhandledCUDA, 0)
	if _, errs := joinAll([]string{lib}, nil); errs[0] == nil || !strings.Contains(errs[0].Error(), "ncclCommInitRank") {
		t.Errorf("%v", errs[0])
	}
}

// stalled is a stream whose work ends only when NCCL has given it up.
type stalled struct {
	stream
	f     *fakeNCCL
	given int32
}

func (s stalled) Sync() error {
	for s.f.aborts() == s.given {
		time.Sleep(time.Millisecond)
	}
	return nil
}

// TestWait: sums that do not come are given up, though the graphs that hold them keep NCCL
// from ending; nothing is queued after that.
func TestWait(t *testing.T) {
	lib := buildNCCL(t, "wait/libnccl.so.2")
	f := control(t, lib)
	for name, test := range map[string]struct {
		async int32
		fail  string
		says  string
	}{
		"a rank is gone":    {async: 6, says: "NCCL: a sum: remote process exited (6)"},
		"nothing comes":     {async: ncclInProgress, says: "have not come for 20ms"},
		"NCCL cannot say":   {fail: "ncclCommGetAsyncError", says: "ncclCommGetAsyncError: unhandled cuda error"},
		"not even progress": {says: "have not come for 20ms"},
	} {
		comms, errs := joinAll([]string{lib}, nil)
		if errs[0] != nil {
			t.Fatal(errs[0])
		}
		c := comms[0]
		if test.fail != "" {
			f.fail(test.fail, ncclUnhandledCUDA, 0)
		}
		f.async(test.async)
		f.hold(1)
		err := c.Wait(stalled{f: f, given: f.aborts()})
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
		if again := c.AllReduce(stream{handle: 1}, 8, 1); !errors.Is(err, again) {
			t.Errorf("%s: a sum after that: %v", name, again)
		}
		if _, again := c.Labelled(1); !errors.Is(err, again) {
			t.Errorf("%s: a number after that: %v", name, again)
		}
		if again := c.Wait(synced{}); again == nil || again.Error() != err.Error() {
			t.Errorf("%s: a wait after that: %v", name, again)
		}
		f.hold(0)
		if err := c.Close(); err != nil || f.live() != 0 {
			t.Errorf("%s: %v; %d communicators are left", name, err, f.live())
		}
		f.async(0)
	}
}

// TestNCCLHeader looks for the numbers and the functions in NVIDIA's nccl.h, where it is
// here. The fake's prototypes are then its own, too.
func TestNCCLHeader(t *testing.T) {
	dir := os.Getenv(headersVariable)
	if !isFile(filepath.Join(dir, "nccl.h")) {
		t.Skip(headersVariable + " names no folder with nccl.h")
	}
	text := "#include <nccl.h>\n"
	for name, v := range map[string]int{"ncclUnhandledCudaError": ncclUnhandledCUDA, "ncclInProgress": ncclInProgress, "ncclFloat32": ncclFloat32, "ncclSum": ncclSum,
		"NCCL_VERSION(2, 9, 0)": 20900, "NCCL_VERSION(2, 8, 4)": 2804, "sizeof(ncclUniqueId)": len(uniqueID{}.Internal), "sizeof(ncclResult_t)": 4} {
		text += fmt.Sprintf("_Static_assert(%s == %d, \"%s\");\n", name, v, name)
	}
	text += "void *functions[] = {(void *)ncclGetVersion, (void *)ncclGetLastError, (void *)ncclGetErrorString, (void *)" + strings.Join(namesNCCLTable, ", (void *)") + "};\n"
	file := filepath.Join(t.TempDir(), "numbers.c")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-fsyntax-only", "-I"+dir, file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestCloseWithGraphs: NCCL does not end while graphs hold its sums; that is said.
func TestCloseWithGraphs(t *testing.T) {
	lib := buildNCCL(t, "close/libnccl.so.2")
	f := control(t, lib)
	comms, errs := joinAll([]string{lib}, func(_ int, o *RanksOptions) { o.farewell = time.Millisecond })
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	f.hold(1)
	if err := comms[0].Close(); err == nil || !strings.Contains(err.Error(), "NCCL has not ended in 1ms") {
		t.Errorf("%v", err)
	}
	f.hold(0)
	for f.live() > 0 {
		time.Sleep(time.Millisecond)
	}
}

// TestFindNCCL: it is found where pip puts it.
func TestFindNCCL(t *testing.T) {
	venv := t.TempDir()
	dir := filepath.Join(venv, "lib/python3.12/site-packages/nvidia/nccl/lib")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "libnccl.so.2")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p := places{root: venv, getenv: func(name string) string {
		if name == "VIRTUAL_ENV" {
			return venv
		}
		return ""
	}}
	list, _, err := p.candidates(wantedNCCL())
	if err != nil || len(list) != 2 || list[0].path != "libnccl.so.2" || list[1].path != file {
		t.Errorf("%v, %v", list, err)
	}
}
