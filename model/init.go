package model

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
)

// Init draws the initial parameters: normal with the Std of each ParamSpec around
// its Bias, or uniform within its Bound. They are a function of the seed and of the parameter's name and shape
// alone, so that a layer starts the same whatever other layers the net has. The
// net must be valid.
func (n *Net) Init(seed uint64) []Tensor {
	specs := n.Params()
	ts := make([]Tensor, len(specs))
	for i, p := range specs {
		ts[i] = p.initial(seed)
	}
	return ts
}

// initial draws the initial values of one parameter.
func (p ParamSpec) initial(seed uint64) Tensor {
	data := make([]float32, p.Len())
	switch {
	case p.Bound != 0:
		fillUniform(data, p.Bound, initKey(seed, p.Name))
	case p.Std != 0:
		fillNormal(data, p.Bias, p.Std, initKey(seed, p.Name))
	default:
		for j := range data {
			data[j] = float32(p.Bias)
		}
	}
	return Tensor{Name: p.Name, Shape: p.Shape, Data: data}
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

// unit draws from the numbers (k+1/2)/2^53, k the upper 53 bits: never 0 nor 1.
func unit(rng *rand.ChaCha8) float64 { return (float64(rng.Uint64()>>11) + 0.5) / (1 << 53) }

// fillUniform draws uniform numbers in +-bound.
func fillUniform(dst []float32, bound float64, key [32]byte) {
	rng := rand.NewChaCha8(key)
	for i := range dst {
		dst[i] = float32(bound * (2*unit(rng) - 1))
	}
}

// fillNormal draws normal numbers by the method of Box and Muller, in pairs.
func fillNormal(dst []float32, mean, std float64, key [32]byte) {
	rng := rand.NewChaCha8(key)
	for i := 0; i < len(dst); i += 2 {
		radius := std * math.Sqrt(-2*math.Log(unit(rng)))
		sin, cos := math.Sincos(2 * math.Pi * unit(rng))
		dst[i] = float32(mean + float64(radius*cos))
		if i+1 < len(dst) {
			dst[i+1] = float32(mean + float64(radius*sin))
		}
	}
}
