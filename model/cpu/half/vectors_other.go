//go:build !amd64 || noasm || purego

package half

func hasVectors() bool { return false }

func foldVector(_ []uint16, _ []float32, _, _ int) int { return 0 }

func (l LRN) forwardVector(_, _ []uint16)     {}
func (l LRN) backwardVector(_, _, _ []uint16) {}
