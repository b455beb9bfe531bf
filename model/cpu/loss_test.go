package cpu

import (
	"math"
	"testing"

	"alexnet/model"
)

func newLossBench(classes int, in layout, logits []float32, labels []int32) (*lossKernel, *call, *buffers) {
	n := len(labels)
	m := &machinery{workers: &workers{2}, arena: &arena{}, batch: n, train: true}
	k := newLossKernel(m, in, classes)
	x := make([]float32, in.capacity(n)*in.shape.Size())
	for i := range n {
		in.scatter(x, logits[i*classes:(i+1)*classes], i)
	}
	t := &buffers{x: x, y: make([]float32, n*classes), dx: garbage(len(x)), dy: []float32{1}}
	return k, &call{n: n, labels: labels, divisor: 4}, t
}

// TestLoss compares loss and gradient with central differences of the reference,
// for logits in rows and in planes. Of the five images four have a label.
func TestLoss(t *testing.T) {
	const classes, n = 6, 5
	labels := []int32{0, 5, -1, 2, 2}
	logits := randomFloats(draws(3), n*classes, 4)
	for _, in := range []layout{{shape: model.Shape{C: classes, H: 1, W: 1}, chunk: 1}, {shape: model.Shape{C: 3, H: 2, W: 1}, chunk: chunkImages}} {
		k, c, b := newLossBench(classes, in, logits, labels)
		k.forward(c, b)
		k.backward(c, b)
		z := widen(logits)
		loss := func() float64 {
			s := 0.0
			for i, l := range labels {
				s += refLoss(z[i*classes:(i+1)*classes], l)
			}
			return s
		}
		if math.Abs(k.score.Loss-loss()) > 1e-9*loss() || k.score.N != 4 {
			t.Errorf("score %+v, want loss %g of 4 images", k.score, loss())
		}
		for i := range labels {
			row := make([]float32, classes)
			in.gather(row, b.dx, i)
			want := make([]float64, classes)
			for j := range want {
				want[j] = slope(&z[i*classes+j], 1e-5, loss) / 4
			}
			compare(t, "dx", row, want, 1e-6)
			compare(t, "probabilities", b.y[i*classes:(i+1)*classes], refProbs(z[i*classes:(i+1)*classes]), 1e-6)
		}
		// Whatever follows scales the gradient.
		before := append([]float32{}, b.dx...)
		b.dy[0] = 3
		k.backward(c, b)
		for i := range labels {
			for j := range classes {
				p := in.plane(i, j/(in.shape.H*in.shape.W)) + j%(in.shape.H*in.shape.W)
				if math.Abs(float64(b.dx[p]-3*before[p])) > 1e-6 {
					t.Fatalf("dy = 3 gives %g instead of %g", b.dx[p], 3*before[p])
				}
			}
		}
	}
}

// TestRanks checks top-1 and top-5, ties among them: the lower class comes first.
func TestRanks(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		name       string
		logits     []float32
		label      int32
		top1, top5 int
	}{
		{"highest", []float32{0, 0, 9, 1, 2, 3, 4}, 2, 1, 1},
		{"fifth", []float32{5, 4, 3, 2, 1, 0, 0}, 4, 0, 1},
		{"sixth", []float32{5, 4, 3, 2, 1, 0, -1}, 5, 0, 0},
		{"first of equals", []float32{1, 1, 1, 1, 1, 1, 1}, 0, 1, 1},
		{"fifth of equals", []float32{1, 1, 1, 1, 1, 1, 1}, 4, 0, 1},
		{"sixth of equals", []float32{1, 1, 1, 1, 1, 1, 1}, 5, 0, 0},
		{"no label", []float32{1, 2, 3, 4, 5, 6, 7}, -1, 0, 0},
		{"nan is no success", []float32{nan, nan, nan, nan, nan, nan, nan}, 6, 0, 0},
		{"nan elsewhere", []float32{0, 9, nan, 0, 0, 0, 0}, 1, 0, 0},
		{"far apart", []float32{0, 1e30, 0, 0, 0, 0, -1e30}, 1, 1, 1},
	} {
		k, call, b := newLossBench(7, layout{shape: model.Shape{C: 7, H: 1, W: 1}, chunk: 1}, c.logits, []int32{c.label})
		k.forward(call, b)
		if k.score.Top1 != c.top1 || k.score.Top5 != c.top5 {
			t.Errorf("%s: top-1 %d top-5 %d, want %d %d", c.name, k.score.Top1, k.score.Top5, c.top1, c.top5)
		}
	}
}

// TestLossOfFarLogits checks that the loss does not overflow where the probability
// is zero in floating point.
func TestLossOfFarLogits(t *testing.T) {
	k, c, b := newLossBench(2, layout{shape: model.Shape{C: 2, H: 1, W: 1}, chunk: 1}, []float32{-500, 1500}, []int32{0})
	k.forward(c, b)
	if k.score.Loss != 2000 {
		t.Errorf("loss %g, want 2000", k.score.Loss)
	}
}
