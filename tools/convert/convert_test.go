package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"alexnet/model"
	"alexnet/tools/cli"
	"alexnet/train/checkpoint"
	"alexnet/train/traintest"
)

func command(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = cli.Run(t.Context(), "convert", description, &flags{}, args, &out, &errs)
	return status, out.String(), errs.String()
}

func smallNet(t *testing.T) *model.Net {
	t.Helper()
	net, err := model.Preset("alexnet-small", 7)
	if err != nil {
		t.Fatal(err)
	}
	return net
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// tensors writes a safetensors file.
func tensors(t *testing.T, ts []model.Tensor) string {
	t.Helper()
	var b bytes.Buffer
	if err := model.WriteTensors(&b, nil, ts); err != nil {
		t.Fatal(err)
	}
	return write(t, "in.safetensors", b.Bytes())
}

// caffemodel writes weights as Caffe does.
func caffemodel(t *testing.T, ts []model.Tensor) string {
	t.Helper()
	bytesField := func(b []byte, n protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	var file []byte
	for i := 0; i < len(ts); i += 2 {
		layer := bytesField(nil, 1, []byte(strings.TrimSuffix(ts[i].Name, ".weight")))
		for _, s := range ts[i : i+2] {
			var dims, data []byte
			for _, d := range s.Shape {
				dims = protowire.AppendVarint(dims, uint64(d))
			}
			for _, v := range s.Data {
				data = protowire.AppendFixed32(data, math.Float32bits(v))
			}
			layer = bytesField(layer, 7, bytesField(bytesField(nil, 5, data), 7, bytesField(nil, 1, dims)))
		}
		file = bytesField(file, 100, layer)
	}
	return write(t, "in.caffemodel", file)
}

// torchvisionNames renames the tensors of a net.
func torchvisionNames(ts []model.Tensor) []model.Tensor {
	names := []string{"features.0", "features.3", "features.6", "features.8", "features.10", "classifier.1", "classifier.4", "classifier.10"}
	out := slices.Clone(ts)
	for i := range out {
		out[i].Name = names[i/2] + filepath.Ext(out[i].Name)
	}
	slices.Reverse(out) // the order of a file says nothing
	return out
}

func TestConvert(t *testing.T) {
	net := smallNet(t)
	init := net.Init(1)
	shuffled := slices.Clone(init)
	slices.Reverse(shuffled)
	data := traintest.Data{Classes: 7, Train: 1, Val: 1, Size: 72, Seed: 1}
	dir := t.TempDir()
	if err := data.Make(dir); err != nil {
		t.Fatal(err)
	}
	// Dropout of 0.2 before fc7 and fc8 scales when predicting here, when training there.
	after := func(i int) float32 { return init[i].Data[5] / 0.8 }
	c1 := init[0].Data // of 5x5 windows
	for _, c := range []struct {
		name   string
		args   []string
		conv1  float32 // first value, and of fc7 and fc8 one
		fc7    float32
		fc8    float32
		stdout string
	}{
		{"own", []string{"--in", tensors(t, shuffled)}, c1[0], init[12].Data[5], init[14].Data[5], "weights of net alexnet-small, 7 classes, "},
		{"Caffe", []string{"--in", caffemodel(t, init)}, c1[50], after(12), after(14), "Caffe weights of net alexnet-small, 7 classes, "},
		{"torchvision", []string{"--in", tensors(t, torchvisionNames(init))}, float32(float64(c1[0]) / 255 / 0.229), after(12), after(14),
			"images must be less the mean 123.675,116.280,103.530; what the weights cannot make up for (padding, differences within a mean image) " +
				"changes the first layer's outputs by 0 at most, 0 in the mean"},
		{"a mean", []string{"--in", tensors(t, torchvisionNames(init)), "--mean", "120,116,104"}, float32(float64(c1[0]) / 255 / 0.229), after(12), after(14),
			"less the mean 120.000,116.000,104.000;"},
		{"a mean image", []string{"--in", tensors(t, torchvisionNames(init)), "--records", dir}, float32(float64(c1[0]) / 255 / 0.229), after(12), after(14), "images must be less the mean "},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.safetensors")
			status, stdout, errs := command(t, append(c.args, "--out", out, "--net", "alexnet-small")...)
			if status != cli.Done || !strings.Contains(stdout, c.stdout) {
				t.Fatalf("status %d, %q, %s; want %q", status, stdout, errs, c.stdout)
			}
			ts, err := checkpoint.ReadWeights(out, checkpoint.Own)
			if err != nil {
				t.Fatal(err)
			}
			if err := net.CheckTensors(ts); err != nil {
				t.Fatal(err)
			}
			if ts[0].Data[0] != c.conv1 || ts[12].Data[5] != c.fc7 || ts[14].Data[5] != c.fc8 {
				t.Errorf("conv1 %g, fc7 %g, fc8 %g; want %g, %g, %g", ts[0].Data[0], ts[12].Data[5], ts[14].Data[5], c.conv1, c.fc7, c.fc8)
			}
		})
	}
}

func TestCheckpointToONNX(t *testing.T) {
	net := smallNet(t)
	var b bytes.Buffer
	c := &checkpoint.Checkpoint{Net: net, State: model.State{Weights: net.Init(1), Velocity: net.Init(2)}, Settings: []byte("{}")}
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	in := write(t, "checkpoint.safetensors", b.Bytes())
	out := filepath.Join(t.TempDir(), "net.onnx")
	status, stdout, errs := command(t, "--in", in, "--out", out)
	if status != cli.Done || !strings.Contains(stdout, "the checkpoint's weights of net alexnet-small, 7 classes, ") {
		t.Fatalf("status %d, %q, %s", status, stdout, errs)
	}
	data, err := os.ReadFile(out)
	if err != nil || !bytes.Contains(data, []byte("less their mean")) {
		t.Errorf("%d bytes, error %v", len(data), err)
	}
	if status, _, errs := command(t, "--in", in, "--out", out, "--weights", "average"); status != cli.Failed || !strings.Contains(errs, "it has no averaged weights") {
		t.Errorf("no average: status %d, %s", status, errs)
	}
	c.Average = net.Init(3)
	var averaged bytes.Buffer
	if err := c.Write(&averaged); err != nil {
		t.Fatal(err)
	}
	in, out = write(t, "averaged.safetensors", averaged.Bytes()), filepath.Join(t.TempDir(), "average.safetensors")
	status, stdout, errs = command(t, "--in", in, "--out", out, "--weights", "average")
	if ts, err := checkpoint.ReadWeights(out, checkpoint.Own); status != cli.Done || err != nil || !reflect.DeepEqual(ts, c.Average) ||
		!strings.Contains(stdout, "the checkpoint's averaged weights of net alexnet-small") {
		t.Errorf("status %d, error %v, %q, %s", status, err, stdout, errs)
	}
	damaged := b.Bytes()
	damaged[len(damaged)-1] ^= 1
	if status, _, errs := command(t, "--in", write(t, "damaged.safetensors", damaged), "--out", out); status != cli.Failed || !strings.Contains(errs, "checksum") {
		t.Errorf("status %d, %s", status, errs)
	}
}

// TestRun converts what a run's folder stands for, and leaves a checkpoint what it is:
// written over, it would be weights that no run can go on from.
func TestRun(t *testing.T) {
	net := smallNet(t)
	c := &checkpoint.Checkpoint{Net: net, State: model.State{Weights: net.Init(1), Velocity: net.Init(2)}, Settings: []byte("{}"), Progress: checkpoint.Progress{Step: 3}}
	store := checkpoint.Store{Run: t.TempDir(), Keep: 1}
	if _, err := store.Save(c); err != nil {
		t.Fatal(err)
	}
	in := store.Path(3)
	out := filepath.Join(t.TempDir(), "net.onnx")
	if status, stdout, errs := command(t, "--in", store.Run, "--out", out); status != cli.Done || !strings.Contains(stdout, "taking "+in) {
		t.Errorf("a run: status %d, %q, %s", status, stdout, errs)
	}
	if status, _, errs := command(t, "--in", t.TempDir(), "--out", out); status != cli.Failed || !strings.Contains(errs, "there is no checkpoint in") {
		t.Errorf("a folder of something else: status %d, %s", status, errs)
	}
	if status, _, errs := command(t, "--in", in, "--out", out, "--classes", "8"); status != cli.Failed || !strings.Contains(errs, "the checkpoint's net has 7; leave --classes out") {
		t.Errorf("classes: status %d, %s", status, errs)
	}
	for _, from := range []string{in, store.Run} {
		if status, _, errs := command(t, "--in", from, "--out", in); status != cli.Usage || !strings.Contains(errs, "is the file of --in") {
			t.Errorf("onto itself: status %d, %s", status, errs)
		}
	}
	if _, err := checkpoint.Read(in); err != nil {
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	net := smallNet(t)
	own, caffe := tensors(t, net.Init(1)), caffemodel(t, net.Init(1))
	out := filepath.Join(t.TempDir(), "out.safetensors")
	testdata := func(name string) string { return filepath.Join("..", "..", "model", "weights", "testdata", name) }
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"--in " + own + " --out out.npz", cli.Usage, "must end in .safetensors or .onnx"},
		{"--in " + own + " --out " + out + " --mean 1,2", cli.Usage, "three numbers"},
		{"--in " + own + " --out " + out + " --mean 1,2,256", cli.Usage, "256 is not in 0..255"},
		{"--in " + own + " --out " + out + " --mean 1,2,3 --records x", cli.Usage, "not both"},
		{"--in " + own + " --out " + out + " --mean 1,2,3 --net alexnet-small", cli.Usage, "for torchvision's weights"},
		{"--in " + caffe + " --out " + out + " --mean 1,2,3 --net alexnet-small", cli.Usage, "for torchvision's weights"},
		{"--in " + own + " --out " + out + " --classes=-1", cli.Usage, "--classes -1"},
		{"--in " + own + " --out " + out + " --weights average", cli.Failed, "it has no averaged weights"},
		{"--in " + caffe + " --out " + out + " --weights average", cli.Usage, "--weights average is for checkpoints"},
		{"--in " + own + " --out " + out + " --net resnet", cli.Failed, `unknown net "resnet"`},
		{"--in " + own + " --out " + out + " --net alexnet", cli.Failed, "weights do not fit net alexnet: conv1.weight is [32 3 5 5], the net needs [96 3 11 11]"},
		{"--in " + own + " --out " + out, cli.Failed, "--net names another net"},
		{"--in " + tensors(t, net.Init(1)[:15]) + " --out " + out, cli.Failed, "fc8.bias, which says how many classes there are, is missing"},
		{"--in " + own + " --out " + out + " --net alexnet-small --classes 8", cli.Failed, "fc8.weight is [7 256], the net needs [8 256]"},
		{"--in " + caffe + "x --out " + out, cli.Failed, "no such file"},
		{"--in " + write(t, "x.h5", []byte("\x89HDF\r\n\x1a\n....")) + " --out " + out, cli.Failed, "BINARYPROTO"},
		{"--in " + write(t, "x.bin", []byte("something else")) + " --out " + out, cli.Failed, "it is none of"},
		{"--in " + write(t, "x.caffemodel", nil) + " --out " + out, cli.Failed, "x.caffemodel: malformed caffemodel: it has no layer with weights"},
		{"--in " + testdata("legacy.pth") + " --out " + out, cli.Failed, "before PyTorch 1.6"},
		{"--in " + testdata("evil.pth") + " --out " + out, cli.Failed, "nothing in a file is executed"},
		{"--in " + testdata("tiny.pth") + " --out " + out, cli.Failed, "weights do not fit net"},
	} {
		status, _, errs := command(t, strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(errs, c.want) {
			t.Errorf("%s: status %d, %s; want %d, %q", c.args, status, errs, c.status, c.want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: a file was written", c.args)
		}
	}
	if status, help, _ := command(t, "--help"); status != cli.Done || !strings.Contains(help, "convert --in bvlc_alexnet.caffemodel") {
		t.Errorf("status %d, help %s", status, help)
	}
}
