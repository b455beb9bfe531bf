// Package model describes convolutional networks as data and holds everything
// about them that does not depend on the machine that runs them: the layers of
// Krizhevsky, Sutskever and Hinton's "ImageNet Classification with Deep
// Convolutional Neural Networks" (2012; "the paper" below), their sizes and
// costs, the initial weights, the update rule of the paper's section 5, the
// random numbers of dropout, the safetensors files that keep weights, and the
// interface that an engine (package model/cpu, for one) offers to the training
// loop.
//
// A newcomer starts with [Preset], which returns the paper's net or one of its
// relatives, looks at it with [Net.Table], draws weights with [Net.Init], and hands
// both to an [Engine]. [Net.Recipe] says how such a net is trained.
//
// All images are planar float32 with the mean subtracted: N x C x H x W, channels
// R, G, B, values of about +-128. Weights of a convolution are laid out
// [out][in/groups][height][width], those of a fully connected layer [out][in].
package model

// Shape is the size of an image or of a feature map: channels, height, width.
// The output of a fully connected layer has height and width 1.
type Shape struct {
	C int `json:"c"`
	H int `json:"h"`
	W int `json:"w"`
}

// Size returns the number of values in the shape.
func (s Shape) Size() int { return s.C * s.H * s.W }

// Kind says what a layer computes.
type Kind string

// The kinds of layers that a Net may have.
const (
	Conv    Kind = "conv"    // convolution with bias: Out, Kernel, Stride, Pad, PadEnd, Groups
	Local   Kind = "local"   // locally connected with bias, cuda-convnet's: a convolution with kernels of its own at each output position
	ReLU    Kind = "relu"    // max(0, x), the paper's section 3.1
	Tanh    Kind = "tanh"    // the hyperbolic tangent, what section 3.1 compares ReLUs with
	LRN     Kind = "lrn"     // local response normalisation over channels, section 3.3: Size, Alpha, Beta, K, Groups
	MaxPool Kind = "maxpool" // overlapping max pooling, section 3.4: Kernel, Stride, Ceil
	Dropout Kind = "dropout" // section 4.2: Rate
	FC      Kind = "fc"      // fully connected with bias: Out
	Softmax Kind = "softmax" // softmax over the classes and, when training, cross-entropy; always the last layer

	// LRNWithinChannel normalises each value by those around it in its own channel: Size,
	// Alpha, Beta, K. It is Caffe's norm_region WITHIN_CHANNEL and cuda-convnet's rnorm.
	LRNWithinChannel Kind = "lrn_within_channel"
)

// Layer is one layer of a Net. Only the fields of its Kind are set.
type Layer struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`

	Out    int  `json:"out,omitempty"`     // conv, local, fc: output channels
	Kernel int  `json:"kernel,omitempty"`  // conv, local, maxpool: side of the square window
	Stride int  `json:"stride,omitempty"`  // conv, local, maxpool: step of the window
	Pad    int  `json:"pad,omitempty"`     // conv, local: zero rows and columns on each of the four sides
	PadEnd int  `json:"pad_end,omitempty"` // conv: zero rows below and columns to the right, on top of Pad
	Groups int  `json:"groups,omitempty"`  // conv: output group g sees input group g only; lrn: channels see those of their own group only; 0 means 1
	Ceil   bool `json:"ceil,omitempty"`    // maxpool: round the output size up, windows may hang over the end

	Size  int     `json:"size,omitempty"`  // lrn: n, the number of neighbouring channels; lrn_within_channel: the side of the square window
	Alpha float64 `json:"alpha,omitempty"` // both: multiplies the sum of squares as it is, not divided by n or by the window's area
	Beta  float64 `json:"beta,omitempty"`  // both: the exponent
	K     float64 `json:"k,omitempty"`     // both: the constant

	Rate float64 `json:"rate,omitempty"` // dropout: probability of a unit being zeroed when training

	// Of layers with weights:
	InitStd     float64 `json:"init_std,omitempty"`      // standard deviation of the initial weights
	InitBias    float64 `json:"init_bias,omitempty"`     // initial value of the biases
	InitBound   float64 `json:"init_bound,omitempty"`    // instead of both, weights and biases are uniform in +-this
	BiasLRMult  float64 `json:"bias_lr_mult,omitempty"`  // learning rate of the biases over the net's; 0 means 1
	BiasNoDecay bool    `json:"bias_no_decay,omitempty"` // biases are free of weight decay
	DecayMult   float64 `json:"decay_mult,omitempty"`    // weight decay over the net's; 0 means 1
	NoDecay     bool    `json:"no_decay,omitempty"`      // weights and biases are free of weight decay
}

// Net is a feed-forward network as data. It marshals to JSON and back without
// loss. Make one with Preset, or by hand; Validate says whether it holds together.
type Net struct {
	Name    string  `json:"name"`
	Input   Shape   `json:"input"`   // the crop that the net takes
	Classes int     `json:"classes"` // outputs of the last fully connected layer
	Layers  []Layer `json:"layers"`
}

// ParamSpec describes one learnable tensor of a Net.
type ParamSpec struct {
	Name      string  // layer's name + ".weight" or ".bias"
	Shape     []int   // conv [out][in/groups][kh][kw], local [height*width][out][in*kh*kw], fc [out][in], bias [out], of local [height*width][out]
	Std       float64 // standard deviation of the initial values around Bias; 0 for a constant
	Bias      float64 // mean of the initial values
	Bound     float64 // if not 0, the initial values are uniform in +-Bound, and Std and Bias 0
	LRMult    float64 // multiplies the learning rate
	DecayMult float64 // multiplies the weight decay
}

// Len returns the number of values of the parameter.
func (p ParamSpec) Len() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// Weighted reports whether the layer has weights and biases.
func (l *Layer) Weighted() bool { return l.Kind == Conv || l.Kind == Local || l.Kind == FC }

// GroupCount returns the number of groups of a convolution or a normalisation, at
// least 1.
func (l *Layer) GroupCount() int { return max(l.Groups, 1) }

// Params returns the learnable tensors in the order of the layers, each layer's
// weight before its bias. The net must be valid.
func (n *Net) Params() []ParamSpec {
	shapes, err := n.Shapes()
	if err != nil {
		return nil
	}
	var ps []ParamSpec
	in := n.Input
	for i := range n.Layers {
		l := &n.Layers[i]
		if l.Weighted() {
			ps = append(ps, l.params(in, shapes[i])...)
		}
		in = shapes[i]
	}
	return ps
}

// params returns the weight and the bias of a layer that has them.
func (l *Layer) params(in, out Shape) []ParamSpec {
	shape, bias := []int{l.Out, in.Size()}, []int{l.Out}
	switch l.Kind {
	case Conv:
		shape = []int{l.Out, in.C / l.GroupCount(), l.Kernel, l.Kernel}
	case Local:
		shape = []int{out.H * out.W, l.Out, in.C * l.Kernel * l.Kernel}
		bias = shape[:2:2]
	}
	lr, decay := l.BiasLRMult, l.DecayMult
	if lr == 0 {
		lr = 1
	}
	if decay == 0 {
		decay = 1
	}
	if l.NoDecay {
		decay = 0
	}
	biasDecay := decay
	if l.BiasNoDecay {
		biasDecay = 0
	}
	return []ParamSpec{
		{Name: l.Name + ".weight", Shape: shape, Std: l.InitStd, Bound: l.InitBound, LRMult: 1, DecayMult: decay},
		{Name: l.Name + ".bias", Shape: bias, Bias: l.InitBias, Bound: l.InitBound, LRMult: lr, DecayMult: biasDecay},
	}
}
