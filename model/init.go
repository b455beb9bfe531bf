package model

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
)

// Init draws the initial parameters: normal with the Std of each ParamSpec around
// its Bias. They are a function of the seed and of the parameter's name and shape
// alone, so that a layer starts the same whatever other layers the net has. The
// net must be valid.
func (n *Net) Init(seed uint64) []Tensor {
	specs := n.Params()
	ts := make([]Tensor, len(specs))
	for i, p := range specs {
		data := make([]float32, p.Len())
		if p.Std == 0 {
			for j := range data {
				data[j] = float32(p.Bias)
			}
		} else {
			fillNormal(data, p.Bias, p.Std, initKey(seed, p.Name))
		}
		ts[i] = Tensor{Name: p.Name, Shape: p.Shape, Data: data}
	}
	return ts
}

// initKey makes the ChaCha8 key of one parameter: purpose, seed, epoch (none, 0),
// index (a hash of the name), eight bytes each, little-endian.
func initKey(seed uint64, name string) [32]byte {
	var key [32]byte
	copy(key[:8], "init")
	binary.LittleEndian.PutUint64(key[8:], seed)
	h := fnv.New64a()
	h.Write([]byte(name))
	binary.LittleEndian.PutUint64(key[24:], h.Sum64())
	return key
}

// fillNormal draws normal numbers by the method of Box and Muller, in pairs. The
// uniform numbers are (k+1/2)/2^53 with k the upper 53 bits, never 0 nor 1.
func fillNormal(dst []float32, mean, std float64, key [32]byte) {
	rng := rand.NewChaCha8(key)
	uniform := func() float64 { return (float64(rng.Uint64()>>11) + 0.5) / (1 << 53) }
	for i := 0; i < len(dst); i += 2 {
		radius := std * math.Sqrt(-2*math.Log(uniform()))
		sin, cos := math.Sincos(2 * math.Pi * uniform())
		dst[i] = float32(mean + float64(radius*cos))
		if i+1 < len(dst) {
			dst[i+1] = float32(mean + float64(radius*sin))
		}
	}
}
