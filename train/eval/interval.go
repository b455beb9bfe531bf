package eval

import "math"

// Interval is a confidence interval of a share, from 0 to 1.
type Interval struct{ Low, High float64 }

// Confidence says what the intervals of this package are.
const Confidence = "95 %, Wilson score"

// deviate is the 97.5 % point of the standard normal distribution, so that 95 % lie
// within plus and minus.
const deviate = 1.959963984540054

// Wilson returns the score interval of E. B. Wilson (1927) for the share k of n, with
// a confidence of 95 %. Unlike the share plus and minus its standard error it stays
// within [0, 1] and holds what it says for small n and shares near 0 or 1: those of
// single classes. It is [0, 1] when n is 0.
//
// The interval is of one net on pictures drawn anew. Two nets that were measured on
// the same pictures can differ with more certainty than their intervals tell.
func Wilson(k, n int) Interval {
	if n <= 0 {
		return Interval{0, 1}
	}
	size, z2 := float64(n), deviate*deviate
	p := float64(k) / size
	center := (p + z2/(2*size)) / (1 + z2/size)
	half := deviate / (1 + z2/size) * math.Sqrt(p*(1-p)/size+z2/(4*size*size))
	in := Interval{max(0, center-half), min(1, center+half)}
	if k <= 0 {
		in.Low = 0 // as it is but for rounding
	}
	if k >= n {
		in.High = 1
	}
	return in
}
