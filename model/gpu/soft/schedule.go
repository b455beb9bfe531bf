package soft

import (
	"errors"
	"fmt"
	"slices"
)

// stir does, by the dice of Random, some work that may be done.
func (d *Device) stir() {
	if d.options.Policy != Random || len(d.streams) == 0 {
		return
	}
	for n := d.rng.IntN(4) - 1; n > 0 && d.lost == nil; n-- {
		s := d.streams[d.rng.IntN(len(d.streams))]
		if len(s.queue) > 0 && (s.queue[0].wait == nil || s.queue[0].wait.done) {
			d.take(s)
		}
	}
}

// force does what must be done for an operation to be done, and the operation.
func (d *Device) force(o *operation) {
	for o != nil && !o.done && d.lost == nil {
		d.stir()
		if !o.done {
			d.step(o)
		}
	}
}

// step takes the next entry of a queue that must be taken for an operation to be done. It
// reports whether it was work.
func (d *Device) step(o *operation) bool {
	for {
		head := o.stream.queue[0]
		if head.wait == nil || head.wait.done {
			return d.take(o.stream)
		}
		o = head.wait
	}
}

// take does what is first in a stream's queue. It reports whether it was work.
func (d *Device) take(s *Stream) bool {
	o := s.queue[0]
	if !o.marker && d.lost == nil && due(&d.faults.lose) {
		d.lost = errLost
	}
	if d.lost != nil {
		return true
	}
	s.queue = s.queue[1:]
	if !o.marker {
		d.perform(o)
		d.done++
	}
	o.done, o.time, o.sums = true, float64(d.done), nil
	return !o.marker
}

// fail remembers what went wrong in a piece of work.
func (d *Device) fail(l *label, err error) {
	if u := (*UseError)(nil); errors.As(err, &u) {
		d.problems.add(&UseError{Work: l.String(), What: err.Error()})
		return
	}
	d.problems.add(fmt.Errorf("soft: %s: %w", l, err))
}

// perform does the work of an operation. That of a graph is done in any order that its
// branches and events allow.
func (d *Device) perform(o *operation) {
	if o.graph == nil {
		d.execute(o, &o.pieces[0], nil)
		return
	}
	count(&d.counters.Done, Run)
	logs := map[*block][]access{}
	for _, i := range d.orderOf(o.pieces) {
		d.execute(o, &o.pieces[i], logs)
	}
}

// orderOf returns an order in which the pieces of a graph may be done.
func (d *Device) orderOf(pieces []piece) []int {
	order := make([]int, 0, len(pieces))
	if d.options.Policy == Eager {
		for i := range pieces {
			order = append(order, i)
		}
		return order
	}
	var branches [][]int
	for i, p := range pieces {
		for len(branches) <= p.thread {
			branches = append(branches, nil)
		}
		branches[p.thread] = append(branches[p.thread], i)
	}
	done := make(clock, len(branches))
	for len(order) < len(pieces) {
		t := d.rng.IntN(len(branches))
		if len(branches[t]) == 0 {
			continue
		}
		p := &pieces[branches[t][0]]
		if !reached(done, p) {
			continue
		}
		order = append(order, branches[t][0])
		branches[t] = branches[t][1:]
		done[t] = p.seq
	}
	return order
}

// reached reports whether all is done that a piece of a graph waits for.
func reached(done clock, p *piece) bool {
	for t, seq := range p.clock {
		if t != p.thread && !done.has(t, seq) {
			return false
		}
	}
	return true
}

// execute does a piece of work and looks for what races with it: in the logs of the blocks,
// and in those of the graph that it belongs to.
func (d *Device) execute(o *operation, p *piece, logs map[*block][]access) {
	d.counters.add(p)
	x := &execution{d: d}
	err := x.declared(o, p)
	if err == nil {
		err = p.do(x)
	}
	if err != nil {
		d.fail(p.label, err)
	}
	before := d.beforeAll(o)
	for _, t := range x.touches {
		for _, write := range []bool{false, true} {
			spans := t.used(write)
			if len(spans) == 0 {
				continue
			}
			var with *access
			var at span
			a := access{thread: o.stream.number, seq: o.seq, clock: o.clock, write: write, spans: spans, work: p.label}
			if t.b.log, with, at = note(t.b.log, a, before); with != nil {
				d.problems.add(race(with, &a, t.b, at))
			}
			if logs == nil {
				continue
			}
			a.thread, a.seq, a.clock = p.thread, p.seq, p.clock
			if logs[t.b], with, at = note(logs[t.b], a, nil); with != nil {
				d.problems.add(race(with, &a, t.b, at))
			}
		}
	}
}

// beforeAll returns what is done before the operation in hand, before all that is queued
// and before all that will be: nothing races with it any more.
func (d *Device) beforeAll(o *operation) clock {
	before := slices.Clone(d.known)
	before.meet(o.clock)
	for _, s := range d.streams {
		if len(s.queue) > 0 {
			before.meet(s.queue[0].clock)
		}
	}
	return before
}
