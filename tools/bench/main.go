// Command bench measures how fast this machine does each part of the work:
// making records, reading them, augmenting, streaming batches, training. It also
// checks that a stream delivers what it should, and that it can go on for long.
package main

import (
	"context"
	"errors"
	"os"

	"alexnet/tools/cli"
)

const description = `Measures each part of the work, in images a second.

Examples:
  bench                                  everything, on made-up pictures and batches
  bench --records out/ --stage augment,stream --dtype all
  bench --src ILSVRC2012 --stage ingest
  bench --src ILSVRC2012 --stage ingest --write     the whole of the command ingest
  bench --stage stream --json > before.jsonl
  bench --stage stream --compare before.jsonl
  bench --records out/ --check-epoch     is every record delivered once, by any number of ranks?
  bench --records out/ --soak 1h         does the stream stay as fast, and as small?
  bench --records out/ --sweep           how many workers, and what batches?
  bench --stage train --profile          where does the time of a step go?
  mpirun -n 2 bench --stage allreduce    how fast are gradients summed over ranks?

Stages, what their bytes are, and what they move (GB/s):
  ingest   decode and resize the pictures of --src to --size   files read      files and squares
  read     random rows, every cache line of their pixels       stored pixels   the same
  augment  the bare kernel: crop, flip and colour of random    images made     the crop's stored
           rows that are in memory, into two batches                           pixels and the image
  stream   batches from records to a consumer                  images made     as augment
  train    forward, backward and update on the CPU             images used     images used
  predict  forward on the CPU, without dropout                 images used     images used

stream divided by augment is how much of the kernel's speed the pipeline keeps.
allreduce has no images: it sums the gradient of --net over ranks, in seconds.

"a CPU second" counts all the process's processor time, on all cores. Images of
train come from --records, or are noise without it; they are float32.

The limit is what copying large buffers moves, with as many threads, just before
the stage: bytes read and bytes written, in the best of many rounds. A stage that
did nothing but move its bytes once could be about that fast. It is no law: what
comes from the processor's caches or is only read (read) may be faster. And it
says nothing of arithmetic: ingest and train are far from it.

Before the clock starts, read and stream go through the records once, for as
long as --time at most, and augment through 1 GiB of them at most, so that every
checksum has been verified and what fits into memory is there.`

func main() {
	cli.Main("bench", description, &flags{stdout: os.Stdout, stderr: os.Stderr})
}

// Run measures the stages, or does what else was asked for.
func (f *flags) Run(ctx context.Context) (err error) {
	b, err := newBench(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	switch {
	case f.CheckEpoch:
		return b.checkEpoch(ctx)
	case f.Soak > 0 || f.Images > 0:
		return b.soak(ctx)
	case f.Sweep:
		return b.sweep(ctx)
	case f.asks("allreduce"):
		return b.allReduce(ctx)
	}
	return b.measure(ctx)
}
