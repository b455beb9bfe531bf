package model

import (
	"strings"
	"testing"
)

func TestFeatureLayer(t *testing.T) {
	for name, hidden := range map[string]string{"alexnet": "fc7", "alexnet-conv6": "fc8", "lenet": "fc3", "cifar-4layer": "local4"} {
		net, err := Preset(name, 10)
		if err != nil {
			t.Fatal(err)
		}
		if got := net.LastHidden(); got != hidden {
			t.Errorf("the last hidden layer of %s is %q, want %q", name, got, hidden)
		}
	}
	net, err := Preset("alexnet", 10)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		layer string
		size  int
	}{"fc7": {"relu7", 4096}, "relu7": {"relu7", 4096}, "drop7": {"drop7", 4096}, "fc8": {"fc8", 10}, "pool5": {"pool5", 9216}, "conv1": {"relu1", 96 * 55 * 55}} {
		i, shape, err := net.FeatureLayer(name)
		if err != nil || net.Layers[i].Name != want.layer || shape.Size() != want.size {
			t.Errorf("%s: layer %d, %d values, error %v; want %s with %d", name, i, shape.Size(), err, want.layer, want.size)
		}
	}
	for name, want := range map[string]string{"fc9": `there is no layer "fc9"`, "prob": "gives the probabilities"} {
		if _, _, err := net.FeatureLayer(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	one := &Net{Name: "one", Input: Shape{1, 2, 2}, Classes: 2, Layers: []Layer{{Name: "fc", Kind: FC, Out: 2}, {Name: "prob", Kind: Softmax}}}
	if got := one.LastHidden(); got != "" {
		t.Errorf("a hidden layer %q in a linear net", got)
	}
}
