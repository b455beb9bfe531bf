package records

import "errors"

// MeanScale is the number of steps in one grey level of Mean.Mean.
const MeanScale = 1024

// Mean is the mean picture of the training split, and the baseline that Int16
// pixels are differences from.
type Mean struct {
	Shape Shape
	// Mean holds the mean of each value over the training pictures, planar,
	// 0 to 255, rounded to multiples of 1/MeanScale. That makes every
	// difference that the stream takes exact in float32.
	Mean []float32
	// Baseline is what the stored values are differences from, planar: the
	// rounded mean of a sample for Int16, zeros for Uint8.
	Baseline []uint8
}

// Subtrahend returns what is left to subtract from a stored value to get
// picture - mean: the mean for Uint8, the mean less the baseline for Int16.
// Every value is exact. The slice is new.
func (m *Mean) Subtrahend(p PixelType) []float32 { return nil }

// WriteMean writes m to path, atomically: an Arrow file with one row.
func WriteMean(path string, m *Mean) (FileInfo, error) { return FileInfo{}, errors.ErrUnsupported }

// ReadMean reads what WriteMean wrote and checks that it is well-formed; the
// digest is for the caller to check (Open does).
func ReadMean(path string) (*Mean, error) { return nil, errors.ErrUnsupported }
