// Command convert takes weights in from other programs, and gives nets out: Caffe's
// and PyTorch's files become safetensors that train begins with, and a checkpoint
// becomes an ONNX model.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"alexnet/model"
	"alexnet/tools/cli"
)

const description = `Converts weights between this program's files and others'.

Examples:
  convert --in bvlc_alexnet.caffemodel --out caffe.safetensors
  convert --in alexnet-owt-7be5be79.pth --out torchvision.safetensors --net torchvision --records out/
  convert --in runs/alexnet --out alexnet.onnx
  train --records out/ --init caffe.safetensors

Reads .caffemodel files, state dicts of torchvision's alexnet (.pth of PyTorch 1.6 and
later, nothing in them is executed; or safetensors), safetensors and checkpoints; a
run's folder stands for its best checkpoint. Writes .safetensors and .onnx. The net
takes pixels from 0 to 255 less their mean, R, G, B; what other programs do otherwise
is put into the weights.`

// flags is convert's command line.
type flags struct {
	In      string    `required:"" placeholder:"FILE|RUN" help:"Weights: .caffemodel, .pth, .safetensors, a checkpoint, or the folder of a run."`
	Out     string    `required:"" placeholder:"FILE" help:"File to write: .safetensors or .onnx."`
	Net     string    `placeholder:"NAME" help:"The net that the weights are for (default: a checkpoint's own; else one that is named after the program they come from, or alexnet)."`
	Classes int       `placeholder:"N" help:"Outputs of the last layer (default: as many as the file has)."`
	Weights string    `enum:"own,average" default:"own" help:"A checkpoint: its own weights (default), or the average of them that runs with --ema keep."`
	Mean    []float32 `placeholder:"R,G,B" help:"torchvision: the mean that your images are less of, 0 to 255 (default: torchvision's, 123.675,116.28,103.53)."`
	Records string    `placeholder:"DIR" help:"torchvision: take the mean image of these records."`
}

func main() {
	cli.Main("convert", description, &flags{})
}

// Run converts.
func (f *flags) Run(_ context.Context, out io.Writer) error {
	if err := f.check(); err != nil {
		return err
	}
	if err := f.best(out); err != nil {
		return fmt.Errorf("--in %s: %w", f.In, err)
	}
	if err := f.onItself(); err != nil {
		return err
	}
	c, err := f.read()
	var mismatch *model.MismatchError
	if errors.As(err, &mismatch) && f.Net == "" {
		err = fmt.Errorf("%w (--net names another net; inspect net shows them)", err)
	}
	if err != nil {
		return fmt.Errorf("--in %s: %w", f.In, err)
	}
	if err := f.write(c); err != nil {
		return fmt.Errorf("--out %s: %w", f.Out, err)
	}
	fmt.Fprintf(out, "%s: %s of net %s, %d classes, %d parameters\n", f.Out, c.kind, c.net.Name, c.net.Classes, count(c.weights))
	if c.fold != nil {
		m := c.fold.Mean
		fmt.Fprintf(out, "images must be less the mean %.3f,%.3f,%.3f; what the weights cannot make up for "+
			"(padding, differences within a mean image) changes the first layer's outputs by %.2g at most, %.2g in the mean\n",
			m[0], m[1], m[2], c.fold.MaxError, c.fold.MeanError)
	}
	return nil
}
