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
// channels. Its initial weights are not the paper's: a standard deviation of 0.01
// suits layers with thousands of inputs and months of epochs, while here a layer
// has a few hundred and must learn within ten. So each layer has the standard
// deviation sqrt(2/inputs), which keeps the size of the signal through ReLUs; the
// first divides it by 64, about the deviation of a mean-subtracted pixel; and the
// biases are zero.
func alexNetSmall(classes int) *Net {
	n := alexNet(classes)
	n.Name = "alexnet-small"
	n.Input = Shape{C: 3, H: 64, W: 64}
	out := map[string]int{"conv1": 32, "conv2": 64, "conv3": 96, "conv4": 96, "conv5": 64, "fc6": 256, "fc7": 256, "fc8": classes}
	c, side := n.Input.C, 0
	for i := range n.Layers {
		l := &n.Layers[i]
		if l.Name == "conv1" {
			l.Kernel, l.Stride, l.PadEnd = 5, 2, 1
		}
		if l.Name == "fc6" {
			side = 3 // of pool5's output
		}
		if !l.weighted() {
			continue
		}
		l.Out = out[l.Name]
		inputs := c / l.GroupCount() * l.Kernel * l.Kernel
		if l.Kind == FC {
			inputs = c * max(side*side, 1)
			side = 0
		}
		l.InitStd, l.InitBias = math.Sqrt(2/float64(inputs)), 0
		if l.Name == "conv1" {
			l.InitStd /= 64
		}
		c = l.Out
	}
	return n
}
