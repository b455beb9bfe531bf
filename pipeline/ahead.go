package pipeline

import (
	"context"
	"runtime/trace"
	"slices"
	"sync/atomic"
	"time"
)

// ahead asks the system to read rows before the workers want them. It is one
// goroutine, since the asking itself can block, and its asking is a hint: when
// it falls behind, workers read for themselves.
//
// With ShuffleGlobal it looks some batches ahead of the feeder: none while rows
// are found in memory, twice as many whenever workers had to wait for a disk,
// and half as many after a while in which they had not. With ShuffleBlock it
// reads the next window, in the order of the disk, at the pace at which this one
// is fed, and, of data larger than memory, gives back the last.
type ahead struct {
	p        *Pipeline
	progress chan position
	cold     atomic.Bool  // rows may not be in memory: workers fetch them
	slow     atomic.Int64 // rows that a worker had to wait for, since it was last asked
	batches  atomic.Int64 // how far it looks ahead, for Stats
	asked    atomic.Int64 // rows asked for

	most   int          // batches it may look ahead
	drop   bool         // the data are larger than memory
	disks  *diskCounter // while it runs
	disk   int64        // what it said when last asked
	calm   int          // batches without slow rows
	orders map[int][]uint32

	asking position // ShuffleGlobal: the next batch to ask for
	// ShuffleBlock: the number of the window that is being fed, counted over all
	// epochs, and the rows of the one before, of it, and of the one after it, in
	// the order of the disk; done of the last have been asked for.
	window            int64
	prev, cur, coming []uint32
	done              int
}

// position is a batch that the feeder has come to.
type position struct {
	epoch, step int
	order       []uint32 // the epoch's; nil for the stored order
}

const (
	// slowFetch is the time beyond which a row was not in memory: touching its
	// pages takes a few microseconds when it is, and a disk takes more.
	slowFetch = 100 * time.Microsecond
	// fewSlow and manySlow are the shares of a batch's rows, one in so many, that
	// are slow when a disk is, with and without the system's word that a disk was
	// read: a worker that the system stops for others has slow ones too.
	fewSlow, manySlow = 32, 4
	// slowRow is the time beyond which a row that was not fetched first may not
	// have been in memory, if the system says that a disk was read.
	slowRow = time.Millisecond
	// aheadBytes is the most that it looks ahead: a second's reading of a slow
	// disk, and many times what a fast one has under way. More would only make
	// workers wait longer for what they read themselves.
	aheadBytes = 256 << 20
	// calmBatches is the number of batches without slow rows after which it
	// looks half as far ahead, and in the end rows are no longer fetched.
	calmBatches = 32
)

// newAhead returns the reader-ahead of a pipeline.
func newAhead(p *Pipeline) *ahead {
	available := availableMemory()
	batch := uint64(p.slots * p.rowBytes)
	a := &ahead{
		p:        p,
		progress: make(chan position, 1),
		most:     int(min(available/aheadShare, aheadBytes) / max(batch, 1)),
		drop:     uint64(p.split.Len()*p.rowBytes) > available/2,
		window:   -1,
		orders:   map[int][]uint32{},
	}
	a.cold.Store(true)
	return a
}

// advance tells that the feeder has come to a batch. It does not block.
func (a *ahead) advance(at position) {
	select {
	case a.progress <- at:
	default:
	}
}

// fetched tells how long a worker took to have a row in memory.
func (a *ahead) fetched(d time.Duration) {
	if d > slowFetch {
		a.slow.Add(1)
	}
}

// used tells how long a worker took for a row that it had not fetched.
func (a *ahead) used(d time.Duration) {
	if d > slowRow {
		a.slow.Add(1)
	}
}

// run serves until ctx is done.
func (a *ahead) run(ctx context.Context) {
	a.disks = openDiskCounter()
	defer a.disks.close()
	ctx = labelled(ctx, "ahead")
	for {
		select {
		case <-ctx.Done():
			return
		case at := <-a.progress:
			region := trace.StartRegion(ctx, "ahead")
			a.keepOrders(at)
			a.adapt()
			if a.p.order.Window > 0 {
				a.readWindow(ctx, at)
			} else {
				a.readBatches(ctx, at)
			}
			region.End()
		}
	}
}

// keepOrders keeps the orders of this epoch and the next.
func (a *ahead) keepOrders(at position) {
	for epoch := range a.orders {
		if epoch < at.epoch {
			delete(a.orders, epoch)
		}
	}
	a.orders[at.epoch] = at.order
}

// orderOf returns an epoch's order, nil for the stored one.
func (a *ahead) orderOf(epoch int) []uint32 {
	if !a.p.o.Train {
		return nil
	}
	order, ok := a.orders[epoch]
	if !ok {
		order = a.p.order.Epoch(epoch)
		a.orders[epoch] = order
	}
	return order
}

// adapt looks further ahead when workers had to wait, and after a while in which
// they did not, less far, until they need not even look whether rows are there. To
// look costs an eighth of the time that an image takes, so that they do not start
// again because the system has stopped a worker for others.
func (a *ahead) adapt() {
	batches, slow := int(a.batches.Load()), a.slow.Swap(0)
	share, disk := int64(manySlow), a.disks.bytes()
	read := disk != a.disk
	if read {
		share, a.disk = fewSlow, disk
	}
	if !a.cold.Load() {
		a.cold.Store(slow > 0 && (read || !diskKnown) || slow*share > int64(a.p.slots))
		return
	}
	a.calm++
	switch {
	case slow*share > int64(a.p.slots):
		a.calm = 0
		batches = min(a.most, max(1, 2*batches))
	case a.calm < calmBatches:
	case batches > 0:
		a.calm = 0
		batches /= 2
	default:
		a.calm = 0
		a.cold.Store(false)
	}
	a.batches.Store(int64(batches))
}

// readBatches asks for this rank's part of the batches that follow.
func (a *ahead) readBatches(ctx context.Context, at position) {
	next := at.plus(1, a.p.steps)
	if a.asking.before(next) {
		a.asking = next
	}
	end := at.plus(int(a.batches.Load()), a.p.steps)
	for !end.before(a.asking) && a.asking.epoch < a.p.o.Epoch+a.p.o.Epochs {
		order := a.orderOf(a.asking.epoch)
		from, to := a.p.slice(a.asking.step)
		for i := from; i < to; i++ {
			if ctx.Err() != nil {
				return
			}
			row := i
			if order != nil {
				row = int(order[i])
			}
			a.p.split.WillNeed(row, 1)
		}
		a.asked.Add(int64(to - from))
		a.asking = a.asking.plus(1, a.p.steps)
	}
}

// before says whether one batch comes before another.
func (at position) before(other position) bool {
	return at.epoch < other.epoch || at.epoch == other.epoch && at.step < other.step
}

// plus returns the batch n further on.
func (at position) plus(n, steps int) position {
	step := at.step + n
	return position{epoch: at.epoch + step/steps, step: step % steps}
}

// readWindow asks for as much of the next window as has been fed of this one.
func (a *ahead) readWindow(ctx context.Context, at position) {
	size, rows := a.p.order.Window, a.p.split.Len()
	windows := (rows + size - 1) / size
	first := at.step * a.p.o.Batch
	w := first / size
	if number := int64(at.epoch)*int64(windows) + int64(w); number != a.window {
		a.enter(ctx, at.epoch, w, windows, number == a.window+1)
		a.window = number
	}
	in := min(size, rows-w*size) // the last window may be shorter
	fed := min(in, first+a.p.o.Batch-w*size)
	a.ask(ctx, len(a.coming)*fed/in)
	// By now none of the rows before is in a batch that is being filled.
	if a.drop && fed > (a.p.o.Depth+1)*a.p.o.Batch {
		runs(a.prev, a.p.split.DontNeed)
		a.prev = nil
	}
}

// enter moves on to window w of an epoch, the one that was coming or another.
func (a *ahead) enter(ctx context.Context, epoch, w, windows int, expected bool) {
	if expected && a.window >= 0 {
		a.prev, a.cur = a.cur, a.coming
	} else { // the first one: nothing of it has been asked for
		a.coming, a.done = a.windowRows(epoch, w), 0
		a.ask(ctx, len(a.coming))
		a.prev, a.cur = a.cur, a.coming
	}
	if w++; w == windows {
		epoch, w = epoch+1, 0
	}
	a.coming, a.done = nil, 0
	if epoch < a.p.o.Epoch+a.p.o.Epochs {
		a.coming = a.windowRows(epoch, w)
	}
}

// windowRows lists this rank's rows of a window in the order of the disk.
func (a *ahead) windowRows(epoch, w int) []uint32 {
	order, size := a.orderOf(epoch), a.p.order.Window
	start, end := w*size, min((w+1)*size, len(order))
	var list []uint32
	for step := start / a.p.o.Batch; step*a.p.o.Batch < end; step++ {
		from, to := a.p.slice(step)
		for i := max(from, start); i < min(to, end); i++ {
			list = append(list, order[i])
		}
	}
	slices.Sort(list)
	return list
}

// ask asks for the coming window up to row n of its list.
func (a *ahead) ask(ctx context.Context, n int) {
	if n <= a.done {
		return
	}
	runs(a.coming[a.done:n], func(from, n int) {
		if ctx.Err() == nil {
			a.p.split.WillNeed(from, n)
		}
	})
	a.asked.Add(int64(n - a.done))
	a.done = n
}

// runs calls each for every run of consecutive numbers in a sorted list.
func runs(list []uint32, each func(from, n int)) {
	for i := 0; i < len(list); {
		n := 1
		for i+n < len(list) && list[i+n] == list[i]+uint32(n) {
			n++
		}
		each(int(list[i]), n)
		i += n
	}
}
