package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"alexnet/model"
	"alexnet/model/weights"
	"alexnet/records"
	"alexnet/records/atomicfile"
	"alexnet/tools/cli"
	"alexnet/train/checkpoint"
)

// converted is what was read, as the weights of one of our nets.
type converted struct {
	net     *model.Net
	weights []model.Tensor
	kind    string        // what the file was
	fold    *weights.Fold // for torchvision's weights
}

// check looks at the flags alone.
func (f *flags) check() error {
	ext := strings.ToLower(filepath.Ext(f.Out))
	switch {
	case ext != ".safetensors" && ext != ".onnx":
		return cli.Usagef("--out %s: the name must end in .safetensors or .onnx", f.Out)
	case f.Classes < 0:
		return cli.Usagef("--classes %d: it must not be negative", f.Classes)
	case f.Mean != nil && len(f.Mean) != 3:
		return cli.Usagef("--mean takes three numbers, R,G,B")
	case f.Mean != nil && f.Records != "":
		return cli.Usagef("give --mean or --records, not both")
	}
	for _, v := range f.Mean {
		if !(v >= 0 && v <= 255) {
			return cli.Usagef("--mean: %g is not in 0..255", v)
		}
	}
	return nil
}

// best lets a run's folder stand for its best checkpoint, and says which that is.
func (f *flags) best(out io.Writer) error {
	if info, err := os.Stat(f.In); err != nil || !info.IsDir() {
		return err
	}
	c, warnings, err := checkpoint.BestOf(f.In)
	for _, w := range warnings {
		fmt.Fprintf(out, "warning: %v\n", w)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: taking %s\n", f.In, c.File)
	f.In = c.File
	return nil
}

// onItself refuses to write over what is read: of a checkpoint only the weights would
// be left, and no run could go on from them.
func (f *flags) onItself() error {
	in, inErr := os.Stat(f.In)
	out, outErr := os.Stat(f.Out)
	if inErr == nil && outErr == nil && os.SameFile(in, out) {
		return cli.Usagef("--out %s is the file of --in, which would be lost: name another", f.Out)
	}
	return nil
}

// read reads the file, whatever its kind, and fits it to its net.
func (f *flags) read() (*converted, error) {
	file, err := os.Open(f.In)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	start := make([]byte, 9)
	n, err := io.ReadFull(file, start)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	ext := strings.ToLower(filepath.Ext(f.In))
	ours := n == 9 && start[8] == '{' || ext == ".safetensors"
	switch {
	case !ours && f.Weights == string(checkpoint.Averaged):
		return nil, cli.Usagef("--weights %s is for checkpoints", f.Weights)
	case bytes.HasPrefix(start, []byte("PK\x03\x04")) || ext == ".pth" || ext == ".pt":
		return f.torch(file)
	case ext == ".caffemodel":
		return f.caffe(file)
	case bytes.HasPrefix(start, []byte("\x89HDF")):
		return nil, errors.New("it is an HDF5 file; let Caffe write snapshot_format: BINARYPROTO")
	case ours:
		return f.safetensors()
	}
	return nil, errors.New("it is none of .caffemodel, .pth (PyTorch), .safetensors, by name or contents")
}

func (f *flags) torch(file *os.File) (*converted, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	ts, err := weights.ReadTorch(file, info.Size())
	if err != nil {
		return nil, err
	}
	return f.named(ts, "PyTorch weights")
}

func (f *flags) caffe(file *os.File) (*converted, error) {
	ts, err := weights.ReadCaffe(file)
	if err != nil {
		return nil, err
	}
	if err := f.noMean(); err != nil {
		return nil, err
	}
	c := &converted{kind: "Caffe weights"}
	if c.net, err = f.preset("caffe", ts); err != nil {
		return nil, err
	}
	c.weights, err = weights.FromCaffe(c.net, ts)
	return c, err
}

// safetensors reads a checkpoint, or a file of weights only.
func (f *flags) safetensors() (*converted, error) {
	saved, err := checkpoint.Read(f.In)
	var unsupported *checkpoint.UnsupportedError
	if errors.As(err, &unsupported) {
		ts, err := checkpoint.ReadWeights(f.In, checkpoint.Weights(f.Weights)) // says so if it is the version
		if err != nil {
			return nil, err
		}
		return f.named(ts, "weights")
	}
	if err != nil {
		return nil, err
	}
	ts, err := saved.Weights(checkpoint.Weights(f.Weights))
	if err != nil {
		return nil, err
	}
	switch {
	case f.Net != "":
		return f.named(ts, "weights")
	case f.Classes != 0 && f.Classes != saved.Net.Classes:
		return nil, fmt.Errorf("--classes %d: the checkpoint's net has %d; leave --classes out", f.Classes, saved.Net.Classes)
	}
	kind := "the checkpoint's weights"
	if f.Weights == string(checkpoint.Averaged) {
		kind = "the checkpoint's averaged weights"
	}
	return &converted{net: saved.Net, weights: ts, kind: kind}, f.noMean()
}

// named fits tensors that have the names of torchvision, or ours.
func (f *flags) named(ts []model.Tensor, kind string) (c *converted, err error) {
	c = &converted{kind: kind}
	if weights.IsTorchvision(ts) {
		if c.net, err = f.preset("torchvision", ts); err != nil {
			return nil, err
		}
		mean, err := f.mean(c.net)
		if err != nil {
			return nil, err
		}
		var fold weights.Fold
		c.weights, fold, err = weights.FromTorchvision(c.net, ts, mean)
		c.fold, c.kind = &fold, "torchvision's weights"
		return c, err
	}
	if err := f.noMean(); err != nil {
		return nil, err
	}
	if c.net, err = f.preset("alexnet", ts); err != nil {
		return nil, err
	}
	order := make(map[string]int)
	for i, p := range c.net.Params() {
		order[p.Name] = i + 1 // others come first, and are refused
	}
	slices.SortStableFunc(ts, func(a, b model.Tensor) int { return order[a.Name] - order[b.Name] })
	c.weights = ts
	return c, c.net.CheckTensors(ts)
}

// preset returns the net of --net; by default that with the name of the program
// that the weights come from, if there is one.
func (f *flags) preset(program string, ts []model.Tensor) (*model.Net, error) {
	name, classes := f.Net, f.Classes // 0: as many as the file has
	if name == "" {
		name = "alexnet"
		if slices.Contains(model.Presets(), program) {
			name = program
		}
	}
	net, err := model.Preset(name, max(classes, 1))
	if err != nil || classes != 0 {
		return net, err
	}
	params := net.Params()
	last := params[len(params)-1].Name
	if weights.IsTorchvision(ts) {
		last = slices.MaxFunc(ts, func(a, b model.Tensor) int { return classifier(a) - classifier(b) }).Name
	}
	for _, t := range ts {
		if t.Name == last && len(t.Data) > 0 {
			return model.Preset(name, len(t.Data))
		}
	}
	return nil, fmt.Errorf("%s, which says how many classes there are, is missing; is net %s the right one? (--net, --classes)", last, name)
}

// classifier returns N of the bias classifier.N.bias, and -1 of other tensors.
func classifier(t model.Tensor) int {
	text, ok := strings.CutPrefix(t.Name, "classifier.")
	text, ok2 := strings.CutSuffix(text, ".bias")
	if n, err := strconv.Atoi(text); ok && ok2 && err == nil {
		return n
	}
	return -1
}

// noMean refuses a mean for weights that it does not concern.
func (f *flags) noMean() error {
	if f.Mean != nil || f.Records != "" {
		return cli.Usagef("--mean and --records are for torchvision's weights; these take pixels less the mean as they are")
	}
	return nil
}

// mean returns the mean that the images will be less of: of the channels, or the
// central crop of the records' mean image.
func (f *flags) mean(net *model.Net) ([]float32, error) {
	if f.Records == "" {
		return f.Mean, nil
	}
	ds, err := records.Open(f.Records)
	if err != nil {
		return nil, err
	}
	s, in := ds.Mean.Shape, net.Input
	if s.C != in.C || s.H < in.H || s.W < in.W {
		return nil, fmt.Errorf("records of %dx%dx%d are too small for the net's %dx%dx%d", s.C, s.H, s.W, in.C, in.H, in.W)
	}
	top, left := (s.H-in.H)/2, (s.W-in.W)/2
	mean := make([]float32, 0, in.Size())
	for c := range in.C {
		for y := range in.H {
			mean = append(mean, ds.Mean.Mean[(c*s.H+top+y)*s.W+left:][:in.W]...)
		}
	}
	return mean, nil
}

// write writes the file, whole or not at all.
func (f *flags) write(c *converted) error {
	return atomicfile.Write(f.Out, func(w io.Writer) error {
		if strings.EqualFold(filepath.Ext(f.Out), ".onnx") {
			return weights.WriteONNX(w, c.net, c.weights)
		}
		meta := map[string]string{"net": c.net.Name, "made_from": filepath.Base(f.In)}
		if c.fold != nil {
			meta["mean"] = fmt.Sprintf("%g,%g,%g", c.fold.Mean[0], c.fold.Mean[1], c.fold.Mean[2])
		}
		return model.WriteTensors(w, meta, c.weights)
	})
}

// count returns the number of values.
func count(ts []model.Tensor) int {
	n := 0
	for _, t := range ts {
		n += len(t.Data)
	}
	return n
}
