// Package augment is the data augmentation of Krizhevsky, Sutskever and Hinton,
// "ImageNet Classification with Deep Convolutional Neural Networks" (2012),
// section 4.1: random crops and their mirror images, and a shift of the colours
// along the principal components of the training set's RGB values.
//
// The work is in two steps. [Draw] (training) or [View] (evaluation) decides
// what is to be done with a picture, as a small [Params]. [Apply] does it: it
// reads the stored pixels of the picture, takes the crop, subtracts the mean
// image, adds the colour shift and writes float32 values where the network will
// read them, with no copy between and no allocation.
//
// A picture's Params are a function of (seed, epoch, index) and of nothing
// else: not of the number of workers, not of the order in which pictures are
// taken, not of the machine. (Where pictures share crops, DrawGrouped, the number of
// their group stands beside the index.) Random bits come from ChaCha8, which is fixed by
// its specification (C2SP chacha8rand), and everything made from them uses
// operations that IEEE 754 fixes bit by bit.
//
// Pixels are planar: all of channel 0 row by row, then channel 1, then 2.
package augment

import (
	"fmt"
	"math/bits"
)

// Views is the number of test-time views of the paper's section 4.1: the four
// corners and the centre, and their mirror images.
const Views = 10

// Geometry is the size of the stored pictures and of the square cut from them.
type Geometry struct {
	// Height and Width are those of the stored picture, in pixels: 256 and 256
	// in the paper.
	Height, Width int
	// Crop is the side of the square that the network sees: 224 in the paper.
	Crop int
	// Inclusive widens the random crops by the last offset, Height-Crop (and
	// Width-Crop). The paper counts 32 x 32 offsets of 256-224 (its factor of
	// 2048 is 32 x 32 x 2), so the last is left out by default; the code
	// released with it used 33 x 33.
	Inclusive bool
	// NoFlip keeps random crops from being mirrored, for pictures whose mirror images
	// mean something else, such as digits. It changes nothing else of a draw.
	NoFlip bool
	// Centered takes the central crop (Center) in training too, for comparisons without
	// random crops. It changes nothing else of a draw.
	Centered bool
}

// Check returns an error that says what is wrong with a geometry in which no
// crop fits, and nil for one that the functions of this package accept.
func (g Geometry) Check() error {
	switch {
	case g.Height <= 0 || g.Width <= 0:
		return fmt.Errorf("augment: pictures of %d x %d pixels: both sides must be positive", g.Height, g.Width)
	case g.Crop <= 0:
		return fmt.Errorf("augment: crop of %d pixels: it must be positive", g.Crop)
	case g.Crop > g.Height || g.Crop > g.Width:
		return fmt.Errorf("augment: crop of %d pixels is larger than the pictures, which are %d x %d: choose a crop of at most %d",
			g.Crop, g.Height, g.Width, min(g.Height, g.Width))
	}
	return nil
}

// offsets is the number of places for the crop along a side of n pixels.
func (g Geometry) offsets(n int) uint64 {
	free := n - g.Crop
	if g.Inclusive || free == 0 {
		free++
	}
	return uint64(free)
}

// Params says what is done with one picture on its way into a batch.
type Params struct {
	// Top and Left place the crop: 0 <= Top <= Height-Crop, in pixels.
	Top, Left int
	// Flip mirrors the crop left to right.
	Flip bool
	// Shift is added to every pixel of channel 0, 1 and 2, on the scale of
	// pixels (0 to 255).
	Shift [3]float32
}

// Draw returns the random crop, flip and colour shift of picture index in an
// epoch: offsets uniform, mirrored half of the time, and each of the three
// colour coefficients normal with mean 0 and standard deviation c.Sigma. A nil
// c leaves the colours as they are, and changes neither crops nor flips.
//
// The geometry must be one that Check accepts.
func Draw(seed uint64, epoch int, index int64, g Geometry, c *Color) Params {
	var s Sampler
	return s.Draw(seed, epoch, index, g, c)
}

// Sampler draws Params without allocating: it keeps the generator that Draw
// makes anew each time. The zero value is ready to use. It carries nothing from
// one draw to the next, so its results are those of Draw. It is not safe for
// concurrent use: each worker has its own.
type Sampler struct {
	stream stream
}

// Draw returns the same Params as the function of that name.
func (sm *Sampler) Draw(seed uint64, epoch int, index int64, g Geometry, c *Color) Params {
	s := &sm.stream
	s.seed(seed, uint64(epoch), uint64(index))
	p := Params{
		Top:  int(s.below(g.offsets(g.Height))),
		Left: int(s.below(g.offsets(g.Width))),
	}
	if g.Centered {
		p = Center(g)
	}
	p.Flip = s.below(2) == 1 && !g.NoFlip
	if c != nil {
		var alpha [3]float64
		alpha[0], alpha[1] = s.normals()
		alpha[2], _ = s.normals()
		sigma := float64(c.Sigma)
		for j := range alpha {
			alpha[j] *= sigma
		}
		p.Shift = c.Shift(alpha)
	}
	return p
}

// DrawGrouped is Draw for pictures that share crops: crop and flip are those of picture
// group, and the shift of the colours is that of picture index.
func (sm *Sampler) DrawGrouped(seed uint64, epoch int, group, index int64, g Geometry, c *Color) Params {
	p := sm.Draw(seed, epoch, group, g, nil)
	if c != nil {
		p.Shift = sm.Draw(seed, epoch, index, g, c).Shift
	}
	return p
}

// Center returns the central crop, unmirrored and with its colours as they are:
// the one view of a validation pass. An odd margin puts the extra row at the
// bottom and the extra column at the right.
func Center(g Geometry) Params {
	return Params{Top: (g.Height - g.Crop) / 2, Left: (g.Width - g.Crop) / 2}
}

// View returns test-time view v of the paper's ten: 0 to 3 the corners (top
// left, top right, bottom left, bottom right), 4 the centre, 5 to 9 the same
// five mirrored. v is taken modulo [Views].
func View(g Geometry, v int) Params {
	v = ((v % Views) + Views) % Views
	p := Center(g)
	bottom, right := g.Height-g.Crop, g.Width-g.Crop
	switch v % 5 {
	case 0:
		p.Top, p.Left = 0, 0
	case 1:
		p.Top, p.Left = 0, right
	case 2:
		p.Top, p.Left = bottom, 0
	case 3:
		p.Top, p.Left = bottom, right
	}
	p.Flip = v >= 5
	return p
}

// below returns an integer in [0, n), n > 0: the high word of a 64 x 64 bit
// product. Its bias is under n/2^64, which no number of epochs can show, and it
// takes the same number of draws every time.
func (s *stream) below(n uint64) uint64 {
	hi, _ := bits.Mul64(s.bits.Uint64(), n)
	return hi
}
