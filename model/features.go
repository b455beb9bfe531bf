package model

import "fmt"

// FeatureLayer returns the index of the layer whose output the features called name
// are, and its shape: that of the activation right after the layer of that name, if
// there is one, else of the layer itself. So the features "fc7" of the paper's net are
// those of its section 6.1, 4096 values after the ReLU and before the dropout. The
// net must be valid.
func (n *Net) FeatureLayer(name string) (index int, shape Shape, err error) {
	shapes, err := n.Shapes()
	if err != nil {
		return 0, Shape{}, err
	}
	for i := range n.Layers {
		switch {
		case n.Layers[i].Name != name:
			continue
		case n.Layers[i].Kind == Softmax:
			return 0, Shape{}, &LayerError{Net: n.Name, Layer: name, Problem: "gives the probabilities, which are no features: predict them, or take the layer before"}
		}
		if next := n.Layers[i+1].Kind; next == ReLU || next == Tanh {
			i++
		}
		return i, shapes[i], nil
	}
	return 0, Shape{}, &LayerError{Net: n.Name, Problem: fmt.Sprintf("there is no layer %q: `inspect net` shows the layers", name)}
}

// LastHidden returns the name of the last layer with weights before the classifier:
// "fc7" in the paper's net. It is empty where there is none. The net must be valid.
func (n *Net) LastHidden() string {
	last, hidden := "", ""
	for i := range n.Layers {
		if l := &n.Layers[i]; l.Weighted() {
			last, hidden = l.Name, last
		}
	}
	return hidden
}
