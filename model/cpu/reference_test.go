package cpu

import (
	"math"

	"alexnet/model"
)

// This file is the slow reference that the tests compare with: every layer of the
// forward pass, of one image, in float64, straight from its definition. Gradients
// come from it by central differences, so that no derivative is written twice.

// refLayer returns a layer's output. x is [channel][row][column]; mask is a
// dropout layer's, nil when predicting.
func refLayer(l *model.Layer, in, out model.Shape, x, w, b, mask []float64) []float64 {
	switch l.Kind {
	case model.Conv:
		return refConv(l, in, out, x, w, b)
	case model.Local:
		return refLocal(l, in, out, x, w, b)
	case model.FC:
		y := make([]float64, l.Out)
		for o := range y {
			y[o] = b[o]
			for i, v := range x {
				y[o] += w[o*len(x)+i] * v
			}
		}
		return y
	case model.LRN:
		return refLRN(l, in, x)
	case model.LRNWithinChannel:
		return refLRNWithin(l, in, x)
	case model.MaxPool:
		return refPool(l, in, out, x)
	}
	y := make([]float64, len(x))
	for i, v := range x {
		switch {
		case l.Kind == model.ReLU:
			y[i] = math.Max(v, 0)
		case l.Kind == model.Dropout && mask != nil:
			y[i] = v * mask[i]
		case l.Kind == model.Dropout:
			y[i] = v * (1 - l.Rate)
		default: // softmax: the logits, see refLoss
			y[i] = v
		}
	}
	return y
}

func refConv(l *model.Layer, in, out model.Shape, x, w, b []float64) []float64 {
	g := l.GroupCount()
	cin, cout := in.C/g, out.C/g
	y := make([]float64, out.Size())
	for o := range out.C {
		for oy := range out.H {
			for ox := range out.W {
				s := b[o]
				for c := range cin {
					for ky := range l.Kernel {
						for kx := range l.Kernel {
							iy, ix := oy*l.Stride+ky-l.Pad, ox*l.Stride+kx-l.Pad
							if iy >= 0 && iy < in.H && ix >= 0 && ix < in.W {
								s += w[((o*cin+c)*l.Kernel+ky)*l.Kernel+kx] * x[((o/cout*cin+c)*in.H+iy)*in.W+ix]
							}
						}
					}
				}
				y[(o*out.H+oy)*out.W+ox] = s
			}
		}
	}
	return y
}

func refLocal(l *model.Layer, in, out model.Shape, x, w, b []float64) []float64 {
	y := make([]float64, out.Size())
	for p := range out.H * out.W {
		for o := range out.C {
			kernel := p*out.C + o
			s := b[kernel]
			for c := range in.C {
				for ky := range l.Kernel {
					for kx := range l.Kernel {
						iy, ix := p/out.W*l.Stride+ky-l.Pad, p%out.W*l.Stride+kx-l.Pad
						if iy >= 0 && iy < in.H && ix >= 0 && ix < in.W {
							s += w[((kernel*in.C+c)*l.Kernel+ky)*l.Kernel+kx] * x[(c*in.H+iy)*in.W+ix]
						}
					}
				}
			}
			y[o*out.H*out.W+p] = s
		}
	}
	return y
}

func refLRN(l *model.Layer, in model.Shape, x []float64) []float64 {
	y := make([]float64, len(x))
	hw := in.H * in.W
	group := in.C / l.GroupCount()
	for c := range in.C {
		for p := range hw {
			s := l.K
			for j := max(0, c-l.Size/2); j <= min(in.C-1, c+l.Size/2); j++ {
				if j/group == c/group {
					s += l.Alpha * x[j*hw+p] * x[j*hw+p]
				}
			}
			y[c*hw+p] = x[c*hw+p] / math.Pow(s, l.Beta)
		}
	}
	return y
}

func refLRNWithin(l *model.Layer, in model.Shape, x []float64) []float64 {
	y := make([]float64, len(x))
	near := func(a, b int) bool { return a-b <= l.Size/2 && b-a <= l.Size/2 }
	for i := range y {
		s := l.K
		for j, v := range x[i/(in.H*in.W)*in.H*in.W:][:in.H*in.W] {
			if near(j/in.W, i/in.W%in.H) && near(j%in.W, i%in.W) {
				s += l.Alpha * v * v
			}
		}
		y[i] = x[i] / math.Pow(s, l.Beta)
	}
	return y
}

func refPool(l *model.Layer, in, out model.Shape, x []float64) []float64 {
	y := make([]float64, out.Size())
	for c := range out.C {
		for oy := range out.H {
			for ox := range out.W {
				best := math.Inf(-1)
				for iy := oy * l.Stride; iy < min(oy*l.Stride+l.Kernel, in.H); iy++ {
					for ix := ox * l.Stride; ix < min(ox*l.Stride+l.Kernel, in.W); ix++ {
						best = math.Max(best, x[(c*in.H+iy)*in.W+ix])
					}
				}
				y[(c*out.H+oy)*out.W+ox] = best
			}
		}
	}
	return y
}

// refLogits runs one image through a net. params are in the order of net.Params;
// masks are by layer index.
func refLogits(net *model.Net, params [][]float64, image []float64, masks map[int][]float64) []float64 {
	outputs := refOutputs(net, params, image, masks)
	return outputs[len(outputs)-1]
}

// refOutputs is refLogits, and returns the output of every layer.
func refOutputs(net *model.Net, params [][]float64, image []float64, masks map[int][]float64) (outputs [][]float64) {
	shapes, err := net.Shapes()
	if err != nil {
		panic(err)
	}
	x, in, p := image, net.Input, 0
	for i := range net.Layers {
		l := &net.Layers[i]
		var w, b []float64
		if l.Weighted() {
			w, b = params[p], params[p+1]
			p += 2
		}
		x = refLayer(l, in, shapes[i], x, w, b, masks[i])
		in = shapes[i]
		outputs = append(outputs, x)
	}
	return outputs
}

// refProbs is the softmax.
func refProbs(logits []float64) []float64 {
	top := math.Inf(-1)
	for _, v := range logits {
		top = math.Max(top, v)
	}
	p, total := make([]float64, len(logits)), 0.0
	for i, v := range logits {
		p[i] = math.Exp(v - top)
		total += p[i]
	}
	for i := range p {
		p[i] /= total
	}
	return p
}

// refLoss is the cross-entropy of one image.
func refLoss(logits []float64, label int32) float64 {
	if label < 0 {
		return 0
	}
	return -math.Log(refProbs(logits)[label])
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// slope returns the central difference of f with respect to *p.
func slope(p *float64, h float64, f func() float64) float64 {
	old := *p
	*p = old + h
	up := f()
	*p = old - h
	down := f()
	*p = old
	return (up - down) / (2 * h)
}
