package model

import (
	"fmt"
	"slices"
	"strings"
)

// Classifier returns the name of the last fully connected layer, whose outputs are the
// classes, or "" in a net without one.
func (n *Net) Classifier() string {
	for i := len(n.Layers) - 1; i >= 0; i-- {
		if n.Layers[i].Kind == FC {
			return n.Layers[i].Name
		}
	}
	return ""
}

// Graft makes the first weights of a net out of those of another, as for a net that was
// trained for other classes and is to be fine-tuned (section 6 of the paper). The
// layers named in fresh get initial weights that are a function of the seed, those of
// Init; the weights of all others come from ts, unchanged. Order does not matter, and
// what ts holds of fresh layers is not looked at.
//
// Errors: a name in fresh that is no layer with weights, and a *MismatchError that
// lists all layers for which ts does not have weights of their sizes, and weights that
// belong to none. The net must be valid. The result shares memory with ts.
func (n *Net) Graft(ts []Tensor, seed uint64, fresh ...string) ([]Tensor, error) {
	for _, name := range fresh {
		at := slices.IndexFunc(n.Layers, func(l Layer) bool { return l.Name == name })
		if at < 0 || !n.Layers[at].Weighted() {
			return nil, fmt.Errorf("net %s has no layer %q with weights", n.Name, name)
		}
	}
	given := make(map[string]Tensor, len(ts))
	for _, t := range ts {
		given[t.Name] = t
	}
	var made []Tensor
	var problems []string
	for _, p := range n.Params() {
		t, ok := given[p.Name]
		delete(given, p.Name)
		switch {
		case slices.Contains(fresh, layerOf(p.Name)):
			t = p.initial(seed)
		case !ok:
			problems = append(problems, p.Name+" is missing")
		case !slices.Equal(t.Shape, p.Shape):
			problems = append(problems, fmt.Sprintf("%s is %v, the net needs %v", p.Name, t.Shape, p.Shape))
		case len(t.Data) != p.Len():
			problems = append(problems, fmt.Sprintf("%s has %d values for its shape %v", p.Name, len(t.Data), t.Shape))
		}
		made = append(made, t)
	}
	for _, t := range ts {
		if _, left := given[t.Name]; left && !slices.Contains(fresh, layerOf(t.Name)) {
			problems = append(problems, t.Name+" is not a parameter of the net")
		}
	}
	if len(problems) > 0 {
		return nil, &MismatchError{Net: n.Name, Problem: strings.Join(problems, "; ")}
	}
	return made, nil
}

// Misfits returns the names of the layers of the net for which ts does not have weights
// of their sizes, in their order: those that Graft would need to draw. The net must be
// valid.
func (n *Net) Misfits(ts []Tensor) []string {
	given := make(map[string]Tensor, len(ts))
	for _, t := range ts {
		given[t.Name] = t
	}
	var layers []string
	for _, p := range n.Params() {
		t := given[p.Name]
		if layer := layerOf(p.Name); (!slices.Equal(t.Shape, p.Shape) || len(t.Data) != p.Len()) && !slices.Contains(layers, layer) {
			layers = append(layers, layer)
		}
	}
	return layers
}

// layerOf returns the layer of a parameter.
func layerOf(param string) string {
	at := strings.LastIndexByte(param, '.')
	return param[:max(at, 0)]
}
