// Command bench measures how fast this machine does each part of the work:
// making records, reading them, augmenting, streaming batches, training.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"alexnet/tools/cli"
)

const description = `Measures each part of the work, in images a second.

Examples:
  bench                                  everything, on made-up pictures and batches
  bench --records out/ --stage stream
  bench --src ILSVRC2012 --stage ingest
  bench --src ILSVRC2012 --stage ingest --write     the whole of the command ingest
  bench --stage train --net alexnet-small --json

Stages, and what their bytes are:
  ingest   decode and resize the pictures of --src to --size   files read
  read     random rows, every cache line of their pixels       stored pixels
  augment  crop, flip and colour of pictures in the cache      float32 images made
  stream   batches from records to a consumer that only waits  float32 images made
  train    forward, backward and update on the CPU             float32 images used

"a CPU second" counts all the process's processor time, on all cores. Images of
train come from --records, or are noise without it.`

// flags are bench's command line.
type flags struct {
	Records   string        `placeholder:"DIR" help:"Records that ingest made; none: made-up ones."`
	Split     string        `default:"train" help:"The split of --records."`
	Src       string        `placeholder:"DIR|TAR" help:"Pictures for the stage ingest, as for the command ingest."`
	Stage     string        `enum:"all,ingest,read,augment,stream,train" default:"all" help:"all, ingest, read, augment, stream or train. all leaves out ingest without --src."`
	Net       string        `default:"alexnet" help:"The net to train; its input is also the crop of augment and stream."`
	Batch     int           `default:"128" help:"Images of a batch."`
	Size      int           `default:"256" help:"Side of the pictures that ingest makes and of made-up records."`
	Dtype     string        `enum:"float32" default:"float32" help:"Type of the values of a batch: float32."`
	Precision string        `enum:"fp32" default:"fp32" help:"Arithmetic of train: fp32."`
	Jobs      int           `placeholder:"N" help:"Goroutines of ingest (default: one a processor)."`
	Workers   int           `placeholder:"N" help:"Goroutines of read, augment and stream (default: one a processor)."`
	Threads   int           `placeholder:"N" help:"Threads of train (default: one a processor)."`
	Seed      uint64        `default:"1" help:"Of orders, crops, made-up pictures and weights."`
	Time      time.Duration `default:"3s" help:"How long to measure each stage; at least one unit of work is done."`
	Preload   bool          `help:"ingest: read the pictures into memory before the clock starts, up to 1 GiB of them."`
	Write     bool          `help:"ingest: do all that the command ingest does, once, with records in a temporary folder; --time does not count."`
	Result    bool          `help:"Print RESULT alexnet_STAGE THREADS IMAGES SECONDS CPU_SECONDS lines instead of the table."`
	JSON      bool          `name:"json" help:"One JSON object a line instead of the table."`

	stdout, stderr io.Writer
}

func main() {
	cli.Main("bench", description, &flags{stdout: os.Stdout, stderr: os.Stderr})
}

// Run measures the stages that were asked for.
func (f *flags) Run(ctx context.Context) (err error) {
	b, err := newBench(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	out := newReport(f)
	for _, s := range b.stages() {
		r, err := s.measure(ctx, f.Time)
		if err != nil {
			return err
		}
		if err := out.add(r); err != nil {
			return err
		}
	}
	return out.end()
}
