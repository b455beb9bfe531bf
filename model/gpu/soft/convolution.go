package soft

import "alexnet/model/gpu/device"

// geometry is where the values of windows lie.
type geometry struct {
	*device.Convolution
	in     int // channels of a group
	window int // values of a window, of a group
}

func geometryOf(c *device.Convolution) geometry {
	in := c.C / c.Groups
	return geometry{Convolution: c, in: in, window: c.Kernel * c.Kernel * in}
}

// each calls f for the places of a window of a group that are within the image n: at is
// where in the window its in channels lie, from where in all images.
func (g *geometry) each(n, oy, ox, group int, f func(at, from int)) {
	for ky := range g.Kernel {
		y := oy*g.Stride + ky - g.Pad
		if y < 0 || y >= g.H {
			continue
		}
		for kx := range g.Kernel {
			x := ox*g.Stride + kx - g.Pad
			if x < 0 || x >= g.W {
				continue
			}
			f((ky*g.Kernel+kx)*g.in, ((n*g.H+y)*g.W+x)*g.C+group*g.in)
		}
	}
}

// outputs calls f for each output and group: at is where its Out/Groups values lie in the
// result.
func (g *geometry) outputs(n int, f func(oy, ox, group, at int)) {
	out := g.Out / g.Groups
	for oy := range g.OutH() {
		for ox := range g.OutW() {
			at := ((n*g.OutH()+oy)*g.OutW() + ox) * g.Out
			for group := range g.Groups {
				f(oy, ox, group, at+group*out)
			}
		}
	}
}

// gather copies a window of the images into patch, with zeros outside of them.
func (g *geometry) gather(patch, x []float32, n, oy, ox, group int) {
	clear(patch)
	g.each(n, oy, ox, group, func(at, from int) { copy(patch[at:at+g.in], x[from:from+g.in]) })
}

// forward computes y = x * w: each output is the product of a window with a filter.
func forward(c *device.Convolution, y, x, w []float32) {
	g := geometryOf(c)
	out := c.Out / c.Groups
	patch := make([]float32, g.window)
	for n := range c.N {
		g.outputs(n, func(oy, ox, group, at int) {
			g.gather(patch, x, n, oy, ox, group)
			filters := w[group*out*g.window : (group+1)*out*g.window]
			dots(y[at:at+out], patch, filters, 1, out, g.window)
		})
	}
}

// backwardWeights computes dw: for each filter the sum of the windows times the gradients
// of its outputs. The sum of an image is made first, so that rounding matters less.
func backwardWeights(c *device.Convolution, dw, x, dy []float32) {
	g := geometryOf(c)
	out := c.Out / c.Groups
	places := c.OutH() * c.OutW()
	patches := make([]float32, c.Groups*places*g.window) // of an image, a group after the other
	factors, sum := make([]float32, places), make([]float32, g.window)
	for n := range c.N {
		g.outputs(n, func(oy, ox, group, _ int) {
			at := (group*places + oy*c.OutW() + ox) * g.window
			g.gather(patches[at:at+g.window], x, n, oy, ox, group)
		})
		for o := range c.Out {
			for p := range factors {
				factors[p] = dy[(n*places+p)*c.Out+o]
			}
			clear(sum)
			group := o / out
			combine(sum, factors, patches[group*places*g.window:(group+1)*places*g.window])
			for i, s := range sum {
				dw[o*g.window+i] += s
			}
		}
	}
}

// backwardData computes dx: each output's gradient times its filter goes to where its
// window came from.
func backwardData(c *device.Convolution, dx, dy, w []float32) {
	g := geometryOf(c)
	out := c.Out / c.Groups
	patch := make([]float32, g.window)
	for n := range c.N {
		g.outputs(n, func(oy, ox, group, at int) {
			clear(patch)
			combine(patch, dy[at:at+out], w[group*out*g.window:(group+1)*out*g.window])
			g.each(n, oy, ox, group, func(at, from int) {
				sum := dx[from : from+g.in]
				for i, v := range patch[at : at+g.in] {
					sum[i] += v
				}
			})
		})
	}
}

// combine adds to y the rows of a, as long as y, each times its factor.
func combine(y, factors, rows []float32) {
	k := len(y)
	o := 0
	for ; o+4 <= len(factors); o += 4 {
		addScaled4(y, (*[4]float32)(factors[o:o+4]), rows[o*k:(o+1)*k], rows[(o+1)*k:(o+2)*k], rows[(o+2)*k:(o+3)*k], rows[(o+3)*k:(o+4)*k])
	}
	for ; o < len(factors); o++ {
		for i, v := range rows[o*k : (o+1)*k] {
			y[i] += factors[o] * v
		}
	}
}
