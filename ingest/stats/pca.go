package stats

import (
	"errors"
	"math"
	"math/big"
	"strconv"

	"gonum.org/v1/gonum/mat"
)

// PCA are the principal components of the colours of all pixels, on the scale
// of the samples, 0..255.
type PCA struct {
	Pixels     uint64        // how many pixels it is made of
	MeanRGB    [3]float64    // mean red, green, blue
	Covariance [3][3]float64 // mean of (x-mean)(y-mean) over all pixels

	// Eigenvalues in descending order, none negative, and their unit vectors:
	// Vectors[j] belongs to Values[j] and has red, green and blue components, of
	// which the one of largest magnitude is positive.
	Values  [3]float64
	Vectors [3][3]float64
}

// PCA returns the principal components of the RGB values of all pixels of all
// pictures. Mean and covariance are the nearest float64 to the exact values.
// Eigenvalues and vectors are rounded to 12 significant digits, which hides
// that machines differ in the last ones. It is an error to call it for shapes
// without three planes, or before any picture was added.
func (s *Sums) PCA() (*PCA, error) {
	if s.c != 3 {
		return nil, errors.New("stats: principal components of colours need three planes")
	}
	if s.n == 0 {
		return nil, errors.New("stats: principal components of no picture at all")
	}
	plane := s.h * s.w
	p := &PCA{Pixels: s.n * uint64(plane)}
	var sum [3]uint64
	for c := range 3 {
		for i := c * plane; i < (c+1)*plane; i++ {
			sum[c] += s.at(i)
		}
		p.MeanRGB[c] = ratio(new(big.Int).SetUint64(sum[c]), new(big.Int).SetUint64(p.Pixels))
	}
	k := 0
	for i := range 3 {
		for j := i; j < 3; j++ {
			v := covariance(p.Pixels, sum[i], sum[j], s.products[k])
			p.Covariance[i][j], p.Covariance[j][i] = v, v
			k++
		}
	}
	return p, p.decompose()
}

// covariance returns (n*xy - x*y) / n^2, computed exactly and rounded once.
func covariance(n, x, y, xy uint64) float64 {
	whole := func(v uint64) *big.Int { return new(big.Int).SetUint64(v) }
	a := new(big.Int).Mul(whole(n), whole(xy))
	a.Sub(a, new(big.Int).Mul(whole(x), whole(y)))
	return ratio(a, new(big.Int).Mul(whole(n), whole(n)))
}

// ratio returns the float64 nearest to a/b.
func ratio(a, b *big.Int) float64 {
	v, _ := new(big.Rat).SetFrac(a, b).Float64()
	return v
}

// decompose fills in eigenvalues and vectors from the covariance.
func (p *PCA) decompose() error {
	sym := mat.NewSymDense(3, nil)
	for i := range 3 {
		for j := i; j < 3; j++ {
			sym.SetSym(i, j, p.Covariance[i][j])
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(sym, true) {
		return errors.New("stats: the covariance of the colours has no eigenvalues that could be found")
	}
	values := eigen.Values(nil) // ascending
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	for j := range 3 {
		from := 2 - j
		p.Values[j] = round12(max(values[from], 0))
		v := [3]float64{vectors.At(0, from), vectors.At(1, from), vectors.At(2, from)}
		largest := 0
		for i := range 3 {
			// A tie, as far as digits can be trusted, goes to the first.
			if math.Abs(v[i]) > math.Abs(v[largest])+1e-9 {
				largest = i
			}
		}
		sign := math.Copysign(1, v[largest])
		for i := range 3 {
			p.Vectors[j][i] = round12(sign * v[i])
		}
	}
	return nil
}

// round12 rounds to 12 significant digits, and negative zero to zero.
func round12(v float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 11, 64), 64)
	if r == 0 {
		return 0
	}
	return r
}
