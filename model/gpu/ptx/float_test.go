package ptx

import (
	"math"
	"math/big"
)

// exactFMA is a*b + c, rounded once.
func exactFMA(a, b, c float32) float32 {
	x, y, z := new(big.Float).SetFloat64(float64(a)), new(big.Float).SetFloat64(float64(b)), new(big.Float).SetFloat64(float64(c))
	x.SetPrec(2000).Mul(x, y)
	x.Add(x, z)
	f, _ := x.Float32()
	if f == 0 && x.Sign() == 0 {
		return float32(float64(a)*float64(b) + float64(c)) // its sign
	}
	if math.IsNaN(float64(f)) {
		return f
	}
	return f
}
