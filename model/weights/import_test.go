package weights

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"alexnet/model"
	"alexnet/model/cpu"
)

// predict returns the engine's logits, less their mean, of one image.
func predict(t *testing.T, net *model.Net, weights []model.Tensor, image []float32) []float64 {
	t.Helper()
	engine, err := cpu.New(net, model.State{Weights: weights}, cpu.Options{Batch: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	probs := make([]float32, net.Classes)
	if err := engine.Predict(image, 1, probs); err != nil {
		t.Fatal(err)
	}
	logits := make([]float64, len(probs))
	for i, p := range probs {
		logits[i] = math.Log(float64(p))
	}
	return centred(logits)
}

func centred(v []float64) []float64 {
	mean := 0.0
	for _, x := range v {
		mean += x / float64(len(v))
	}
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = x - mean
	}
	return out
}

func far(a, b []float64) float64 {
	d := math.Abs(float64(len(a) - len(b)))
	for i := range min(len(a), len(b)) {
		d = max(d, math.Abs(a[i]-b[i]))
	}
	return d
}

// pixel is the test picture's value.
func pixel(i int) float32 { return float32(i * 37 % 251) }

// caffeConv is a convolution written down from its definition, in Caffe's order.
func caffeConv(x []float64, c, h, w int, weight, bias []float32, groups, k, stride, pad int) ([]float64, int, int) {
	oh, ow := (h+2*pad-k)/stride+1, (w+2*pad-k)/stride+1
	outs, ins := len(bias), c/groups
	y := make([]float64, 0, outs*oh*ow)
	for o := range outs {
		for i := range oh {
			for j := range ow {
				sum := float64(bias[o])
				for q := range ins {
					for a := range k {
						for b := range k {
							row, column := i*stride+a-pad, j*stride+b-pad
							if row >= 0 && row < h && column >= 0 && column < w {
								channel := o/(outs/groups)*ins + q
								sum += x[(channel*h+row)*w+column] * float64(weight[((o*ins+q)*k+a)*k+b])
							}
						}
					}
				}
				y = append(y, max(sum, 0)) // and its ReLU
			}
		}
	}
	return y, oh, ow
}

// caffeFC is Caffe's InnerProduct over channel, row, column.
func caffeFC(x []float64, weight, bias []float32) []float64 {
	y := make([]float64, len(bias))
	for o := range y {
		y[o] = float64(bias[o])
		for i, v := range x {
			y[o] += v * float64(weight[o*len(x)+i])
		}
	}
	return y
}

// TestFromCaffe runs a net as Caffe does, from the definitions, on a picture with
// the channels B, G, R and without dropout, and the imported one on R, G, B.
func TestFromCaffe(t *testing.T) {
	net := tinyNet()
	own := net.Init(3)
	for i := range own {
		for j := range own[i].Data {
			own[i].Data[j] = float32(math.Sin(float64(7*i+j))) / 8
		}
	}
	blobs := func(i int) [][]byte {
		shape := func(s []int) []byte {
			dims := []int64{1, 1, 1, 1}
			for d := range s {
				dims[4-len(s)+d] = int64(s[d])
			}
			return oldShape(dims...)
		}
		return [][]byte{join(shape(own[i].Shape), packed(own[i].Data...)), join(shape(own[i+1].Shape), packed(own[i+1].Data...))}
	}
	file := join(v1Layer("conv1", blobs(0)...), v1Layer("relu1"), v1Layer("conv2", blobs(2)...), v1Layer("fc6", blobs(4)...), v1Layer("fc8", blobs(6)...))

	h, w := net.Input.H, net.Input.W
	rgb := make([]float32, net.Input.Size())
	bgr := make([]float64, len(rgb))
	for i := range rgb {
		rgb[i] = pixel(i) - 120
		bgr[(2-i/(h*w))*h*w+i%(h*w)] = float64(rgb[i])
	}
	x, h, w := caffeConv(bgr, 3, h, w, own[0].Data, own[1].Data, 1, 3, 2, 1)
	x, h, w = caffeConv(x, 4, h, w, own[2].Data, own[3].Data, 2, 2, 1, 0)
	var pooled []float64
	for c := range 6 {
		for i := range h - 1 {
			for j := range w - 1 {
				at := (c*h+i)*w + j
				pooled = append(pooled, max(x[at], x[at+1], x[at+w], x[at+w+1]))
			}
		}
	}
	hidden := caffeFC(pooled, own[4].Data, own[5].Data)
	for i := range hidden {
		hidden[i] = max(hidden[i], 0)
	}
	want := centred(caffeFC(hidden, own[6].Data, own[7].Data))

	ts, err := ReadCaffe(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	weights, err := FromCaffe(net, ts)
	if err != nil {
		t.Fatal(err)
	}
	if d := far(predict(t, net, weights, rgb), want); d > 1e-5*far(want, make([]float64, 3)) {
		t.Errorf("logits are %v, in Caffe %v", predict(t, net, weights, rgb), want)
	}
	// The test can fail: without the swap the logits are others.
	swapRedBlue(&net.Layers[0], weights[0].Data)
	if d := far(predict(t, net, weights, rgb), want); d < 1e-3 {
		t.Error("the order of the colours makes no difference to the test")
	}
}

// torchNet is testdata/tiny.pth's net.
func torchNet() *model.Net {
	return &model.Net{Name: "tiny-torch", Input: model.Shape{C: 3, H: 13, W: 13}, Classes: 5, Layers: []model.Layer{
		{Name: "conv1", Kind: model.Conv, Out: 4, Kernel: 3, Stride: 2, Pad: 1},
		{Name: "relu1", Kind: model.ReLU},
		{Name: "pool1", Kind: model.MaxPool, Kernel: 3, Stride: 2},
		{Name: "conv2", Kind: model.Conv, Out: 6, Kernel: 3, Stride: 1, Pad: 1},
		{Name: "relu2", Kind: model.ReLU},
		{Name: "drop6", Kind: model.Dropout, Rate: 0.5},
		{Name: "fc6", Kind: model.FC, Out: 8},
		{Name: "relu6", Kind: model.ReLU},
		{Name: "drop7", Kind: model.Dropout, Rate: 0.25},
		{Name: "fc7", Kind: model.FC, Out: 5},
		{Name: "prob", Kind: model.Softmax},
	}}
}

func tinyTorch(t *testing.T) []model.Tensor {
	t.Helper()
	ts, err := readTorch(testFile(t, "tiny.pth"))
	if err != nil {
		t.Fatal(err)
	}
	if !IsTorchvision(ts) || IsTorchvision(nil) {
		t.Error("the names are not recognised")
	}
	return ts
}

// TestFromTorchvision compares with what PyTorch itself computed.
func TestFromTorchvision(t *testing.T) {
	var want struct{ Logits, Conv1 []float64 }
	if err := json.Unmarshal(testFile(t, "tiny.json"), &want); err != nil {
		t.Fatal(err)
	}
	net := torchNet()
	size := net.Input.Size()
	image := make([]float32, size) // the mean image of a data set
	for i := range image {
		image[i] = 110 + 10*float32(i/169) + float32(i%13)/2
	}
	for name, mean := range map[string][]float32{
		"its own mean":        nil,
		"the same as numbers": {123.675, 116.28, 103.53},
		"Caffe's mean":        {122.68, 116.67, 104.01},
		"a mean image":        image,
	} {
		weights, fold, err := FromTorchvision(net, tinyTorch(t), mean)
		if err != nil {
			t.Fatal(err)
		}
		exact := name[0] == 'i' || name[0] == 't'
		x := make([]float32, size)
		wide := make([]float64, size)
		for i := range x {
			switch {
			case len(mean) == size:
				x[i] = pixel(i) - mean[i]
			default:
				x[i] = pixel(i) - float32(fold.Mean[i/169])
			}
			wide[i] = float64(x[i])
		}
		logits := predict(t, net, weights, x)
		if d := far(logits, centred(want.Logits)); exact && d > 2e-5 {
			t.Errorf("%s: logits are %v, in PyTorch %v", name, logits, centred(want.Logits))
		}
		// The first layer's outputs are off by what Fold says, no more and no less;
		// caffeConv clamps at 0, hence a bias that keeps all of them above.
		lifted := slices.Clone(weights[1].Data)
		for i := range lifted {
			lifted[i] += 100
		}
		got, _, _ := caffeConv(wide, 3, 13, 13, weights[0].Data, lifted, 1, 3, 2, 1)
		worst, sum := 0.0, 0.0
		for i := range got {
			d := math.Abs(got[i] - 100 - want.Conv1[i])
			worst, sum = max(worst, d), sum+d
		}
		if math.Abs(worst-fold.MaxError) > 2e-5 || math.Abs(sum/float64(len(got))-fold.MeanError) > 2e-5 {
			t.Errorf("%s: conv1 is off by %g at most, %g in the mean; Fold says %g and %g", name, worst, sum/float64(len(got)), fold.MaxError, fold.MeanError)
		}
		if exact != (fold.MaxError < 1e-6) {
			t.Errorf("%s: Fold.MaxError is %g", name, fold.MaxError)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	edit := func(f func(*model.Net)) *model.Net { n := torchNet(); f(n); return n }
	for name, c := range map[string]struct {
		net  *model.Net
		edit func([]model.Tensor) []model.Tensor
		mean []float32
		want string
	}{
		"other sizes": {net: edit(func(n *model.Net) { n.Layers[0].Out = 8 }), want: "conv1.weight is [4 3 3 3], the net needs [8 3 3 3]"},
		"more layers": {net: edit(func(n *model.Net) { n.Layers = slices.Delete(n.Layers, 6, 9) }), want: "classifier.4 is one layer more"},
		"fewer layers": {net: edit(func(n *model.Net) {
			n.Layers = slices.Insert(n.Layers, 6, model.Layer{Name: "fc5", Kind: model.FC, Out: 54})
		}), want: "no classifier layer for fc7"},
		"no bias":       {edit: func(ts []model.Tensor) []model.Tensor { return ts[:len(ts)-1] }, want: "classifier.4.bias is missing"},
		"foreign names": {edit: func(ts []model.Tensor) []model.Tensor { ts[0].Name = "conv1.weight"; return ts }, want: `tensor "conv1.weight": torchvision's alexnet has`},
		"mean":          {mean: make([]float32, 4), want: "a mean of 4 values"},
		"groups":        {net: edit(func(n *model.Net) { n.Layers[0].Groups, n.Layers[0].Out = 3, 6 }), want: ""},
		"bad net":       {net: &model.Net{Name: "empty"}, want: "net empty"},
		"LRN after dropout": {net: edit(func(n *model.Net) {
			n.Layers[7] = model.Layer{Name: "norm", Kind: model.LRN, Size: 5, K: 1, Alpha: 1, Beta: 1}
			n.Layers[7], n.Layers[8] = n.Layers[8], n.Layers[7]
		}), want: "layer norm: a lrn after dropout"},
	} {
		net, ts := c.net, tinyTorch(t)
		if net == nil {
			net = torchNet()
		}
		if c.edit != nil {
			ts = c.edit(ts)
		}
		if _, _, err := FromTorchvision(net, ts, c.mean); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}

	for name, c := range map[string]struct {
		edit func([]model.Tensor) []model.Tensor
		want string
	}{
		"missing":    {func(ts []model.Tensor) []model.Tensor { return ts[1:] }, "conv1.weight is missing"},
		"extra":      {func(ts []model.Tensor) []model.Tensor { return append(ts, model.Tensor{Name: "conv9.weight"}) }, "conv9.weight is not a parameter"},
		"other size": {func(ts []model.Tensor) []model.Tensor { ts[0].Shape = []int{3, 4, 3, 3}; return ts }, "conv1.weight is [3 4 3 3], the net needs [4 3 3 3]"},
	} {
		_, err := FromCaffe(tinyNet(), c.edit(tinyNet().Init(1)))
		var mismatch *model.MismatchError
		if !errors.As(err, &mismatch) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want a mismatch with %q", name, err, c.want)
		}
	}
	net := tinyNet()
	net.Layers[0].Groups, net.Layers[0].Out, net.Layers[2].Out = 3, 6, 6
	var unsupported *UnsupportedError
	if _, err := FromCaffe(net, net.Init(1)); !errors.As(err, &unsupported) {
		t.Errorf("groups in the first layer: error %v", err)
	}
}

// Each dropout goes into the weights of the layer behind it, whatever layers with weights
// there are.
func TestUndoDropout(t *testing.T) {
	net := &model.Net{Layers: []model.Layer{{Name: "conv", Kind: model.Conv}, {Name: "drop1", Kind: model.Dropout, Rate: 0.5}, {Name: "local", Kind: model.Local},
		{Name: "drop2", Kind: model.Dropout, Rate: 0.75}, {Name: "relu", Kind: model.ReLU}, {Name: "fc1", Kind: model.FC}, {Name: "fc2", Kind: model.FC}}}
	ts := make([]model.Tensor, 8)
	for i := range ts {
		ts[i].Data = []float32{1}
	}
	if err := undoDropout(net, ts, caffeFormat); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float32{1, 1, 2, 1, 4, 1, 1, 1} {
		if got := ts[i].Data[0]; got != want {
			t.Errorf("tensor %d is multiplied by %g, not %g", i, got, want)
		}
	}
}
