package model

import (
	"fmt"
	"math"
	"strings"
)

// Presets returns the names that Preset knows.
func Presets() []string { return []string{"alexnet", "alexnet-small"} }

// Preset returns a net by its name, with the given number of classes.
//
// "alexnet" is the paper's: five convolutions, of which the second, fourth and
// fifth are in two groups (the two GPUs of 2012), three fully connected layers,
// local response normalisation after the ReLU of the first two convolutions, and
// overlapping pooling. It takes crops of 3x224x224; three rows and columns of
// zeros at the end, as in the authors' program, give the 55x55 outputs of the
// first layer that the paper's numbers need. With 1,000 classes it has 60,965,224
// parameters.
//
// "alexnet-small" has the same layers, narrow, for crops of 3x64x64: it learns ten
// classes from a few thousand photographs within minutes on a CPU.
func Preset(name string, classes int) (*Net, error) {
	var n *Net
	switch name {
	case "alexnet":
		n = alexNet(classes)
	case "alexnet-small":
		n = alexNetSmall(classes)
	default:
		return nil, fmt.Errorf("unknown net %q: there are %s", name, strings.Join(Presets(), ", "))
	}
	if err := n.Validate(); err != nil {
		return nil, err
	}
	return n, nil
}

// alexNet follows the paper, sections 3 and 5. Where the program that was run in
// 2012 differs (alpha/n, standard deviations, learning rate of the biases) it
// follows the paper.
func alexNet(classes int) *Net {
	norm := func(name string) Layer {
		return Layer{Name: name, Kind: LRN, Size: 5, Alpha: 1e-4, Beta: 0.75, K: 2}
	}
	return &Net{Name: "alexnet", Input: Shape{C: 3, H: 224, W: 224}, Classes: classes, Layers: []Layer{
		{Name: "conv1", Kind: Conv, Out: 96, Kernel: 11, Stride: 4, PadEnd: 3, InitStd: 0.01},
		{Name: "relu1", Kind: ReLU},
		norm("norm1"),
		{Name: "pool1", Kind: MaxPool, Kernel: 3, Stride: 2},
		{Name: "conv2", Kind: Conv, Out: 256, Kernel: 5, Stride: 1, Pad: 2, Groups: 2, InitStd: 0.01, InitBias: 1},
		{Name: "relu2", Kind: ReLU},
		norm("norm2"),
		{Name: "pool2", Kind: MaxPool, Kernel: 3, Stride: 2},
		{Name: "conv3", Kind: Conv, Out: 384, Kernel: 3, Stride: 1, Pad: 1, InitStd: 0.01},
		{Name: "relu3", Kind: ReLU},
		{Name: "conv4", Kind: Conv, Out: 384, Kernel: 3, Stride: 1, Pad: 1, Groups: 2, InitStd: 0.01, InitBias: 1},
		{Name: "relu4", Kind: ReLU},
		{Name: "conv5", Kind: Conv, Out: 256, Kernel: 3, Stride: 1, Pad: 1, Groups: 2, InitStd: 0.01, InitBias: 1},
		{Name: "relu5", Kind: ReLU},
		{Name: "pool5", Kind: MaxPool, Kernel: 3, Stride: 2},
		{Name: "fc6", Kind: FC, Out: 4096, InitStd: 0.01, InitBias: 1},
		{Name: "relu6", Kind: ReLU},
		{Name: "drop6", Kind: Dropout, Rate: 0.5},
		{Name: "fc7", Kind: FC, Out: 4096, InitStd: 0.01, InitBias: 1},
		{Name: "relu7", Kind: ReLU},
		{Name: "drop7", Kind: Dropout, Rate: 0.5},
		{Name: "fc8", Kind: FC, Out: classes, InitStd: 0.01},
		{Name: "prob", Kind: Softmax},
	}}
}

// alexNetSmall is alexNet with smaller windows in the first layer and fewer
// channels. Two things are not the paper's, because this net has a few hundred
// inputs a unit where the paper's has thousands, and ten epochs of a few thousand
// images where the paper's has ninety of a million:
//
//   - Initial weights have the standard deviation 0.6*sqrt(2/inputs), and biases are
//     zero. sqrt(2/inputs) keeps the size of the signal through ReLUs; eight layers
//     with a factor of 0.6 bring pixels of about +-64 down to logits of about 1, in
//     equal steps, so that one learning rate suits all layers.
//   - Dropout zeroes a fifth, not half: of 256 units too few would be left.
func alexNetSmall(classes int) *Net {
	n := alexNet(classes)
	n.Name = "alexnet-small"
	n.Input = Shape{C: 3, H: 64, W: 64}
	out := map[string]int{"conv1": 32, "conv2": 64, "conv3": 96, "conv4": 96, "conv5": 64, "fc6": 256, "fc7": 256, "fc8": classes}
	in := n.Input
	for i := range n.Layers {
		l := &n.Layers[i]
		switch {
		case l.Kind == Dropout:
			l.Rate = 0.2
		case l.weighted():
			if l.Name == "conv1" {
				l.Kernel, l.Stride, l.PadEnd = 5, 2, 1
			}
			l.Out, l.InitBias = out[l.Name], 0
			inputs := in.Size()
			if l.Kind == Conv {
				inputs = in.C / l.GroupCount() * l.Kernel * l.Kernel
			}
			l.InitStd = 0.6 * math.Sqrt(2/float64(inputs))
		}
		shape, problem := l.output(in)
		if problem != "" {
			return n // Preset's Validate says it
		}
		in = shape
	}
	return n
}
