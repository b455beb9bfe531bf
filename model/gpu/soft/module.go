package soft

import (
	"fmt"
	"slices"
	"sync"

	"alexnet/model/gpu/device"
	"alexnet/model/gpu/ptx"
)

// Module is PTX that package ptx executes.
type Module struct {
	d      *Device
	handle *handle
	code   *ptx.Module
	runs   []*operation // the last in each stream
}

// Kernel is an entry of a Module.
type Kernel struct {
	module *Module
	entry  *ptx.Entry
	params int
}

var (
	_ device.Module = (*Module)(nil)
	_ device.Kernel = (*Kernel)(nil)
)

// Code keeps what was read of PTX for several devices, to which it is the same. The zero
// value is ready; it may be used by several goroutines.
type Code struct {
	mu      sync.Mutex
	modules map[string]*ptx.Module
}

// parse returns the module of a text. Without a Code it is read anew.
func (c *Code) parse(text string) (*ptx.Module, error) {
	if c == nil {
		return ptx.Parse(text)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.modules[text]; m != nil {
		return m, nil
	}
	m, err := ptx.Parse(text)
	if err == nil {
		if c.modules == nil {
			c.modules = map[string]*ptx.Module{}
		}
		c.modules[text] = m
	}
	return m, err
}

// Load reads PTX. The errors are those of package ptx.
func (d *Device) Load(code string) (device.Module, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ready("Load"); err != nil {
		return nil, err
	}
	if err := d.unsafeNow("Load"); err != nil {
		return nil, err
	}
	m, err := d.options.Code.parse(code)
	if err != nil {
		return nil, fmt.Errorf("soft: Load: %w", err)
	}
	d.counters.Modules++
	return &Module{d: d, code: m, handle: d.open("module")}, nil
}

// Kernel finds an entry by its name.
func (m *Module) Kernel(name string) (device.Kernel, error) {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	if err := m.handle.usable("Kernel"); err != nil {
		return nil, err
	}
	if err := m.d.ready("Kernel"); err != nil {
		return nil, err
	}
	e, ok := m.code.Entry(name)
	if !ok {
		return nil, fmt.Errorf("soft: the module has no kernel %s, but %q", name, m.code.Entries())
	}
	return &Kernel{module: m, entry: e, params: len(e.Params())}, nil
}

// Unload frees the module. It is an error when the host does not know that its kernels
// have ended.
func (m *Module) Unload() error {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	if err := m.d.ready("Unload"); err != nil {
		return err
	}
	if err := m.d.unsafeNow("Unload"); err != nil {
		return err
	}
	if err := m.d.ended(m.runs, "Unload", m.handle); err != nil {
		return err
	}
	return m.d.close(m.handle)
}

// ran remembers the last operation of a stream that uses something.
func ran(runs []*operation, o *operation) []*operation {
	return append(slices.DeleteFunc(runs, func(r *operation) bool { return r.stream == o.stream }), o)
}

// ended returns an error when the host does not know that all of the operations are done.
func (d *Device) ended(runs []*operation, call string, h *handle) error {
	for _, r := range runs {
		if !d.known.has(r.stream.number, r.seq) {
			return fmt.Errorf("soft: %s of the %v: nobody has waited for %v", call, h, r)
		}
	}
	return nil
}

// Name returns the name of the entry.
func (k *Kernel) Name() string { return k.entry.Name() }

// Launch queues a kernel, after a look at what CUDA's limits are: those of a GPU of
// compute capability 8.0, without opting in for more shared memory.
func (s *Stream) Launch(kernel device.Kernel, g device.Grid, args []uint64) error {
	k, ok := kernel.(*Kernel)
	if !ok || k.module.d != s.d {
		return fmt.Errorf("soft: Launch of a kernel: %w", errForeign)
	}
	if err := k.fits(&g, args); err != nil {
		return fmt.Errorf("soft: Launch of %s: %w", k.Name(), err)
	}
	args = slices.Clone(args)
	noRaces := s.d.options.NoRaces
	return s.put(piece{
		kind: Launch, kernel: k, label: &label{what: fmt.Sprintf("Launch of %s, %v blocks of %v threads,", k.Name(), g.Blocks, g.Threads)},
		do: func(x *execution) error {
			l := ptx.Launch{Blocks: g.Blocks, Threads: g.Threads, Shared: g.Shared, NoRaces: noRaces}
			if x.d.options.Policy != Eager {
				l.Seed = x.d.rng.Uint64()
			}
			return k.entry.Run(x, l, args)
		},
	})
}

const (
	maxThreads = 1024 // of a block, in all
	maxShared  = 48 << 10
)

// fits puts ones for zeros into a grid and compares it with the limits.
func (k *Kernel) fits(g *device.Grid, args []uint64) error {
	maxBlocks, maxBlock := [3]int{1<<31 - 1, 65535, 65535}, [3]int{1024, 1024, 64}
	all := 1
	for i := range 3 {
		if g.Blocks[i] == 0 {
			g.Blocks[i] = 1
		}
		if g.Threads[i] == 0 {
			g.Threads[i] = 1
		}
		if g.Blocks[i] < 0 || g.Blocks[i] > maxBlocks[i] {
			return fmt.Errorf("%v blocks: at most %v", g.Blocks, maxBlocks)
		}
		if g.Threads[i] < 0 || g.Threads[i] > maxBlock[i] {
			return fmt.Errorf("%v threads of a block: at most %v", g.Threads, maxBlock)
		}
		all *= g.Threads[i]
	}
	if all > maxThreads {
		return fmt.Errorf("%v threads of a block, %d in all: at most %d", g.Threads, all, maxThreads)
	}
	if static := k.entry.Static(); g.Shared < 0 || g.Shared+static > maxShared {
		return fmt.Errorf("%d bytes of shared memory beside its own %d: at most %d", g.Shared, static, maxShared)
	}
	if len(args) != k.params {
		return fmt.Errorf("%d arguments for %d parameters", len(args), k.params)
	}
	return nil
}
