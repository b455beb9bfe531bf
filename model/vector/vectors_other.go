//go:build !amd64 || noasm || purego

package vector

// instructions are what the processor has: nothing that this build uses. Each method
// leaves all values to the plain loops.
type instructions struct{}

// kernels are those that the processor can run.
var kernels instructions //nolint:gochecknoglobals // read only

func (instructions) update(_, _, _ []float32, _, _, _ float32) (int, uint32) { return 0, 0 }
func (instructions) addScaled(_, _ []float32, _ float32) int                 { return 0 }
func (instructions) scale(_, _ []float32, _ float32) int                     { return 0 }
func (instructions) follow(_, _ []float32, _ float32) int                    { return 0 }
func (instructions) multiply(_, _, _ []float32) int                          { return 0 }
func (instructions) relu(_, _ []float32) int                                 { return 0 }
func (instructions) reluBackward(_, _, _ []float32) int                      { return 0 }
func (instructions) largest(_ []float32) (int, uint32)                       { return 0, 0 }
func (instructions) squares(_ *squareSums, _ []float32) int                  { return 0 }
func (instructions) mask(_ []float32, _ *philox, _ uint32) int               { return 0 }
