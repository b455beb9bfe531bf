package collective

import (
	"slices"
	"sync"
	"time"

	"alexnet/model"
)

// Reducer sums values over the ranks of a group while its caller goes on computing. A
// goroutine of its own has what was started summed, in order and in buckets of at most
// BucketBytes; it ends when nothing is left. Between Start and Wait the group must not be
// used by others. It is not safe for concurrent use.
//
// After an error all its methods return it: see Group.
type Reducer struct {
	group Group
	most  int // values of a bucket

	mutex sync.Mutex
	idle  sync.Cond   // not busy any more
	queue [][]float32 // what is still to be summed
	busy  bool        // the goroutine runs
	err   error

	took, waited time.Duration
}

var _ model.Reducer = (*Reducer)(nil)

// NewReducer makes a Reducer of the ranks of a group. Each rank needs one.
func NewReducer(g Group) *Reducer {
	r := &Reducer{group: g, most: BucketBytes / 4}
	r.idle.L = &r.mutex
	return r
}

// Labelled implements model.Reducer.
func (r *Reducer) Labelled(own int) (int, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	count := []int64{int64(own)}
	r.err = SumInts(r.group, count)
	return int(count[0]), r.err
}

// Start implements model.Reducer.
func (r *Reducer) Start(values []float32) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if len(values) == 0 || r.err != nil {
		return
	}
	r.queue = append(r.queue, values)
	if !r.busy {
		r.busy = true
		go r.sum()
	}
}

// sum has the queue summed.
func (r *Reducer) sum() {
	for {
		bucket := r.next()
		if bucket == nil {
			return
		}
		begin := time.Now()
		err := r.group.AllReduce(bucket)
		r.mutex.Lock()
		r.took += time.Since(begin)
		r.err = err
		r.mutex.Unlock()
	}
}

// next takes a bucket from the queue. It returns nil when there is none, or when sums have
// become impossible, and then the goroutine is not busy any more.
func (r *Reducer) next() []float32 {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if len(r.queue) == 0 || r.err != nil {
		r.queue = slices.Delete(r.queue, 0, len(r.queue))
		r.busy = false
		r.idle.Broadcast()
		return nil
	}
	first := r.queue[0]
	n := min(len(first), r.most)
	if r.queue[0] = first[n:]; n == len(first) {
		r.queue = slices.Delete(r.queue, 0, 1)
	}
	return first[:n:n]
}

// Wait implements model.Reducer.
func (r *Reducer) Wait() error {
	begin := time.Now()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for r.busy {
		r.idle.Wait()
	}
	r.waited += time.Since(begin)
	return r.err
}

// Times returns how long the sums have taken since it was last called, the wait for the
// slowest rank included, and for how much of that Wait has waited. It is called after
// Wait.
func (r *Reducer) Times() (took, waited time.Duration) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	took, waited = r.took, r.waited
	r.took, r.waited = 0, 0
	return took, waited
}
