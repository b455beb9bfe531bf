package model

import (
	"math"
	"testing"
)

// TestApply compares three steps with the paper's formula written out in float64,
// with a learning rate that drops in between: the old velocity must live on.
func TestApply(t *testing.T) {
	w, v := []float32{0.5, -0.25, 0}, []float32{0, 0.125, -1}
	w64, v64 := []float64{0.5, -0.25, 0}, []float64{0, 0.125, -1}
	const mu, decay, lrMult, decayMult = 0.9, 0.0005, 2, 0.5
	for step, lr := range []float64{0.01, 0.01, 0.001} {
		g := []float32{float32(step) + 1, -2, 0.75}
		h := Hyper{LearningRate: float32(lr), Momentum: mu, WeightDecay: decay}
		h.Apply(w, v, g, lrMult, decayMult)
		for i := range w64 {
			eps := lr * lrMult
			v64[i] = mu*v64[i] - decay*decayMult*eps*w64[i] - eps*float64(g[i])
			w64[i] += v64[i]
			// A few roundings of values of about one.
			if math.Abs(float64(w[i])-w64[i]) > 1e-6 || math.Abs(float64(v[i])-v64[i]) > 1e-6 {
				t.Fatalf("step %d, value %d: w %g v %g, want %g %g", step, i, w[i], v[i], w64[i], v64[i])
			}
		}
	}
}

// TestApplyKeepsVelocityWhenRateDrops tells the paper's rule from the one that
// multiplies the learning rate outside of the velocity: after a step with gradient
// 1 and one without at a tenth of the rate, the paper's moves by mu*lr.
func TestApplyKeepsVelocityWhenRateDrops(t *testing.T) {
	w, v := []float32{0}, []float32{0}
	Hyper{LearningRate: 1, Momentum: 0.5}.Apply(w, v, []float32{1}, 1, 1)
	Hyper{LearningRate: 0.1, Momentum: 0.5}.Apply(w, v, []float32{0}, 1, 1)
	if w[0] != -1.5 {
		t.Errorf("w = %g, want -1.5 (-1.05 would be the other rule)", w[0])
	}
}
