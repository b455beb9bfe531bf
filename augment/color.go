package augment

import (
	"fmt"
	"math"
)

// ColorScale says what a colour coefficient alpha is multiplied by along each
// principal component. The paper and the code that was run for it differ.
type ColorScale int

const (
	// ScaleStdDev multiplies by the square root of the eigenvalue, the standard
	// deviation along the component on the scale of pixels, as the code
	// released with the paper did: with alpha of 0.1, about 12 grey levels
	// along the first component of ImageNet.
	ScaleStdDev ColorScale = iota
	// ScaleEigenvalue multiplies by the eigenvalue, as the paper's formula has
	// it, for pixels scaled to 0..1: about 6 grey levels of 255 along the first
	// component of ImageNet and next to nothing along the others.
	ScaleEigenvalue
)

// String returns "stddev" or "eigenvalue".
func (s ColorScale) String() string {
	switch s {
	case ScaleStdDev:
		return "stddev"
	case ScaleEigenvalue:
		return "eigenvalue"
	}
	return fmt.Sprintf("ColorScale(%d)", int(s))
}

// MarshalText writes the scale's name, for configurations and flags.
func (s ColorScale) MarshalText() ([]byte, error) {
	if s != ScaleStdDev && s != ScaleEigenvalue {
		return nil, fmt.Errorf("augment: no name for %v", s)
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads the names that MarshalText writes.
func (s *ColorScale) UnmarshalText(text []byte) error {
	switch string(text) {
	case "stddev":
		*s = ScaleStdDev
	case "eigenvalue":
		*s = ScaleEigenvalue
	default:
		return fmt.Errorf("augment: unknown colour scale %q: use stddev (the released code) or eigenvalue (the paper)", text)
	}
	return nil
}

// DefaultSigma is the standard deviation of the colour coefficients in the
// paper's section 4.1.
const DefaultSigma = 0.1

// Color is the distribution of the colour shifts: Shift[c] is the sum over j of
// alpha_j * Basis[j][c], with alpha_j drawn from N(0, Sigma^2) once for each
// use of a picture.
type Color struct {
	// Basis[j] is the shift of red, green and blue, on the scale of pixels (0 to
	// 255), for an alpha_j of 1.
	Basis [3][3]float32
	// Sigma is the standard deviation of the alphas.
	Sigma float32
	// Divisor, if not 0, is what whoever makes the images divides them by after the
	// shift. The code released with the paper divided by 1 + Sigma, so that images
	// with shifted colours do not vary more than those of the test. Apply and Kernel
	// leave it to their callers (see Divide).
	Divisor float32
}

// Divide divides the values of an image by a Color's divisor.
func Divide(image []float32, divisor float32) {
	image = image[divideVectors(image, divisor):]
	for i, v := range image {
		image[i] = v / divisor
	}
}

// EigenColor makes a Color of the principal components of the training set's
// RGB values: vectors[j] is the unit eigenvector of their covariance in red,
// green and blue, values[j] its eigenvalue, both for pixels of 0 to 255. A
// value below zero, which only rounding can cause, counts as zero.
func EigenColor(vectors [3][3]float64, values [3]float64, scale ColorScale) Color {
	c := Color{Sigma: DefaultSigma}
	for j, lambda := range values {
		lambda = max(lambda, 0)
		length := math.Sqrt(lambda)
		if scale == ScaleEigenvalue {
			// Pixels of 0..1 have an eigenvalue of lambda/255^2, and their
			// shift is worth 255 times as much on the scale of 0..255.
			length = lambda / 255
		}
		for ch, x := range vectors[j] {
			c.Basis[j][ch] = float32(x * length)
		}
	}
	return c
}

// Shift returns the shift of the three channels for the given coefficients. It
// is computed in float64, one rounding after each operation, and rounded once
// more to float32.
func (c *Color) Shift(alpha [3]float64) (shift [3]float32) {
	for ch := range shift {
		sum := 0.0
		for j, a := range alpha {
			sum += float64(a * float64(c.Basis[j][ch]))
		}
		shift[ch] = float32(sum)
	}
	return shift
}
