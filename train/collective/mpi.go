//go:build linux && (amd64 || arm64) && !static

package collective

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// mpi is a rank of Open MPI's MPI_COMM_WORLD. All calls come from one thread of the
// system, which is the one that has initialised the library.
type mpi struct {
	jobs        chan mpiJob
	done        chan struct{} // closed when the thread has ended
	closing     sync.Once
	closed      bool
	symbols     map[string]uintptr
	rank, world int
	name        string
	out         [2]int32         // where calls leave numbers
	said        [maxMPIText]byte // and text
}

type mpiJob struct {
	run    func() error
	result chan<- error
}

// Functions and objects of the library. Open MPI's handles are the addresses of its
// objects, and differ from the numbers that others use.
const (
	mpiWorld  = "ompi_mpi_comm_world"
	mpiFloat  = "ompi_mpi_float"
	mpiByte   = "ompi_mpi_byte"
	mpiSum    = "ompi_mpi_op_sum"
	mpiReturn = "ompi_mpi_errors_return"

	mpiInPlace  = 1 // MPI_IN_PLACE
	mpiFunneled = 1 // MPI_THREAD_FUNNELED: calls come from the thread of MPI_Init_thread

	maxMPIText = 8192 // MPI_MAX_LIBRARY_VERSION_STRING is 256, of MPICH 8192
)

// mpiNames returns what is looked up in the library.
func mpiNames() []string {
	return []string{
		mpiWorld, mpiFloat, mpiByte, mpiSum, mpiReturn,
		"MPI_Init_thread", "MPI_Comm_set_errhandler", "MPI_Comm_rank", "MPI_Comm_size", "MPI_Error_string",
		"MPI_Allreduce", "MPI_Allgather", "MPI_Barrier", "MPI_Abort", "MPI_Finalize",
	}
}

// mpiPaths returns where the library may be. Version 40 is that of Open MPI 3 to 5.
func mpiPaths(choice string) []string {
	if choice != "" {
		return []string{choice}
	}
	return []string{"libmpi.so.40", "libmpi.so", "libmpi.so.12", "libmpich.so.12"} // the last two are MPICH's, to name it
}

// openMPI loads the library and makes this process a rank.
func openMPI(choice string) (Group, error) {
	g := &mpi{jobs: make(chan mpiJob), done: make(chan struct{})}
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		defer close(g.done)
		for j := range g.jobs {
			j.result <- j.run()
		}
	}()
	if err := g.do(func() error { return g.start(choice) }); err != nil {
		g.stop()
		return nil, err
	}
	return g, nil
}

// do runs f on the group's thread.
func (g *mpi) do(f func() error) error {
	if g.closed {
		return ErrClosed
	}
	result := make(chan error, 1)
	g.jobs <- mpiJob{f, result}
	return <-result
}

// stop ends the thread.
func (g *mpi) stop() {
	g.closing.Do(func() { close(g.jobs) })
	<-g.done
}

// start loads and initialises the library.
func (g *mpi) start(choice string) error {
	var first error
	for _, path := range mpiPaths(choice) {
		err := g.bind(path)
		if err == nil {
			return g.initialize()
		}
		var other *otherMPIError
		if first == nil || errors.As(err, &other) {
			first = err
		}
	}
	return first
}

// bind looks the library's functions up.
func (g *mpi) bind(path string) error {
	// Global, because Open MPI's own plugins look for its symbols.
	lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return fmt.Errorf("collective: Open MPI is not here: %w", err)
	}
	g.symbols = make(map[string]uintptr)
	version, err := purego.Dlsym(lib, "MPI_Get_library_version")
	if err != nil {
		return fmt.Errorf("collective: %s is no library of MPI 3 or later: %w", path, err)
	}
	g.name = g.library(version)
	for _, name := range mpiNames() {
		if g.symbols[name], err = purego.Dlsym(lib, name); err != nil {
			if !strings.HasPrefix(g.name, "Open MPI") {
				return &otherMPIError{path, g.name}
			}
			return fmt.Errorf("collective: %s is %s, incomplete: %w", path, g.name, err)
		}
	}
	return nil
}

// library returns the library's name and release: "Open MPI 4.1.4".
func (g *mpi) library(function uintptr) string {
	_, _, _ = purego.SyscallN(function, address(g.said[:]), address(g.out[:])) // cannot fail with room enough
	return shortVersion(string(g.said[:min(int(g.out[0]), maxMPIText)]))
}

// address returns where the values are, on the heap.
func address[T any](values []T) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(values))) }

// initialize makes this process a rank.
func (g *mpi) initialize() error {
	if err := g.call("MPI_Init_thread", 0, 0, mpiFunneled, address(g.out[:])); err != nil {
		return err
	}
	// Errors come back, and end in a message of ours.
	if err := g.call("MPI_Comm_set_errhandler", g.symbols[mpiWorld], g.symbols[mpiReturn]); err != nil {
		return err
	}
	if err := g.call("MPI_Comm_rank", g.symbols[mpiWorld], address(g.out[:])); err != nil {
		return err
	}
	if err := g.call("MPI_Comm_size", g.symbols[mpiWorld], address(g.out[1:])); err != nil {
		return err
	}
	g.rank, g.world = int(g.out[0]), int(g.out[1])
	return nil
}

// call calls a function of MPI.
func (g *mpi) call(name string, args ...uintptr) error {
	rc, _, _ := purego.SyscallN(g.symbols[name], args...)
	if int32(rc) == 0 {
		return nil
	}
	return fmt.Errorf("collective: %s: %s: %s", g.name, name, g.text(int32(rc)))
}

// text returns what the library calls an error.
func (g *mpi) text(code int32) string {
	if rc, _, _ := purego.SyscallN(g.symbols["MPI_Error_string"], uintptr(code), address(g.said[:]), address(g.out[:])); int32(rc) != 0 {
		return fmt.Sprintf("error %d", code)
	}
	return string(g.said[:min(int(g.out[0]), maxMPIText)])
}

// Rank implements Group.
func (g *mpi) Rank() int { return g.rank }

// World implements Group.
func (g *mpi) World() int { return g.world }

// Name implements Group.
func (g *mpi) Name() string { return g.name }

// AllReduce implements Group.
func (g *mpi) AllReduce(values []float32) error {
	if len(values) == 0 || len(values) > math.MaxInt32 {
		return fmt.Errorf("collective: %d values in one sum: there must be 1..%d", len(values), math.MaxInt32)
	}
	err := g.do(func() error {
		return g.call("MPI_Allreduce", mpiInPlace, address(values), uintptr(len(values)), g.symbols[mpiFloat], g.symbols[mpiSum], g.symbols[mpiWorld])
	})
	runtime.KeepAlive(values) // the library has the bare address
	return err
}

// AllGather implements Group.
func (g *mpi) AllGather(own []byte) ([]byte, error) {
	n := len(own)
	if n == 0 || n > math.MaxInt32/g.world {
		return nil, fmt.Errorf("collective: %d bytes of each rank: there must be 1..%d", n, math.MaxInt32/g.world)
	}
	all := make([]byte, n*g.world)
	copy(all[n*g.rank:], own)
	err := g.do(func() error {
		return g.call("MPI_Allgather", mpiInPlace, 0, 0, address(all), uintptr(n), g.symbols[mpiByte], g.symbols[mpiWorld])
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Barrier implements Group.
func (g *mpi) Barrier() error {
	return g.do(func() error { return g.call("MPI_Barrier", g.symbols[mpiWorld]) })
}

// Abort implements Group.
func (g *mpi) Abort(status int) {
	_ = g.do(func() error { return g.call("MPI_Abort", g.symbols[mpiWorld], uintptr(status)) }) // does not return
}

// Close implements Group.
func (g *mpi) Close() error {
	if g.closed {
		return nil
	}
	err := g.do(func() error { return g.call("MPI_Finalize") })
	g.closed = true
	g.stop()
	return err
}
