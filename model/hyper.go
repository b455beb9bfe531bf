package model

// Hyper is the setting of the update rule for one step.
type Hyper struct {
	LearningRate float32 // the paper's epsilon, positive
	Momentum     float32 // 0.9 in the paper; in [0, 1)
	WeightDecay  float32 // 0.0005 in the paper; not negative
}

// Apply updates one parameter in place by the rule of the paper's section 5:
//
//	v <- momentum*v - decay*lr*w - lr*g
//	w <- w + v
//
// where lr is LearningRate*lrMult and decay WeightDecay*decayMult. g is the
// gradient averaged over the batch. The learning rate stands inside the velocity,
// so that a velocity gathered under an old rate lives on when the rate changes
// (some libraries multiply it outside, and differ from then on). w, v and g have
// the same length.
func (h Hyper) Apply(w, v, g []float32, lrMult, decayMult float32) {
	lr := h.LearningRate * lrMult
	wd := h.WeightDecay * decayMult * lr
	mu := h.Momentum
	v = v[:len(w)]
	g = g[:len(w)]
	for i, x := range w {
		d := mu*v[i] - wd*x - lr*g[i]
		v[i] = d
		w[i] = x + d
	}
}
