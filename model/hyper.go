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
	lr, wd := h.Scaled(lrMult, decayMult)
	mu := h.Momentum
	v = v[:len(w)]
	g = g[:len(w)]
	for i, x := range w {
		// Each product is rounded by itself, on every processor.
		d := float32(mu*v[i]) - float32(wd*x) - float32(lr*g[i])
		v[i] = d
		w[i] = x + d
	}
}

// Scaled returns the rate lr of a parameter in the rule of Apply, and its decay*lr.
func (h Hyper) Scaled(lrMult, decayMult float32) (lr, decay float32) {
	lr = h.LearningRate * lrMult
	return lr, h.WeightDecay * decayMult * lr
}
