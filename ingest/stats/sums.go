// Package stats accumulates what the network needs to know about the training
// pictures as a whole: the mean of every pixel position, which is subtracted
// from each input (section 2 of the paper), and the covariance of the red, green
// and blue values over all pixels, whose principal components drive the colour
// augmentation (section 4.1).
//
// Everything is summed in integers. So the result is exact, and the same
// whatever the order of the pictures and however the work was divided: sums of
// parts are merged by addition.
package stats

import (
	"fmt"
	"math"
)

// Sums are the sums over a set of pictures that all have the same shape. They
// hold exactly for up to 2^64/255^2/(h*w) pictures, 4 billion of 256x256.
type Sums struct {
	c, h, w int
	n       uint64 // pictures

	// The sum of each sample position is high + low; low takes the additions,
	// and is emptied into high before it could overflow. It is small because
	// the time to add a picture is the time to get at it.
	high     []uint64
	low      []uint16
	lowCount int

	products [6]uint64 // RR, RG, RB, GG, GB, BB over all pixels; c == 3 only
}

// lowLimit is how many samples of 255 fit into 16 bits.
const lowLimit = math.MaxUint16 / 255

// New returns empty sums for pictures of c planes of h rows of w samples.
func New(c, h, w int) *Sums {
	n := c * h * w
	return &Sums{c: c, h: h, w: w, high: make([]uint64, n), low: make([]uint16, n)}
}

// N returns how many pictures have been added.
func (s *Sums) N() uint64 { return s.n }

// Add adds a picture: c*h*w samples, planar. Another length is an error.
func (s *Sums) Add(pixels []uint8) error {
	if len(pixels) != len(s.low) {
		return fmt.Errorf("stats: a picture of %d samples where %dx%dx%d are summed", len(pixels), s.c, s.h, s.w)
	}
	if s.lowCount == lowLimit {
		s.spill()
	}
	s.lowCount++
	s.n++
	addSamples(s.low, pixels)
	if plane := s.h * s.w; s.c == 3 {
		addProducts(&s.products, pixels[:plane], pixels[plane:2*plane], pixels[2*plane:])
	}
	return nil
}

// spill empties low into high.
func (s *Sums) spill() {
	for i, v := range s.low {
		s.high[i] += uint64(v)
	}
	clear(s.low)
	s.lowCount = 0
}

// Merge adds the sums of other pictures, which must have the same shape, to s.
// It leaves what other stands for as it was.
func (s *Sums) Merge(other *Sums) error {
	if s.c != other.c || s.h != other.h || s.w != other.w {
		return fmt.Errorf("stats: sums of %dx%dx%d cannot be merged into sums of %dx%dx%d", other.c, other.h, other.w, s.c, s.h, s.w)
	}
	for i := range s.high {
		s.high[i] += other.high[i] + uint64(other.low[i])
	}
	for i, v := range other.products {
		s.products[i] += v
	}
	s.n += other.n
	return nil
}

// at returns the sum of sample position i.
func (s *Sums) at(i int) uint64 { return s.high[i] + uint64(s.low[i]) }

// Mean returns the mean of each sample position, c*h*w planar values in 0..255,
// rounded to the nearest multiple of 1/1024. A multiple of 1/1024 below 2^14 is
// exact in float32, and so is its difference to any integer sample, which makes
// "subtract the mean" independent of when and in how many steps it is done.
// Without pictures all values are 0.
func (s *Sums) Mean() []float32 {
	mean := make([]float32, len(s.high))
	if s.n == 0 {
		return mean
	}
	for i := range mean {
		mean[i] = float32((s.at(i)*2048+s.n)/(2*s.n)) / 1024
	}
	return mean
}

// Baseline returns the mean of each sample position rounded to the nearest
// integer, a half upwards: c*h*w planar values. Without pictures all are 0.
func (s *Sums) Baseline() []uint8 {
	base := make([]uint8, len(s.high))
	if s.n == 0 {
		return base
	}
	for i := range base {
		base[i] = uint8((2*s.at(i) + s.n) / (2 * s.n))
	}
	return base
}
