// Package drawn makes data sets of drawn pictures in the shape of ILSVRC 2012,
// so that every part of the project can be tried and tested with no photograph
// at hand.
//
// A picture shows one of 20 classes, which differ in shape (discs, triangles,
// stars, …) or in texture (stripes, checks, waves, …). Colours, light and dark,
// sizes, places, angles, the background and its noise are drawn at random and
// say nothing about the class: a linear classifier of the pixels learns little,
// and a small convolutional network learns from some hundred pictures.
//
// Everything is a function of the seed, the class and the index of a picture,
// and is computed in integers of 64 bits: all such machines draw the same pixels
// and write the same files.
package drawn

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
)

// MaxClasses is how many classes there are.
const MaxClasses = len(kinds)

// A Class is a kind of picture.
type Class struct {
	WNID  string // "n99000000": in WordNet's form, but not one of WordNet's
	Words string // "disc"
}

// Classes returns the first n of the classes, at most MaxClasses, sorted by
// WNID.
func Classes(n int) []Class {
	list := make([]Class, max(0, min(n, MaxClasses)))
	for i := range list {
		list[i] = Class{WNID: fmt.Sprintf("n99%06d", i), Words: kinds[i].name}
	}
	return list
}

// Picture draws a picture of class 0 to MaxClasses-1 (others wrap around) with
// any index. It has 150 to 500 pixels in width and in height, and is an
// *image.RGBA, or an *image.Gray for about one in ten.
func Picture(seed uint64, class, index int) image.Image {
	picture, _ := draw(seed, class, index)
	return picture
}

// JPEG draws a picture and encodes it, with a quality of 85 to 95.
func JPEG(seed uint64, class, index int) ([]byte, error) {
	picture, quality := draw(seed, class, index)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture, &jpeg.Options{Quality: quality}); err != nil {
		return nil, fmt.Errorf("encode picture %d of class %d: %w", index, class, err)
	}
	return b.Bytes(), nil
}

// draw draws a picture and the quality with which to encode it.
func draw(seed uint64, class, index int) (image.Image, int) {
	class = ((class % MaxClasses) + MaxClasses) % MaxClasses
	r := newDraws(seed, class, index)
	w, h := size(r)
	quality := r.between(85, 95)
	grey := r.intn(10) == 0
	back, front := colours(r, w, h)
	ground := newGround(r, w, h)
	mask := kinds[class].paint(r, scene{w, h, min(w, h)})
	noise := r.intn(20)
	speckle := uint32(r.Uint64()) | 1

	picture := image.NewRGBA(image.Rect(0, 0, w, h))
	cover := make([]int32, w)
	for y := range h {
		clear(cover)
		mask.row(y, cover)
		ground.toRow(y)
		b, f := back.row(y), front.row(y)
		line := picture.Pix[y*picture.Stride:][:4*w]
		for x, c := range cover {
			speckle ^= speckle << 13
			speckle ^= speckle >> 17
			speckle ^= speckle << 5
			shade := int32(speckle>>24)*int32(noise)>>7 - int32(noise) + ground.next()*(256-c)>>8
			for i := range 3 {
				v := (b[i]*(256-c)+f[i]*c)>>16 + shade
				line[4*x+i] = uint8(min(max(v, 0), 255))
				b[i] += back.dx[i]
				f[i] += front.dx[i]
			}
			line[4*x+3] = 255
		}
	}
	if grey {
		return toGray(picture), quality
	}
	return picture, quality
}

// size draws a width and a height: landscape, portrait or nearly square.
func size(r *draws) (w, h int) {
	short := r.between(150, 335)
	long := min(500, short*r.between(256, 450)/256)
	if r.intn(3) == 0 {
		return short, long
	}
	return long, short
}

// toGray keeps the luminance.
func toGray(p *image.RGBA) *image.Gray {
	g := image.NewGray(p.Rect)
	for i := range g.Pix {
		g.Pix[i] = luma(color.RGBA{p.Pix[4*i], p.Pix[4*i+1], p.Pix[4*i+2], 255})
	}
	return g
}

// luma is the luminance of a colour, as JPEG defines it.
func luma(c color.RGBA) uint8 {
	return uint8((19595*uint32(c.R) + 38470*uint32(c.G) + 7471*uint32(c.B) + 1<<15) >> 16)
}
