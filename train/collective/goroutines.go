package collective

import (
	"fmt"
	"slices"
	"sync"
)

// Goroutines returns the ranks of a group within this process, for tests: each is to be
// used by a goroutine of its own. Sums are taken in the order of the ranks.
func Goroutines(world int) []Group {
	m := &meeting{world: world, offers: make([]any, world), aborted: -1}
	m.turn.L = &m.mutex
	ranks := make([]Group, world)
	for r := range ranks {
		ranks[r] = &goroutine{m: m, rank: r}
	}
	return ranks
}

// meeting is where the ranks wait for each other.
type meeting struct {
	world   int
	mutex   sync.Mutex
	turn    sync.Cond
	offers  []any // what each rank has brought
	here    int   // ranks that have come
	round   int   // meetings that are over
	result  any
	err     error // of the last round
	aborted int   // the rank that has ended it all, -1 for none
}

// meet waits until all ranks have brought something, and returns what the last to come
// makes of it.
func (m *meeting) meet(rank int, offer any, combine func(offers []any) (any, error)) (any, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.aborted >= 0 {
		return nil, &AbortedError{m.aborted}
	}
	m.offers[rank] = offer
	if m.here++; m.here == m.world {
		m.result, m.err = combine(m.offers)
		m.here = 0
		m.round++
		m.turn.Broadcast()
		return m.result, m.err
	}
	for round := m.round; round == m.round; m.turn.Wait() {
		if m.aborted >= 0 {
			return nil, &AbortedError{m.aborted}
		}
	}
	return m.result, m.err
}

// goroutine is a rank.
type goroutine struct {
	m      *meeting
	rank   int
	closed bool
}

// Rank implements Group.
func (g *goroutine) Rank() int { return g.rank }

// World implements Group.
func (g *goroutine) World() int { return g.m.world }

// Name implements Group.
func (g *goroutine) Name() string { return "goroutines" }

// AllReduce implements Group.
func (g *goroutine) AllReduce(values []float32) error {
	if g.closed {
		return ErrClosed
	}
	sum, err := g.m.meet(g.rank, slices.Clone(values), func(offers []any) (any, error) {
		var sum []float32
		for rank, offer := range offers {
			part, ok := offer.([]float32)
			switch {
			case !ok || rank > 0 && len(part) != len(sum):
				return nil, outOfStep(rank, offer)
			case rank == 0:
				sum = part
				continue
			}
			for i, v := range part {
				sum[i] += v
			}
		}
		return sum, nil
	})
	if err != nil {
		return err
	}
	copy(values, sum.([]float32))
	return nil
}

// outOfStep is the error of ranks that do not do the same.
func outOfStep(rank int, offer any) error {
	return fmt.Errorf("collective: the ranks are not in step: rank %d has brought a %T that does not go with the others", rank, offer)
}

// AllGather implements Group.
func (g *goroutine) AllGather(own []byte) ([]byte, error) {
	if g.closed {
		return nil, ErrClosed
	}
	all, err := g.m.meet(g.rank, slices.Clone(own), func(offers []any) (any, error) {
		var all []byte
		for rank, offer := range offers {
			part, ok := offer.([]byte)
			if !ok || rank > 0 && rank*len(part) != len(all) {
				return nil, outOfStep(rank, offer)
			}
			all = append(all, part...)
		}
		return all, nil
	})
	if err != nil {
		return nil, err
	}
	return slices.Clone(all.([]byte)), nil
}

// Barrier implements Group.
func (g *goroutine) Barrier() error {
	_, err := g.AllGather([]byte{0})
	return err
}

// Abort implements Group.
func (g *goroutine) Abort(int) {
	g.m.mutex.Lock()
	defer g.m.mutex.Unlock()
	if g.m.aborted < 0 {
		g.m.aborted = g.rank
	}
	g.m.turn.Broadcast()
}

// Close implements Group. It does not wait.
func (g *goroutine) Close() error {
	g.closed = true
	return nil
}
