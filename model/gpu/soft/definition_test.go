package soft

import (
	"errors"
	"math/rand/v2"
	"testing"

	"alexnet/model/gpu/device"
)

// story is a random program, told twice: to a device, and as a plain graph of what comes
// before what, in which a race is a pair of pieces of work without a path between them.
type story struct {
	*rig
	t       *testing.T
	rng     *rand.Rand
	streams []*Stream
	events  []*Event
	every   device.Kernel
	host    []byte // each copy out has bytes of its own

	nodes    []node
	last     []int // node of each stream, or -1
	recorded []int // node of each event's last record, or -1
	waited   []int // nodes that the host has waited for
}

// node is a piece of work or a record: from are the nodes just before it.
type node struct {
	from   []int
	write  bool
	bytes  uint64 // a bit for each byte that it uses
	before map[int]bool
}

// add adds a node to a stream.
func (s *story) add(stream int, n node) int {
	n.from = append(n.from, s.waited...)
	if s.last[stream] >= 0 {
		n.from = append(n.from, s.last[stream])
	}
	n.before = map[int]bool{}
	for _, f := range n.from {
		n.before[f] = true
		for b := range s.nodes[f].before {
			n.before[b] = true
		}
	}
	s.nodes = append(s.nodes, n)
	s.last[stream] = len(s.nodes) - 1
	return len(s.nodes) - 1
}

// raced reports whether any two pieces of work race.
func (s *story) raced() bool {
	for i, a := range s.nodes {
		for j, b := range s.nodes[:i] {
			if a.bytes&b.bytes != 0 && (a.write || b.write) && !a.before[j] {
				return true
			}
		}
	}
	return false
}

// work queues a piece of work.
func (s *story) work(i int) {
	stream := s.streams[i]
	lo := s.rng.IntN(rigBytes)
	n := 1 + s.rng.IntN(min(rigBytes-lo, 20))
	bits := uint64(1<<n-1) << lo
	switch s.rng.IntN(4) {
	case 0:
		ok(s.t, stream.Clear(s.a.Add(lo), n))
		s.add(i, node{bytes: bits, write: true})
	case 1:
		threads, step, first := 1+s.rng.IntN(4), 1+s.rng.IntN(3), s.rng.IntN(4)
		ok(s.t, stream.Launch(s.every, device.Grid{Threads: [3]int{threads}}, device.Args{}.Ptr(s.a.Add(4*first)).Int(step)))
		bits = 0
		for k := range threads {
			bits |= 15 << (4 * (first + k*step))
		}
		s.add(i, node{bytes: bits, write: true})
	default:
		ok(s.t, stream.CopyOut(s.host[:n], s.a.Add(lo)))
		s.host = s.host[n:]
		s.add(i, node{bytes: bits})
	}
}

// act does one thing by the dice.
func (s *story) act() {
	i, e := s.rng.IntN(len(s.streams)), s.rng.IntN(len(s.events))
	switch s.rng.IntN(12) {
	case 0, 1, 2:
		ok(s.t, s.streams[i].Record(s.events[e]))
		s.recorded[e] = s.add(i, node{})
	case 3, 4, 5:
		ok(s.t, s.streams[i].Wait(s.events[e]))
		if s.recorded[e] >= 0 {
			s.add(i, node{from: []int{s.recorded[e]}})
		}
	case 6:
		_ = s.streams[i].Sync()
		if s.last[i] >= 0 {
			s.waited = append(s.waited, s.last[i])
		}
	case 7:
		if done, _ := s.events[e].Done(); done && s.recorded[e] >= 0 {
			s.waited = append(s.waited, s.recorded[e])
		}
	case 8:
		_ = s.events[e].Sync()
		if s.recorded[e] >= 0 {
			s.waited = append(s.waited, s.recorded[e])
		}
	default:
		s.work(i)
	}
}

func newStory(t *testing.T, o Options) (*story, *Module) {
	r := newRig(t, o)
	s := &story{rig: r, t: t, rng: rand.New(rand.NewPCG(o.Seed, 1)), host: allocHost(t, r.d, 1<<10),
		streams: []*Stream{r.s, r.r, newStream(t, r.d)}, events: []*Event{r.e, r.f}, last: []int{-1, -1, -1}, recorded: []int{-1, -1}}
	m, every := r.load(t, "every")
	s.every = every
	return s, m
}

// The search for races finds one when there is one, by the definition, and none otherwise.
func TestRacesAreTheirDefinition(t *testing.T) {
	raced := 0
	const stories = 1500
	for i := range stories {
		o := Options{Policy: []Policy{Late, Eager, Random}[i%3], Seed: uint64(i), Polls: 1}
		s, m := newStory(t, o)
		host := s.host
		for range 6 + i%20 {
			s.act()
		}
		for _, stream := range s.streams {
			_ = stream.Sync()
		}
		err := errors.Join(s.streams[2].Close(), m.Unload(), s.d.ReleaseHost(host), s.close())
		want := s.raced()
		if got := errors.As(err, new(*RaceError)); got != want || err != nil && !got {
			t.Fatalf("%+v: a race: %v, want %v; %v\n%+v", o, got, want, err, s.nodes)
		}
		if want {
			raced++
		}
	}
	if raced < stories/5 || raced > stories*4/5 {
		t.Errorf("%d of %d stories have races: too few of either kind", raced, stories)
	}
}
