// Package weights takes a net's weights in from other programs and gives them out:
//
//   - [ReadTorch] reads the state dicts that PyTorch's torch.save writes (.pth), by a
//     reader of pickles that executes nothing; [FromTorchvision] makes them, or the
//     same tensors out of a safetensors file, the weights of a [model.Net].
//   - [ReadCaffe] reads Caffe's .caffemodel; [FromCaffe] makes that the weights of a
//     net.
//   - [WriteONNX] writes a net with its weights for ONNX Runtime and others.
//
// Safetensors files themselves are [model.ReadTensors] and [model.WriteTensors].
//
// What comes from a file is believed only as far as the file has bytes for it: no
// size that a file announces is allocated before it has been checked or read.
package weights

import "slices"

// FormatError says that a file is damaged or not of its kind.
type FormatError struct {
	Format  string // "PyTorch file", "caffemodel"
	Where   string // the layer, tensor or part of the file; may be empty
	Problem string
	Err     error // the cause, or nil
}

// Error names the place and the cause.
func (e *FormatError) Error() string {
	s := "malformed " + e.Format + ": " + at(e.Where) + e.Problem
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// UnsupportedError says that a sound file, or net, has something that this package
// does not read or write, and what to do about it.
type UnsupportedError struct {
	Format  string
	Where   string // the layer, tensor or part of the file; may be empty
	Problem string
}

// Error names the place and the problem.
func (e *UnsupportedError) Error() string {
	return "unsupported " + e.Format + ": " + at(e.Where) + e.Problem
}

func at(where string) string {
	if where == "" {
		return ""
	}
	return where + ": "
}

// maxValues is the largest number of values in one tensor, that of a valid net.
const maxValues = 1 << 28

// volume returns the number of values of a shape, and false if a dimension is
// negative or there are more than maxValues.
func volume(shape []int64) (int, bool) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > maxValues {
			return 0, false
		}
		if n *= d; n > maxValues {
			return 0, false
		}
	}
	return int(n), true
}

// ints returns a checked shape as model.Tensor has it.
func ints(shape []int64) []int {
	out := make([]int, len(shape))
	for i, d := range shape {
		out[i] = int(d)
	}
	return out
}

// squeezed returns a shape without its leading ones.
func squeezed(shape []int) []int {
	i := slices.IndexFunc(shape, func(d int) bool { return d != 1 })
	if i < 0 {
		return nil
	}
	return shape[i:]
}
