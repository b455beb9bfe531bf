package soft

import (
	"math/bits"
	"slices"
)

// execution is a piece of work while it is done. It is the memory that kernels see, and
// remembers what they use of it.
type execution struct {
	d       *Device
	data    [][]byte // of the piece's uses, in order
	host    [][]byte // of its uses of the host's memory
	touches []*touch
	recent  [4]*touch // what was found last
	turn    int
}

// touch is what was used of a block.
type touch struct {
	b             *block
	reads, writes []*page
	spans         [2][]span // whole ranges: reads, writes
}

// pageBytes is how many bytes a page has a bit for.
const pageBytes = 4096

// page has a bit for each byte that was used.
type page [pageBytes / 64]uint64

// touched returns the touch of a block.
func (x *execution) touched(b *block) *touch {
	for _, t := range x.touches {
		if t.b == b {
			return t
		}
	}
	t := &touch{b: b}
	x.touches = append(x.touches, t)
	return t
}

// Bytes returns n bytes of the device's memory, which a kernel reads or, too, writes.
func (x *execution) Bytes(at uint64, n int, write bool) ([]byte, error) {
	t := x.around(at)
	if t == nil || at-t.b.at+uint64(n) > uint64(t.b.size) {
		b, err := x.d.memory.lookup(at, n)
		if err != nil {
			return nil, &UseError{What: err.Error()}
		}
		t = x.touched(b)
		x.recent[x.turn%len(x.recent)] = t
		x.turn++
	}
	off := int(at - t.b.at)
	if write {
		t.writes = mark(t.writes, t.b.size, off, n)
	} else {
		t.reads = mark(t.reads, t.b.size, off, n)
	}
	return t.b.data[off : off+n : off+n], nil
}

// around returns the touch, of those found last, in which an address is.
func (x *execution) around(at uint64) *touch {
	for _, t := range x.recent {
		if t != nil && at-t.b.at < uint64(t.b.size) {
			return t
		}
	}
	return nil
}

// mark sets the bits of n bytes.
func mark(pages []*page, size, off, n int) []*page {
	if pages == nil {
		pages = make([]*page, (size+pageBytes-1)/pageBytes)
	}
	for n > 0 {
		p := pages[off/pageBytes]
		if p == nil {
			p = new(page)
			pages[off/pageBytes] = p
		}
		bit := off % 64
		k := min(64-bit, n)
		p[off%pageBytes/64] |= (1<<k - 1) << bit
		off, n = off+k, n-k
	}
	return pages
}

// spansOf returns the ranges of bits that are set, by rising address.
func spansOf(pages []*page) (spans []span) {
	for i, p := range pages {
		if p == nil {
			continue
		}
		for j, w := range p {
			at := i*pageBytes + j*64
			for w != 0 {
				lo := bits.TrailingZeros64(w)
				n := bits.TrailingZeros64(^(w >> lo))
				spans = extend(spans, span{at + lo, at + lo + n})
				if lo+n >= 64 {
					break
				}
				w &^= (1<<n - 1) << lo
			}
		}
	}
	return spans
}

// extend adds a span that begins after those before it, or within the last.
func extend(spans []span, s span) []span {
	if last := len(spans) - 1; last >= 0 && s.lo <= spans[last].hi {
		spans[last].hi = max(spans[last].hi, s.hi)
		return spans
	}
	return append(spans, s)
}

// used returns what was read, or written, of the block, by rising address.
func (t *touch) used(write bool) []span {
	all := slices.Clone(t.spans[0])
	pages := t.reads
	if write {
		all, pages = slices.Clone(t.spans[1]), t.writes
	}
	all = append(all, spansOf(pages)...)
	slices.SortFunc(all, func(a, b span) int { return a.lo - b.lo })
	var spans []span
	for _, s := range all {
		spans = extend(spans, s)
	}
	return spans
}

// whole remembers that a range was used.
func (t *touch) whole(s span, write bool) {
	if s.lo == s.hi {
		return
	}
	i := 0
	if write {
		i = 1
	}
	t.spans[i] = append(t.spans[i], s)
}

// declared finds the memory that a piece of work says it uses.
func (x *execution) declared(o *operation, p *piece) error {
	for _, u := range p.uses {
		if u.bytes == 0 {
			x.data = append(x.data, nil)
			continue
		}
		b, err := x.d.memory.lookup(uint64(u.at), u.bytes)
		if err != nil {
			return &UseError{What: err.Error()}
		}
		off := int(uint64(u.at) - b.at)
		x.data = append(x.data, b.data[off:off+u.bytes:off+u.bytes])
		x.touched(b).whole(span{off, off + u.bytes}, u.write)
	}
	for i := range p.host {
		u := &p.host[i]
		if u.block.data == nil {
			return &UseError{What: u.block.what + " was released at " + u.block.released}
		}
		if err := o.held(x.d, u); err != nil {
			x.d.fail(p.label, err) // but copies what is there, as a GPU would
		}
		x.host = append(x.host, u.data)
		x.touched(u.block).whole(u.span(), u.write)
	}
	return nil
}
