package drawn

import "image/color"

// A gradient is a colour that changes evenly over the picture. Values have 8
// binary digits after the point.
type gradient struct {
	at, dx, dy [3]int32 // at the upper left corner, and per pixel
}

// row gives the colour at the left end of a row.
func (g *gradient) row(y int) [3]int32 {
	c := g.at
	for i := range c {
		c[i] += g.dy[i] * int32(y)
	}
	return c
}

// newGradient goes from one colour to another along a random direction.
func newGradient(r *draws, from, to color.RGBA, w, h int) gradient {
	a := r.intn(turn)
	// Along the direction the picture is at most this long, in 1/2^14 pixels.
	length := abs(cos(a))*w + abs(sin(a))*h
	var g gradient
	for i, ends := range [3][2]uint8{{from.R, to.R}, {from.G, to.G}, {from.B, to.B}} {
		d := int(ends[1]) - int(ends[0])
		middle := (int(ends[0]) + int(ends[1])) * one / 2
		dx, dy := d*one*cos(a)/length, d*one*sin(a)/length
		g.dx[i], g.dy[i] = int32(dx), int32(dy)
		g.at[i] = int32(middle - dx*w/2 - dy*h/2)
	}
	return g
}

// colours draws the colours behind and in front, of luminances that differ
// clearly; which is the lighter one is chance.
func colours(r *draws, w, h int) (back, front gradient) {
	for {
		var c [4]color.RGBA
		for i := range c {
			v := r.Uint64()
			c[i] = color.RGBA{uint8(v), uint8(v >> 8), uint8(v >> 16), 255}
		}
		c[1], c[3] = mixed(c[0], c[1]), mixed(c[2], c[3])
		behind := int(luma(c[0])) + int(luma(c[1]))
		before := int(luma(c[2])) + int(luma(c[3]))
		if abs(behind-before) >= 2*55 {
			return newGradient(r, c[0], c[1], w, h), newGradient(r, c[2], c[3], w, h)
		}
	}
}

// mixed is halfway between two colours.
func mixed(a, b color.RGBA) color.RGBA {
	return color.RGBA{uint8((int(a.R) + int(b.R)) / 2), uint8((int(a.G) + int(b.G)) / 2), uint8((int(a.B) + int(b.B)) / 2), 255}
}

// A ground is cloudy light and shade behind the shapes: random levels at the
// points of a coarse grid, and straight lines between them.
type ground struct {
	step      int // pixels between the points
	levels    [][]int32
	left      []int32 // levels along the row, 16 binary digits after the point
	x, column int
	v, dv     int32
}

// newGround draws the levels.
func newGround(r *draws, w, h int) *ground {
	g := &ground{step: min(w, h) / r.between(3, 9)}
	strength := r.between(0, 34)
	g.levels = make([][]int32, h/g.step+2)
	for i := range g.levels {
		g.levels[i] = make([]int32, w/g.step+3)
		for j := range g.levels[i] {
			g.levels[i][j] = int32(r.between(-strength, strength))
		}
	}
	g.left = make([]int32, w/g.step+3)
	return g
}

// toRow goes to the left end of a row.
func (g *ground) toRow(y int) {
	i, t := y/g.step, int32(y%g.step)*one/int32(g.step)
	for j := range g.left {
		g.left[j] = (g.levels[i][j]*(one-t) + g.levels[i+1][j]*t) << 8
	}
	g.column, g.x = 0, 0
	g.startCell()
}

func (g *ground) startCell() {
	g.v = g.left[g.column]
	g.dv = (g.left[g.column+1] - g.v) / int32(g.step)
}

// next is the level of the next pixel.
func (g *ground) next() int32 {
	level := g.v >> 16
	g.v += g.dv
	if g.x++; g.x == g.step {
		g.x = 0
		g.column++
		g.startCell()
	}
	return level
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
