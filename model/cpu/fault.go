package cpu

import (
	"math"

	"alexnet/model"
)

var _ model.FaultEngine = (*Engine)(nil)

// Fault implements model.FaultEngine. A layer that works in place has the name of the
// one before it.
func (e *Engine) Fault() string {
	if e.closed || e.train == nil {
		return ""
	}
	n := e.train.call.n
	if !finite(e.input[:n*e.net.Input.Size()]) {
		return "the images"
	}
	param := 0
	for _, l := range e.train.layers {
		if l.trained {
			for i := param; i < param+2; i++ {
				if !finite(e.weights[i]) {
					return e.specs[i].Name
				}
			}
			param += 2
		}
		out := l.plan.out
		if !finite(l.y.Data().([]float32)[:out.capacity(n)*out.shape.Size()]) {
			return "the output of " + l.name
		}
	}
	return ""
}

// finite reports whether all values are numbers and finite.
func finite(values []float32) bool {
	const exponent = 0x7f800000 // all ones in NaNs and infinities only
	for _, v := range values {
		if math.Float32bits(v)&exponent == exponent {
			return false
		}
	}
	return true
}
