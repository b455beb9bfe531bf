package cpu

import (
	"math"
	"testing"

	"alexnet/model"
)

// Ranks that train on slices of a batch have the scores and, combined by the images
// that count, the gradients of the whole: also where an image's values do not begin with
// a group of dropout's positions.
func TestSlices(t *testing.T) {
	backends := map[string]Options{"plain": {Backend: Plain}, "oneDNN": {Backend: OneDNN}, "bfloat16": {Backend: OneDNN, Precision: BF16}}
	for name, o := range backends {
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
			checkSlices(t, tinyNet(), o, tolerance)
		})
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
		sum := make([][]float64, len(grads))
		o.Batch = 4
		e := newEngine(t, net, o)
		for r := range len(cuts) - 1 {
			from, to := cuts[r], cuts[r+1]
			e.SetFirst(from)
			s := backward(t, e, images[from*net.Input.Size():], labels[from:to], step)
			score.Add(s)
			for i, g := range gradients(t, e) {
				if sum[i] == nil {
					sum[i] = make([]float64, len(g))
				}
				for j, v := range g {
					sum[i][j] += float64(s.N) * float64(v) / float64(want.N)
				}
			}
		}
		if score.N != want.N || o.Precision != BF16 && score.Top5 != want.Top5 || math.Abs(score.Loss-want.Loss) > tolerance*want.Loss {
			t.Errorf("slices %v: the score is %+v, of the whole %+v", cuts, score, want)
		}
		for i, g := range grads {
			var diff, norm float64
			for j, v := range g {
				diff += math.Pow(sum[i][j]-float64(v), 2)
				norm += math.Pow(float64(v), 2)
			}
			if distance := math.Sqrt(diff / norm); !(distance < tolerance) {
				t.Errorf("slices %v: the gradient of %s differs by %.2g", cuts, net.Params()[i].Name, distance)
			}
		}
	}
}
