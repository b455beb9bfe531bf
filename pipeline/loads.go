package pipeline

import (
	"context"
	"fmt"
	"runtime/pprof"
	"runtime/trace"
	"sync/atomic"

	"alexnet/records"
)

// loads has records of an object store read before the workers want them. A store
// answers after 10 to 30 ms, whatever it is asked for, and answers many at a time:
// so many goroutines, which need next to none of the processor, load a record each,
// and the workers, one a processor, unpack them.
//
// The feeder asks for the records slot by slot, in the order of the tasks. A loader
// takes memory for a record first and then the slot that is next, so that the memory
// goes to the slots in their order too, and a worker never waits for a record that
// waits for the memory that only this worker can give back. What can be asked for is
// bounded by the ring, what is under way by the number of loaders, and what is in
// memory by room.
type loads struct {
	slots chan slot            // has room for all slots of the ring
	room  chan *records.Loaded // the memory that is free
	rows  atomic.Int64         // loaded, for Stats
	bytes atomic.Int64         // that came for them
}

// slot is a place in a buffer whose record is to be loaded.
type slot struct {
	buffer *buffer
	number int
}

// loaded is what became of that.
type loaded struct {
	memory *records.Loaded // nil with an error
	err    error
}

// DefaultRequests is the number of records that are asked for at a time where they
// lie in an object store: enough for some thousand a second.
const DefaultRequests = 64

// roomPerRequest is for how many records there is memory, for each that is under way:
// more than one, so that loaders need not wait for the workers.
const roomPerRequest = 4

// newLoads returns the loads of a pipeline. Its options may then have fewer Requests:
// no more than there is memory for.
func newLoads(p *Pipeline) *loads {
	fit := max(1, min(p.o.memory()/aheadShare, aheadBytes)/uint64(max(p.rowBytes, 1)))
	p.o.Requests = int(min(uint64(p.o.Requests), fit, uint64(p.o.Depth*p.slots)))
	n := int(min(uint64(p.o.Requests*roomPerRequest), fit))
	l := &loads{slots: make(chan slot, p.o.Depth*p.slots), room: make(chan *records.Loaded, n)}
	for range n {
		l.room <- new(records.Loaded)
	}
	for _, b := range p.ring.all {
		b.loaded = make([]chan loaded, p.slots)
		for i := range b.loaded {
			b.loaded[i] = make(chan loaded, 1)
		}
	}
	return l
}

// ask asks for the records of a buffer. It does not block.
func (l *loads) ask(b *buffer) {
	for i := range b.n {
		l.slots <- slot{b, i}
	}
}

// giveBack takes back the memory of a record. It does not block.
func (l *loads) giveBack(memory *records.Loaded) { l.room <- memory }

// load loads records until ctx is done.
func (p *Pipeline) load(ctx context.Context) {
	ctx = labelled(ctx, "load")
	for {
		var memory *records.Loaded
		select {
		case memory = <-p.loads.room:
		case <-ctx.Done():
			return
		}
		select {
		case s := <-p.loads.slots:
			s.buffer.loaded[s.number] <- p.loadOne(ctx, s.buffer.indices[s.number], memory)
		case <-ctx.Done():
			return
		}
	}
}

// loadOne loads a record.
func (p *Pipeline) loadOne(ctx context.Context, index int64, memory *records.Loaded) loaded {
	defer trace.StartRegion(ctx, "load").End()
	err := p.split.Load(ctx, int(index), memory)
	p.loads.rows.Add(1)
	p.loads.bytes.Add(int64(memory.Bytes()))
	if err != nil {
		p.loads.giveBack(memory)
		return loaded{err: fmt.Errorf("record %d of split %q: %w", index, p.split.Name(), err)}
	}
	return loaded{memory: memory}
}

// wait waits for the record of a slot.
func (w *worker) wait(ctx context.Context, b *buffer, slot int) (*records.Loaded, error) {
	defer trace.StartRegion(w.fetching, "fetch").End()
	pprof.SetGoroutineLabels(w.fetching)
	defer func() { w.done.fetch += w.lap() }()
	select {
	case l := <-b.loaded[slot]:
		return l.memory, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
