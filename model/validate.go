package model

import (
	"fmt"
	"math"
)

// The bounds of a valid net. They keep every size far inside an int, also for a
// net that comes from a file.
const (
	maxDim    = 1 << 16 // channels, height, width, kernel, padding, classes
	maxSize   = 1 << 28 // values in one image's feature map, or in one parameter
	maxLayers = 1 << 10
)

// LayerError says that a net does not hold together, and at which layer.
type LayerError struct {
	Net     string // the net's name
	Layer   string // the layer's name, or "layer 3" for one without a name; empty if the net as a whole is wrong
	Problem string // what is wrong
}

// Error names net, layer and problem.
func (e *LayerError) Error() string {
	if e.Layer == "" {
		return fmt.Sprintf("net %s: %s", e.Net, e.Problem)
	}
	return fmt.Sprintf("net %s: %s: %s", e.Net, e.Layer, e.Problem)
}

// Validate returns a *LayerError if the net does not hold together: sizes that do
// not fit, a field out of range, a name that is missing or used twice, a net that
// does not end with a fully connected layer of Classes outputs and a softmax.
func (n *Net) Validate() error {
	_, err := n.Shapes()
	return err
}

// Shapes validates the net and returns the output of each layer.
func (n *Net) Shapes() ([]Shape, error) {
	whole := func(format string, a ...any) error {
		return &LayerError{Net: n.Name, Problem: fmt.Sprintf(format, a...)}
	}
	if !validShape(n.Input) {
		return nil, whole("input of %dx%dx%d: each dimension must be in 1..%d and their product at most %d",
			n.Input.C, n.Input.H, n.Input.W, maxDim, maxSize)
	}
	if n.Classes < 1 || n.Classes > maxDim {
		return nil, whole("%d classes: there must be 1..%d", n.Classes, maxDim)
	}
	if len(n.Layers) == 0 || len(n.Layers) > maxLayers {
		return nil, whole("%d layers: there must be 1..%d", len(n.Layers), maxLayers)
	}
	shapes := make([]Shape, len(n.Layers))
	seen := make(map[string]bool, len(n.Layers))
	in := n.Input
	for i := range n.Layers {
		l := &n.Layers[i]
		name := l.Name
		var out Shape
		var problem string
		switch {
		case name == "":
			name, problem = fmt.Sprintf("layer %d", i), "has no name"
		case seen[name]:
			problem = "another layer has the same name"
		case l.Kind == Softmax && i != len(n.Layers)-1:
			problem = "a softmax must be the last layer"
		default:
			seen[name] = true
			out, problem = l.output(in)
		}
		if problem == "" && l.Kind == Softmax && out.Size() != n.Classes {
			problem = fmt.Sprintf("gets %dx%dx%d values for %d classes", out.C, out.H, out.W, n.Classes)
		}
		if problem != "" {
			return nil, &LayerError{Net: n.Name, Layer: name, Problem: problem}
		}
		shapes[i], in = out, out
	}
	if last := n.Layers[len(n.Layers)-1]; last.Kind != Softmax {
		return nil, &LayerError{Net: n.Name, Layer: last.Name, Problem: "the last layer must be a softmax"}
	}
	return shapes, nil
}

func validShape(s Shape) bool {
	for _, d := range [3]int{s.C, s.H, s.W} {
		if d < 1 || d > maxDim {
			return false
		}
	}
	return s.C*s.H <= maxSize && s.Size() <= maxSize
}

// output returns the layer's output for the input in, or what is wrong.
func (l *Layer) output(in Shape) (Shape, string) {
	if l.Weighted() {
		if p := l.checkWeights(); p != "" {
			return Shape{}, p
		}
	}
	switch l.Kind {
	case Conv:
		return l.convOutput(in)
	case Local:
		return l.localOutput(in)
	case FC:
		if in.Size() > maxSize/l.Out {
			return Shape{}, fmt.Sprintf("%d x %d weights are more than %d", l.Out, in.Size(), maxSize)
		}
		return Shape{C: l.Out, H: 1, W: 1}, ""
	case MaxPool:
		return l.poolOutput(in)
	case LRN, LRNWithinChannel:
		return in, l.checkNorm(in)
	case Dropout:
		if !(l.Rate >= 0 && l.Rate < 1) {
			return Shape{}, fmt.Sprintf("rate %g is not in [0, 1)", l.Rate)
		}
		return in, ""
	case ReLU, Tanh, Softmax:
		return in, ""
	}
	return Shape{}, fmt.Sprintf("unknown kind %q", l.Kind)
}

func (l *Layer) checkNorm(in Shape) string {
	what := "channels"
	if l.Kind == LRNWithinChannel {
		what = "rows and columns"
	}
	switch {
	case l.Size < 1 || l.Size%2 == 0 || l.Size > maxDim:
		return fmt.Sprintf("size %d: an odd number of %s is needed", l.Size, what)
	case !(l.K > 0 && l.Alpha >= 0 && l.Beta > 0) || l.K+l.Alpha+l.Beta > math.MaxFloat32:
		return fmt.Sprintf("k %g, alpha %g, beta %g: k and beta must be positive, alpha not negative", l.K, l.Alpha, l.Beta)
	case l.Kind == LRNWithinChannel && l.Groups != 0:
		return fmt.Sprintf("%d groups: a normalisation within channels has none", l.Groups)
	case l.Groups < 0 || in.C%l.GroupCount() != 0:
		return fmt.Sprintf("%d groups do not divide %d channels evenly", l.Groups, in.C)
	}
	return ""
}

func (l *Layer) checkWeights() string {
	if l.Out < 1 || l.Out > maxDim {
		return fmt.Sprintf("%d outputs: there must be 1..%d", l.Out, maxDim)
	}
	for _, v := range [5]float64{l.InitStd, l.InitBias, l.InitBound, l.BiasLRMult, l.DecayMult} {
		if math.IsNaN(v) || math.Abs(v) > math.MaxFloat32 {
			return "an initial value or multiplier is not a finite number"
		}
	}
	if l.InitStd < 0 || l.BiasLRMult < 0 || l.DecayMult < 0 {
		return "init_std, bias_lr_mult and decay_mult must not be negative"
	}
	if l.InitBound < 0 || l.InitBound > 0 && (l.InitStd != 0 || l.InitBias != 0) {
		return "init_bound must not be negative, nor stand beside init_std or init_bias"
	}
	return ""
}

func (l *Layer) convOutput(in Shape) (Shape, string) {
	g := l.GroupCount()
	switch {
	case l.Kernel < 1 || l.Kernel > maxDim || l.Stride < 1 || l.Stride > maxDim:
		return Shape{}, fmt.Sprintf("kernel %d, stride %d: both must be in 1..%d", l.Kernel, l.Stride, maxDim)
	case l.Pad < 0 || l.PadEnd < 0 || l.Pad > maxDim || l.PadEnd > maxDim:
		return Shape{}, fmt.Sprintf("pad %d, pad_end %d: both must be in 0..%d", l.Pad, l.PadEnd, maxDim)
	case l.Groups < 0 || in.C%g != 0 || l.Out%g != 0:
		return Shape{}, fmt.Sprintf("%d groups do not divide %d input and %d output channels evenly", l.Groups, in.C, l.Out)
	}
	h, w := in.H+2*l.Pad+l.PadEnd-l.Kernel, in.W+2*l.Pad+l.PadEnd-l.Kernel
	if h < 0 || w < 0 {
		return Shape{}, fmt.Sprintf("a %dx%d kernel does not fit in an input of %dx%d padded by %d and %d",
			l.Kernel, l.Kernel, in.H, in.W, l.Pad, l.PadEnd)
	}
	out := Shape{C: l.Out, H: h/l.Stride + 1, W: w/l.Stride + 1}
	if weights := l.Kernel * l.Kernel; weights > maxSize/(in.C/g) || weights*(in.C/g) > maxSize/l.Out || !validShape(out) {
		return Shape{}, fmt.Sprintf("weights or output are larger than %d values", maxSize)
	}
	return out, ""
}

// localOutput is convOutput for a layer that has a kernel a position.
func (l *Layer) localOutput(in Shape) (Shape, string) {
	if l.PadEnd != 0 || l.GroupCount() != 1 {
		return Shape{}, "pad_end and groups are for convolutions"
	}
	out, problem := l.convOutput(in)
	if problem != "" {
		return out, problem
	}
	if kernels := out.H * out.W * l.Out; kernels > maxSize/(in.C*l.Kernel*l.Kernel) {
		return Shape{}, fmt.Sprintf("%d kernels of %d weights are more than %d", kernels, in.C*l.Kernel*l.Kernel, maxSize)
	}
	return out, ""
}

func (l *Layer) poolOutput(in Shape) (Shape, string) {
	if l.Kernel < 1 || l.Stride < 1 || l.Stride > maxDim {
		return Shape{}, fmt.Sprintf("kernel %d, stride %d: both must be in 1..%d", l.Kernel, l.Stride, maxDim)
	}
	if l.Kernel > in.H || l.Kernel > in.W {
		return Shape{}, fmt.Sprintf("a %dx%d window does not fit in an input of %dx%d", l.Kernel, l.Kernel, in.H, in.W)
	}
	size := func(n int) int {
		out := (n-l.Kernel)/l.Stride + 1
		// A window of its own for the rest, if it starts inside of the input.
		if l.Ceil && (n-l.Kernel)%l.Stride != 0 && out*l.Stride < n {
			out++
		}
		return out
	}
	return Shape{C: in.C, H: size(in.H), W: size(in.W)}, ""
}
