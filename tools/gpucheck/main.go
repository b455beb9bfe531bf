// Command gpucheck checks the GPU trainer on a machine with a GPU, and measures it: all
// that no machine without one can.
package main

import (
	"context"
	"errors"
	"io"
	"time"

	"alexnet/tools/cli"
)

const description = `Checks the GPU trainer on the machine that it runs on, and measures it.

The machine must have a driver, cuDNN 9 and cuBLAS (pip's torch or nvidia-* packages
bring the libraries); all else is in the program. Build it with the tag gpu.

Examples:
  gpucheck                               everything, in under eight minutes
  gpucheck --json gpucheck.json --markdown gpucheck.md
  gpucheck --only parity,bench
  gpucheck --device soft                 what needs no GPU, on one made of plain Go

Parts:
  machine  what is there: device, driver, libraries
  kernels  our own kernels compile for the device, and meet plain Go
  parity   logits, all gradients and ten losses, beside PyTorch's and the CPU's
  repeat   two runs of 20 steps give the same bits
  resume   from a state of the CPU to the GPU, and back
  travel   what travels to the device, in each type, gives the same loss
  memory   what it takes, what it gives back, and what it says when there is too little
  errors   wrong input, numbers that break down, and what is said about them
  ranks    two GPUs, where there are two, train as one does, and how fast they sum
  bench    training and prediction of synthetic batches; the peak of products
  layers   where the time of a step goes, call by call
  copies   from pinned and from ordinary memory to the device
  stream   training from records in memory, end to end, beside synthetic batches
  torch    PyTorch's AlexNet, in every way that makes it fast, where python3 has it

Each part is a process of its own with a limit in time, so that what goes wrong in
one, a broken context too, leaves the others as they are.

Exit status 1 says that a check failed. Targets that are missed, which are for one
H200, do not count there.`

// flags are the command's.
type flags struct {
	Only     []string      `placeholder:"PART" help:"Parts to run; none: all."`
	Device   string        `enum:"gpu,soft,cpu" default:"gpu" help:"gpu; soft or cpu stand in for one and are for tests of this program (${default})."`
	Ordinal  int           `default:"0" help:"Which GPU, from 0 (${default})."`
	JSON     string        `name:"json" placeholder:"FILE" help:"Write everything as JSON."`
	Markdown string        `placeholder:"FILE" help:"Write tables for a README."`
	Python   string        `default:"python3" help:"The interpreter that may have torch (${default})."`
	Limit    time.Duration `default:"470s" help:"Time for all parts together (${default})."`
	Part     string        `hidden:"" help:"Run one part in this process and write its results as JSON lines."`

	launch launcher
}

// Run runs the parts one after another and prints what they find.
func (f *flags) Run(ctx context.Context, out io.Writer) error {
	if f.Part != "" {
		return f.alone(ctx, out)
	}
	chosen, err := f.parts()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.Limit)
	defer cancel()
	r := newReport(f, out)
	for i := 0; i < len(chosen) && !errors.Is(ctx.Err(), context.Canceled); i++ {
		r.run(ctx, chosen[i], f.launch)
	}
	r.compare()
	return errors.Join(r.write(), r.summary())
}

func main() { cli.Main("gpucheck", description, &flags{launch: isolated}) }
