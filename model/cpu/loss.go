package cpu

import (
	"math"

	"alexnet/model"
)

// lossKernel computes the softmax of the logits and, when training, the
// cross-entropy with the labels. Its output is the probabilities.
type lossKernel struct {
	m       *machinery
	in      layout
	classes int
	score   model.Score // of the last forward
	losses  []float64   // of each image, summed in order afterwards
	ranks   []int       // of each image's label, -1 if it has none
}

func newLossKernel(m *machinery, in layout, classes int) *lossKernel {
	return &lossKernel{m: m, in: in, classes: classes, losses: make([]float64, m.batch), ranks: make([]int, m.batch)}
}

func (k *lossKernel) forward(c *call, t *buffers) {
	k.m.each(c.n, func(_, image int) {
		row := t.y[image*k.classes : (image+1)*k.classes]
		k.in.gather(row, t.x, image)
		label := int32(-1)
		if c.labels != nil {
			label = c.labels[image]
		}
		k.losses[image], k.ranks[image] = softmax(row, label)
	})
	k.score = model.Score{}
	for i := range c.n {
		if k.ranks[i] < 0 {
			continue
		}
		k.score.N++
		k.score.Loss += k.losses[i]
		if k.ranks[i] < 1 {
			k.score.Top1++
		}
		if k.ranks[i] < 5 {
			k.score.Top5++
		}
	}
}

// softmax replaces logits by probabilities, and returns the label's cross-entropy
// and its rank, from 0. Of equal probabilities the lower class ranks first. For
// the label -1 it returns 0 and -1.
func softmax(row []float32, label int32) (loss float64, rank int) {
	top := math.Inf(-1)
	for _, v := range row {
		top = max(top, float64(v))
	}
	var total, logit float64
	for i, v := range row {
		d := float64(v) - top
		if int32(i) == label {
			logit = d
		}
		e := math.Exp(d)
		total += e
		row[i] = float32(e)
	}
	for i, e := range row {
		row[i] = float32(float64(e) / total)
	}
	if label < 0 {
		return 0, -1
	}
	p := row[label]
	for j, q := range row {
		// Not ahead are those with less, and equals behind; a NaN is ahead.
		if j != int(label) && !(q < p || q == p && j > int(label)) {
			rank++
		}
	}
	return math.Log(total) - logit, rank
}

// backward sets dx to the gradient of the sum of losses by the call's divisor, which makes
// a mean of it, times dy[0], the gradient of whatever follows with respect to it.
func (k *lossKernel) backward(c *call, t *buffers) {
	if t.dx == nil {
		return
	}
	scale := t.dy[0] / float32(max(c.divisor, 1))
	k.m.blank(c.n, t.dx, k.in)
	for image := range c.n {
		hw := k.in.shape.H * k.in.shape.W
		label := c.labels[image]
		for j, p := range t.y[image*k.classes : (image+1)*k.classes] {
			d := p
			if int32(j) == label {
				d--
			}
			if label < 0 {
				d = 0
			}
			t.dx[k.in.plane(image, j/hw)+j%hw] = d * scale
		}
	}
}
