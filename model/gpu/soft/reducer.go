package soft

import (
	"encoding/binary"
	"fmt"

	"alexnet/model/gpu/device"
)

// AllReduce is the name of a Reducer's sums in Counters.
const AllReduce = "AllReduce"

// Ranks are what a Reducer sums over, such as train/collective's goroutines, each with a
// device of its own.
type Ranks interface {
	AllReduce(values []float32) error
	AllGather(own []byte) ([]byte, error)
}

// Reducer sums memory of devices over the ranks that have them: what NCCL does on GPUs. A
// sum is a piece of work, which waits for the other ranks when its turn comes.
type Reducer struct{ ranks Ranks }

// NewReducer returns the reducer of a rank.
func NewReducer(ranks Ranks) *Reducer { return &Reducer{ranks: ranks} }

// Labelled returns the sum of the ranks' numbers.
func (r *Reducer) Labelled(own int) (sum int, err error) {
	all, err := r.ranks.AllGather(binary.LittleEndian.AppendUint64(nil, uint64(own)))
	for ; len(all) >= 8; all = all[8:] {
		sum += int(binary.LittleEndian.Uint64(all))
	}
	return sum, err
}

// AllReduce queues a sum.
func (r *Reducer) AllReduce(s device.Stream, at device.Ptr, values int) error {
	own, ok := s.(*Stream)
	if !ok {
		return fmt.Errorf("soft: AllReduce in a stream: %w", errForeign)
	}
	if values < 1 {
		return fmt.Errorf("soft: AllReduce of %d values: must be positive", values)
	}
	if err := aligned(AllReduce, 4, at); err != nil {
		return err
	}
	return own.put(piece{
		kind: AllReduce, label: &label{what: fmt.Sprintf("AllReduce of %d values", values)},
		uses: []use{{at, 4 * values, true}},
		do: func(x *execution) error {
			sum := load(device.Float32, x.data[0])
			if err := r.ranks.AllReduce(sum); err != nil {
				return err
			}
			store(device.Float32, x.data[0], sum)
			return nil
		},
	})
}

// Wait waits for all work of the stream.
func (*Reducer) Wait(s device.Stream) error {
	return s.Sync()
}
