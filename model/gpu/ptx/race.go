package ptx

import "fmt"

// cell is what is remembered of a few bytes of memory: who wrote and who read them
// last. Time is counted in ticks: one passes at each barrier and at the start of each
// block, so that a tick tells the block as well.
type cell struct {
	wrote, read             uint32 // ticks, or zero
	writer, reader          uint16 // threads within their block
	writeStrong, readStrong bool
	readers                 readers
	hollow                  bool // what was written was itself never written
	cached                  bool // it was read by ld.global.nc
}

// readers are those since the last write that are not in order with one another.
type readers uint8

const (
	oneReader   readers = iota
	warpReaders         // several of the same warp
	blockReaders
	gridReaders // of several blocks
)

const (
	pageBytes = 4096 // of global memory whose cells are together
	pageShift = 12
)

// watchGlobal notes an access of global memory and finds races.
func (w *warp) watchGlobal(a *access, lane int, at uint64) *trouble {
	b := w.block
	key := at >> pageShift
	if key != b.pageKey || b.page == nil {
		page := b.pages[key]
		if page == nil {
			page = make([]cell, pageBytes/b.code.watch[0])
			b.pages[key] = page
		}
		b.pageKey, b.page = key, page
	}
	g := uint64(b.code.watch[0])
	from := at & (pageBytes - 1) / g
	for i := range (uint64(a.bytes) + g - 1) / g {
		if t := w.watch(&b.page[from+i], a, lane, at, false); t != nil {
			return t
		}
	}
	return nil
}

// unwritten tells whether shared memory has no value: it was not written in this block.
func (w *warp) unwritten(a *access, at uint64) bool {
	if a.space == generic {
		if at>>40<<40 != sharedWindow {
			return false
		}
		at -= sharedWindow
	}
	i := at / uint64(w.block.code.watch[1])
	if i >= uint64(len(w.block.cells)) || !within(w.block.regions, at, a.bytes) {
		return false
	}
	c := &w.block.cells[i]
	return c.wrote < w.block.start || c.hollow
}

// watch notes an access in a cell.
func (w *warp) watch(c *cell, a *access, lane int, at uint64, isShared bool) *trouble {
	b := w.block
	me := uint16(w.index*warpSize + lane)
	// With fences, blocks may pass data on; then only plain writes are compared.
	passes := !isShared && b.code.fences
	if isShared && (c.wrote < b.start || c.hollow) && !a.write {
		w.poison |= 1 << lane
	}
	if a.cached && c.wrote != 0 || a.write && c.cached {
		return &trouble{lane, Race, fmt.Sprintf("%s %s, which this kernel also %s: ld.global.nc is for what it only reads",
			verb(a), place(a.space, at), map[bool]string{true: "reads by ld.global.nc", false: "writes"}[a.write]), nil}
	}
	if isShared && c.wrote < b.start {
		// Nobody has yet.
	} else if c.wrote != 0 && !w.ordered(c.wrote, c.writer, me, oneReader) {
		if !(c.writeStrong && a.strong) && !(passes && (!a.write || c.writeStrong || a.strong)) {
			return w.race(a, lane, at, c.wrote, c.writer, "written")
		}
	}
	if !a.write {
		c.cached = c.cached || a.cached
		w.noteRead(c, a, me)
		return nil
	}
	if c.read != 0 && !(isShared && c.read < b.start) && !passes && !(c.readStrong && a.strong) {
		if c.readers == gridReaders || !w.ordered(c.read, c.reader, me, c.readers) {
			return w.race(a, lane, at, c.read, c.reader, "read")
		}
	}
	c.wrote, c.writer, c.writeStrong, c.hollow = b.tick, me, a.strong, a.hollow
	c.read = 0
	return nil
}

func (w *warp) noteRead(c *cell, a *access, me uint16) {
	b := w.block
	strong, who := a.strong, oneReader
	switch {
	case c.read == 0:
	case c.read < b.start:
		who = gridReaders
		strong = strong && c.readStrong
	case !w.ordered(c.read, c.reader, me, c.readers) || c.readers == gridReaders:
		who = max(c.readers, warpReaders)
		if c.reader/warpSize != me/warpSize {
			who = max(who, blockReaders)
		}
		strong = strong && c.readStrong
	}
	c.read, c.reader, c.readStrong, c.readers = b.tick, me, strong, who
}

// ordered tells whether an earlier access of a thread, or of several, is before what
// thread me does now: the same thread's is, and that before a barrier that both passed.
func (w *warp) ordered(tick uint32, thread, me uint16, who readers) bool {
	b := w.block
	switch {
	case tick < b.start:
		return false // another block
	case tick < b.sync:
		return true
	case who == oneReader && thread == me:
		return true
	}
	return who <= warpReaders && int(thread)/warpSize == w.index && tick < w.sync
}

func (w *warp) race(a *access, lane int, at uint64, tick uint32, thread uint16, done string) *trouble {
	other := "another block"
	if tick >= w.block.start {
		other = fmt.Sprintf("thread %v", w.block.thread(int(thread)))
	}
	return &trouble{lane, Race, fmt.Sprintf("%s %s, %s by %s without a barrier between", verb(a), place(a.space, at), done, other), nil}
}
