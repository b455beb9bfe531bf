// Command train trains a net on records that ingest made.
package main

import (
	"context"
	"errors"
	"os"

	"alexnet/tools/cli"
	"alexnet/train/collective"
	"alexnet/train/loop"
)

const description = `Trains a net on records that ingest made.

Examples:
  train --records out/
  train --records out/ --net alexnet-small --epochs 10 --lr 0.01
  train --records out/ --shuffle block           # records larger than memory
  train --records s3://bucket/out --cache-dir DIR  # in an object store, kept in DIR once read
  train --resume --run runs/alexnet-small
  train --resume --run runs/alexnet-small --on-corrupt skip
  mpirun -n 2 train --records out/               # two ranks share each batch
  train --records out/ --batch 512 --accumulate 16 --optimizer lars --lr 10 \
        --warmup-epochs 5 --schedule poly        # steps of 8,192 images

The run's folder gets config.json, metrics.jsonl, summary.json and checkpoints/.
Flags that are not given take the values of the net's own recipe, and with
--resume those that the run began with. Ctrl-C finishes the step in hand and saves.`

func main() {
	cli.CollectEarly()
	cli.Main("train", description, &flags{stdout: os.Stdout, stderr: os.Stderr})
}

// train trains as one of the ranks of the group.
func (f *flags) train(ctx context.Context, group collective.Group) (err error) {
	p, err := f.plan(ctx, f.teller(group))
	if err == nil {
		defer func() { err = errors.Join(err, p.done()) }()
		p.config.Ranks = group
		err = loop.Check(p.config, p.net, p.records)
	}
	if err == nil {
		err = p.share(f, group)
	}
	if err != nil {
		return err
	}
	engine, name, err := newEngine(f, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	out := newConsole(f, group)
	out.start(p, engine, name)
	config := p.config
	p.config.Resume = nil // its tensors are as large as the engine's
	s, err := loop.Run(ctx, config, engine, p.records, out.hooks())
	out.progress.Done()
	if err != nil {
		return err
	}
	if s.End == loop.EndInterrupted {
		return &interruptedError{p.config.Run, s}
	}
	return out.finish(s)
}
