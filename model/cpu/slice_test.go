package cpu

import (
	"fmt"
	"math"
	"testing"

	"alexnet/model"
)

// Ranks that train on slices of a batch have the scores and, combined by the images
// that count, the gradients of the whole: also where an image's values do not begin with
// a group of dropout's positions.
func TestSlices(t *testing.T) {
	backends(t, func(t *testing.T, o Options, tolerance float64) { checkSlices(t, tinyNet(), o, tolerance) })
}

// backends are what computes, with the distance that gradients may have from those that
// were summed in another order.
func backends(t *testing.T, f func(t *testing.T, o Options, tolerance float64)) {
	for name, o := range map[string]Options{"plain": {Backend: Plain}, "oneDNN": {Backend: OneDNN}, "bfloat16": {Backend: OneDNN, Precision: BF16}} {
		t.Run(name, func(t *testing.T) {
			tolerance := 1e-5
			switch {
			case o.Precision == BF16:
				needHalf(t)
				tolerance = 0.03
			case o.Backend == OneDNN:
				needLibrary(t)
			}
			o.Threads = 2
			f(t, o, tolerance)
		})
	}
}

// checkNear fails unless gradients are near each other.
func checkNear(t *testing.T, what string, net *model.Net, got, want [][]float32, tolerance float64) {
	t.Helper()
	for i, g := range want {
		var diff, norm float64
		for j, v := range g {
			diff += math.Pow(float64(got[i][j])-float64(v), 2)
			norm += math.Pow(float64(v), 2)
		}
		if distance := math.Sqrt(diff / norm); !(distance <= tolerance) {
			t.Errorf("%s: the gradient of %s differs by %.2g", what, net.Params()[i].Name, distance)
		}
	}
}

func checkSlices(t *testing.T, net *model.Net, o Options, tolerance float64) {
	const n, step = 7, 5
	images, labels := examples(net, n, 1, 8)
	labels[2] = -1
	o.Batch = n
	whole := newEngine(t, net, o)
	want := backward(t, whole, images, labels, step)
	grads := gradients(t, whole)
	for _, cuts := range [][]int{{0, 4, 7}, {0, 2, 3, 7}} {
		var score model.Score
		sum := make([][]float32, len(grads))
		o.Batch = 4
		e := newEngine(t, net, o)
		for r := range len(cuts) - 1 {
			from, to := cuts[r], cuts[r+1]
			e.SetFirst(from)
			s := backward(t, e, images[from*net.Input.Size():], labels[from:to], step)
			score.Add(s)
			for i, g := range gradients(t, e) {
				if sum[i] == nil {
					sum[i] = make([]float32, len(g))
				}
				for j, v := range g {
					sum[i][j] += v * float32(s.N) / float32(want.N)
				}
			}
		}
		if score.N != want.N || o.Precision != BF16 && score.Top5 != want.Top5 || math.Abs(score.Loss-want.Loss) > tolerance*want.Loss {
			t.Errorf("slices %v: the score is %+v, of the whole %+v", cuts, score, want)
		}
		checkNear(t, fmt.Sprint("slices ", cuts), net, sum, grads, tolerance)
	}
}
