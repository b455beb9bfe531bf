package cpu

import (
	"alexnet/model"
	"alexnet/model/vector"
)

var _ model.FaultEngine = (*Engine)(nil)

// Fault implements model.FaultEngine. A layer that works in place has the name of the
// one before it. Weights are not looked at after an Update, which has changed them
// since the Backward. A ReLU of oneDNN makes 0 of a NaN, so that not all of a
// breakdown need be seen in the outputs behind it; but then the gradient or the
// weights have it, and Update finds it there.
func (e *Engine) Fault() string {
	if e.closed || e.train == nil {
		return ""
	}
	n := e.train.call.n
	if e.badImages {
		return "the images"
	}
	param := 0
	for _, l := range e.train.layers {
		if l.trained {
			if i := vector.AllFinite(e.threads, e.weights[param:param+2]...); i >= 0 && e.graded {
				return e.specs[param+i].Name
			}
			param += 2
		}
		out := l.plan.out
		if vector.AllFinite(e.threads, l.y.Data().([]float32)[:out.capacity(n)*out.shape.Size()]) >= 0 {
			return "the output of " + l.name
		}
	}
	return ""
}
