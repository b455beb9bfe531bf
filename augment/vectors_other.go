//go:build !amd64 || noasm || purego

package augment

// instructions are what the processor has: nothing that this build uses.
type instructions struct{}

func processor() instructions { return instructions{} }

// vectors stands for the kernels that this build does not have.
type vectors struct{}

func newVectors(Spec, int, instructions) vectors { return vectors{} }

func (*vectors) can() bool { return false }

// divideVectors divides nothing.
func divideVectors([]float32, float32) int { return 0 }

func (*vectors) image(*Spec, *byte, *byte, Params) {}
