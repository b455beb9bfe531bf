package soft

import "maps"

// Counters count what a device was asked for, so that tests can say what a step costs.
type Counters struct {
	Queued map[string]int // pieces of work put into streams, by method; the parts of a graph are not
	Done   map[string]int // pieces of work done, by method, those of graphs too

	Launches map[string]int // kernels executed, by name, those of graphs too

	BytesIn, BytesOut, BytesWithin, BytesCleared int64 // of copies done, and clears

	Syncs    int // calls of Sync of streams and events
	Polls    int // calls of Done
	Captures int // calls of Capture

	Allocs, Releases, HostAllocs, HostReleases int // calls
	Streams, Events, Modules                   int // made
}

// Names of pieces of work in Queued and Done: the methods of Stream, Convolver and Library
// that queue them.
const (
	CopyIn          = "CopyIn"
	CopyOut         = "CopyOut"
	Copy            = "Copy"
	Clear           = "Clear"
	Launch          = "Launch"
	Run             = "Run"
	Forward         = "Forward"
	BackwardWeights = "BackwardWeights"
	BackwardData    = "BackwardData"
	Product         = "Product"
)

// Counters returns what was counted so far.
func (d *Device) Counters() Counters {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.counters
	c.Queued, c.Done, c.Launches = clone(c.Queued), clone(c.Done), clone(c.Launches)
	return c
}

// clone returns a copy that is not nil.
func clone(m map[string]int) map[string]int {
	if m == nil {
		return map[string]int{}
	}
	return maps.Clone(m)
}

// Minus returns what was counted since an earlier time. Names that were not are not in the
// maps.
func (c Counters) Minus(earlier Counters) Counters {
	c.Queued = minus(c.Queued, earlier.Queued)
	c.Done = minus(c.Done, earlier.Done)
	c.Launches = minus(c.Launches, earlier.Launches)
	c.BytesIn -= earlier.BytesIn
	c.BytesOut -= earlier.BytesOut
	c.BytesWithin -= earlier.BytesWithin
	c.BytesCleared -= earlier.BytesCleared
	c.Syncs -= earlier.Syncs
	c.Polls -= earlier.Polls
	c.Captures -= earlier.Captures
	c.Allocs -= earlier.Allocs
	c.Releases -= earlier.Releases
	c.HostAllocs -= earlier.HostAllocs
	c.HostReleases -= earlier.HostReleases
	c.Streams -= earlier.Streams
	c.Events -= earlier.Events
	c.Modules -= earlier.Modules
	return c
}

func minus(a, b map[string]int) map[string]int {
	m := map[string]int{}
	for k, n := range a {
		if n != b[k] {
			m[k] = n - b[k]
		}
	}
	return m
}

// count adds one to a name.
func count(m *map[string]int, name string) {
	if *m == nil {
		*m = map[string]int{}
	}
	(*m)[name]++
}

// add counts a piece of work that is done.
func (c *Counters) add(p *piece) {
	count(&c.Done, p.kind)
	switch p.kind {
	case CopyIn:
		c.BytesIn += int64(p.uses[0].bytes)
	case CopyOut:
		c.BytesOut += int64(p.uses[0].bytes)
	case Copy:
		c.BytesWithin += int64(p.uses[0].bytes)
	case Clear:
		c.BytesCleared += int64(p.uses[0].bytes)
	case Launch:
		count(&c.Launches, p.kernel.Name())
	}
}
