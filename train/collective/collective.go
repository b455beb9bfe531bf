// Package collective lets the processes of a training run, its ranks, add up what each
// has computed: the data parallelism of section 4 of Dean and others, "Large Scale
// Distributed Deep Networks" (2012), with one synchronous sum a step.
//
// A Reducer has gradients summed while the backward pass still computes the rest of them.
//
// The package has no transport of its own. Join looks at what the launcher has left in the
// environment: processes that mpirun or srun has started are ranks of Open MPI, whose
// library is found at run time and called without cgo (mpi.go); any other process is
// the only rank (Alone). Goroutines makes ranks of one process, for tests.
package collective

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Group is the ranks of a run, as one of them sees it. Its methods but Rank, World,
// Name and Abort must be called by all ranks, in the same order, with as many values
// in each, at least one; each call waits for the others. A Group may be used by one
// goroutine at a time.
//
// An error means that the ranks can no longer be trusted to be in step: there is
// nothing left but to end, with Abort.
type Group interface {
	// Rank is the number of this rank, from 0 to World()-1.
	Rank() int

	// World is the number of ranks, at least 1.
	World() int

	// Name says what carries the values, such as "Open MPI 4.1.4".
	Name() string

	// AllReduce replaces the values by their sums over all ranks: the same bits on each.
	// The order of summation is fixed for a number of ranks and of values, as far as the
	// library below fixes it.
	AllReduce(values []float32) error

	// AllGather returns the bytes of all ranks, one after the other in the order of the
	// ranks.
	AllGather(own []byte) ([]byte, error)

	// Barrier returns when all ranks have called it.
	Barrier() error

	// Abort ends all ranks at once, this one as well, because this one cannot go on:
	// where ranks are processes it does not return, and the status of each is status. It
	// comes after any call of this rank that is on its way, such as those of a Reducer.
	// Ranks of one process get an *AbortedError from their calls. Alone it does nothing.
	Abort(status int)

	// Close waits for the other ranks to close, and leaves. It may be called more than
	// once; other methods fail after it.
	Close() error
}

// ErrClosed is what a closed Group returns.
var ErrClosed = errors.New("collective: the group is closed")

// AbortedError says that another rank has ended the run.
type AbortedError struct{ Rank int }

// Error implements error.
func (e *AbortedError) Error() string {
	return fmt.Sprintf("rank %d has failed and ended the run; its own message says why", e.Rank)
}

// SumFloats replaces the values by their sums over all ranks, added in the order of the
// ranks. It is for few values: each rank gets all of them.
func SumFloats(g Group, values []float64) error {
	own := make([]byte, 0, 8*len(values))
	for _, v := range values {
		own = binary.LittleEndian.AppendUint64(own, math.Float64bits(v))
	}
	all, err := g.AllGather(own)
	if err != nil {
		return err
	}
	clear(values)
	for i := range len(all) / 8 {
		values[i%len(values)] += math.Float64frombits(binary.LittleEndian.Uint64(all[8*i:]))
	}
	return nil
}

// SumInts is SumFloats for integers.
func SumInts(g Group, values []int64) error {
	own := make([]byte, 0, 8*len(values))
	for _, v := range values {
		own = binary.LittleEndian.AppendUint64(own, uint64(v))
	}
	all, err := g.AllGather(own)
	if err != nil {
		return err
	}
	clear(values)
	for i := range len(all) / 8 {
		values[i%len(values)] += int64(binary.LittleEndian.Uint64(all[8*i:]))
	}
	return nil
}

// BucketBytes is the most that is summed at a time: as much as keeps a network busy,
// little enough that the first part of a gradient can be on its way while the rest is
// still computed.
const BucketBytes = 25 << 20

// Buckets cuts slices into parts of at most BucketBytes, none of which crosses from one
// slice into the next. The last slice comes first, since the backward pass makes the
// gradient of the last layer first.
func Buckets(of [][]float32) [][]float32 {
	return buckets(of, BucketBytes/4)
}

func buckets(of [][]float32, most int) [][]float32 {
	var parts [][]float32
	for _, values := range slices.Backward(of) {
		for len(values) > 0 {
			n := min(len(values), most)
			parts = append(parts, values[:n:n])
			values = values[n:]
		}
	}
	return parts
}

// Alone is the group of a single rank.
type Alone struct{}

var _ Group = Alone{}

// Rank implements Group.
func (Alone) Rank() int { return 0 }

// World implements Group.
func (Alone) World() int { return 1 }

// Name implements Group.
func (Alone) Name() string { return "one process" }

// AllReduce implements Group.
func (Alone) AllReduce([]float32) error { return nil }

// AllGather implements Group.
func (Alone) AllGather(own []byte) ([]byte, error) { return slices.Clone(own), nil }

// Barrier implements Group.
func (Alone) Barrier() error { return nil }

// Abort implements Group.
func (Alone) Abort(int) {}

// Close implements Group.
func (Alone) Close() error { return nil }
