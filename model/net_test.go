package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func preset(t *testing.T, name string, classes int) *Net {
	t.Helper()
	n, err := Preset(name, classes)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAlexNetTable compares the paper's net with the numbers of the paper and of
// Caffe's grouped model: parameters exactly, multiply-adds to a tenth of a million.
func TestAlexNetTable(t *testing.T) {
	want := []struct {
		layer  string
		output Shape
		groups int
		params int64
		macs   string // millions
	}{
		{"conv1", Shape{96, 55, 55}, 1, 34944, "105.4"},
		{"conv2", Shape{256, 27, 27}, 2, 307456, "223.9"},
		{"conv3", Shape{384, 13, 13}, 1, 885120, "149.5"},
		{"conv4", Shape{384, 13, 13}, 2, 663936, "112.1"},
		{"conv5", Shape{256, 13, 13}, 2, 442624, "74.8"},
		{"fc6", Shape{4096, 1, 1}, 0, 37752832, "37.7"},
		{"fc7", Shape{4096, 1, 1}, 0, 16781312, "16.8"},
		{"fc8", Shape{1000, 1, 1}, 0, 4097000, "4.1"},
	}
	n := preset(t, "alexnet", 1000)
	var rows []TableRow
	for _, r := range n.Table() {
		if r.Params > 0 {
			rows = append(rows, r)
		} else if r.MACs != 0 {
			t.Errorf("%s: %d MACs without weights", r.Layer, r.MACs)
		}
	}
	if len(rows) != len(want) {
		t.Fatalf("%d layers with weights, want %d", len(rows), len(want))
	}
	for i, w := range want {
		r := rows[i]
		macs := millions(r.MACs)
		if r.Layer != w.layer || r.Output != w.output || r.Groups != w.groups || r.Params != w.params || macs != w.macs {
			t.Errorf("got %+v (%s MACs), want %+v", r, macs, w)
		}
	}
	if got := n.ParamCount(); got != 60965224 {
		t.Errorf("%d parameters, want 60,965,224", got)
	}
	if got := millions(n.MACs()); got != "724.4" {
		t.Errorf("%s M MACs, want 724.4", got)
	}
	for i := range n.Layers {
		n.Layers[i].Groups = 0
	}
	if got := n.ParamCount(); got != 62378344 {
		t.Errorf("%d parameters without groups, want 62,378,344", got)
	}
}

func millions(n int64) string {
	b, _ := json.Marshal(math.Round(float64(n)/1e5) / 10)
	return string(b)
}

// TestAlexNetShapes checks the sizes of the maps between the layers with weights,
// and that no pooling window hangs over.
func TestAlexNetShapes(t *testing.T) {
	n := preset(t, "alexnet", 1000)
	shapes, err := n.Shapes()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Shape{"norm1": {96, 55, 55}, "pool1": {96, 27, 27}, "pool2": {256, 13, 13}, "pool5": {256, 6, 6}, "drop7": {4096, 1, 1}}
	in := n.Input
	for i, l := range n.Layers {
		if w, ok := want[l.Name]; ok && shapes[i] != w {
			t.Errorf("%s: %v, want %v", l.Name, shapes[i], w)
		}
		if l.Kind == MaxPool && (in.H-l.Kernel)%l.Stride != 0 {
			t.Errorf("%s: windows of %d/%d do not end with the %d rows", l.Name, l.Kernel, l.Stride, in.H)
		}
		in = shapes[i]
	}
}

func TestAlexNetSmall(t *testing.T) {
	n, big := preset(t, "alexnet-small", 10), preset(t, "alexnet", 10)
	if n.MACs() > 15e6 {
		t.Errorf("%d MACs: more than a CPU trains quickly", n.MACs())
	}
	if n.Input != (Shape{3, 64, 64}) {
		t.Errorf("input %v", n.Input)
	}
	if len(n.Layers) != len(big.Layers) {
		t.Fatalf("%d layers, alexnet has %d", len(n.Layers), len(big.Layers))
	}
	for i, l := range n.Layers {
		b := big.Layers[i]
		if l.Name != b.Name || l.Kind != b.Kind || l.Groups != b.Groups || (l.Rate > 0) != (b.Rate > 0) {
			t.Errorf("layer %d: %+v does not match alexnet's %+v", i, l, b)
		}
	}
	// The fan-in written into the deviations must be the one of the layer.
	for _, p := range n.Params() {
		if p.Std == 0 {
			continue
		}
		fan := p.Len() / p.Shape[0]
		want := 0.6 * math.Sqrt(2/float64(fan))
		if math.Abs(p.Std-want) > 1e-12 {
			t.Errorf("%s: standard deviation %g, want %g for %d inputs", p.Name, p.Std, want, fan)
		}
	}
}

func TestPresetErrors(t *testing.T) {
	_, err := Preset("vgg", 10)
	if err == nil || !strings.Contains(err.Error(), `unknown net "vgg": there are alexnet, as-run-2012, caffe`) {
		t.Errorf("got %v", err)
	}
	for _, classes := range []int{0, -1, 1 << 20} {
		if _, err := Preset("alexnet", classes); err == nil {
			t.Errorf("%d classes accepted", classes)
		}
	}
}

// TestAlexNetInit checks the initial values of the paper's section 5.
func TestAlexNetInit(t *testing.T) {
	ones := []string{"conv2.bias", "conv4.bias", "conv5.bias", "fc6.bias", "fc7.bias"}
	for _, p := range preset(t, "alexnet", 1000).Params() {
		wantStd, wantBias := 0.01, 0.0
		if strings.HasSuffix(p.Name, ".bias") {
			wantStd = 0
		}
		if slices.Contains(ones, p.Name) {
			wantBias = 1
		}
		if p.Std != wantStd || p.Bias != wantBias || p.LRMult != 1 || p.DecayMult != 1 {
			t.Errorf("%+v: want std %g, bias %g, multipliers 1", p, wantStd, wantBias)
		}
	}
}

func TestInitIsNormalAndSeeded(t *testing.T) {
	n := preset(t, "alexnet-small", 10)
	a, b, c := n.Init(1), n.Init(1), n.Init(2)
	if !reflect.DeepEqual(a, b) {
		t.Error("the same seed gives other weights")
	}
	if err := n.CheckTensors(a); err != nil {
		t.Fatal(err)
	}
	for i, p := range n.Params() {
		if p.Std == 0 {
			for _, v := range a[i].Data {
				if float64(v) != p.Bias {
					t.Fatalf("%s: %g, want %g", p.Name, v, p.Bias)
				}
			}
			continue
		}
		if slices.Equal(a[i].Data, c[i].Data) {
			t.Errorf("%s does not depend on the seed", p.Name)
		}
		checkMoments(t, a[i], p.Std)
	}
	bounded := *n
	bounded.Layers = slices.Clone(n.Layers)
	bounded.Layers[0].InitStd, bounded.Layers[0].InitBias, bounded.Layers[0].InitBound = 0, 0, 0.25
	checkUniform(t, bounded.Init(1)[0], 0.25)
	// Another number of classes, or other layers after it, leaves a layer as it was.
	if other := preset(t, "alexnet-small", 7).Init(1); !reflect.DeepEqual(a[:len(a)-2], other[:len(a)-2]) {
		t.Error("the weights of conv1..fc7 depend on the number of classes")
	}
}

// checkMoments compares mean, variance and fourth moment with the normal
// distribution's, within five standard errors.
func checkMoments(t *testing.T, x Tensor, std float64) {
	t.Helper()
	var m1, m2, m4 float64
	count := float64(len(x.Data))
	for _, v := range x.Data {
		z := float64(v) / std
		m1 += z / count
		m2 += z * z / count
		m4 += z * z * z * z / count
	}
	root := math.Sqrt(count)
	if math.Abs(m1) > 5/root || math.Abs(m2-1) > 5*math.Sqrt2/root || math.Abs(m4-3) > 5*math.Sqrt(96)/root {
		t.Errorf("%s: moments 1, 2, 4 are %.4f, %.4f, %.4f, want 0, 1, 3", x.Name, m1, m2, m4)
	}
}

// checkUniform looks at the range and the variance of uniform values.
func checkUniform(t *testing.T, x Tensor, bound float64) {
	t.Helper()
	var m1, m2 float64
	count := float64(len(x.Data))
	for _, v := range x.Data {
		z := float64(v) / bound
		if z < -1 || z > 1 {
			t.Fatalf("%s: %g is outside of +-%g", x.Name, v, bound)
		}
		m1 += z / count
		m2 += z * z / count
	}
	root := math.Sqrt(count)
	if math.Abs(m1) > 5*math.Sqrt(1./3)/root || math.Abs(m2-1./3) > 5*math.Sqrt(4./45)/root {
		t.Errorf("%s: moments 1, 2 are %.4f, %.4f, want 0, 1/3", x.Name, m1, m2)
	}
}

// TestInitGolden pins the first values, so that a run can be repeated with a later
// version.
func TestInitGolden(t *testing.T) {
	w := preset(t, "alexnet-small", 10).Init(42)[0]
	want := []float32{-0.026531814, 0.05715608, -0.1548315, 0.110151745}
	for i, v := range want {
		if math.Abs(float64(w.Data[i]-v)) > 1e-8 {
			t.Fatalf("%s begins with %v, want %v", w.Name, w.Data[:len(want)], want)
		}
	}
}

func TestNetJSON(t *testing.T) {
	for _, name := range Presets() {
		n := preset(t, name, 10)
		b, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		var back Net
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(n, &back) {
			t.Errorf("%s changes on its way through JSON:\n%s", name, b)
		}
	}
}

func TestValidate(t *testing.T) {
	set := func(name string, change func(l *Layer)) func(*Net) {
		return func(n *Net) {
			for i := range n.Layers {
				if n.Layers[i].Name == name {
					change(&n.Layers[i])
				}
			}
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*Net)
		want  string
	}{
		{"no input", func(n *Net) { n.Input.H = 0 }, "net alexnet-small: input of 3x0x64: each dimension must be in 1..65536"},
		{"huge input", func(n *Net) { n.Input = Shape{1 << 16, 1 << 16, 1 << 16} }, "their product at most"},
		{"no classes", func(n *Net) { n.Classes = 0 }, "0 classes"},
		{"no layers", func(n *Net) { n.Layers = nil }, "0 layers"},
		{"groups", set("conv2", func(l *Layer) { l.Groups = 3 }), "net alexnet-small: conv2: 3 groups do not divide 32 input and 64 output channels evenly"},
		{"negative groups", set("conv2", func(l *Layer) { l.Groups = -2 }), "conv2: -2 groups"},
		{"kernel too large", set("conv5", func(l *Layer) { l.Kernel, l.Pad = 12, 2 }), "conv5: a 12x12 kernel does not fit in an input of 7x7 padded by 2 and 0"},
		{"no kernel", set("conv1", func(l *Layer) { l.Kernel = 0 }), "conv1: kernel 0, stride 2"},
		{"no stride", set("conv1", func(l *Layer) { l.Stride = 0 }), "conv1: kernel 5, stride 0"},
		{"negative pad", set("conv1", func(l *Layer) { l.Pad = -1 }), "conv1: pad -1, pad_end 1"},
		{"no outputs", set("fc6", func(l *Layer) { l.Out = 0 }), "fc6: 0 outputs"},
		{"too many weights", func(n *Net) { n.Layers[15].Out = 1 << 16; n.Layers[18].Out = 1 << 16 }, "fc7: 65536 x 65536 weights"},
		{"window too large", set("pool5", func(l *Layer) { l.Kernel = 8 }), "pool5: a 8x8 window does not fit in an input of 7x7"},
		{"pool without stride", set("pool5", func(l *Layer) { l.Stride = 0 }), "pool5: kernel 3, stride 0"},
		{"even lrn", set("norm1", func(l *Layer) { l.Size = 4 }), "norm1: size 4: an odd number"},
		{"lrn without k", set("norm1", func(l *Layer) { l.K = 0 }), "norm1: k 0, alpha 0.0001, beta 0.75: k and beta must be positive"},
		{"lrn nan", set("norm1", func(l *Layer) { l.Alpha = math.NaN() }), "norm1: k 2, alpha NaN"},
		{"lrn groups", set("norm1", func(l *Layer) { l.Groups = 5 }), "norm1: 5 groups do not divide 32 channels evenly"},
		{"negative lrn groups", set("norm1", func(l *Layer) { l.Groups = -1 }), "norm1: -1 groups do not divide"},
		{"even window", set("norm1", func(l *Layer) { l.Kind, l.Size = LRNWithinChannel, 4 }), "norm1: size 4: an odd number of rows and columns"},
		{"window without k", set("norm1", func(l *Layer) { l.Kind, l.K = LRNWithinChannel, 0 }), "norm1: k 0, alpha 0.0001"},
		{"groups within a channel", set("norm1", func(l *Layer) { l.Kind, l.Groups = LRNWithinChannel, 2 }), "norm1: 2 groups: a normalisation within channels has none"},
		{"rate", set("drop6", func(l *Layer) { l.Rate = 1 }), "drop6: rate 1 is not in [0, 1)"},
		{"rate nan", set("drop6", func(l *Layer) { l.Rate = math.NaN() }), "drop6: rate NaN"},
		{"std", set("fc8", func(l *Layer) { l.InitStd = -1 }), "fc8: init_std, bias_lr_mult and decay_mult must not be negative"},
		{"decay", set("fc8", func(l *Layer) { l.DecayMult = -1 }), "fc8: init_std, bias_lr_mult and decay_mult must not be negative"},
		{"local groups", set("conv5", func(l *Layer) { l.Kind = Local }), "conv5: pad_end and groups are for convolutions"},
		{"local size", set("conv1", func(l *Layer) { l.Kind, l.PadEnd, l.Stride, l.Out, l.Kernel, l.Pad = Local, 0, 1, 512, 9, 4 }), "conv1: 2097152 kernels of 243 weights are more than"},
		{"std inf", set("fc8", func(l *Layer) { l.InitStd = math.Inf(1) }), "fc8: an initial value or multiplier is not a finite number"},
		{"bound", set("fc8", func(l *Layer) { l.InitBound = 0.1 }), "fc8: init_bound must not be negative, nor stand beside init_std or init_bias"},
		{"bound nan", set("fc8", func(l *Layer) { l.InitStd, l.InitBound = 0, math.NaN() }), "fc8: an initial value or multiplier is not a finite number"},
		{"activation", func(n *Net) { *n = *n.WithActivation("swish") }, `relu1: unknown kind "swish"`},
		{"no dropout at all", func(n *Net) { *n = *n.WithDropout(1) }, "drop6: rate 1 is not in [0, 1)"},
		{"kind", set("relu3", func(l *Layer) { l.Kind = "swish" }), `relu3: unknown kind "swish"`},
		{"no name", set("relu3", func(l *Layer) { l.Name = "" }), "layer 9: has no name"},
		{"same name", set("relu3", func(l *Layer) { l.Name = "conv3" }), "conv3: another layer has the same name"},
		{"classes do not match", func(n *Net) { n.Classes = 11 }, "prob: gets 10x1x1 values for 11 classes"},
		{"softmax in the middle", set("relu3", func(l *Layer) { l.Kind = Softmax }), "relu3: a softmax must be the last layer"},
		{"no softmax", func(n *Net) { n.Layers = n.Layers[:len(n.Layers)-1] }, "fc8: the last layer must be a softmax"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := preset(t, "alexnet-small", 10)
			c.spoil(n)
			err := n.Validate()
			var le *LayerError
			if !errors.As(err, &le) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a LayerError with %q", err, c.want)
			}
			if n.Params() != nil || n.Table() != nil {
				t.Error("an invalid net has parameters or a table")
			}
		})
	}
}

// TestPoolSizes checks the rounding of the output of max-pooling.
func TestPoolSizes(t *testing.T) {
	for _, c := range []struct {
		in, kernel, stride int
		ceil               bool
		want               int
	}{
		{55, 3, 2, false, 27}, {55, 3, 2, true, 27}, {32, 3, 2, false, 15}, {32, 3, 2, true, 16},
		{5, 2, 3, true, 2}, {4, 1, 3, true, 2}, {4, 1, 3, false, 2}, {5, 1, 3, true, 2}, {3, 3, 7, true, 1},
	} {
		l := Layer{Kind: MaxPool, Kernel: c.kernel, Stride: c.stride, Ceil: c.ceil}
		out, problem := l.output(Shape{1, c.in, c.in})
		if problem != "" || out.H != c.want || out.W != c.want {
			t.Errorf("%+v: got %v %s", c, out, problem)
		}
	}
}

func TestTableDetail(t *testing.T) {
	want := map[string]string{"conv1": "11x11/4 pad 0+3", "conv2": "5x5 pad 2", "pool1": "3x3/2", "norm1": "n 5 alpha 0.0001 beta 0.75 k 2", "drop6": "0.5", "fc6": ""}
	for _, r := range preset(t, "alexnet", 1000).Table() {
		if w, ok := want[r.Layer]; ok && r.Detail != w {
			t.Errorf("%s: %q, want %q", r.Layer, r.Detail, w)
		}
	}
	l := Layer{Kind: MaxPool, Kernel: 3, Stride: 2, Ceil: true}
	if got := l.detail(); got != "3x3/2 ceil" {
		t.Errorf("%q", got)
	}
	for _, r := range preset(t, "as-run-2012", 1000).Table() {
		groups, detail := 2, "n 5 alpha 2e-05 beta 0.75 k 2"
		if r.Kind == LRNWithinChannel {
			groups, detail = 0, "5x5 alpha 4e-05 beta 0.75 k 1"
		}
		if (r.Kind == LRN || r.Kind == LRNWithinChannel) && (r.Groups != groups || r.Detail != detail) {
			t.Errorf("%+v", r)
		}
	}
}

func TestRecipe(t *testing.T) {
	for _, name := range append(Presets(), "another") {
		r := (&Net{Name: name}).Recipe()
		if (r.Schedule == "step") != (len(r.DropAt) > 0) {
			t.Errorf("%s: schedule %s with drops at %v", name, r.Schedule, r.DropAt)
		}
		if r.Batch < 1 || r.Epochs < 1 || r.LearningRate <= 0 || r.Momentum != 0.9 || r.Schedule == "" || r.Factor != 0.1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	paper := Recipe{Batch: 128, Epochs: 90, LearningRate: 0.01, Momentum: 0.9, WeightDecay: 0.0005, Schedule: "plateau", Factor: 0.1, Color: "eigenvalue"}
	if got := preset(t, "alexnet", 1000).Recipe(); !reflect.DeepEqual(got, paper) {
		t.Errorf("alexnet: %+v, want %+v", got, paper)
	}
}

// TestLocal: the sizes of a locally connected layer, whose kernels are used once.
func TestLocal(t *testing.T) {
	n := &Net{Name: "n", Input: Shape{C: 3, H: 5, W: 6}, Classes: 2, Layers: []Layer{
		{Name: "local", Kind: Local, Out: 4, Kernel: 3, Stride: 2, Pad: 1, BiasLRMult: 2, NoDecay: true},
		{Name: "fc", Kind: FC, Out: 2, DecayMult: 2.5, BiasNoDecay: true},
		{Name: "prob", Kind: Softmax},
	}}
	rows := n.Table()
	if r := rows[0]; r.Output != (Shape{C: 4, H: 3, W: 3}) || r.Params != 9*4*(27+1) || r.MACs != 9*4*27 || r.Detail != "3x3/2 pad 1" {
		t.Errorf("the layer is %+v", r)
	}
	ps := n.Params()
	if fmt.Sprint(ps[0].Shape, ps[1].Shape) != "[9 4 27] [9 4]" {
		t.Errorf("shapes %v, %v", ps[0].Shape, ps[1].Shape)
	}
	want := []float64{0, 0, 2.5, 0}
	for i, p := range ps {
		if p.DecayMult != want[i] {
			t.Errorf("%s: decay times %g, want %g", p.Name, p.DecayMult, want[i])
		}
	}
	if ps[1].LRMult != 2 || ps[0].LRMult != 1 {
		t.Errorf("rates times %g and %g", ps[0].LRMult, ps[1].LRMult)
	}
}
