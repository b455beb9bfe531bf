//go:build linux && (amd64 || arm64) && !static

package nvidia

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/ebitengine/purego"

	"alexnet/model/gpu/device"
)

// Communicator sums over ranks by NCCL: a gpu.Reducer. Its methods but Close are for one
// goroutine at a time.
type Communicator struct {
	ranks   Ranks
	options RanksOptions
	nccl    *functions
	init    func(comm *uintptr, ranks int32, id uniqueID, rank int32) int32

	mu      sync.Mutex
	comm    uintptr       // ncclComm_t; 0 when there is none
	err     error         // why it is of no more use
	aborted chan struct{} // closed when the last call is over
	id      uniqueID      // memory for arguments, as is
	state   int32
}

// JoinRanks makes this rank's GPU one of those that sum together. All ranks call it, each
// with a GPU of its own. All of them get an error where one has no NCCL (a *MissingError:
// they can do without) or cannot use it, where two have the same GPU (a *SameGPUError), and
// where releases differ. When NCCL itself cannot connect them, a rank that finds out gets an
// error, and must end the others, which may wait for it.
func JoinRanks(ranks Ranks, o RanksOptions) (*Communicator, error) {
	return joinAt(herePlaces(runtime.GOARCH), ranks, o)
}

func joinAt(p places, ranks Ranks, o RanksOptions) (*Communicator, error) {
	if o.Bind == nil {
		o.Bind = func(f func() error) error {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			return f()
		}
	}
	if o.Patience == 0 {
		o.Patience = patience
	}
	if o.farewell == 0 {
		o.farewell = farewell
	}
	c := &Communicator{ranks: ranks, options: o}
	own := cardOf(&o)
	err := c.open(p, &own)
	cards, shared := exchange(ranks, &own)
	if shared != nil {
		return nil, fmt.Errorf("NCCL: telling the other ranks of this one: %w", errors.Join(shared, err))
	}
	if err := verdict(cards, ranks.Rank(), err); err != nil {
		return nil, fmt.Errorf("nvidia: %w", err)
	}
	err = o.Bind(func() error {
		return c.status("ncclCommInitRank", c.init(&c.comm, int32(ranks.World()), cards[0].ID, int32(ranks.Rank())))
	})
	if err != nil {
		return nil, fmt.Errorf("nvidia: %w", err)
	}
	return c, nil
}

// open finds NCCL, and on rank 0 the name of those who will join.
func (c *Communicator) open(p places, own *card) error {
	err := c.options.Bind(func() (err error) {
		runtime.LockOSThread() // the loader keeps its last error for each thread
		defer runtime.UnlockOSThread()
		c.nccl, err = find(p, wantedNCCL(), bindNCCL)
		return err
	})
	if err != nil {
		own.State = missing
		return err
	}
	own.Version = c.nccl.number
	purego.RegisterFunc(&c.init, c.nccl.symbols["ncclCommInitRank"])
	if c.ranks.Rank() > 0 {
		return nil
	}
	if err := c.call("ncclGetUniqueId", address(&c.id)); err != nil {
		own.State = failed
		return err
	}
	own.ID = c.id
	return nil
}

// bindNCCL makes sure that the library is an NCCL that can be captured in graphs, and looks
// its functions up.
func bindNCCL(lib uintptr, c candidate) (*functions, error) {
	f := &functions{label: labelNCCL, path: c.path, symbols: make(map[string]uintptr)}
	at, err := purego.Dlsym(lib, "ncclGetVersion")
	if err != nil {
		return nil, fmt.Errorf("%s is not NCCL: %w", c.path, err)
	}
	if rc, _, _ := purego.SyscallN(at, address(&f.number)); int32(rc) != 0 {
		return nil, fmt.Errorf("%s does not know its release (status %d)", c.path, int32(rc))
	}
	f.version = ncclVersion(f.number)
	if v := f.version; v[0] != 2 || v[1] < ncclLeast {
		return nil, fmt.Errorf("%s is %s: release 2.%d or later of NCCL 2 is needed, the first whose sums can be part of a graph", c.path, f.title(), ncclLeast)
	}
	if err := f.resolve(lib, append(namesNCCLTable[:len(namesNCCLTable):len(namesNCCLTable)], "ncclGetErrorString")); err != nil {
		return nil, err
	}
	purego.RegisterFunc(&f.name, f.symbols["ncclGetErrorString"])
	f.text = func(int32) string { return "" }
	if at, err := purego.Dlsym(lib, "ncclGetLastError"); err == nil { // since release 2.13
		var last func(comm uintptr) string
		purego.RegisterFunc(&last, at)
		f.text = func(int32) string { return last(0) }
	}
	return f, nil
}

// call calls a function of NCCL.
func (c *Communicator) call(name string, args ...uintptr) error {
	return c.options.Bind(func() error {
		return explain(c.nccl.call(name, args...), c.options.Device)
	})
}

// status is the error that a status stands for.
func (c *Communicator) status(name string, status int32) error {
	if status == 0 {
		return nil
	}
	return explain(&Error{Library: labelNCCL, Call: name, Status: int(status), Name: c.nccl.name(status), Text: c.nccl.text(status)}, c.options.Device)
}

// Name names the library and its release: "NCCL 2.22.3".
func (c *Communicator) Name() string { return c.nccl.title() }

// usable returns the handle, or why there is none.
func (c *Communicator) usable() (uintptr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	return c.comm, nil
}

// Labelled implements gpu.Reducer.
func (c *Communicator) Labelled(own int) (sum int, err error) {
	if _, err := c.usable(); err != nil {
		return 0, err
	}
	all, err := c.ranks.AllGather(binary.LittleEndian.AppendUint64(nil, uint64(own)))
	if err != nil {
		return 0, err
	}
	for ; len(all) >= 8; all = all[8:] {
		sum += int(binary.LittleEndian.Uint64(all))
	}
	return sum, nil
}

// AllReduce implements gpu.Reducer. The result is the same bits on all ranks. NCCL wants the
// calls of all ranks to be captured, or all not to be.
func (c *Communicator) AllReduce(s device.Stream, at device.Ptr, values int) error {
	comm, err := c.usable()
	switch {
	case err != nil:
		return err
	case values < 1 || at == 0:
		return fmt.Errorf("nvidia: a sum of %d values at %#x", values, at)
	}
	return c.call("ncclAllReduce", uintptr(at), uintptr(at), uintptr(values), enum(ncclFloat32), enum(ncclSum), comm, s.Handle())
}

// look is how often Wait looks for what has gone wrong elsewhere.
const look = 100 * time.Millisecond

// Wait implements gpu.Reducer. While the stream is waited for, NCCL is asked now and then
// whether another rank has failed. If it has, or if RanksOptions.Patience is over, what
// waits on the GPU is given up, and the communicator is of no more use.
func (c *Communicator) Wait(s device.Stream) error {
	if _, err := c.usable(); err != nil {
		return errors.Join(err, s.Sync()) // what was given up ends
	}
	done := make(chan struct{})
	guarded := make(chan error, 1)
	go func() { guarded <- c.guard(done) }()
	err := s.Sync()
	close(done)
	if lost := <-guarded; lost != nil {
		return errors.Join(lost, err)
	}
	return err
}

// guard looks after the sums that are waited for.
func (c *Communicator) guard(done <-chan struct{}) error {
	tick := time.NewTicker(min(look, c.options.Patience))
	defer tick.Stop()
	begin := time.Now()
	for {
		select {
		case <-done:
			return nil
		case <-tick.C:
		}
		c.state = 0
		err := c.call("ncclCommGetAsyncError", c.comm, address(&c.state))
		if err == nil && c.state != ncclInProgress {
			err = c.status("a sum", c.state)
		}
		if err == nil && time.Since(begin) > c.options.Patience {
			err = &StalledError{After: c.options.Patience}
		}
		if err == nil {
			continue
		}
		select {
		case <-done: // they have come all the same
			return nil
		default:
			c.abort(err)
			return err
		}
	}
}

// abort lets NCCL end whatever it has on the GPU. Its call returns only when graphs that hold
// sums are gone: so nobody waits for it but Close.
func (c *Communicator) abort(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = why
	if c.comm == 0 {
		return
	}
	c.aborted = make(chan struct{})
	go func() {
		defer close(c.aborted)
		// That it fails says no more than why it was called.
		_ = c.call("ncclCommAbort", c.comm)
	}()
}

// Close leaves the others without waiting for them (ncclCommAbort, since ncclCommDestroy
// waits): all sums must be done on all ranks, which they are when the ranks have met after
// Wait. Graphs that hold sums must be gone: else NCCL does not end, which is an error after
// half a minute. It may be called more than once.
func (c *Communicator) Close() error {
	c.abort(ErrClosed)
	c.mu.Lock()
	aborted := c.aborted
	c.mu.Unlock()
	if aborted == nil {
		return nil
	}
	select {
	case <-aborted:
		return nil
	case <-time.After(c.options.farewell):
		return fmt.Errorf("nvidia: NCCL has not ended in %v", c.options.farewell)
	}
}
