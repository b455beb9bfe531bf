package gpu

import (
	"math"

	"alexnet/model/gpu/device"
	"alexnet/model/gpu/kernels"
)

// bfloat widens a bfloat16.
func bfloat(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// Fault implements model.FaultEngine. A layer that works in place has the name of the
// one before it. Weights are not looked at after an Update, which has changed them since
// the Backward. It copies all of the last step's feature maps to the host: it is for a
// run that has broken down.
func (e *Engine) Fault() string {
	if e.closed || e.train == nil || e.ran == 0 {
		return ""
	}
	finite := func(at device.Ptr, values int, t kernels.Type) bool {
		raw := make([]byte, values*t.Bytes())
		if err := e.transfer.out(raw, at); err != nil {
			return true // a lost device is what the next call tells
		}
		return finiteBytes(raw, t)
	}
	maps := func(v value) bool { return finite(v.at, e.ran*v.m.H*v.m.W*v.m.C, v.t) }
	if !maps(e.train.nodes[0].in) {
		return "the images"
	}
	for _, n := range e.train.nodes {
		for i := n.param; n.layer.Weighted() && e.graded && i < n.param+2; i++ {
			if q := &e.params.list[i]; !finite(e.params.weightAt(i), q.rows.size(), kernels.Float32) {
				return q.spec.Name
			}
		}
		if n.out.at != n.in.at && !maps(n.out) {
			return "the output of " + n.name
		}
	}
	return ""
}

// finiteBytes reports whether all values are.
func finiteBytes(raw []byte, t kernels.Type) bool {
	if t == kernels.BFloat16 {
		const exponent = 0x7f80
		for i := 0; i < len(raw); i += 2 {
			if (uint16(raw[i])|uint16(raw[i+1])<<8)&exponent == exponent {
				return false
			}
		}
		return true
	}
	for _, v := range floats(raw) {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return false
		}
	}
	return true
}
