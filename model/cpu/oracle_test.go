package cpu

import (
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"alexnet/model"
)

// gorgonia's own operations serve as a second oracle where they are right:
// convolution without groups, max-pooling, products of matrices. (Its dropout is
// wrong unless the rate is a half, and it has no local response normalisation.)

// stock builds a graph of gorgonia's operations, runs it, and returns the output
// and the gradients of sum(output*dy) with respect to x and w.
func stock(t *testing.T, x, w, dy *tensor.Dense, build func(x, w *G.Node) (*G.Node, error)) (y, dx, dw []float32) {
	t.Helper()
	g := G.NewGraph()
	node := func(name string, v *tensor.Dense) *G.Node {
		return G.NewTensor(g, tensor.Float32, v.Dims(), G.WithShape(v.Shape()...), G.WithName(name), G.WithValue(v))
	}
	xn := node("x", x)
	params := G.Nodes{xn}
	var wn *G.Node
	if w != nil {
		wn = node("w", w)
		params = append(params, wn)
	}
	yn, err := build(xn, wn)
	if err != nil {
		t.Fatal(err)
	}
	loss := G.Must(G.Sum(G.Must(G.HadamardProd(yn, node("dy", dy)))))
	grads, err := G.Grad(loss, params...)
	if err != nil {
		t.Fatal(err)
	}
	var out, gx, gw G.Value
	G.Read(yn, &out)
	G.Read(grads[0], &gx)
	if w != nil {
		G.Read(grads[1], &gw)
	}
	m := G.NewTapeMachine(g)
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	y, dx = out.Data().([]float32), gx.Data().([]float32)
	if w != nil {
		dw = gw.Data().([]float32)
	}
	return y, dx, dw
}

// against runs a bench and compares it with the stock operations.
func against(t *testing.T, b *bench, wShape []int, build func(x, w *G.Node) (*G.Node, error)) {
	t.Helper()
	clear(b.t.b)
	b.plan.kernel.forward(&b.call, &b.t)
	b.plan.kernel.backward(&b.call, &b.t)
	dims := func(s model.Shape) []int {
		if b.layer.Kind == model.FC {
			return []int{b.call.n, s.Size()}
		}
		return []int{b.call.n, s.C, s.H, s.W}
	}
	var w *tensor.Dense
	if wShape != nil {
		w = dense(append([]float32{}, b.t.w...), wShape...)
	}
	y, dx, dw := stock(t, dense(b.x, dims(b.in)...), w, dense(b.dy, dims(b.out)...), build)
	compare(t, "y", b.take(b.plan.out, b.t.y), widen(y), sumTolerance)
	compare(t, "dx", b.take(b.plan.in, b.t.dx), widen(dx), sumTolerance)
	if w != nil {
		compare(t, "dw", b.t.dw, widen(dw), sumTolerance)
	}
}

func TestConvAgainstGorgonia(t *testing.T) {
	for i, c := range []struct {
		l  model.Layer
		in model.Shape
		n  int
	}{
		{model.Layer{Out: 5, Kernel: 3, Stride: 1, Pad: 1}, model.Shape{C: 3, H: 7, W: 7}, 3},
		{model.Layer{Out: 4, Kernel: 5, Stride: 2, Pad: 2}, model.Shape{C: 2, H: 11, W: 9}, 9},
		{model.Layer{Out: 2, Kernel: 4, Stride: 4}, model.Shape{C: 3, H: 12, W: 16}, 2},
	} {
		c.l.Kind = model.Conv
		k, p, s := c.l.Kernel, c.l.Pad, c.l.Stride
		b := newBench(t, c.l, c.in, c.n, c.n, 1, 2, uint64(i))
		against(t, b, []int{c.l.Out, c.in.C, k, k}, func(x, w *G.Node) (*G.Node, error) {
			return G.Conv2d(x, w, tensor.Shape{k, k}, []int{p, p}, []int{s, s}, []int{1, 1})
		})
	}
}

func TestMaxPoolAgainstGorgonia(t *testing.T) {
	for i, in := range []model.Shape{{C: 3, H: 7, W: 7}, {C: 2, H: 11, W: 9}} {
		b := newBench(t, model.Layer{Kind: model.MaxPool, Kernel: 3, Stride: 2}, in, 4, 4, 4, 2, uint64(i))
		against(t, b, nil, func(x, _ *G.Node) (*G.Node, error) {
			return G.MaxPool2D(x, tensor.Shape{3, 3}, []int{0, 0}, []int{2, 2})
		})
	}
}

func TestFCAgainstGorgonia(t *testing.T) {
	b := newBench(t, model.Layer{Kind: model.FC, Out: 6}, model.Shape{C: 5, H: 2, W: 2}, 7, 7, 1, 2, 1)
	against(t, b, []int{6, 20}, func(x, w *G.Node) (*G.Node, error) {
		wt, err := G.Transpose(w, 1, 0)
		if err != nil {
			return nil, err
		}
		return G.Mul(x, wt)
	})
}
