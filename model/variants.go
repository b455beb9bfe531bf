package model

import "slices"

// The functions of this file return changed copies of a net: what the paper
// compares its net with. Names of nets and layers stay, and with them the recipe
// and the initial weights of the layers whose sizes do not change.

// clone returns a copy whose layers can be changed.
func (n *Net) clone() *Net {
	c := *n
	c.Layers = slices.Clone(n.Layers)
	return &c
}

// without returns a copy without the layers of some kinds.
func (n *Net) without(kinds ...Kind) *Net {
	c := n.clone()
	c.Layers = slices.DeleteFunc(c.Layers, func(l Layer) bool { return slices.Contains(kinds, l.Kind) })
	return c
}

// WithoutLRN returns the net without local response normalisation (section 3.3 of
// the paper: worth 1.4 % of top-1 error), across channels and within them.
func (n *Net) WithoutLRN() *Net { return n.without(LRN, LRNWithinChannel) }

// WithoutOverlap returns the net with pooling windows that do not overlap, as large
// as their step: 2x2 and 2 where the paper has 3x3 and 2 (section 3.4: worth 0.4 %
// of top-1 error). In the nets of Preset no size changes.
func (n *Net) WithoutOverlap() *Net {
	c := n.clone()
	for i := range c.Layers {
		if l := &c.Layers[i]; l.Kind == MaxPool {
			l.Kernel = min(l.Kernel, l.Stride)
		}
	}
	return c
}

// SingleTower returns the net with convolutions and normalisations that see all
// channels of their input, not only those of their own GPU of 2012. It has more weights (alexnet
// 62,378,344); the net that section 3.2 compares with, which fits one of those GPUs,
// is HalfTower's.
func (n *Net) SingleTower() *Net {
	c := n.clone()
	for i := range c.Layers {
		c.Layers[i].Groups = 0
	}
	return c
}

// HalfTower returns the net that section 3.2 compares the two towers with (worth 1.7 %
// of top-1 error): a single one with half the kernels in each convolution but the
// last (its footnote: most parameters are in the layer after that), so that it has about
// as many parameters. Odd numbers of kernels are rounded up.
func (n *Net) HalfTower() *Net {
	c := n.SingleTower()
	last := -1
	for i, l := range c.Layers {
		if l.Kind == Conv {
			last = i
		}
	}
	for i := range max(last, 0) {
		if l := &c.Layers[i]; l.Kind == Conv {
			l.Out = (l.Out + 1) / 2
		}
	}
	return c
}

// WithDropout returns the net with another rate of dropout, in [0, 1); 0 takes the
// layers away. Validate finds a rate that cannot be.
func (n *Net) WithDropout(rate float64) *Net {
	if rate == 0 {
		return n.without(Dropout)
	}
	c := n.clone()
	for i := range c.Layers {
		if l := &c.Layers[i]; l.Kind == Dropout {
			l.Rate = rate
		}
	}
	return c
}

// WithActivation returns the net with ReLU or Tanh as its only non-linearity
// (section 3.1). Validate finds a kind that is no layer.
func (n *Net) WithActivation(k Kind) *Net {
	c := n.clone()
	for i := range c.Layers {
		if l := &c.Layers[i]; l.Kind == ReLU || l.Kind == Tanh {
			l.Kind = k
		}
	}
	return c
}
