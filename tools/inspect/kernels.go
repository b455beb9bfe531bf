package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"io"

	"alexnet/records/atomicfile"
	"alexnet/tools/cli"
	"alexnet/tools/figure"
	"alexnet/train/checkpoint"
)

// kernelsCommand draws the kernels of the first convolution: the paper's Figure 3.
type kernelsCommand struct {
	Checkpoint string `arg:"" help:"A checkpoint, or the folder of a run, which stands for its best checkpoint."`
	Out        string `aliases:"png" default:"kernels.png" placeholder:"FILE" help:"The PNG to write; --png is the same (${default})."`
	Contrast   string `enum:"figure,kernel" default:"figure" help:"The largest weight that is white or black: of the figure (default), or of each kernel. Zero is grey."`
	Scale      int    `default:"0" placeholder:"N" help:"Pixels a weight; 0 chooses."`
	Weights    string `enum:"own,average" default:"own" help:"own (default): the weights that were trained; average: the average of them that runs with --ema keep."`
	JSON       bool   `name:"json" help:"Describe the figure as a JSON object."`
}

// Help returns what --help shows besides the flags.
func (*kernelsCommand) Help() string {
	return "Example:\n  inspect kernels runs/alexnet --out kernels.png"
}

// Run writes the PNG.
func (c *kernelsCommand) Run(_ context.Context, out io.Writer) error {
	if c.Scale < 0 {
		return cli.Usagef("--scale must not be negative")
	}
	found, warnings, err := checkpoint.Find(c.Checkpoint)
	if err != nil {
		return err
	}
	weights, err := found.Weights(checkpoint.Weights(c.Weights))
	if err != nil {
		return err
	}
	img, grid, err := figure.Kernels(found.Net, weights, figure.KernelOptions{Contrast: figure.Contrast(c.Contrast), Scale: c.Scale})
	if err != nil {
		return fmt.Errorf("%s: %w", found.File, err)
	}
	if err := atomicfile.Write(c.Out, func(w io.Writer) error { return png.Encode(w, img) }); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(out).Encode(struct {
			File       string `json:"file"`
			Checkpoint string `json:"checkpoint"`
			figure.KernelGrid
		}{c.Out, found.File, grid})
	}
	for _, w := range warnings {
		fmt.Fprintf(out, "warning: %v\n", w)
	}
	fmt.Fprintf(out, "%s: %dx%d pixels, %d kernels of %dx%dx%d of %s after step %d, towers: %d; contrast by %s, the largest weight is %.3g\n",
		c.Out, img.Rect.Dx(), img.Rect.Dy(), grid.Kernels, grid.Side, grid.Side, grid.Channels, grid.Layer, found.Progress.Step, grid.Towers, grid.Contrast, grid.Largest)
	return nil
}
