package soft

import (
	"errors"
	"fmt"
	"slices"

	"alexnet/model/gpu/device"
)

// capture is a graph in the making.
type capture struct {
	streams []*Stream // that take part: each is a branch
	clocks  []clock   // what is done before the next piece of a branch
	seqs    []uint64
	pieces  []piece
	ended   bool
	err     error
}

// fail lets the capture fail, for its first reason.
func (c *capture) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// forbid lets the capture fail for a call that it does not allow, and returns why.
func (c *capture) forbid(call string) error {
	err := fmt.Errorf("soft: %s during a capture (by %s)", call, caller())
	c.fail(err)
	return err
}

// enter makes a stream part of the capture.
func (c *capture) enter(s *Stream) {
	s.capture, s.branch = c, len(c.streams)
	c.streams = append(c.streams, s)
	c.clocks = append(c.clocks, nil)
	c.seqs = append(c.seqs, 0)
}

// add adds a piece of work of a stream.
func (c *capture) add(s *Stream, p piece) {
	b := s.branch
	c.seqs[b]++
	c.clocks[b].set(b, c.seqs[b])
	p.thread, p.seq, p.clock = b, c.seqs[b], slices.Clone(c.clocks[b])
	c.pieces = append(c.pieces, p)
}

// record returns what an event stands for that is recorded in the capture.
func (c *capture) record(s *Stream, l *label) *operation {
	return &operation{label: l, marker: true, capture: c, clock: slices.Clone(c.clocks[s.branch])}
}

var (
	errIsolation = errors.New("soft: Wait in a capture for an event of outside")
	errAfter     = errors.New("soft: Wait for an event that was recorded in a capture")
	errMerge     = errors.New("soft: Wait for an event of another capture")
)

// join lets a stream wait for an event within a capture.
func (s *Stream) join(o *operation) error {
	var err error
	switch c := s.capture; {
	case o.capture == nil:
		err = errIsolation
	case o.capture.ended:
		err = errAfter
	case c != nil && c != o.capture:
		err = errMerge
	}
	if err != nil {
		err = fmt.Errorf("%w (%v)", err, o)
		if s.capture != nil {
			s.capture.fail(err)
		}
		return err
	}
	if s.capture == nil {
		o.capture.enter(s)
	}
	o.capture.clocks[s.branch].join(o.clock)
	return nil
}

// end ends the capture. Work of branches that the first stream does not wait for in the
// end is an error, as it is in CUDA.
func (c *capture) end() {
	c.ended = true
	for b, s := range c.streams {
		s.capture = nil
		if c.seqs[b] > 0 && !c.clocks[0].has(b, c.seqs[b]) {
			c.fail(fmt.Errorf("soft: Capture: stream %d does not wait for the work of stream %d", c.streams[0].number, s.number))
		}
	}
}

// Capture returns the work that f queues as a graph.
func (s *Stream) Capture(f func() error) (device.Graph, error) {
	c, err := s.begin()
	if err != nil {
		return nil, err
	}
	err = errors.New("soft: Capture: f did not return")
	defer func() {
		if err != nil { // f panicked, or returned an error
			s.finish(c)
		}
	}()
	if err = f(); err != nil {
		return nil, err
	}
	s.finish(c)
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	g := &Graph{d: s.d, pieces: c.pieces}
	g.handle = s.d.open(fmt.Sprintf("graph of %d pieces of work", len(g.pieces)))
	return g, nil
}

// begin begins a capture.
func (s *Stream) begin() (*capture, error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if err := s.ready("Capture"); err != nil {
		return nil, err
	}
	if s.capture != nil {
		return nil, fmt.Errorf("soft: Capture: stream %d is captured", s.number)
	}
	s.d.counters.Captures++
	c := &capture{}
	c.enter(s)
	s.d.captures = append(s.d.captures, c)
	return c, nil
}

// finish ends a capture that was begun.
func (s *Stream) finish(c *capture) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if c.ended {
		return
	}
	c.end()
	s.d.captures = slices.DeleteFunc(s.d.captures, func(o *capture) bool { return o == c })
}

// Graph is work of a Device that was captured.
type Graph struct {
	d      *Device
	handle *handle
	pieces []piece
	runs   []*operation // the last in each stream
}

// Run queues the work of a graph as one piece of work.
func (s *Stream) Run(graph device.Graph) error {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := s.ready(Run); err != nil {
		return err
	}
	g, ok := graph.(*Graph)
	if !ok || g.d != d {
		return fmt.Errorf("soft: Run of the graph: %w", errForeign)
	}
	if err := g.handle.usable(Run); err != nil {
		return err
	}
	l := &label{what: fmt.Sprintf("Run in stream %d of the %s", s.number, g.handle.what), site: caller()}
	if s.capture != nil {
		err := fmt.Errorf("soft: %v: package soft has no graphs in graphs", l)
		s.capture.fail(err)
		return err
	}
	pieces := slices.Clone(g.pieces)
	for i := range pieces {
		p := &pieces[i]
		p.label = &label{what: p.label.what, site: p.label.site, in: l}
		if err := d.stillThere(p); err != nil {
			return err
		}
	}
	o := s.push(&operation{label: l, pieces: pieces, graph: g})
	g.runs = ran(g.runs, o)
	count(&d.counters.Queued, Run)
	return d.queued(o)
}

// stillThere returns an error when memory that a piece of work of a graph uses was
// released since, or its module was unloaded.
func (d *Device) stillThere(p *piece) error {
	if p.kernel != nil {
		if err := p.kernel.module.handle.usable(p.label.String()); err != nil {
			return err
		}
	}
	for _, u := range p.uses {
		if u.bytes == 0 {
			continue
		}
		if _, err := d.memory.lookup(uint64(u.at), u.bytes); err != nil {
			return &UseError{Work: p.label.String(), What: err.Error()}
		}
	}
	for _, u := range p.host {
		if u.block.data == nil {
			return &UseError{Work: p.label.String(), What: u.block.what + " was released at " + u.block.released}
		}
	}
	return nil
}

// Close frees the graph. It is an error when the host does not know that its runs are
// done.
func (g *Graph) Close() error {
	d := g.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ready("Close"); err != nil {
		return err
	}
	if err := d.ended(g.runs, "Close", g.handle); err != nil {
		return err
	}
	return d.close(g.handle)
}
