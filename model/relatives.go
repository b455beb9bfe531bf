package model

import "math"

// alexNetConv6 is the paper's net of section 6 with a sixth convolution over the last
// pooling layer, here between both towers. It was pre-trained on the whole of
// ImageNet's Fall 2011 release and fine-tuned ("1 CNN*").
func alexNetConv6(classes int) *Net {
	n := alexNet(classes)
	for i, l := range n.Layers {
		if l.Name == "pool5" {
			n.Layers = append(n.Layers[:i+1:i+1], append([]Layer{
				{Name: "conv6", Kind: Conv, Out: 256, Kernel: 3, Stride: 1, Pad: 1, InitStd: 0.01, InitBias: 1},
				{Name: "relu6", Kind: ReLU},
			}, n.Layers[i+1:]...)...)
			break
		}
	}
	// Fully connected layers are numbered after the convolutions.
	last := map[string]string{"fc6": "fc7", "drop6": "drop7", "fc7": "fc8", "relu7": "relu8", "drop7": "drop8", "fc8": "fc9"}
	seen := false
	for i := range n.Layers {
		l := &n.Layers[i]
		if name, ok := last[l.Name]; ok {
			l.Name = name
		} else if l.Name == "relu6" {
			if seen {
				l.Name = "relu7"
			}
			seen = true
		}
	}
	return n
}

// cifar4Layer is the four-layer network for CIFAR-10 that section 3.3 of the paper
// mentions: that of cuda-convnet's layers-conv-local-11pct.cfg, with crops of 24x24,
// or, without response normalisation, that of layers-conv-local-13pct.cfg. Two
// convolutions and two locally connected layers; the classifier is not counted.
// cuda-convnet divides the alpha of a normalisation over maps by its size.
func cifar4Layer(classes int, lrn bool) *Net {
	norm := func(name string) Layer {
		return Layer{Name: name, Kind: LRN, Size: 9, Alpha: 0.001 / 9, Beta: 0.75, K: 1}
	}
	pool := func(name string) Layer {
		return Layer{Name: name, Kind: MaxPool, Kernel: 3, Stride: 2, Ceil: true}
	}
	local, decay := 64, 2.5 // 0.01 over the recipe's 0.004
	if !lrn {
		local, decay = 32, 0
	}
	n := &Net{Input: Shape{C: 3, H: 24, W: 24}, Classes: classes, Layers: []Layer{
		{Name: "conv1", Kind: Conv, Out: 64, Kernel: 5, Stride: 1, Pad: 2, InitStd: 0.0001, NoDecay: true},
		{Name: "relu1", Kind: ReLU},
		pool("pool1"),
		norm("norm1"),
		{Name: "conv2", Kind: Conv, Out: 64, Kernel: 5, Stride: 1, Pad: 2, InitStd: 0.01, NoDecay: true},
		{Name: "relu2", Kind: ReLU},
		norm("norm2"),
		pool("pool2"),
		{Name: "local3", Kind: Local, Out: local, Kernel: 3, Stride: 1, Pad: 1, InitStd: 0.04},
		{Name: "relu3", Kind: ReLU},
		{Name: "local4", Kind: Local, Out: 32, Kernel: 3, Stride: 1, Pad: 1, InitStd: 0.04},
		{Name: "relu4", Kind: ReLU},
		{Name: "fc10", Kind: FC, Out: classes, InitStd: 0.01, DecayMult: decay},
		{Name: "prob", Kind: Softmax},
	}}
	for i := range n.Layers {
		if l := &n.Layers[i]; l.Weighted() {
			l.BiasLRMult, l.BiasNoDecay = 2, true
		}
	}
	if !lrn {
		n = n.WithoutLRN()
	}
	return n
}

// leNet is LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998) with the widths and the
// single hidden layer of 500 that Caffe's example has, ReLUs, and the
// paper's dropout, for MNIST's digits of 28x28. The deviation of the initial weights is sqrt(2/inputs), which keeps the
// size of the signal through ReLUs, times 0.33: four layers bring pixels of about +-80
// down to logits of about 1, in equal steps, so that one learning rate suits them all.
func leNet(classes int) *Net {
	std := func(inputs int) float64 { return 0.33 * math.Sqrt(2/float64(inputs)) }
	return &Net{Input: Shape{C: 1, H: 28, W: 28}, Classes: classes, Layers: []Layer{
		{Name: "conv1", Kind: Conv, Out: 20, Kernel: 5, Stride: 1, InitStd: std(25)},
		{Name: "relu1", Kind: ReLU},
		{Name: "pool1", Kind: MaxPool, Kernel: 2, Stride: 2},
		{Name: "conv2", Kind: Conv, Out: 50, Kernel: 5, Stride: 1, InitStd: std(20 * 25)},
		{Name: "relu2", Kind: ReLU},
		{Name: "pool2", Kind: MaxPool, Kernel: 2, Stride: 2},
		{Name: "fc3", Kind: FC, Out: 500, InitStd: std(50 * 16)},
		{Name: "relu3", Kind: ReLU},
		{Name: "drop3", Kind: Dropout, Rate: 0.5},
		{Name: "fc4", Kind: FC, Out: classes, InitStd: std(500)},
		{Name: "prob", Kind: Softmax},
	}}
}
