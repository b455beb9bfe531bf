package cpu

import (
	"alexnet/model"
	"alexnet/model/cpu/half"
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
		if !e.finiteOutput(l.y.Data().([]float32), out, n) {
			return "the output of " + l.name
		}
	}
	return ""
}

// finiteOutput reports whether the values of the first n images are. Those of orders
// of oneDNN's lie one image after the other.
func (e *Engine) finiteOutput(y []float32, l layout, n int) bool {
	if l.half {
		values := halves(y)
		return half.Finite(values[:len(values)/e.batch*n])
	}
	return vector.AllFinite(e.threads, y[:l.capacity(n)*l.shape.Size()]) < 0
}
