package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"alexnet/model/gpu/device"
)

// softmax is that of model/cpu.
func softmax(row []float32, label int32) (probs []float64, loss float64, rank int32) {
	top, total := math.Inf(-1), 0.0
	for _, v := range row {
		top = max(top, float64(v))
	}
	for _, v := range row {
		e := math.Exp(float64(v) - top)
		total += e
		probs = append(probs, float64(float32(e)))
	}
	for i := range probs {
		probs[i] = float64(float32(probs[i] / total))
	}
	if label < 0 {
		return probs, 0, -1
	}
	for j, q := range probs {
		p := probs[label]
		if j != int(label) && !(q < p || q == p && j > int(label)) {
			rank++
		}
	}
	return probs, math.Log(total) - (float64(row[label]) - top), rank
}

func TestSoftmaxLoss(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	g := newGPU(t)
	for _, typ := range types() {
		for _, classes := range []int{1, 10, 255, 1000} {
			rows := [][]float32{
				random(r, Float32, classes, 1), random(r, Float32, classes, 1), random(r, Float32, classes, 100),
				make([]float32, classes), // equals: ranks are classes
				random(r, Float32, classes, 1), random(r, Float32, classes, 1), random(r, Float32, classes, 1), random(r, Float32, classes, 1),
			}
			rows[4][classes/2], rows[5][classes/3], rows[6][classes-1], rows[7][0] = nan, inf, -inf, nan
			labels := []int32{int32(classes / 2), -1, 0, int32(classes - 1), 0, 0, 0, -1}
			testSoftmaxLoss(g, fmt.Sprint(typ, classes), typ, rows, labels, 0.25)
		}
	}
	// Without labels.
	testSoftmaxLoss(g, "no labels", Float32, [][]float32{random(r, Float32, 12, 3)}, nil, 1)
}

func testSoftmaxLoss(g *gpu, what string, typ Type, rows [][]float32, labels []int32, scale float32) {
	g.t.Helper()
	n, classes := len(rows), len(rows[0])
	var logits []float32
	var probs, d, losses, ranks []float64
	for i, row := range rows {
		label := int32(-1)
		if labels != nil {
			label = labels[i]
		}
		p, loss, rank := softmax(row, label)
		logits, probs, losses, ranks = append(logits, row...), append(probs, p...), append(losses, loss), append(ranks, float64(rank))
		for j, v := range p {
			switch {
			case label < 0:
				v = 0
			case j == int(label):
				v--
			}
			d = append(d, v*float64(scale))
		}
	}
	control := Control{LossScale: scale}
	if labels != nil {
		control.Labels = words(g, labels...)
	}
	at := map[string]device.Ptr{"d": g.room(typ, n*classes, 0), "probs": g.room(Float32, n*classes, 0), "losses": g.room(Float32, n, 0), "ranks": g.bytes(4*n, 0)}
	in, ctl := g.values(Float32, logits, 0), g.control(control)
	g.do(g.set.SoftmaxLoss(g, typ, at["d"], at["probs"], at["losses"], at["ranks"], in, ctl, n, classes))
	compare(g, what+" probs", Float32, g.read(Float32, at["probs"], n*classes), probs, 2e-6, 1e-37)
	compare(g, what+" losses", Float32, g.read(Float32, at["losses"], n), losses, 1e-6, 1)
	compare(g, what+" d", typ, g.read(typ, at["d"], n*classes), d, 2e-6, 0.1)
	for i, want := range ranks {
		if got := int32(binary.LittleEndian.Uint32(g.view(at["ranks"].Add(4*i), 4))); got != int32(want) {
			g.t.Errorf("%s: the label of image %d has rank %d, want %v", what, i, got, want)
		}
	}
	g.do(g.set.SoftmaxLoss(g, typ, 0, at["probs"], at["losses"], at["ranks"], in, ctl, n, classes))
}
