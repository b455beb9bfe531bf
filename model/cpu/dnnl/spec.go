package dnnl

// Conv describes a convolution of a batch of square windows.
type Conv struct {
	Batch                  int
	In, InH, InW           int // channels, height, width
	Out, OutH, OutW        int
	Groups, Kernel, Stride int
	Pad                    int // zero rows and columns before the first; behind the last there are as many as the output needs
}

// WeightDims returns the dimensions of the weights. Their row-major order is
// [out][in/groups][height][width], with groups or without.
func (v *Conv) WeightDims() []int {
	if v.Groups == 1 {
		return []int{v.Out, v.In, v.Kernel, v.Kernel}
	}
	return []int{v.Groups, v.Out / v.Groups, v.In / v.Groups, v.Kernel, v.Kernel}
}

// Product describes a fully connected layer. All its orders are row-major: oneDNN
// is no slower so, and weights need no copy.
type Product struct{ Batch, In, Out int }

// Pool describes a max-pooling of a batch by square windows, which may hang over
// the end.
type Pool struct {
	Batch, Channels      int
	InH, InW, OutH, OutW int
	Kernel, Stride       int
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

// Buffer is memory in a role.
type Buffer struct {
	Arg  Arg
	Data []float32
}
