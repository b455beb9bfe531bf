package device

import "errors"

// ErrUnsupported is what the errors of a Library and its Convolvers are (errors.Is) when it
// has no way to compute what is asked for.
var ErrUnsupported = errors.New("the library has no way to compute it")

// Library computes on a device's streams what vendors' libraries compute best:
// convolutions (cuDNN) and products of matrices (cuBLAS).
type Library interface {
	// Name names the libraries and their releases: "cuDNN 9.10.2, cuBLAS 13.0.2".
	Name() string

	// Convolution plans a convolution. It returns an ErrUnsupported when the library has no
	// way to compute it; so may the first call of the plan's methods.
	Convolution(c Convolution) (Convolver, error)

	// Product queues c = op(a) op(b).
	Product(s Stream, p Product, c, a, b Ptr) error

	// Forget says that nothing more will be queued in a stream, whose work is done: what the
	// library has for it is free for another one.
	Forget(s Stream)

	Close() error
}

// Arithmetic is how a library computes.
type Arithmetic int

// The kinds of arithmetic. Sums are float32 in all of them.
const (
	Float32       Arithmetic = iota // values of float32, products of float32
	TensorFloat32                   // values of float32, products of their first 11 bits (TF32)
	BFloat16                        // values and products of bfloat16
)

// Bytes returns the size of a value.
func (a Arithmetic) Bytes() int {
	if a == BFloat16 {
		return 2
	}
	return 4
}

// Convolution describes a convolution, a cross-correlation like all of this field: the
// images x are N x H x W x C, the weights w Out x Kernel x Kernel x C/Groups, the result
// y is N x OutH x OutW x Out, all in this order in memory and of the arithmetic's type.
type Convolution struct {
	Arithmetic
	N, H, W, C int
	Out        int
	Kernel     int // side of the square window
	Stride     int
	Pad        int // zero rows and columns on each of the four sides
	Groups     int // output group g sees input group g only; at least 1

	// NeedData says that the gradient of the images is wanted, NeedWeights that that of
	// the weights is.
	NeedData, NeedWeights bool

	// Workspace is the most memory, in bytes, that it may take beside its operands.
	Workspace int
	// Repeatable allows only what gives the same bits each time.
	Repeatable bool
}

// OutH returns the height of the result.
func (c *Convolution) OutH() int { return (c.H+2*c.Pad-c.Kernel)/c.Stride + 1 }

// OutW returns the width of the result.
func (c *Convolution) OutW() int { return (c.W+2*c.Pad-c.Kernel)/c.Stride + 1 }

// Convolver computes a planned convolution. work is memory of Workspace bytes, which
// nothing else may use before the call's work is done.
type Convolver interface {
	// Workspace returns the bytes of memory that its methods need beside their operands.
	Workspace() int
	// Forward queues y = x * w.
	Forward(s Stream, y, x, w, work Ptr) error
	// BackwardWeights queues dw, of w's type, from x and the gradient dy of y.
	BackwardWeights(s Stream, dw, x, dy, work Ptr) error
	// BackwardData queues dx from w and dy.
	BackwardData(s Stream, dx, dy, w, work Ptr) error
	// Algorithms names those that were chosen, for reports.
	Algorithms() string
	Close() error
}

// Product describes a product of matrices in row-major order without gaps: op(a) is
// M x K, op(b) K x N, c M x N. a and b are of the arithmetic's type.
type Product struct {
	Arithmetic
	M, N, K        int
	TransA, TransB bool // a lies in memory as K x M, b as N x K
	// Wide makes c float32 whatever a and b are.
	Wide bool
}
