// Command evaluate measures trained nets: top-1 and top-5 error on a split of the
// records, in the central crop or averaged over ten views, of one net or of several
// averaged, with what each says alone, by class and by confusion. It writes their
// predictions too, in the form of a submission to ILSVRC, and a report with the paper's
// figures as a page for a browser.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"

	"alexnet/tools/cli"
	"alexnet/tools/stores"
)

const description = `Measures trained nets: top-1 and top-5 error.

Examples:
  evaluate --records out/ --checkpoint runs/alexnet --views 10
  evaluate --records out/ --checkpoint runs/a --checkpoint runs/b --per-class
  evaluate --records out/ --checkpoint runs/a --split test --predictions test.txt
  evaluate --records out/ --checkpoint runs/ema --weights average
  evaluate --records out/ --checkpoint runs/alexnet --views 10 --report report/

A run's folder stands for its best checkpoint, by its own weights. The probabilities
of several checkpoints are averaged, as in the paper's section 6, and each net's own row is
shown too. All must have the classes of the records, in their order; nets and sizes
of inputs may differ. Of classes with equal probabilities the one with the lower
label ranks higher. Confidence intervals are Wilson's, of 95 %.`

// flags is evaluate's command line.
type flags struct {
	Records    string   `required:"" placeholder:"DIR|URL" help:"Records that ingest made, in a folder or an object store (s3://bucket/out)."`
	Checkpoint []string `required:"" sep:"none" placeholder:"FILE|RUN" help:"A checkpoint, or the folder of a run; repeat it to average several."`
	Weights    string   `enum:"own,average" default:"own" help:"own (default): the weights that were trained; average: the average of them that runs with --ema keep."`
	Views      int      `enum:"1,10" default:"1" help:"1: the centre; 10: corners and centre, each mirrored too."`
	Split      string   `default:"val" help:"The split to measure on."`
	Device     string   `enum:"auto,cpu,gpu" default:"auto" help:"auto (default), cpu or gpu."`
	Precision  *string  `enum:"fp32,tf32,bf16" placeholder:"fp32|tf32|bf16" help:"Arithmetic: fp32, bf16 or, on a GPU, tf32 (default: that of each checkpoint's run)."`
	Batch      int      `default:"128" placeholder:"N" help:"Images, views counted, that a net computes at a time (${default}, of whole records); fewer take less memory."`
	Workers    int      `placeholder:"N" help:"Goroutines that prepare batches (default: one a processor)."`
	Threads    int      `placeholder:"N" help:"Threads of the CPU engine (default: one a processor)."`
	JSON       bool     `name:"json" help:"All results as a JSON object."`
	outputFlags
	reportFlags
	Store stores.Cache `embed:""`

	stdout, stderr io.Writer
}

func main() {
	cli.CollectEarly()
	cli.Main("evaluate", description, &flags{stdout: os.Stdout, stderr: os.Stderr})
}

// Run measures and prints. What was measured is printed even if not all files could be
// written, since it may have taken hours.
func (f *flags) Run(ctx context.Context) error {
	a, err := f.evaluate(ctx)
	switch {
	case a == nil:
		return err
	case f.JSON:
		return errors.Join(err, json.NewEncoder(f.stdout).Encode(a))
	}
	return errors.Join(err, f.print(f.stdout, *a))
}
