package golden

import (
	"errors"
	"fmt"
	"math"
)

// gradient has either all values or a sketch and samples. A sketch adds each value, with a
// random sign, to a random one of its numbers: the distance of two sketches is that of
// the gradients, within a few percent, whatever the difference is.
type gradient struct {
	Norm    float64   `json:"norm"`
	Values  []float64 `json:"values"`
	Sketch  []float64 `json:"sketch"`
	At      []int     `json:"at"`
	Samples []float64 `json:"samples"`
}

// distance compares a gradient with the file's.
func (want *gradient) distance(got []float32) (Distance, error) {
	length, single, err := want.apart(got)
	if err != nil {
		return Distance{}, err
	}
	norm := 0.0
	for _, v := range got {
		norm += float64(v) * float64(v)
	}
	norm = math.Sqrt(norm)
	// Of the triangle of the two and their difference, all sides are known.
	return Distance{
		Error:  max(length/want.Norm, single),
		Cosine: (norm*norm + want.Norm*want.Norm - length*length) / (2 * norm * want.Norm),
		Ratio:  norm / want.Norm,
	}, nil
}

// apart returns the length of the difference, and the largest distance of a single value
// over the larger of itself and the root mean square.
func (want *gradient) apart(got []float32) (length, single float64, err error) {
	rms := want.Norm / math.Sqrt(float64(len(got)))
	value := func(got float32, want float64) {
		single = max(single, math.Abs(float64(got)-want)/max(math.Abs(want), rms))
	}
	if want.Values != nil {
		if len(got) != len(want.Values) {
			return 0, 0, fmt.Errorf("a gradient of %d values, the file has %d", len(got), len(want.Values))
		}
		for i, v := range want.Values {
			value(got[i], v)
			length += (float64(got[i]) - v) * (float64(got[i]) - v)
		}
		return math.Sqrt(length), single, nil
	}
	if len(want.Sketch) == 0 {
		return 0, 0, errors.New("the file has no values of the gradient")
	}
	sketch := make([]float64, len(want.Sketch))
	words(len(got), math.MaxUint32, 0, func(i int, word uint32) {
		v := float64(got[i])
		if word >= 1<<31 {
			v = -v
		}
		sketch[word%uint32(len(sketch))] += v
	})
	for i, v := range want.Sketch {
		length += (sketch[i] - v) * (sketch[i] - v)
	}
	for i, at := range want.At {
		if at >= len(got) {
			return 0, 0, fmt.Errorf("a gradient of %d values, the file has value %d", len(got), at)
		}
		value(got[at], want.Samples[i])
	}
	return math.Sqrt(length), single, nil
}
