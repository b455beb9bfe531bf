package gpu

import (
	"cmp"
	"errors"
	"fmt"

	"alexnet/model/gpu/device"
)

// Reducer sums gradients over several devices that train on parts of the same batches.
// NCCL is one (package nvidia).
type Reducer interface {
	// Labelled returns the number of labelled images over all devices, given this one's. It
	// waits for the others.
	Labelled(own int) (int, error)
	// AllReduce queues on the stream the sum of so many float32 values, in place, over all
	// devices. Calls come in the same order everywhere. They may be captured, on all devices
	// or on none.
	AllReduce(s device.Stream, at device.Ptr, values int) error
	// Wait waits for all work of the stream, as its Sync does, but returns an error when it
	// waits for sums that will not come, because another device is gone.
	Wait(s device.Stream) error
}

// Reduces implements model.ReducingEngine.
func (e *Engine) Reduces() bool { return e.options.Reducer != nil }

// reduction is where the gradient is summed over several devices: beside the backward pass,
// which computes the rest of it meanwhile.
type reduction struct {
	by       Reducer       // nil: there is one device
	bucket   int           // values that are enough for a sum
	stream   device.Stream // of the sums
	complete device.Event  // a bucket's values are there
	done     device.Event  // all is summed
}

// open makes what sums need, if there are any.
func (r *reduction) open(d device.Device, by Reducer) (err error) {
	if by == nil {
		return nil
	}
	r.by, r.bucket = by, bucketValues
	if r.stream, err = d.NewStream(); err != nil {
		return err
	}
	if r.complete, err = d.NewEvent(); err != nil {
		return err
	}
	r.done, err = d.NewEvent()
	return err
}

// close frees it. Graphs that hold sums must be gone.
func (r *reduction) close() error {
	var errs []error
	for _, e := range []device.Event{r.complete, r.done} {
		if e != nil {
			errs = append(errs, e.Close())
		}
	}
	if r.stream != nil {
		errs = append(errs, r.wait(r.stream), r.stream.Close())
	}
	*r = reduction{}
	return errors.Join(errs...)
}

// wait waits for all work of a stream, as long as the other devices are there.
func (r *reduction) wait(s device.Stream) error {
	if r.by == nil {
		return s.Sync()
	}
	return r.by.Wait(s)
}

// reduce queues the sums of the gradient that can be made now that the one of the layer
// whose weight is that parameter is complete: as the backward pass goes, from the last
// parameter to the first, in buckets that are large enough for a network. What is queued in
// s behind those of the first layer waits for them all.
func (e *Engine) reduce(s device.Stream, weight int) error {
	r := &e.reduction
	if r.by == nil {
		return nil
	}
	from, end := e.bucket(weight)
	if from == end {
		return nil
	}
	err := cmp.Or(s.Record(r.complete), r.stream.Wait(r.complete), r.by.AllReduce(r.stream, e.params.gradient.Add(4*from), end-from))
	if err == nil && from == 0 {
		err = cmp.Or(r.stream.Record(r.done), s.Wait(r.done))
	}
	if err != nil {
		return fmt.Errorf("summing %d values of the gradient over the ranks: %w", end-from, err)
	}
	return nil
}

// bucketValues is the size of a bucket, 25 MiB.
const bucketValues = 25 << 20 / 4

// bucket returns the values of the flat gradient that are to be summed when the gradient
// of the layer whose weight is that parameter is complete: none, as long as they would
// be few and more are to come.
func (e *Engine) bucket(weight int) (from, end int) {
	end = e.params.values()
	for i := len(e.params.list) - 2; i >= weight; i -= 2 {
		from = e.params.list[i].at
		full := end-from >= e.reduction.bucket || i == 0
		if i == weight {
			if !full {
				return end, end
			}
			return from, end
		}
		if full {
			end = from
		}
	}
	return end, end
}
