package model

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestPresetTable compares the presets with published numbers: parameters of
// Caffe's and torchvision's models, sizes, settings.
func TestPresetTable(t *testing.T) {
	type row struct {
		net    string
		side   int
		params int64
		recipe Recipe
	}
	want := map[string]row{
		"paper":               {"alexnet", 224, 60965224, Recipe{128, 90, 0.01, 0.9, 0.0005, "plateau", nil, 0.1, "eigenvalue", 0, 0, 0, false, false}},
		"as-run-2012":         {"alexnet-2012", 224, 60965224, Recipe{128, 91, 0.01, 0.9, 0.0005, "step", []int{25, 51, 79}, 0.1, "stddev", 67, 1.1, 32, true, false}},
		"caffe":               {"alexnet-caffe", 227, 60965224, Recipe{256, 90, 0.01, 0.9, 0.0005, "step", []int{20, 40, 60, 80}, 0.1, "none", 0, 0, 0, true, false}},
		"torchvision":         {"alexnet-torchvision", 224, 61100840, Recipe{256, 90, 0.01, 0.9, 0.0001, "step", []int{30, 60}, 0.1, "none", 0, 0, 0, true, false}},
		"alexnet-conv6":       {"alexnet-conv6", 224, 61555304, Recipe{128, 90, 0.01, 0.9, 0.0005, "plateau", nil, 0.1, "eigenvalue", 0, 0, 0, false, false}},
		"cifar-4layer":        {"cifar-4layer", 24, 2112970 + 990*1153, Recipe{128, 520, 0.001, 0.9, 0.004, "step", []int{500, 510}, 0.1, "none", 0, 0, 0, true, false}},
		"cifar-4layer-no-lrn": {"cifar-4layer-no-lrn", 24, 4864 + 102464 + 36*32*(577+289) + 1000*1153, Recipe{128, 520, 0.001, 0.9, 0.004, "step", []int{500, 510}, 0.1, "none", 0, 0, 0, true, false}},
		"lenet":               {"lenet", 28, 431080 + 990*501, Recipe{64, 16, 0.001, 0.9, 0.0005, "step", []int{11, 14}, 0.1, "none", 0, 0, 0, false, true}},
		"alexnet-small":       {"alexnet-small", 64, 623272, Recipe{32, 10, 0.005, 0.9, 0.0005, "step", []int{7, 9}, 0.1, "eigenvalue", 0, 0, 0, false, false}},
	}
	infos := DescribePresets()
	if len(infos) != len(want) || infos[0].Name != "paper" {
		t.Errorf("%d presets, the first %s", len(infos), infos[0].Name)
	}
	for _, p := range infos {
		w := want[p.Name]
		n := preset(t, p.Name, 1000)
		got := row{n.Name, n.Input.H, n.ParamCount(), n.Recipe()}
		if !reflect.DeepEqual(got, w) || p.Net != n.Name || !reflect.DeepEqual(p.Recipe, w.recipe) || p.About == "" {
			t.Errorf("%s: %+v, %d parameters, described as %+v; want %+v", p.Name, n, got.params, p, w)
		}
		if byNet := preset(t, p.Net, 1000); !reflect.DeepEqual(byNet, n) {
			t.Errorf("net %s is not that of preset %s", p.Net, p.Name)
		}
		if !slices.Contains(Presets(), p.Name) && p.Name != "paper" {
			t.Errorf("%s is not among %v", p.Name, Presets())
		}
	}
	// Caffe's net has no padding at the end, and the same sizes.
	caffe, paper := preset(t, "caffe", 1000), preset(t, "paper", 1000)
	for i, r := range caffe.Table() {
		if p := paper.Table()[i]; r.Output != p.Output || r.Params != p.Params || r.Groups != p.Groups || r.MACs != p.MACs {
			t.Errorf("caffe's %+v, the paper's %+v", r, p)
		}
	}
	// torchvision's sizes on the way, as its documentation of the model gives them.
	sizes := map[string]Shape{"conv1": {64, 55, 55}, "pool1": {64, 27, 27}, "pool2": {192, 13, 13}, "conv4": {256, 13, 13}, "drop6": {256, 6, 6}}
	for _, r := range preset(t, "torchvision", 1000).Table() {
		if w, ok := sizes[r.Layer]; ok && r.Output != w {
			t.Errorf("torchvision's %s gives %v, want %v", r.Layer, r.Output, w)
		}
	}
}

// order writes a net as the names of its layers.
func order(n *Net) string {
	var names []string
	for _, l := range n.Layers {
		names = append(names, l.Name)
	}
	return strings.Join(names, " ")
}

// TestPresetDetails checks what the sources say about layers one by one.
func TestPresetDetails(t *testing.T) {
	const tail = " conv3 relu3 conv4 relu4 conv5 relu5 pool5 fc6 relu6 drop6 fc7 relu7 drop7 fc8 prob"
	for name, want := range map[string]string{
		"as-run-2012": "conv1 norm1 pool1 relu1 conv2 relu2 norm2 spatial2 pool2" + tail,
		"caffe":       "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2" + tail,
		"torchvision": "conv1 relu1 pool1 conv2 relu2 pool2 conv3 relu3 conv4 relu4 conv5 relu5 pool5 drop6 fc6 relu6 drop7 fc7 relu7 fc8 prob",
	} {
		if got := order(preset(t, name, 10)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for name, k := range map[string]float64{"as-run-2012": 2, "caffe": 1} {
		groups := 0
		if name == "as-run-2012" {
			groups = 2 // the towers
		}
		for _, l := range preset(t, name, 10).Layers {
			if l.Kind == LRN && (l.Size != 5 || math.Abs(l.Alpha-2e-5) > 1e-20 || l.Beta != 0.75 || l.K != k || l.Groups != groups) {
				t.Errorf("%s: %+v", name, l)
			}
			if l.Kind == LRNWithinChannel && (name != "as-run-2012" || l.Size != 5 || math.Abs(l.Alpha-4e-5) > 1e-20 || l.Beta != 0.75 || l.K != 1) {
				t.Errorf("%s: %+v", name, l)
			}
		}
	}
	deep := []string{"conv3.weight", "conv4.weight", "conv5.weight"}
	ones := []string{"conv2.bias", "conv4.bias", "conv5.bias", "fc6.bias", "fc7.bias"}
	for _, p := range preset(t, "as-run-2012", 10).Params() {
		w := ParamSpec{Name: p.Name, Shape: p.Shape, Std: 0.01, LRMult: 1, DecayMult: 1}
		if strings.HasSuffix(p.Name, ".bias") {
			w.Std, w.LRMult, w.DecayMult = 0, 2, 0
		}
		if slices.Contains(deep, p.Name) {
			w.Std = 0.03
		}
		if slices.Contains(ones, p.Name) {
			w.Bias = 1
		}
		if !reflect.DeepEqual(p, w) {
			t.Errorf("as-run-2012: %+v, want %+v", p, w)
		}
	}
	for _, p := range preset(t, "caffe", 10).Params() {
		w := ParamSpec{Name: p.Name, Shape: p.Shape, Std: 0.01, LRMult: 1, DecayMult: 1}
		if strings.HasSuffix(p.Name, ".bias") {
			w.Std, w.LRMult, w.DecayMult = 0, 2, 0
		}
		if p.Name == "fc6.weight" || p.Name == "fc7.weight" {
			w.Std = 0.005
		}
		if slices.Contains(ones, p.Name) {
			w.Bias = 0.1
		}
		if !reflect.DeepEqual(p, w) {
			t.Errorf("caffe: %+v, want %+v", p, w)
		}
	}
	// What a preset does not do as its program did is said.
	for _, p := range DescribePresets() {
		for name, word := range map[string]string{"as-run-2012": "there they kept their 0.02", "caffe": "kept the order", "torchvision": "less that of their channel", "cifar-4layer": "left out for 350 epochs"} {
			if p.Name == name && !strings.Contains(strings.Join(p.Missing, "; "), word) {
				t.Errorf("%s does not say %q: %q", name, word, p.Missing)
			}
		}
	}
	// PyTorch: uniform in +-1/sqrt(inputs), biases by the inputs of their weights.
	inputs := 0
	for _, p := range preset(t, "torchvision", 10).Params() {
		if len(p.Shape) > 1 {
			inputs = p.Len() / p.Shape[0]
		}
		if p.Std != 0 || p.Bias != 0 || math.Abs(p.Bound-1/math.Sqrt(float64(inputs))) > 1e-15 || p.LRMult != 1 || p.DecayMult != 1 {
			t.Errorf("torchvision: %+v", p)
		}
	}
}

// TestVariants checks shapes and parameter counts of changed nets.
func TestVariants(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*Net) *Net
		params  int64
		dropped Kind // a kind that must be gone
		layers  int
	}{
		{"without LRN", (*Net).WithoutLRN, 60965224, LRN, 21},
		{"without overlap", (*Net).WithoutOverlap, 60965224, "", 23},
		{"single tower", (*Net).SingleTower, 62378344, "", 23},
		{"dropout off", func(n *Net) *Net { return n.WithDropout(0) }, 60965224, Dropout, 21},
		{"dropout 0.3", func(n *Net) *Net { return n.WithDropout(0.3) }, 60965224, "", 23},
		{"tanh", func(n *Net) *Net { return n.WithActivation(Tanh) }, 60965224, ReLU, 23},
	} {
		paper := preset(t, "paper", 1000)
		before := paper.clone()
		n := c.change(paper)
		if !reflect.DeepEqual(paper, before) {
			t.Errorf("%s: the net itself has changed", c.name)
		}
		if err := n.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if n.ParamCount() != c.params || len(n.Layers) != c.layers || n.Name != "alexnet" || reflect.DeepEqual(n, paper) {
			t.Errorf("%s: net %s of %d layers with %d parameters, want %d and %d", c.name, n.Name, len(n.Layers), n.ParamCount(), c.layers, c.params)
		}
		was := map[string]Shape{}
		for _, r := range paper.Table() {
			was[r.Layer] = r.Output
		}
		for _, r := range n.Table() {
			if r.Output != was[r.Layer] || r.Kind == c.dropped {
				t.Errorf("%s: %+v", c.name, r)
			}
			if c.name == "without overlap" && r.Kind == MaxPool && r.Detail != "2x2/2" {
				t.Errorf("%s: pooling of %s", c.name, r.Detail)
			}
			if c.name == "dropout 0.3" && r.Kind == Dropout && r.Detail != "0.3" {
				t.Errorf("%s: rate %s", c.name, r.Detail)
			}
		}
		if again := c.change(n); !reflect.DeepEqual(again, n) {
			t.Errorf("%s: done twice it is another net", c.name)
		}
	}
	if n := preset(t, "as-run-2012", 10).WithoutLRN(); len(n.Layers) != 21 {
		t.Errorf("the net of 2012 without normalisations has %d layers: %s", len(n.Layers), order(n))
	}
	if n := preset(t, "paper", 10).WithActivation(Tanh).WithActivation(ReLU); !reflect.DeepEqual(n, preset(t, "paper", 10)) {
		t.Error("tanh and back is another net")
	}
}

// TestConv6: between pool5 and the first fully connected layer, whose number moves
// on; everything else is the paper's.
func TestConv6(t *testing.T) {
	n, paper := preset(t, "alexnet-conv6", 10), preset(t, "paper", 10)
	want := strings.Replace(order(paper), "pool5 fc6 relu6 drop6 fc7 relu7 drop7 fc8", "pool5 conv6 relu6 fc7 relu7 drop7 fc8 relu8 drop8 fc9", 1)
	if got := order(n); got != want {
		t.Errorf("layers %s, want %s", got, want)
	}
	conv := Layer{Name: "conv6", Kind: Conv, Out: 256, Kernel: 3, Stride: 1, Pad: 1, InitStd: 0.01, InitBias: 1}
	at := slices.IndexFunc(n.Layers, func(l Layer) bool { return l.Name == "conv6" })
	if n.Layers[at] != conv {
		t.Errorf("%+v, want %+v", n.Layers[at], conv)
	}
	rest := slices.Delete(slices.Clone(n.Layers), at, at+2)
	for i, l := range rest {
		l.Name = paper.Layers[i].Name
		if l != paper.Layers[i] {
			t.Errorf("%+v, the paper's is %+v", rest[i], paper.Layers[i])
		}
	}
}

// TestCifar compares the networks for CIFAR-10 with cuda-convnet's files.
func TestCifar(t *testing.T) {
	n, bare := preset(t, "cifar-4layer", 10), preset(t, "cifar-4layer-no-lrn", 10)
	if want := "conv1 relu1 pool1 norm1 conv2 relu2 norm2 pool2 local3 relu3 local4 relu4 fc10 prob"; order(n) != want || order(bare) != order(n.WithoutLRN()) {
		t.Errorf("layers %s and %s", order(n), order(bare))
	}
	sizes := map[string]Shape{"conv1": {64, 24, 24}, "pool1": {64, 12, 12}, "pool2": {64, 6, 6}, "local3": {64, 6, 6}, "local4": {32, 6, 6}}
	for _, r := range n.Table() {
		if w, ok := sizes[r.Layer]; ok && r.Output != w {
			t.Errorf("%s gives %v, want %v", r.Layer, r.Output, w)
		}
	}
	// Rates of the weights' decay: wc of the file over the recipe's 0.004.
	wc := map[string]float64{"conv1": 0, "conv2": 0, "local3": 0.004, "local4": 0.004, "fc10": 0.01}
	for _, n := range []*Net{n, bare} {
		for _, p := range n.Params() {
			layer, isBias := strings.CutSuffix(p.Name, ".bias")
			layer = strings.TrimSuffix(layer, ".weight")
			decay := wc[layer] / n.Recipe().WeightDecay
			switch {
			case isBias:
				decay = 0
			case n == bare && layer == "fc10":
				decay = 1
			}
			if math.Abs(p.DecayMult-decay) > 1e-12 || isBias && p.LRMult != 2 || !isBias && p.LRMult != 1 {
				t.Errorf("%s %s: decay times %g, want %g; rate times %g", n.Name, p.Name, p.DecayMult, decay, p.LRMult)
			}
		}
	}
}
