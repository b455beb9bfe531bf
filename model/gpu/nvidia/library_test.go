//go:build linux && (amd64 || arm64) && !static

package nvidia

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"alexnet/model/gpu/device"
)

// small is a convolution of which all directions are wanted.
func small() device.Convolution {
	return device.Convolution{N: 2, H: 4, W: 4, C: 4, Out: 6, Kernel: 3, Stride: 1, Pad: 1, Groups: 2,
		NeedData: true, NeedWeights: true, Workspace: 1 << 20}
}

// runAll runs all directions of a small convolution.
func runAll(v device.Convolver) error {
	x, w, y, s := pointer(make([]float32, 128)), pointer(make([]float32, 108)), pointer(make([]float32, 192)), stream{handle: 1}
	work := pointer(make([]byte, v.Workspace()+1))
	return errors.Join(v.Forward(s, y, x, w, work), v.BackwardWeights(s, w, x, y, work), v.BackwardData(s, x, y, w, work))
}

// TestAlgorithms: which ones are planned, within which limits.
func TestAlgorithms(t *testing.T) {
	defer forget()
	for _, test := range []struct {
		name       string
		change     func(*device.Convolution)
		algorithms string
		workspace  int
		ran        [3]int32 // the kinds of multiplications that then run: forward, weights, data
	}{
		{"free", func(*device.Convolution) {},
			"forward WINOGRAD (FMA, 1 KiB), weights ALGO_0 (FMA, 0 KiB), data ALGO_0 (FMA, 1 KiB)", 8192, [3]int32{3, 3, 3}},
		{"repeatable", func(c *device.Convolution) { c.Repeatable = true },
			"forward IMPLICIT_PRECOMP_GEMM (FMA, 4 KiB), weights ALGO_1 (FMA, 2 KiB), data ALGO_1 (FMA, 8 KiB)", 8192, [3]int32{3, 3, 3}},
		{"TF32", func(c *device.Convolution) { c.Arithmetic, c.Repeatable = device.TensorFloat32, true },
			"forward IMPLICIT_PRECOMP_GEMM (tensor cores, 4 KiB), weights ALGO_1 (tensor cores, 2 KiB), data ALGO_1 (default, 8 KiB)", 8192, [3]int32{1, 1, 0}},
		{"small workspace", func(c *device.Convolution) { c.Workspace, c.NeedData = 100, false },
			"forward IMPLICIT_GEMM (FMA, 0 KiB), weights ALGO_0 (FMA, 0 KiB)", 0, [3]int32{}},
		{"forward alone", func(c *device.Convolution) { c.NeedWeights, c.NeedData = false, false },
			"forward WINOGRAD (FMA, 1 KiB)", 4096, [3]int32{}}, // what follows may need more
	} {
		t.Run(test.name, func(t *testing.T) {
			f := open(t, Options{})
			c := small()
			test.change(&c)
			v, err := f.Convolution(c)
			if err != nil {
				t.Fatal(err)
			}
			if v.Algorithms() != test.algorithms || v.Workspace() != test.workspace {
				t.Errorf("%s; %d bytes", v.Algorithms(), v.Workspace())
			}
			if test.ran != [3]int32{} {
				if err := runAll(v); err != nil {
					t.Error(err)
				}
				if got := [3]int32{f.dnn.math(0), f.dnn.math(1), f.dnn.math(2)}; got != test.ran {
					t.Errorf("ran with math types %v instead of %v", got, test.ran)
				}
			}
			if err := v.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMeasure: the option uses the functions that measure, and no others do.
func TestMeasure(t *testing.T) {
	for _, measure := range []bool{false, true} {
		t.Run(fmt.Sprint(measure), func(t *testing.T) {
			f := open(t, Options{Measure: measure})
			count := func() (n [2]int32) {
				for _, d := range directionTable {
					n[0] += f.dnn.calls(d.heuristic)
					n[1] += f.dnn.calls(d.measure)
				}
				return n
			}
			before := count()
			v, err := f.Convolution(small())
			if err != nil {
				t.Fatal(err)
			}
			v.Close()
			want := before
			if measure {
				want[1] += 3
			} else {
				want[0] += 3
			}
			if got := count(); got != want {
				t.Errorf("%v calls instead of %v", got, want)
			}
		})
	}
}

// TestFallback: what the heuristics promise and the library then refuses.
func TestFallback(t *testing.T) {
	defer forget()
	f := open(t, Options{})
	refused := rank{algorithm: 6, determinism: 1, math: 3, executes: 3000, memory: 512}
	another := rank{algorithm: 3, determinism: 1}
	good := rank{algorithm: 0, determinism: 1, math: 0, memory: 256}
	for _, test := range []struct {
		name  string
		ranks []rank
		run   string // part of the error of running it, "" for none
		plan  string // part of the error of planning it
		last  int32
	}{
		{"the first is refused when it runs", []rank{refused, {algorithm: 4, executes: 4001, memory: 10}, good, another}, "", "", 0},
		{"what follows needs a little more workspace", []rank{refused, {algorithm: 2, memory: 513}, good}, "", "", 2},
		{"what follows needs much more workspace", []rank{refused, {algorithm: 2, memory: spareBytes + 1}, good}, "", "", 0},
		{"all are refused", []rank{refused, {algorithm: 5, executes: 3008}}, "no way to compute forward of 2x4x4x4", "", -1},
		{"another failure ends it", []rank{{algorithm: 6, executes: 5000}, good}, "CUDNN_STATUS_EXECUTION_FAILED", "", -1},
		{"the heuristics know none", nil, "", "no way to compute forward", -1},
		{"a parameter is said to be bad", []rank{{algorithm: 0, determinism: 1, executes: 2000}, {algorithm: 1, determinism: 1}}, "", "", 1},
		{"the last resort", []rank{{algorithm: 0, status: 3000}, {algorithm: 2, executes: 3000}}, "no way to compute forward", "", -1},
		{"the fallback is there though not ranked for use", []rank{{algorithm: 1, memory: 64}}, "", "", 1},
	} {
		f.setRanks(forward, test.ranks...)
		c := small()
		c.NeedData, c.NeedWeights, c.Workspace = false, false, 1<<30
		c.Repeatable = strings.HasPrefix(test.name, "the fallback")
		v, err := f.Convolution(c)
		if test.plan != "" {
			var none *UnsupportedError
			if !errors.As(err, &none) || !errors.Is(err, device.ErrUnsupported) || !strings.Contains(err.Error(), test.plan) {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		run := func() error {
			return v.Forward(stream{handle: 1}, pointer(make([]float32, 192)), pointer(make([]float32, 128)), pointer(make([]float32, 108)), pointer(make([]byte, 4096)))
		}
		err = run()
		if (err == nil) != (test.run == "") || err != nil && !strings.Contains(err.Error(), test.run) {
			t.Errorf("%s: %v", test.name, err)
		}
		if test.last >= 0 && (f.dnn.algo(0) != test.last || !strings.Contains(v.Algorithms(), directionTable[0].label(test.last))) {
			t.Errorf("%s: ran %d, says %s", test.name, f.dnn.algo(0), v.Algorithms())
		}
		if test.last >= 0 {
			// An algorithm that has run stays: another one would give other bits.
			f.dnn.fail("cudnnConvolutionForward", 3000, 0)
			before := v.Algorithms()
			if err := run(); err == nil || v.Algorithms() != before {
				t.Errorf("%s: after it has run: %v", test.name, err)
			}
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRepeatable: what does not give the same bits each time is not even a last resort.
func TestRepeatable(t *testing.T) {
	f := open(t, Options{})
	f.setRanks(backwardWeights, rank{algorithm: 0}, rank{algorithm: 3})
	c := small()
	v, err := f.Convolution(c)
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
	c.Repeatable = true
	var none *UnsupportedError
	if _, err := f.Convolution(c); !errors.As(err, &none) || !strings.Contains(err.Error(), "weights of 2x4x4x4") || !strings.Contains(err.Error(), "ALGO_3 does not give the same bits") {
		t.Error(err)
	}
}

// TestHeuristicsRefuse: the fallback is used where cuDNN ranks nothing at all.
func TestHeuristicsRefuse(t *testing.T) {
	f := open(t, Options{})
	f.dnn.fail("cudnnGetConvolutionForwardAlgorithm_v7", 3000, 0)
	v, err := f.Convolution(small())
	if err != nil || !strings.HasPrefix(v.Algorithms(), "forward IMPLICIT_PRECOMP_GEMM (FMA") {
		t.Fatal(v, err)
	}
	v.Close()
}

// TestFailures lets each function fail in turn: the error names it and the status, and
// nothing is left behind.
func TestFailures(t *testing.T) {
	defer forget()
	f := open(t, Options{})
	names := slices.Clone(namesDNNTable[2:])
	var ranked []string // of which another algorithm may be taken when they refuse one
	for _, d := range directionTable {
		ranked = append(ranked, d.heuristic, d.workspace, d.execute)
	}
	names = slices.Concat(names, ranked, namesBLASTable)
	skipped := []string{"cudnnGetLastErrorString", "cublasSetWorkspace_v2"} // has no status; is not used here
	for _, name := range names {
		if slices.Contains(skipped, name) {
			continue
		}
		fail, status := f.dnn.fail, int32(2000)
		if strings.HasPrefix(name, "cublas") {
			fail, status = f.blas.fail, 7
		}
		if slices.Contains(ranked, name) {
			status = 1001 // CUDNN_STATUS_NOT_INITIALIZED
		}
		for skip := range int32(4) {
			before := f.dnn.live()*1000 + f.blas.live()
			fail(name, status, skip)
			err := useAll(f)
			fail(name, 0, 0)
			switch {
			case err == nil && skip == 0:
				t.Errorf("%s failed and nobody said so", name)
			case err == nil:
			case !strings.Contains(err.Error(), name) && name != "cublasGetProperty":
				t.Errorf("%s failed: %v", name, err)
			case name != "cublasGetProperty":
				var e *Error
				if !errors.As(err, &e) || e.Call != name || e.Status != int(status) || !strings.HasPrefix(e.Name, "CU") {
					t.Errorf("%s failed: %#v", name, err)
				}
			}
			left := f.dnn.live()*1000 + f.blas.live() - before
			if destroys := strings.Contains(name, "Destroy"); left != 0 && (!destroys || left != 1 && left != 1000) {
				t.Errorf("%s failed and %d objects are left", name, left)
			} else if left != 0 {
				f.abandon(left)
			}
		}
	}
}

// abandon takes objects from the fakes' count that could not be destroyed.
func (f *fakes) abandon(left int32) {
	f.dnn.forgive(left / 1000)
	f.blas.forgive(left % 1000)
}

// useAll opens the libraries, uses them and closes them.
func useAll(f *fakes) (err error) {
	l, err := openAt(paths(f.library.dnn.path, f.library.blas.path), Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	v, err := l.Convolution(small())
	if err != nil {
		return err
	}
	a := pointer(make([]float32, 4))
	return errors.Join(runAll(v), l.Product(stream{handle: 1}, device.Product{M: 2, N: 2, K: 2}, pointer(make([]float32, 4)), a, a), v.Close())
}

// TestDeviceErrors: full and lost devices are told from wrong calls.
func TestDeviceErrors(t *testing.T) {
	defer forget()
	g := &gpu{major: 9, limit: 1 << 30}
	f := open(t, Options{Device: g})
	a, c := pointer(make([]float32, 4)), pointer(make([]float32, 4))
	product := func() error {
		return f.Product(stream{handle: 1}, device.Product{M: 2, N: 2, K: 2}, c, a, a)
	}
	v, err := f.Convolution(small())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var full *device.MemoryError
	for name, status := range map[string]int32{"cudnnConvolutionForward": 4003, "cudnnConvolutionBackwardFilter": 4004} {
		f.dnn.fail(name, status, 0)
		if err := runAll(v); !errors.As(err, &full) || full.Free != 77<<20 || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.blas.fail("cublasGemmEx", 3, 0)
	if err := product(); !errors.As(err, &full) || !strings.Contains(err.Error(), "CUBLAS_STATUS_ALLOC_FAILED (3): the resource allocation failed") {
		t.Error(err)
	}
	var lost *device.LostError
	for _, gone := range []error{nil, errors.New("an illegal address was accessed")} {
		g.lost = gone
		for _, status := range []int32{5000, 5003, 4000} {
			f.dnn.fail("cudnnSetStream", status, 0)
			if err := runAll(v); errors.As(err, &lost) != (gone != nil) || err == nil || gone != nil && (!errors.Is(err, gone) || lost.Call != "cudnnSetStream") {
				t.Errorf("status %d, device %v: %v", status, gone, err)
			}
		}
		for _, status := range []int32{11, 13, 14} {
			f.blas.fail("cublasSetWorkspace_v2", status, 0)
			if err := product(); errors.As(err, &lost) != (gone != nil) || err == nil {
				t.Errorf("status %d, device %v: %v", status, gone, err)
			}
		}
		f.blas.fail("cublasGemmEx", 7, 0)
		if err := product(); errors.As(err, &lost) || err == nil {
			t.Errorf("a wrong argument, device %v: %v", gone, err)
		}
	}
	if err := product(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestRefusals: what is wrong is refused before a library is asked.
func TestRefusals(t *testing.T) {
	defer forget()
	f := open(t, Options{})
	for want, change := range map[string]func(*device.Convolution){
		"N is 0":                         func(c *device.Convolution) { c.N = 0 },
		"Stride is -1":                   func(c *device.Convolution) { c.Stride = -1 },
		"Groups is 0":                    func(c *device.Convolution) { c.Groups = 0 },
		"H is 4294967296":                func(c *device.Convolution) { c.H = 1 << 32 },
		"do not divide into 3 groups":    func(c *device.Convolution) { c.Groups = 3 },
		"Pad is -1":                      func(c *device.Convolution) { c.Pad = -1 },
		"the window is larger":           func(c *device.Convolution) { c.Kernel = 7 },
		"Workspace is -1":                func(c *device.Convolution) { c.Workspace = -1 },
		"arithmetic 9 is unknown":        func(c *device.Convolution) { c.Arithmetic = 9 },
		"take a smaller batch":           func(c *device.Convolution) { c.N, c.H, c.W = 3000, 1000, 1000 },
		"200000x4x4x4 with 6 windows of": func(c *device.Convolution) { c.N, c.Workspace = 200000, -1 },
	} {
		c := small()
		change(&c)
		if _, err := f.Convolution(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	a := pointer(make([]float32, 4))
	for want, err := range map[string]error{
		"product of 0 x 2":       f.Product(stream{handle: 1}, device.Product{N: 1, K: 2}, a, a, a),
		"arithmetic -1":          f.Product(stream{handle: 1}, device.Product{M: 1, N: 1, K: 1, Arithmetic: -1}, a, a, a),
		"operand has no address": f.Product(stream{handle: 1}, device.Product{M: 1, N: 1, K: 1}, a, 0, a),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	c := small()
	c.NeedData = false
	v, err := f.Convolution(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.BackwardData(stream{handle: 1}, a, a, a, a); err == nil || !strings.Contains(err.Error(), "data was not planned") {
		t.Error(err)
	}
	if err := v.Forward(stream{handle: 1}, a, a, a, 0); err == nil || !strings.Contains(err.Error(), "workspace has no address") {
		t.Error(err)
	}
	if err := errors.Join(v.Close(), v.Close()); err != nil {
		t.Error(err)
	}
	if err := v.Forward(stream{handle: 1}, a, a, a, a); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestClose: a library that is closed too early says so, and one that is closed refuses.
func TestClose(t *testing.T) {
	f := open(t, Options{})
	l, err := openAt(paths(f.library.dnn.path, f.library.blas.path), Options{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := l.Convolution(small())
	if err != nil {
		t.Fatal(err)
	}
	left := f.dnn.live()
	if err := l.Close(); err == nil || !strings.Contains(err.Error(), "1 convolutions open") {
		t.Error(err)
	}
	f.dnn.forgive(left - 2) // all but the two handles: the descriptors cannot be freed any more
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := v.Close(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := l.Convolution(small()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := l.Product(stream{handle: 1}, device.Product{M: 1, N: 1, K: 1}, 8, 8, 8); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestBind: every call to a library is made within Bind, on its one thread.
func TestBind(t *testing.T) {
	defer forget()
	jobs, done := make(chan func()), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		for job := range jobs {
			job()
		}
	}()
	defer func() { close(jobs); <-done }()
	var inside, outside int
	refuse := errors.New("no context")
	var refused bool
	bind := func(call func() error) error {
		if refused {
			return refuse
		}
		result := make(chan error)
		jobs <- func() { inside++; result <- call() }
		return <-result
	}
	l, err := openAt(paths(buildDNN(t, "default"), buildBLAS(t, "default/libcublas.so.12")), Options{Bind: bind})
	if err != nil {
		t.Fatal(err)
	}
	outside++ // to load, and to start
	v, err := l.Convolution(small())
	if err != nil {
		t.Fatal(err)
	}
	a := pointer(make([]float32, 4))
	err = errors.Join(runAll(v), l.Product(stream{handle: 1}, device.Product{M: 2, N: 2, K: 2}, pointer(make([]float32, 4)), a, a))
	refused = true
	for _, got := range []error{runAll(v), v.Close(), l.Close(), l.Product(stream{handle: 1}, device.Product{M: 2, N: 2, K: 2}, a, a, a)} {
		if !errors.Is(got, refuse) {
			t.Errorf("without a context: %v", got)
		}
	}
	refused = false
	if err := errors.Join(err, v.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if want := outside + 1 + 1 + 3 + 1 + 1 + 1; inside != want {
		t.Errorf("Bind ran %d calls instead of %d", inside, want)
	}
}

// TestMany uses the libraries from many goroutines: the fakes notice when calls overlap,
// and results show when streams or workspaces are mixed up.
func TestMany(t *testing.T) {
	defer forget()
	f := open(t, Options{Device: &gpu{major: 8, limit: 1 << 30}, Streams: 4})
	var wait sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wait.Go(func() { errs[i] = work(f, uintptr(i+1)) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

func work(f *fakes, id uintptr) error {
	a, b, c := []float32{1, 2, 3, 4}, []float32{float32(id), 0, 0, float32(id)}, make([]float32, 4)
	for range 50 {
		v, err := f.Convolution(small())
		if err != nil {
			return err
		}
		if err := errors.Join(runAll(v), f.Product(stream{handle: id}, device.Product{M: 2, N: 2, K: 2}, pointer(c), pointer(a), pointer(b)), v.Close()); err != nil {
			return err
		}
		for i := range c {
			if c[i] != a[i]*float32(id) {
				return fmt.Errorf("stream %d: %v", id, c)
			}
		}
	}
	return nil
}

// TestLeak opens and closes everything a thousand times: no object, no workspace, no
// mapping and no file is left.
func TestLeak(t *testing.T) {
	defer forget()
	f := open(t, Options{})
	g := &gpu{major: 9, limit: 64 << 20}
	g.spare = make([]byte, 64<<20+256)
	count := func() (maps, files int) {
		text, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Skip(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, ".so") {
				maps++
			}
		}
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return maps, len(list)
	}
	once := func() {
		l, err := openAt(paths(f.library.dnn.path, f.library.blas.path), Options{Device: g})
		if err != nil {
			t.Fatal(err)
		}
		v, err := l.Convolution(small())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(v.Close(), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	once()
	maps, files := count()
	for range 1000 {
		once()
	}
	if m, n := count(); m != maps || n != files {
		t.Errorf("%d mappings of libraries and %d files, before %d and %d", m, n, maps, files)
	}
	if f.dnn.live() != 1 || f.blas.live() != 1 || len(g.memory) != 0 {
		t.Errorf("%d, %d objects and %d workspaces are left", f.dnn.live()-1, f.blas.live()-1, len(g.memory))
	}
}

// TestReleases: releases that will not do, and files that are not the libraries.
func TestReleases(t *testing.T) {
	dnn, blas := buildDNN(t, "default"), buildBLAS(t, "default/libcublas.so.12")
	for _, test := range []struct{ dnn, blas, want string }{
		{buildDNN(t, "eight", "version 091002", "version 008907"), blas, "is cuDNN 8.9.7: release 9 is needed"},
		{buildDNN(t, "ten", "version 091002", "version 100203"), blas, "is cuDNN 10.2.3: release 9 is needed"},
		{dnn, buildBLAS(t, "eleven/libcublas.so.12", "major 12", "major 11"), "is cuBLAS 11.9.1: release 12 or 13 is needed"},
		{buildDNN(t, "lacking", "cudnnSetConvolutionGroupCount", "cudnnSetConvolutionGroupNoNum"), blas, "is cuDNN 9.10.2, incomplete: "},
		{dnn, buildBLAS(t, "lacking/libcublas.so.12", "cublasGemmEx", "cublasGemmNo"), "undefined symbol: cublasGemmEx"},
		{variant(t, dnn, "named/libcudnn.so.8"), blas, "libcudnn.so.8 is cuDNN 8: release 9 is needed"},
		{blas, blas, "libcublas.so.12 is not cuDNN"},
		{dnn, dnn, "libcudnn.so.9 is not cuBLAS"},
		{"/nowhere/libcudnn.so.9", blas, "no such file"},
		{"libnowhere.so.9", blas, "libnowhere.so.9: cannot open shared object file"},
		{"testdata/fake.h", blas, "fake.h: "},
		{"testdata", blas, "libcudnn.so.9 is in none of testdata"},
		{None, blas, "cuDNN is not used: ALEXNET_CUDNN=none"},
		{dnn, None, "cuBLAS is not used: ALEXNET_CUBLAS=none"},
		{None, None, "cuBLAS is not used"},
	} {
		l, err := openAt(paths(test.dnn, test.blas), Options{})
		var missing *MissingError
		if l != nil || !errors.As(err, &missing) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("want %q: %v", test.want, err)
		}
	}
	for _, test := range []struct{ dnn, blas, want string }{
		{filepath.Dir(dnn), filepath.Dir(blas), "cuDNN 9.10.2, cuBLAS 12.9.1"},
		{buildDNN(t, "new/lib", "version 091002", "version 091903"), buildBLAS(t, "new/lib/libcublas.so.13", "major 12", "major 13"), "cuDNN 9.19.3, cuBLAS 13.9.1"},
		{filepath.Join(filepath.Dir(dnn), "..", "new"), filepath.Join(filepath.Dir(dnn), "..", "new"), "cuDNN 9.19.3, cuBLAS 13.9.1"},
	} {
		l, err := openAt(paths(test.dnn, test.blas), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if l.Name() != test.want {
			t.Errorf("%s instead of %s", l.Name(), test.want)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
