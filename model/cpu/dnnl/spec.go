package dnnl

// Type is what values are stored as.
type Type int

// The types. In memory that is counted in float32s, two of BFloat16 take the place
// of one.
const (
	Float32  Type = iota
	BFloat16      // the upper half of a float32, rounded to nearest, ties to even
)

// Conv describes a convolution of a batch of square windows.
type Conv struct {
	Batch                  int
	In, InH, InW           int // channels, height, width
	Out, OutH, OutW        int
	Groups, Kernel, Stride int
	Pad                    int // zero rows and columns before the first; behind the last there are as many as the output needs
	Type                   Type
	From                   *Desc // the order of the input; nil: the library's choice
}

// WeightDims returns the dimensions of the weights. Their row-major order is
// [out][in/groups][height][width], with groups or without.
func (v *Conv) WeightDims() []int {
	if v.Groups == 1 {
		return []int{v.Out, v.In, v.Kernel, v.Kernel}
	}
	return []int{v.Groups, v.Out / v.Groups, v.In / v.Groups, v.Kernel, v.Kernel}
}

// Product describes a fully connected layer. Of float32 all its orders are
// row-major: oneDNN is no slower so, and weights need no copy. Of BFloat16 the
// weights, which are a copy of their own anyway, are in an order of the library's.
type Product struct {
	Batch, In, Out int
	Type           Type
	Wide           bool // the output is float32 whatever the type; its gradient is not
}

// Pool describes a max-pooling of a batch by square windows, which may hang over
// the end.
type Pool struct {
	Batch, Channels      int
	InH, InW, OutH, OutW int
	Kernel, Stride       int
	Type                 Type
	Training             bool // keep in Workspace what the backward pass needs
}

// Norm describes a local response normalisation across channels,
// y = x * (K + Alpha/Size * sum of squares)^-Beta, or Within each channel, over a
// square window: Alpha/Size^2.
type Norm struct {
	Size           int
	Alpha, Beta, K float32
	Within         bool
	Training       bool
}

// Buffer is memory in a role; of another type than float32, as many bytes.
type Buffer struct {
	Arg  Arg
	Data []float32
}
