package soft

import (
	"fmt"

	"alexnet/model/gpu/device"
)

// Stream is a queue of a Device.
type Stream struct {
	d      *Device
	number int // its thread in clocks
	handle *handle
	queue  []*operation
	clock  clock // what is done before the next entry
	seq    uint64
	last   uint64 // the seq of the last work, which is no marker

	capture *capture
	branch  int // its thread in the capture
}

var _ device.Stream = (*Stream)(nil)

// NewStream returns a stream that waits for no other.
func (d *Device) NewStream() (device.Stream, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ready("NewStream"); err != nil {
		return nil, err
	}
	s := &Stream{d: d, number: d.counters.Streams}
	s.handle = d.open(fmt.Sprintf("stream %d", s.number))
	d.counters.Streams++
	d.streams = append(d.streams, s)
	return s, nil
}

// Handle returns a number that is no address of anything.
func (s *Stream) Handle() uintptr { return uintptr(0x50f70000 + 16*s.number) }

// ready is called with the lock held at the start of all methods.
func (s *Stream) ready(call string) error {
	if err := s.handle.usable(call); err != nil {
		return err
	}
	return s.d.ready(call)
}

// CopyIn queues a copy from memory of AllocHost.
func (s *Stream) CopyIn(to device.Ptr, from []byte) error {
	return s.put(piece{
		kind: CopyIn, label: &label{what: fmt.Sprintf("CopyIn of %d bytes", len(from))},
		uses: []use{{to, len(from), true}}, host: []hostUse{{data: from}},
		do: func(x *execution) error { copy(x.data[0], x.host[0]); return nil },
	})
}

// CopyOut queues a copy to memory of AllocHost, which is full of NaNs until it is done.
func (s *Stream) CopyOut(to []byte, from device.Ptr) error {
	return s.put(piece{
		kind: CopyOut, label: &label{what: fmt.Sprintf("CopyOut of %d bytes", len(to))},
		uses: []use{{from, len(to), false}}, host: []hostUse{{data: to, write: true}},
		do: func(x *execution) error { copy(x.host[0], x.data[0]); return nil },
	})
}

// Copy queues a copy within the device. The two must not overlap.
func (s *Stream) Copy(to, from device.Ptr, bytes int) error {
	return s.put(piece{
		kind: Copy, label: &label{what: fmt.Sprintf("Copy of %d bytes", bytes)},
		uses: []use{{to, bytes, true}, {from, bytes, false}},
		do:   func(x *execution) error { copy(x.data[0], x.data[1]); return nil },
	})
}

// Clear queues the writing of zeros.
func (s *Stream) Clear(at device.Ptr, bytes int) error {
	return s.put(piece{
		kind: Clear, label: &label{what: fmt.Sprintf("Clear of %d bytes", bytes)},
		uses: []use{{at, bytes, true}},
		do:   func(x *execution) error { clear(x.data[0]); return nil },
	})
}

// put queues a piece of work, or adds it to the graph that is captured.
func (s *Stream) put(p piece) error {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := s.ready(p.kind); err != nil {
		return err
	}
	p.label.what = fmt.Sprintf("%s in stream %d", p.label.what, s.number)
	p.label.site = caller()
	if err := d.check(&p); err != nil {
		if s.capture != nil {
			s.capture.fail(err)
		}
		return err
	}
	if s.capture != nil {
		s.capture.add(s, p)
		return nil
	}
	o := s.push(&operation{label: p.label, pieces: []piece{p}})
	count(&d.counters.Queued, p.kind)
	return d.queued(o)
}

// check looks at what a piece of work says it uses, and finds the host's memory.
func (d *Device) check(p *piece) error {
	if p.kernel != nil {
		if err := p.kernel.module.handle.usable(Launch); err != nil {
			return err
		}
	}
	for i, u := range p.uses {
		if u.bytes < 0 {
			return &UseError{Work: p.label.String(), What: fmt.Sprintf("%d bytes", u.bytes)}
		}
		if u.bytes == 0 {
			continue
		}
		if _, err := d.memory.lookup(uint64(u.at), u.bytes); err != nil {
			return &UseError{Work: p.label.String(), What: err.Error()}
		}
		for _, v := range p.uses[:i] {
			if (u.write || v.write) && u.at < v.at.Add(v.bytes) && v.at < u.at.Add(u.bytes) {
				return &UseError{Work: p.label.String(), What: fmt.Sprintf("what it writes overlaps what it uses: %d bytes at %#x, %d bytes at %#x", v.bytes, uint64(v.at), u.bytes, uint64(u.at))}
			}
		}
	}
	for i := range p.host {
		if len(p.host[i].data) == 0 {
			p.host[i].block = &block{what: "nothing", at: address(p.host[i].data), data: []byte{}}
			continue
		}
		b, err := d.host.lookup(p.host[i].data)
		if err != nil {
			return &UseError{Work: p.label.String(), What: err.Error()}
		}
		p.host[i].block = b
	}
	return nil
}

// push puts an operation at the end of the queue.
func (s *Stream) push(o *operation) *operation {
	s.seq++
	s.clock.join(s.d.known)
	if o.wait != nil {
		s.clock.join(o.wait.clock)
	}
	s.clock.set(s.number, s.seq)
	if !o.marker {
		s.last = s.seq
	}
	o.stream, o.seq, o.clock = s, s.seq, append(clock(nil), s.clock...)
	s.queue = append(s.queue, o)
	for i := range o.pieces {
		if k := o.pieces[i].kernel; k != nil {
			k.module.runs = ran(k.module.runs, o)
		}
	}
	return o
}

// queued ends each call that put an operation into a queue.
func (d *Device) queued(o *operation) error {
	if d.options.Policy == Eager {
		d.force(o)
	} else {
		d.hold(o)
		d.stir()
	}
	return d.alive(o.label.what)
}

// lastQueued returns the last operation that is not done, or nil.
func (s *Stream) lastQueued() *operation {
	if len(s.queue) == 0 {
		return nil
	}
	return s.queue[len(s.queue)-1]
}

// idle returns an error when the host does not know that the stream's work is done.
func (s *Stream) idle(when string) error {
	if s.last == 0 || s.d.known.has(s.number, s.last) {
		return nil
	}
	return fmt.Errorf("soft: %s while nobody has waited for all work of stream %d", when, s.number)
}

// Sync does all work of the stream, and what that waits for in others. It returns what
// went wrong in work of any stream.
func (s *Stream) Sync() error {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := s.ready("Sync"); err != nil {
		return err
	}
	if s.capture != nil {
		return s.capture.forbid("Sync")
	}
	d.counters.Syncs++
	d.force(s.lastQueued())
	d.known.join(s.clock)
	return d.settled("Sync")
}

// Record lets the event stand for the work queued so far.
func (s *Stream) Record(event device.Event) error {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if err := s.ready("Record"); err != nil {
		return err
	}
	e, err := s.d.event(event, "Record")
	if err != nil {
		return err
	}
	l := &label{what: fmt.Sprintf("Record in stream %d", s.number), site: caller()}
	if s.capture != nil {
		e.last = s.capture.record(s, l)
		return nil
	}
	e.last = s.push(&operation{label: l, marker: true})
	return s.d.queued(e.last)
}

// Wait holds back what is queued afterwards until the work that the event stands for is
// done. During a capture it makes the stream part of it when the event is of it.
func (s *Stream) Wait(event device.Event) error {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if err := s.ready("Wait"); err != nil {
		return err
	}
	e, err := s.d.event(event, "Wait")
	if err != nil || e.last == nil {
		return err
	}
	if s.capture != nil || e.last.capture != nil {
		return s.join(e.last)
	}
	l := &label{what: fmt.Sprintf("Wait in stream %d", s.number), site: caller()}
	return s.d.queued(s.push(&operation{label: l, marker: true, wait: e.last}))
}

// Close frees the stream. It is an error when the host does not know that its work is
// done. Its events come all the same.
func (s *Stream) Close() error {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := s.ready("Close"); err != nil {
		return err
	}
	if s.capture != nil {
		return s.capture.forbid("Close")
	}
	if err := s.idle("Close"); err != nil {
		return err
	}
	for i := range d.streams {
		if d.streams[i] == s {
			d.streams = append(d.streams[:i], d.streams[i+1:]...)
			break
		}
	}
	return d.close(s.handle)
}
