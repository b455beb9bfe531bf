package cpu

import (
	"fmt"

	"alexnet/model"
)

var _ model.FeatureEngine = (*Engine)(nil)

// Features implements model.FeatureEngine: it runs a program for prediction that ends
// with the layer. Memory is kept for the layer that was asked for last.
func (e *Engine) Features(layer string, images []float32, n int, features []float32) error {
	began := e.profile.now()
	index, shape, err := e.net.FeatureLayer(layer)
	if err != nil {
		return fmt.Errorf("features: %w", err)
	}
	input, err := e.load(images, n)
	if err != nil {
		return fmt.Errorf("features: %w", err)
	}
	if len(features) < n*shape.Size() {
		return fmt.Errorf("features: room for %d values of %d images with %d", len(features), n, shape.Size())
	}
	if e.features != nil && len(e.features.layers) != index+2 {
		err := e.features.machine.Close()
		if e.features = nil; err != nil {
			return fmt.Errorf("features: %w", err)
		}
	}
	if e.features == nil {
		if e.features, err = compileLayers(&e.shared, false, index+1); err != nil {
			return fmt.Errorf("features: %w", err)
		}
	}
	if err := e.features.run(call{images: input, n: n, weights: e.version}); err != nil {
		return fmt.Errorf("features: %w", err)
	}
	copy(features, e.features.probs[:n*shape.Size()])
	e.profile.ended(func(p *Profile) *int { return &p.Predictions }, began)
	return nil
}

// planRows ends a program with what sets out the last layer's output in rows.
func (b *builder) planRows(at layout) error {
	size := at.shape.Size()
	plain := at
	p := &layerPlan{in: at, out: layout{shape: model.Shape{C: size, H: 1, W: 1}, chunk: 1}}
	if at.native != nil {
		plain = layout{shape: at.shape, chunk: 1}
	}
	p.kernel = &rowsKernel{m: b.m, in: plain}
	if at.native != nil {
		border, err := b.m.newBorder(at)
		if err != nil {
			return err
		}
		p.kernel = &borderKernel{m: b.m, inner: p.kernel, border: border}
	}
	b.plans = append(b.plans, p)
	b.p.layers = append(b.p.layers, &layerNodes{name: "rows of " + b.p.layers[len(b.p.layers)-1].name, plan: p, call: b.p.call})
	return nil
}

// rowsKernel copies feature maps to the usual order.
type rowsKernel struct {
	m  *machinery
	in layout
}

func (k *rowsKernel) forward(c *call, t *buffers) {
	size := k.in.shape.Size()
	k.m.each(c.n, func(_, image int) {
		k.in.gather(t.y[image*size:][:size], t.x, image)
	})
}

// backward is never called: programs for features have no backward pass.
func (k *rowsKernel) backward(*call, *buffers) {}
