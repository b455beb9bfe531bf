package model

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// PresetInfo describes a preset: a net and the recipe to train it.
type PresetInfo struct {
	// Name is what Preset takes.
	Name string `json:"preset"`
	// Net is the Name of the net that Preset returns. Net.Recipe goes by it.
	Net string `json:"net"`
	// About says in a sentence what the preset follows.
	About string `json:"about"`
	// Missing lists in what it differs from what it is named for.
	Missing []string `json:"missing,omitempty"`
	// Recipe is how it is trained.
	Recipe Recipe `json:"recipe"`
}

// namedNet is a PresetInfo and what makes its net, without name.
type namedNet struct {
	PresetInfo
	make func(classes int) *Net
}

// DescribePresets returns all presets, the paper's first.
func DescribePresets() []PresetInfo {
	var infos []PresetInfo
	for _, p := range presets() {
		infos = append(infos, p.PresetInfo)
	}
	return infos
}

// Presets returns the names that Preset knows. "alexnet" is the net of "paper".
func Presets() []string {
	names := []string{"alexnet"}
	for _, p := range presets() {
		if p.Name != "paper" {
			names = append(names, p.Name)
		}
	}
	return names
}

// Preset returns a net by its name, with the given number of classes. With 1,000
// classes, and named as Presets are:
//
// "paper" or "alexnet" is the paper's: five convolutions, of which the second,
// fourth and fifth are in two groups (the two GPUs of 2012), three fully connected
// layers, local response normalisation after the ReLU of the first two
// convolutions, and overlapping pooling. It takes crops of 3x224x224; three rows
// and columns of zeros at the end, as in the authors' program, give the 55x55
// outputs of the first layer that the paper's numbers need. It has 60,965,224
// parameters, as have the next two.
//
// "as-run-2012" is the net of the program that was run for the paper; "caffe" is
// Caffe's bvlc_alexnet, with crops of 227.
//
// "torchvision" is the single tower of "One weird trick for parallelizing
// convolutional neural networks" (Krizhevsky, 2014) that torchvision calls alexnet,
// of 61,100,840 parameters.
//
// "alexnet-small" has the layers of the paper's, narrow, for crops of 3x64x64: it
// learns ten classes from a few thousand photographs within minutes on a CPU.
//
// "alexnet-conv6" is the paper's with a sixth convolution, of section 6.
// "cifar-4layer" and "cifar-4layer-no-lrn" are cuda-convnet's for CIFAR-10, of section
// 3.3; "lenet" is for MNIST.
func Preset(name string, classes int) (*Net, error) {
	for _, p := range presets() {
		if name != p.Name && name != p.Net {
			continue
		}
		n := p.make(classes)
		n.Name = p.Net
		if err := n.Validate(); err != nil {
			return nil, err
		}
		return n, nil
	}
	return nil, fmt.Errorf("unknown net %q: there are %s", name, strings.Join(Presets(), ", "))
}

// shuffledAnew is what no other program's order is.
const shuffledAnew = "images are shuffled anew in each epoch; there they kept the order in which they were written"

// presets returns the table of presets, made anew.
func presets() []namedNet {
	// Epochs of 1,281,167 images: Caffe's 100,000 iterations of 256 are 20 of them.
	// The paper's schedule is by the validation error, the others are steps.
	paper := Recipe{Batch: 128, Epochs: 90, LearningRate: 0.01, Momentum: 0.9, WeightDecay: 0.0005,
		Schedule: "plateau", Factor: 0.1, Color: "eigenvalue"}
	asRun, caffe, torch, small := paper, paper, paper, paper
	asRun.Epochs, asRun.Schedule, asRun.DropAt = 91, "step", []int{25, 51, 79}
	asRun.Color, asRun.ColorEpochs, asRun.ColorDivisor = "stddev", 67, 1.1
	asRun.CropGroup, asRun.InclusiveCrops = 32, true
	caffe.Batch, caffe.Schedule, caffe.DropAt = 256, "step", []int{20, 40, 60, 80}
	caffe.Color, caffe.InclusiveCrops = "none", true
	torch.Batch, torch.Schedule, torch.DropAt = 256, "step", []int{30, 60}
	torch.WeightDecay, torch.Color, torch.InclusiveCrops = 0.0001, "none", true
	small.Batch, small.Epochs, small.LearningRate = 32, 10, 0.005
	small.Schedule, small.DropAt = "step", []int{7, 9}
	// cuda-convnet's files: 350 epochs on four fifths of the images, 150 on all, and
	// ten at each of two lower rates.
	cifar := Recipe{Batch: 128, Epochs: 520, LearningRate: 0.001, Momentum: 0.9, WeightDecay: 0.004,
		Schedule: "step", DropAt: []int{500, 510}, Factor: 0.1, Color: "none", InclusiveCrops: true}
	digits := Recipe{Batch: 64, Epochs: 16, LearningRate: 0.001, Momentum: 0.9, WeightDecay: 0.0005,
		Schedule: "step", DropAt: []int{11, 14}, Factor: 0.1, Color: "none", NoFlip: true}
	convnet := []string{"all training images are used from the beginning; there one fifth of them was left out for 350 epochs", shuffledAnew}
	return []namedNet{
		{PresetInfo{Name: "paper", Net: "alexnet", Recipe: paper,
			About: "the net and the training that the paper of 2012 describes"}, alexNet},
		{PresetInfo{Name: "as-run-2012", Net: "alexnet-2012", Recipe: asRun,
			About: "the program that was run for the paper, by its source and the log of its net 145",
			Missing: []string{
				shuffledAnew,
				"biases learn at twice the rate of the weights, and fall with it; there they kept their 0.02 when it fell",
				"conv1 learns as the other layers do; there at a tenth of their rate from epoch 67 on, and from 72 on not at all",
			}}, alexNet2012},
		{PresetInfo{Name: "caffe", Net: "alexnet-caffe", Recipe: caffe,
			About: "Caffe's bvlc_alexnet; its records are warped to 256x256 (ingest --warp)",
			Missing: []string{
				"channels are R, G, B; Caffe's weights see B, G, R",
				shuffledAnew,
			}}, alexNetCaffe},
		{PresetInfo{Name: "torchvision", Net: "alexnet-torchvision", Recipe: torch,
			About: "torchvision's alexnet: one tower, no response normalisation, dropout before the layers",
			Missing: []string{
				"crops are 224x224 of a record; there they were of random size and shape, resized",
				"pixels are less the mean of their place, there less that of their channel, and not divided by their standard deviation of about 58",
				"the learning rate stands inside the velocity (model.Hyper), in PyTorch outside: another course after each drop",
				"no adaptive pooling: with crops of 224 it changes nothing",
			}}, alexNetTorchvision},
		{PresetInfo{Name: "alexnet-small", Net: "alexnet-small", Recipe: small,
			About: "the paper's layers, narrow, for ten classes of 64x64 crops on a CPU"}, alexNetSmall},
		{PresetInfo{Name: "alexnet-conv6", Net: "alexnet-conv6", Recipe: paper,
			About: "the paper's net with a sixth convolution (section 6, 1 CNN*), to be pre-trained on more classes"}, alexNetConv6},
		{PresetInfo{Name: "cifar-4layer", Net: "cifar-4layer", Recipe: cifar, Missing: convnet,
			About: "cuda-convnet's four-layer network for CIFAR-10, 11 % test error (section 3.3)"},
			func(classes int) *Net { return cifar4Layer(classes, true) }},
		{PresetInfo{Name: "cifar-4layer-no-lrn", Net: "cifar-4layer-no-lrn", Recipe: cifar, Missing: convnet,
			About: "the one without response normalisation, 13 % test error"},
			func(classes int) *Net { return cifar4Layer(classes, false) }},
		{PresetInfo{Name: "lenet", Net: "lenet", Recipe: digits,
			About: "LeNet-5 with ReLUs, as wide as Caffe's, for MNIST"}, leNet},
	}
}

// alexNet follows the paper, sections 3 and 5. Where the program that was run in
// 2012 differs (alpha/n, standard deviations, learning rate of the biases) it
// follows the paper.
func alexNet(classes int) *Net {
	norm := func(name string) Layer {
		return Layer{Name: name, Kind: LRN, Size: 5, Alpha: 1e-4, Beta: 0.75, K: 2}
	}
	return &Net{Input: Shape{C: 3, H: 224, W: 224}, Classes: classes, Layers: []Layer{
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
	n.Input = Shape{C: 3, H: 64, W: 64}
	out := map[string]int{"conv1": 32, "conv2": 64, "conv3": 96, "conv4": 96, "conv5": 64, "fc6": 256, "fc7": 256, "fc8": classes}
	in := n.Input
	for i := range n.Layers {
		l := &n.Layers[i]
		switch {
		case l.Kind == Dropout:
			l.Rate = 0.2
		case l.Weighted():
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

// alexNet2012 is the net as the program had it: other standard deviations of the
// initial weights, alpha divided by n, normalisation within each of the two towers,
// the first normalisation and pooling before the ReLU, a second normalisation of
// conv2's maps within themselves, biases that learn at the double rate and do not
// decay.
func alexNet2012(classes int) *Net {
	n := alexNet(classes)
	for i := range n.Layers {
		switch l := &n.Layers[i]; {
		case l.Kind == LRN:
			l.Alpha, l.Groups = 1e-4/5, 2
		case l.Weighted():
			l.BiasLRMult, l.BiasNoDecay = 2, true
			if l.Name == "conv3" || l.Name == "conv4" || l.Name == "conv5" {
				l.InitStd = 0.03
			}
		}
	}
	l := n.Layers // conv1, relu1, norm1, pool1
	l[1], l[2], l[3] = l[2], l[3], l[1]
	at := slices.IndexFunc(l, func(l Layer) bool { return l.Name == "pool2" })
	n.Layers = slices.Insert(l, at, Layer{Name: "spatial2", Kind: LRNWithinChannel, Size: 5, Alpha: 0.001 / 25, Beta: 0.75, K: 1})
	return n
}

// alexNetCaffe is models/bvlc_alexnet of Caffe: no padding of crops of 227, alpha
// divided by n, k of 1, biases of 0.1 where the paper has 1.
func alexNetCaffe(classes int) *Net {
	n := alexNet(classes)
	n.Input = Shape{C: 3, H: 227, W: 227}
	for i := range n.Layers {
		switch l := &n.Layers[i]; {
		case l.Kind == LRN:
			l.Alpha, l.K = 1e-4/5, 1
		case l.Weighted():
			l.PadEnd, l.InitBias = 0, l.InitBias/10
			l.BiasLRMult, l.BiasNoDecay = 2, true
			if l.Name == "fc6" || l.Name == "fc7" {
				l.InitStd = 0.005
			}
		}
	}
	return n
}

// alexNetTorchvision is torchvision.models.alexnet. Its initial weights and biases
// are uniform in +-1/sqrt(inputs), PyTorch's default.
func alexNetTorchvision(classes int) *Net {
	bound := func(inputs int) float64 { return 1 / math.Sqrt(float64(inputs)) }
	conv := func(name string, in, out, kernel, stride, pad int) Layer {
		return Layer{Name: name, Kind: Conv, Out: out, Kernel: kernel, Stride: stride, Pad: pad, InitBound: bound(in * kernel * kernel)}
	}
	fc := func(name string, in, out int) Layer {
		return Layer{Name: name, Kind: FC, Out: out, InitBound: bound(in)}
	}
	return &Net{Input: Shape{C: 3, H: 224, W: 224}, Classes: classes, Layers: []Layer{
		conv("conv1", 3, 64, 11, 4, 2),
		{Name: "relu1", Kind: ReLU},
		{Name: "pool1", Kind: MaxPool, Kernel: 3, Stride: 2},
		conv("conv2", 64, 192, 5, 1, 2),
		{Name: "relu2", Kind: ReLU},
		{Name: "pool2", Kind: MaxPool, Kernel: 3, Stride: 2},
		conv("conv3", 192, 384, 3, 1, 1),
		{Name: "relu3", Kind: ReLU},
		conv("conv4", 384, 256, 3, 1, 1),
		{Name: "relu4", Kind: ReLU},
		conv("conv5", 256, 256, 3, 1, 1),
		{Name: "relu5", Kind: ReLU},
		{Name: "pool5", Kind: MaxPool, Kernel: 3, Stride: 2},
		{Name: "drop6", Kind: Dropout, Rate: 0.5},
		fc("fc6", 256*6*6, 4096),
		{Name: "relu6", Kind: ReLU},
		{Name: "drop7", Kind: Dropout, Rate: 0.5},
		fc("fc7", 4096, 4096),
		{Name: "relu7", Kind: ReLU},
		fc("fc8", 4096, classes),
		{Name: "prob", Kind: Softmax},
	}}
}
