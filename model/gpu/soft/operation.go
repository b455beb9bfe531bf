package soft

import (
	"fmt"
	"hash/maphash"

	"alexnet/model/gpu/device"
)

// label names a piece of work in errors.
type label struct {
	what string
	site string // of the call that queued it
	in   *label // the run of a graph that it belongs to
}

func (l *label) String() string {
	if l.in != nil {
		return fmt.Sprintf("%s (of %s) in %s", l.what, l.site, l.in)
	}
	return fmt.Sprintf("%s (of %s)", l.what, l.site)
}

// use is memory of the device that a piece of work says it uses.
type use struct {
	at    device.Ptr
	bytes int
	write bool
}

// hostUse is memory of the host that a piece of work uses.
type hostUse struct {
	data  []byte
	write bool
	block *block
}

func (u *hostUse) span() span {
	lo := int(address(u.data) - u.block.at)
	return span{lo, lo + len(u.data)}
}

// checksum is of memory that nobody may write until the work that uses it is done.
type checksum struct {
	use *hostUse
	sum uint64
}

// piece is work that is done at once.
type piece struct {
	label  *label
	kind   string  // counts it
	kernel *Kernel // of a launch
	uses   []use
	host   []hostUse
	do     func(x *execution) error

	// Where it is in a graph.
	thread int
	seq    uint64
	clock  clock
}

// operation is an entry of a stream's queue: work, a point to wait for, or a wait.
type operation struct {
	label  *label
	stream *Stream
	seq    uint64
	clock  clock // what is done before it, and itself

	pieces []piece    // one, or those of a graph
	graph  *Graph     // that is run
	wait   *operation // that must be done before
	marker bool       // is no work: a record or a wait

	capture *capture // that recorded it: it is never done

	sums []checksum
	done bool
	time float64 // when it was done
}

func (o *operation) String() string { return o.label.String() }

// uses reports whether an operation says that it uses a block.
func (o *operation) uses(b *block) bool {
	for i := range o.pieces {
		for _, u := range o.pieces[i].uses {
			if at := uint64(u.at); u.bytes > 0 && at < b.at+uint64(b.size) && b.at < at+uint64(u.bytes) {
				return true
			}
		}
		for _, u := range o.pieces[i].host {
			if u.block == b {
				return true
			}
		}
	}
	return false
}

// awaited reports whether work that comes before piece i of an operation, and is not done,
// uses the host's memory in a way that lets it change, or be changed, before its turn.
func (d *Device) awaited(o *operation, i int, u *hostUse) bool {
	for _, s := range d.streams {
		for _, q := range s.queue {
			if q != o && clash(q.pieces, u) {
				return true
			}
		}
	}
	return clash(o.pieces[:i], u)
}

// clash reports whether a piece uses the same memory of the host and one of both writes.
func clash(pieces []piece, u *hostUse) bool {
	for i := range pieces {
		for j := range pieces[i].host {
			v := &pieces[i].host[j]
			if v.block != u.block || !u.write && !v.write {
				continue
			}
			if _, both := overlap([]span{u.span()}, []span{v.span()}); both {
				return true
			}
		}
	}
	return false
}

// hold makes sure of the host's memory that queued work uses: what will be written is
// filled with NaNs, as nobody may read it yet, and of all of it a checksum is taken, as
// nobody may write it. Memory that other queued work writes is let be, since it may well
// change before.
func (d *Device) hold(o *operation) {
	for i := range o.pieces {
		for j := range o.pieces[i].host {
			u := &o.pieces[i].host[j]
			if d.awaited(o, i, u) {
				continue
			}
			if u.write {
				taint(u.data)
			}
			o.sums = append(o.sums, checksum{use: u, sum: maphash.Bytes(d.host.seed, u.data)})
		}
	}
}

// held returns an error when the host's memory is not as it was left.
func (o *operation) held(d *Device, u *hostUse) error {
	for _, c := range o.sums {
		if c.use != u || maphash.Bytes(d.host.seed, u.data) == c.sum {
			continue
		}
		if u.write {
			return &UseError{What: "the host wrote to " + u.block.what + " while a copy to it was queued"}
		}
		return &UseError{What: "the host wrote to " + u.block.what + " while a copy from it was queued"}
	}
	return nil
}
