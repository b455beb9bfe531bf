package loop

import (
	"math"

	"alexnet/model/vector"
)

// LARS is layer-wise adaptive rate scaling: You, Gitman and Ginsburg, "Large Batch
// Training of Convolutional Networks" (2017, arXiv:1708.03888). A parameter w with the
// gradient g takes the step
//
//	local <- trust * |w| / (|g| + decay*|w|)
//	v <- momentum*v - rate*local*(g + decay*w)
//	w <- w + v
//
// so that each moves by about the same share of its norm, however long its gradient is.
//
// As in the branches of Caffe that had it first (NVIDIA's, Intel's), each tensor is a
// parameter by itself, biases too: nets without batch normalisation would not survive the rates of
// LARS with biases that take them as they are. The local rate is in the place of the
// net's own multiplier of the rate (ParamSpec.LRMult), and it is 1 where w or g is zero,
// as biases are at first: the warm-up's first rate moves them, and from then on they have
// a norm. Decay is that of the net (ParamSpec.DecayMult): biases that do not decay
// have none in their local rate either.

// trust makes the gradient of the whole step LARS's, so that an update without decay does
// the rest.
func (t *trainer) trust() error {
	grads, err := t.gradients()
	if err != nil {
		return err
	}
	lengths, err := t.squares(grads)
	if err != nil {
		return err
	}
	ws, err := t.weights()
	if err != nil {
		return err
	}
	weights := make([][]float32, len(ws))
	for i, w := range ws {
		weights[i] = w.Data
	}
	sizes := t.sumSquares(weights)
	s := &t.cfg.Settings
	params := t.eng.Net().Params()
	locals, decays := make([]float32, len(params)), make([]float32, len(params))
	for i, p := range params {
		if p.LRMult == 0 {
			continue // it does not move
		}
		decay := s.WeightDecay * p.DecayMult
		local := localRate(s.TrustCoefficient, math.Sqrt(sizes[i]), math.Sqrt(lengths[i]), decay) / p.LRMult
		locals[i], decays[i] = float32(local), float32(local*decay)
	}
	t.eachSpan(grads, func(span vector.Span) {
		g, w := grads[span.Slice][span.From:span.To], weights[span.Slice][span.From:span.To]
		vector.Scale(g, g, locals[span.Slice])
		vector.AddScaled(g, w, decays[span.Slice])
	})
	return nil
}

// localRate returns the rate of a parameter over that of the step, by the Euclidean norms
// of the parameter and of its gradient.
func localRate(trust, size, length, decay float64) float64 {
	if size == 0 || length == 0 {
		return 1
	}
	return min(trust*size/(length+decay*size), math.MaxFloat32)
}
