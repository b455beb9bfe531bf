package weights

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"alexnet/model"
	"alexnet/model/cpu"
)

// onnxNet has every kind of layer, and everything about it that ONNX has another
// convention for.
func onnxNet() *model.Net {
	return &model.Net{Name: "every-kind", Input: model.Shape{C: 3, H: 17, W: 14}, Classes: 6, Layers: []model.Layer{
		{Name: "conv1", Kind: model.Conv, Out: 8, Kernel: 4, Stride: 2, Pad: 1, PadEnd: 2, InitStd: 0.02, InitBias: 0.1},
		{Name: "relu1", Kind: model.ReLU},
		{Name: "norm1", Kind: model.LRN, Size: 3, Alpha: 0.3, Beta: 0.6, K: 1.5},
		{Name: "pool1", Kind: model.MaxPool, Kernel: 3, Stride: 2, Ceil: true},
		{Name: "conv2", Kind: model.Conv, Out: 6, Kernel: 3, Stride: 1, Pad: 1, Groups: 2, InitStd: 0.3},
		{Name: "norm2", Kind: model.LRN, Size: 3, Alpha: 0.4, Beta: 0.75, K: 1, Groups: 2},
		{Name: "drop2", Kind: model.Dropout, Rate: 0.3},
		{Name: "spatial2", Kind: model.LRNWithinChannel, Size: 5, Alpha: 0.2, Beta: 0.7, K: 1.5},
		{Name: "pool2", Kind: model.MaxPool, Kernel: 2, Stride: 3, Ceil: true},
		{Name: "drop3", Kind: model.Dropout},
		{Name: "fc3", Kind: model.FC, Out: 10, InitStd: 0.4},
		{Name: "relu3", Kind: model.ReLU},
		{Name: "drop4", Kind: model.Dropout, Rate: 0.5},
		{Name: "fc4", Kind: model.FC, Out: 6, InitStd: 0.6},
		{Name: "prob", Kind: model.Softmax},
	}}
}

// TestONNXRuntime compares the engine with ONNX Runtime, which the CI installs:
// cd interop && npm ci --ignore-scripts.
func TestONNXRuntime(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node on this machine")
	}
	if _, err := os.Stat("interop/node_modules/onnxruntime-node"); err != nil {
		t.Skip("ONNX Runtime is not installed: cd interop && npm ci --ignore-scripts")
	}
	small, err := model.Preset("alexnet-small", 10)
	if err != nil {
		t.Fatal(err)
	}
	nets := []*model.Net{onnxNet(), small}
	names := model.Presets()
	if testing.Short() {
		names = nil
	}
	for _, name := range names {
		net, err := model.Preset(name, 1000)
		if err != nil {
			t.Fatal(err)
		}
		local := slices.ContainsFunc(net.Layers, func(l model.Layer) bool { return l.Kind == model.Local }) // see TestONNXRefuses
		if !local && !slices.ContainsFunc(nets, func(n *model.Net) bool { return n.Name == net.Name }) {
			nets = append(nets, net)
		}
	}
	for _, net := range nets {
		t.Run(net.Name, func(t *testing.T) {
			const images = 3
			dir := t.TempDir()
			weights := net.Init(5)
			engine, err := cpu.New(net, model.State{Weights: weights}, cpu.Options{Batch: images})
			if err != nil {
				t.Fatal(err)
			}
			defer engine.Close()
			input := make([]float32, images*net.Input.Size())
			for i := range input {
				input[i] = float32(uint32(i)*2654435761>>24) - 128
			}
			probs := make([]float32, images*net.Classes)
			if err := engine.Predict(input, images, probs); err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := WriteONNX(&b, net, weights); err != nil {
				t.Fatal(err)
			}
			shape, _ := json.Marshal([]int{images, net.Input.C, net.Input.H, net.Input.W})
			for name, data := range map[string][]byte{"model.onnx": b.Bytes(), "images.f32": []byte(floats(input...)),
				"probabilities.f32": []byte(floats(probs...)), "shape.json": shape} {
				if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command(node, "interop/check.mjs", dir).CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// fields takes a message apart: the values of a field that holds bytes.
func fields(t *testing.T, message []byte, want protowire.Number) (values [][]byte) {
	t.Helper()
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeField(message)
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		if n == want && kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(message)
			v, _ := protowire.ConsumeBytes(message[tag:])
			values = append(values, v)
		}
		message = message[size:]
	}
	return values
}

// TestONNXGraph looks at the file itself, on machines without ONNX Runtime.
func TestONNXGraph(t *testing.T) {
	net := onnxNet()
	weights := net.Init(1)
	var b bytes.Buffer
	if err := WriteONNX(&b, net, weights); err != nil {
		t.Fatal(err)
	}
	graph := fields(t, b.Bytes(), modelGraph)
	if len(graph) != 1 {
		t.Fatalf("%d graphs", len(graph))
	}
	var ops []string
	for _, n := range fields(t, graph[0], graphNode) {
		ops = append(ops, string(fields(t, n, nodeOp)[0]))
	}
	if got, want := strings.Join(ops, " "), "Conv Relu LRN MaxPool Conv Constant Reshape LRN Constant Reshape Mul Mul AveragePool Mul Add Pow Mul MaxPool Flatten Gemm Relu Mul Gemm Identity Softmax"; got != want {
		t.Errorf("nodes are\n%s, want\n%s", got, want)
	}
	lrn := fields(t, graph[0], graphNode)[2]
	if !bytes.Contains(lrn, floatAttr("alpha", 0.9)) {
		t.Error("alpha of the LRN is not 3 x 0.3, which ONNX divides by 3")
	}
	named := make(map[string][]byte)
	for _, i := range fields(t, graph[0], graphInitializer) {
		named[string(fields(t, i, tensorName)[0])] = fields(t, i, tensorRaw)[0]
	}
	for _, w := range weights {
		if string(named[w.Name]) != floats(w.Data...) {
			t.Errorf("%s is not in the file as it is", w.Name)
		}
	}
	for name, want := range map[string]float32{"spatial2:alpha": 5, "spatial2:k": 1.5, "spatial2:exponent": -0.7} {
		if got := floatOf(named[name]); got != want {
			t.Errorf("%s is %g, want %g", name, got, want)
		}
	}
	if len(named) != len(weights)+5 || math.Abs(float64(floatOf(named["drop2:scale"])-0.7)) > 1e-7 {
		t.Errorf("%d initializers; the scale of drop2 is %v", len(named), named["drop2:scale"])
	}
	if doc := fields(t, graph[0], graphDoc); len(doc) != 1 || !strings.Contains(string(doc[0]), "less their mean") {
		t.Errorf("the graph's doc string %q does not say what the input is", doc)
	}
}

func floatOf(b []byte) float32 {
	if len(b) != 4 {
		return 0
	}
	v, _ := protowire.ConsumeFixed32(b)
	return math.Float32frombits(v)
}

func TestONNXRefuses(t *testing.T) {
	net := onnxNet()
	var mismatch *model.MismatchError
	if err := WriteONNX(io.Discard, net, net.Init(1)[1:]); !errors.As(err, &mismatch) {
		t.Errorf("error %v, want a mismatch", err)
	}
	for _, kind := range []model.Kind{model.LRN, model.LRNWithinChannel} {
		net := onnxNet()
		at := slices.IndexFunc(net.Layers, func(l model.Layer) bool { return l.Name == "relu3" })
		net.Layers = slices.Insert(net.Layers, at, model.Layer{Name: "norm9", Kind: kind, Size: 3, Alpha: 1, Beta: 1, K: 1})
		var unsupported *UnsupportedError
		if err := WriteONNX(io.Discard, net, net.Init(1)); !errors.As(err, &unsupported) || unsupported.Where != "layer norm9" {
			t.Errorf("error %v, want one about norm9", err)
		}
	}
	cifar, err := model.Preset("cifar-4layer", 10)
	if err != nil {
		t.Fatal(err)
	}
	var unsupported *UnsupportedError
	if err := WriteONNX(io.Discard, cifar, cifar.Init(1)); !errors.As(err, &unsupported) || unsupported.Where != "layer local3" {
		t.Errorf("error %v, want one about local3", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
	if err := WriteONNX(w, onnxNet(), onnxNet().Init(1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v, want %v", err, os.ErrClosed)
	}
}
