//go:build !amd64 || noasm || purego

package gemm

func processor() instructions { return plain }

// tile runs the micro-kernel on a whole tile.
func (k Kernel) tile(kc int, a, b, c []float32, ldc int, add bool) {
	tilePlain(k.MR(), k.NR(), kc, a, b, c, ldc, add)
}

// packRuns is not called: the plain kernel has no runs.
func packRuns([]float32, int, []float32, []int, []group) {}
