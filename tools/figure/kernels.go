// Package figure draws the figures of Krizhevsky, Sutskever and Hinton (2012) from
// trained nets: the kernels of the first convolution (Figure 3), pictures as they are
// in the records, and a query's nearest pictures (Figure 4, right) as images; learning
// curves as SVG.
package figure

import (
	"fmt"
	"image"
	"image/color"
	"math"

	"alexnet/model"
)

// Contrast says which weights are drawn black and white. Zero is always mid-grey.
type Contrast string

// The contrasts.
const (
	// PerFigure draws the largest absolute weight of all kernels black or white, so
	// that kernels can be compared.
	PerFigure Contrast = "figure"
	// PerKernel does so with each kernel's own largest, so that each shows its shape.
	PerKernel Contrast = "kernel"
)

// KernelOptions says how to draw kernels.
type KernelOptions struct {
	// Contrast is PerFigure where it is empty.
	Contrast Contrast
	// Scale is the side of a weight in pixels; 0 chooses.
	Scale int
}

// KernelGrid describes a drawing of kernels.
type KernelGrid struct {
	Layer    string   `json:"layer"`
	Kernels  int      `json:"kernels"`
	Channels int      `json:"channels"` // 3: red, green, blue; 1: grey
	Side     int      `json:"side"`     // of a kernel, in weights
	Towers   int      `json:"towers"`   // drawn one below the other
	Columns  int      `json:"columns"`
	Scale    int      `json:"scale"` // pixels of the drawing a weight
	Contrast Contrast `json:"contrast"`
	Largest  float32  `json:"largest"` // absolute weight of all kernels
}

// Distances in the drawing, in pixels.
const (
	kernelGap  = 4
	towerGap   = 16
	kernelSide = 44 // about that of a kernel where nobody says
	maxScale   = 64 // more would fill the memory
)

// Kernels draws the kernels of a net's first convolution in their order, from left to
// right and then downwards, each weight a square of whole pixels, on a transparent
// ground. Where the next layers work in groups (the two GPUs of the paper), the
// kernels that each group sees, its tower, stand apart. weights are in any order,
// named as in Net.Params.
//
// It is an error if the first layer with weights is no convolution, or not one of
// images of one channel or three, if a weight is not finite, or if the drawing would fill
// the memory.
func Kernels(net *model.Net, weights []model.Tensor, o KernelOptions) (*image.NRGBA, KernelGrid, error) {
	g, data, err := firstKernels(net, weights)
	if err != nil {
		return nil, g, err
	}
	if g.Contrast = o.Contrast; g.Contrast == "" {
		g.Contrast = PerFigure
	}
	if g.Contrast != PerFigure && g.Contrast != PerKernel {
		return nil, g, fmt.Errorf("contrast %q: there are %q and %q", g.Contrast, PerFigure, PerKernel)
	}
	if g.Scale = o.Scale; g.Scale < 1 {
		g.Scale = max(1, (kernelSide+g.Side/2)/g.Side)
	}
	if g.Scale > maxScale {
		return nil, g, fmt.Errorf("%d pixels a weight: at most %d can be drawn", g.Scale, maxScale)
	}
	g.Columns = columns(g.Kernels / g.Towers)
	img := image.NewNRGBA(image.Rect(0, 0, g.at(g.Columns-1).Max.X+kernelGap, g.at(g.Kernels-1).Max.Y+kernelGap))
	size := g.Channels * g.Side * g.Side
	for k := range g.Kernels {
		kernel := data[k*size:][:size]
		white := g.Largest
		if g.Contrast == PerKernel {
			white = largest(kernel)
		}
		g.draw(img, g.at(k).Min, kernel, white)
	}
	return img, g, nil
}

// firstKernels finds the kernels.
func firstKernels(net *model.Net, weights []model.Tensor) (g KernelGrid, data []float32, err error) {
	at := 0
	for at < len(net.Layers) && !net.Layers[at].Weighted() {
		at++
	}
	if at == len(net.Layers) || net.Layers[at].Kind != model.Conv {
		return g, nil, fmt.Errorf("net %s does not begin with a convolution, whose kernels could be drawn", net.Name)
	}
	l := &net.Layers[at]
	g = KernelGrid{Layer: l.Name, Kernels: l.Out, Channels: net.Input.C / l.GroupCount(), Side: l.Kernel, Towers: towers(net, at)}
	if g.Channels != 1 && g.Channels != 3 {
		return g, nil, fmt.Errorf("kernels of %d channels (layer %s of net %s) cannot be drawn: 1, grey, or 3 can", g.Channels, l.Name, net.Name)
	}
	for _, t := range weights {
		if t.Name == l.Name+".weight" {
			data = t.Data
		}
	}
	if want := g.Kernels * g.Channels * g.Side * g.Side; len(data) != want {
		return g, nil, fmt.Errorf("%d weights of layer %s instead of %d", len(data), l.Name, want)
	}
	if g.Largest = largest(data); !(g.Largest <= math.MaxFloat32) {
		return g, nil, fmt.Errorf("weights of layer %s are not finite: the net has diverged", l.Name)
	}
	return g, data, nil
}

// towers returns in how many groups the outputs of a convolution are used: those of
// its own, or of the next convolution.
func towers(net *model.Net, at int) int {
	for i := at; i < len(net.Layers); i++ {
		l := &net.Layers[i]
		if l.Kind == model.Conv && l.GroupCount() > 1 && net.Layers[at].Out%l.GroupCount() == 0 {
			return l.GroupCount()
		}
		if l.Weighted() && i > at {
			break
		}
	}
	return 1
}

// largest returns the largest absolute value; NaN if there is one.
func largest(values []float32) (m float32) {
	for _, v := range values {
		if v != v {
			return v
		}
		m = max(m, v, -v)
	}
	return m
}

// columns returns how many of n kernels stand side by side: rows are full where that
// is possible, and four to sixteen times as long as there are rows. 48 make three
// rows of 16, as in the paper.
func columns(n int) int {
	least := int(math.Ceil(2 * math.Sqrt(float64(n))))
	for c := least; c <= 2*least && c <= n; c++ {
		if n%c == 0 {
			return c
		}
	}
	return min(least, n)
}

// at returns where kernel k is drawn.
func (g *KernelGrid) at(k int) image.Rectangle {
	each := g.Kernels / g.Towers
	rows := (each + g.Columns - 1) / g.Columns
	tower, k := k/each, k%each
	side := g.Side * g.Scale
	x := kernelGap + k%g.Columns*(side+kernelGap)
	y := kernelGap + (tower*rows+k/g.Columns)*(side+kernelGap) + tower*towerGap
	return image.Rect(x, y, x+side, y+side)
}

// draw paints a kernel with its upper left corner at p.
func (g *KernelGrid) draw(img *image.NRGBA, p image.Point, kernel []float32, white float32) {
	plane := g.Side * g.Side
	for i := range plane {
		var rgb [3]uint8
		for c := range rgb {
			rgb[c] = grey(kernel[c%g.Channels*plane+i], white)
		}
		x, y := p.X+i%g.Side*g.Scale, p.Y+i/g.Side*g.Scale
		for v := range g.Scale {
			for u := range g.Scale {
				img.SetNRGBA(x+u, y+v, color.NRGBA{rgb[0], rgb[1], rgb[2], 255})
			}
		}
	}
}

// grey returns the level of a weight: 0 for -white, 255 for white.
func grey(v, white float32) uint8 {
	if white == 0 {
		return 128
	}
	return uint8(math.Round(127.5 + 127.5*float64(v)/float64(white)))
}
