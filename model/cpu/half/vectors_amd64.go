//go:build amd64 && !noasm && !purego

package half

import "golang.org/x/sys/cpu"

//go:generate sh -c "cd _gen && go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg half"

// hasVectors reports whether the processor runs the vector kernels.
func hasVectors() bool {
	x := &cpu.X86
	return x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL
}

// foldVector is FoldRow for as many of the blocks, which lie within the row, as it can
// do, and returns their number.
func foldVector(dst []uint16, row []float32, blocks, channels int) int {
	blocks = blocks / foldGroup * foldGroup
	if blocks <= 0 || !hasVectors() {
		return 0
	}
	_, _ = dst[(blocks-1)*channels+foldStride-1], row[blocks*foldStride-1]
	foldRow(&dst[0], &row[0], blocks, 2*channels)
	return blocks
}

// forwardVector needs whole positions of whole blocks.
func (l LRN) forwardVector(y, x []uint16) {
	positions := len(x) / l.Channels
	_ = y[positions*l.Channels-1]
	lrnForward(&y[0], &x[0], positions, l.Channels/lrnBlock, l.Alpha, l.K)
}

// backwardVector is the same for the gradient.
func (l LRN) backwardVector(dx, x, dy []uint16) {
	positions := len(x) / l.Channels
	_, _ = dx[positions*l.Channels-1], dy[positions*l.Channels-1]
	lrnBackward(&dx[0], &x[0], &dy[0], positions, l.Channels/lrnBlock, l.Alpha, l.K, l.factor())
}
