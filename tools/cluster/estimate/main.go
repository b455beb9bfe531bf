// Command estimate reckons what a cluster would bring, from what one machine was measured
// to do: steps of data-parallel training, and ingest of the whole of ILSVRC2012.
package main

import (
	"context"
	"io"

	"alexnet/model"
	"alexnet/tools/cli"
)

const description = `Estimates, by arithmetic, what many machines would bring. Nothing is measured.

Examples:
  estimate                                         the tables of tools/cluster/README.md
  estimate --rate 76.4 --batch 128 --ranks 2,4,8 --gbit 1,10
  estimate --pictures-per-core 613 --bytes 196608 --tasks 16 --cores 32`

func main() {
	cli.Main("estimate", description, &flags{})
}

// Run prints the tables.
func (f *flags) Run(_ context.Context, out io.Writer) error {
	if err := f.check(); err != nil {
		return err
	}
	net, err := model.Preset(f.Net, 1000)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	machines := known()
	if f.Rate != nil {
		machines = nil
		for _, r := range f.Rate {
			machines = append(machines, machine{"given", r})
		}
	}
	if err := f.writeTraining(out, net, machines); err != nil {
		return err
	}
	return f.writeIngest(out)
}
