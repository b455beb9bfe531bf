package cpu

import (
	"time"

	"alexnet/model"
)

var _ model.SummingEngine = (*Engine)(nil)

// leastSum is how many values are summed over the ranks at a time, at least: 4 MiB, which
// keep a network busy for much longer than it takes to begin.
const leastSum = 4 << 20 / 4

// reduction sums the gradient over the ranks of a run while the backward pass still
// computes the rest of it: the gradient of a layer is complete before that of any layer
// in front of it is begun, and lies behind theirs in memory, so that what can be summed
// is always one slice. A nil one does nothing.
type reduction struct {
	reducer  model.Reducer
	least    int       // values that are worth a sum, unless no more are to come
	gradient []float32 // of all parameters, in their order
	end      int       // what lies from here on is being summed
}

// begin says that a backward pass begins.
func (r *reduction) begin() {
	if r != nil {
		r.end = len(r.gradient)
	}
}

// complete says that the gradient is there from this value on. It may be said again.
func (r *reduction) complete(from int) {
	if r == nil || from == r.end || from > 0 && r.end-from < r.least {
		return
	}
	r.reducer.Start(r.gradient[from:r.end])
	r.end = from
}

// graded says that a kernel's backward has set the gradients of weights and biases.
func (c *call) graded() {
	if c.err == nil {
		c.reduction.complete(c.at)
	}
}

// labelled returns what the mean loss of labelled images is divided by: their number, over
// all ranks.
func (e *Engine) labelled(labels []int32) (int, error) {
	own := 0
	for _, l := range labels {
		if l >= 0 {
			own++
		}
	}
	if e.reducer == nil {
		return own, nil
	}
	return e.reducer.Labelled(own)
}

// Reduces implements model.ReducingEngine.
func (e *Engine) Reduces() bool { return e.reducer != nil }

// Summing implements model.SummingEngine. It returns zeros without Options.Reducer, and
// with one that has no method Times like it.
func (e *Engine) Summing() (took, waited time.Duration) {
	if r, ok := e.reducer.(interface {
		Times() (took, waited time.Duration)
	}); ok {
		return r.Times()
	}
	return 0, 0
}
