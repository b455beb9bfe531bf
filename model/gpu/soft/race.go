package soft

import (
	"fmt"
	"slices"
)

// clock is a vector clock: for each thread of work, a stream's number or that of a branch
// of a graph, up to which piece its work is known to be done before.
type clock []uint64

// has reports whether a thread's piece of work is done before.
func (c clock) has(thread int, seq uint64) bool { return thread < len(c) && c[thread] >= seq }

// join adds what another clock knows.
func (c *clock) join(o clock) {
	for t, seq := range o {
		c.set(t, seq)
	}
}

// set adds that a thread's pieces up to one are done before.
func (c *clock) set(thread int, seq uint64) {
	for len(*c) <= thread {
		*c = append(*c, 0)
	}
	(*c)[thread] = max((*c)[thread], seq)
}

// meet leaves what another clock knows too.
func (c clock) meet(o clock) {
	for t := range c {
		if t < len(o) {
			c[t] = min(c[t], o[t])
		} else {
			c[t] = 0
		}
	}
}

// span is the bytes from lo up to hi of a block.
type span struct{ lo, hi int }

// access is what a piece of work reads, or writes, of a block.
type access struct {
	thread int
	seq    uint64
	clock  clock // what is done before it
	write  bool
	spans  []span // apart, by rising address
	work   *label
}

// overlap returns the first bytes that two accesses share.
func overlap(a, b []span) (span, bool) {
	for len(a) > 0 && len(b) > 0 {
		lo, hi := max(a[0].lo, b[0].lo), min(a[0].hi, b[0].hi)
		if lo < hi {
			return span{lo, hi}, true
		}
		if a[0].hi < b[0].hi {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return span{}, false
}

// stands reports whether the access stands for an earlier one too: whatever has no order
// with the earlier one has none with this one either, as long as it comes after it.
func (a *access) stands(r *access) bool {
	if r.write && !a.write || !a.clock.has(r.thread, r.seq) {
		return false
	}
	if len(a.spans) == 1 {
		return a.spans[0].lo <= r.spans[0].lo && a.spans[0].hi >= r.spans[len(r.spans)-1].hi
	}
	return slices.Equal(a.spans, r.spans)
}

// note adds an access to a log, in the order of doing, and returns the first in it that it
// races with. Of work that is done before all that comes, the log need know nothing.
func note(log []access, a access, before clock) (now []access, with *access, at span) {
	kept := log[:0]
	for i := range log {
		r := log[i]
		if (a.write || r.write) && with == nil && !a.clock.has(r.thread, r.seq) {
			if s, both := overlap(a.spans, r.spans); both {
				with, at = &r, s
			}
		}
		if !before.has(r.thread, r.seq) && !a.stands(&r) {
			kept = append(kept, r)
		}
	}
	clear(log[len(kept):])
	return append(kept, a), with, at
}

// race makes the error of two accesses.
func race(first, second *access, b *block, at span) *RaceError {
	return &RaceError{
		First:  first.String(),
		Second: second.String(),
		Memory: fmt.Sprintf("bytes %d to %d of %s", at.lo, at.hi, b.what),
	}
}

func (a *access) String() string {
	if a.write {
		return a.work.String() + ", which writes"
	}
	return a.work.String() + ", which reads"
}
