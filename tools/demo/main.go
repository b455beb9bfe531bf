// Command demo shows the whole pipeline at work with nothing but Go on the
// machine: it draws a small data set, runs the real commands on it one after the
// other, and says what came out and how to go on with real photographs.
package main

import (
	"context"
	"io"

	"alexnet/tools/cli"
)

const description = `Runs the whole pipeline on drawn pictures: mkilsvrc, ingest, inspect, train, evaluate.

Example:
  go run ./tools/demo --out demo-out`

// flags are the command's.
type flags struct {
	Out     string `default:"demo-out" help:"Folder for everything that the demo makes; an earlier demo's is replaced."`
	Classes int    `default:"8" help:"Classes of pictures, 2 to 20."`
	Train   int    `default:"60" help:"Training pictures of each class."`
	Val     int    `default:"15" help:"Validation pictures of each class."`
	Epochs  int    `default:"25" help:"Passes over the training pictures."`
	Seed    uint64 `default:"1" help:"Chooses pictures, order, crops and weights."`
}

// Run runs the demo.
func (f *flags) Run(ctx context.Context, out io.Writer) error {
	d, err := newDemo(f, out)
	if err != nil {
		return err
	}
	return d.run(ctx)
}

func main() { cli.Main("demo", description, &flags{}) }
