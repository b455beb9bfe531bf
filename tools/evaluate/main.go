// Command evaluate measures trained nets: top-1 and top-5 error on a split of the
// records, in the central crop or averaged over ten views, of one net or of several
// averaged.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"alexnet/tools/cli"
	"alexnet/train/eval"
)

const description = `Measures trained nets: top-1 and top-5 error.

Examples:
  evaluate --records out/ --checkpoint runs/alexnet --views 10
  evaluate --records out/ --checkpoint runs/a --checkpoint runs/b
  evaluate --records out/ --checkpoint runs/ema --weights average

A run's folder stands for its best checkpoint, by its own weights. The probabilities of several
checkpoints are averaged, as in the paper's section 6.`

// flags is evaluate's command line.
type flags struct {
	Records    string   `required:"" placeholder:"DIR" help:"Records that ingest made."`
	Checkpoint []string `required:"" sep:"none" placeholder:"FILE|RUN" help:"A checkpoint, or the folder of a run; repeat it to average several."`
	Weights    string   `enum:"own,average" default:"own" help:"own (default): the weights that were trained; average: the average of them that runs with --ema keep."`
	Views      int      `enum:"1,10" default:"1" help:"1: the centre; 10: corners and centre, each mirrored too."`
	Split      string   `default:"val" help:"The split to measure on."`
	Batch      int      `default:"128" placeholder:"N" help:"Images, views counted, at a time."`
	Workers    int      `placeholder:"N" help:"Goroutines that prepare batches (default: one a processor)."`
	Threads    int      `placeholder:"N" help:"Threads of the CPU engine (default: one a processor)."`
	JSON       bool     `name:"json" help:"The result as a JSON object."`

	stdout, stderr io.Writer
}

func main() {
	cli.Main("evaluate", description, &flags{stdout: os.Stdout, stderr: os.Stderr})
}

// answer is the JSON object: shares in [0, 1].
type answer struct {
	eval.Result
	Top1Accuracy float64  `json:"top1"`
	Top5Accuracy float64  `json:"top5"`
	Top1Error    float64  `json:"top1_error"`
	Top5Error    float64  `json:"top5_error"`
	Checkpoints  []string `json:"checkpoints"`
	Weights      string   `json:"weights"`
}

// Run measures and prints.
func (f *flags) Run(ctx context.Context) error {
	r, files, err := f.evaluate(ctx)
	if err != nil {
		return err
	}
	if f.JSON {
		return json.NewEncoder(f.stdout).Encode(answer{r, r.Top1Accuracy(), r.Top5Accuracy(), r.Top1Error(), r.Top5Error(), files, f.Weights})
	}
	_, err = fmt.Fprintf(f.stdout, "split %s: %d images, views: %d, nets: %d, mean loss %.4f\n"+
		"top-1 error %6.2f %%, accuracy %6.2f %% (%d of %d)\ntop-5 error %6.2f %%, accuracy %6.2f %% (%d of %d)\n",
		r.Split, r.Images, r.Views, r.Nets, r.Loss,
		100*r.Top1Error(), 100*r.Top1Accuracy(), r.Top1, r.Images, 100*r.Top5Error(), 100*r.Top5Accuracy(), r.Top5, r.Images)
	return err
}
