// Command ingest turns photographs into records that a net can be trained on:
// squares of 256x256 with the mean picture subtracted, in sharded Arrow files,
// with the mean picture and the principal components of the colours beside
// them (sections 2 and 4.1 of the AlexNet paper).
package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"

	"alexnet/ingest/convert"
	"alexnet/tools/cli"
)

const description = `Turns photographs into records for training.

The source is ILSVRC 2012 as it was downloaded (archives are never unpacked), unpacked
or as Kaggle has it; ImageNet's fall11_whole.tar; a folder with one folder a class; or
the files of CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST. What it is, is found out.

Examples:
  ingest --src ILSVRC2012 --out out/
  ingest --src ILSVRC2012 --out small/ --size 128 --pixels uint8 --limit 10000
  ingest --src flowers --out flowers-records/ --val-fraction 0.1 --exif-rotate
  ingest --src cifar-10-batches-bin --out cifar/
  ingest --src "s3://bucket/ILSVRC2012?region=eu-west-1" --out out/

On many machines that share --out, each task does a part; the bytes are the same:
  ingest --src ILSVRC2012 --out out/ --shard 3/8    (in an array: --shard auto)
  ingest --merge --out out/

The output, whole or shared, may be a folder of an object store, to the same bytes:
  ingest --src ILSVRC2012 --out s3://bucket/records --scratch /fast/disk

Run again on an unfinished --out, it goes on where it stopped. Ctrl-C keeps the
shards that are finished.`

// memoryLimit is what the garbage collector keeps the command to. Without it
// the heap grows to twice of what is in use, which a sample of kept squares, a
// giant picture and 16 jobs can make more than a small machine has to spare.
const memoryLimit = 400 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	cli.Main("ingest", description, &flags{stdout: os.Stdout, stderr: os.Stderr})
}

// Run makes the records, or a part of them, or merges the parts.
func (f *flags) Run(ctx context.Context) (err error) {
	task, err := parseShard(f.Shard, os.Getenv)
	if err != nil {
		return err
	}
	if err := f.checkMode(); err != nil {
		return err
	}
	end, err := f.openStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	c := newConsole(f)
	if f.Merge {
		return c.end(convert.Merge(ctx, convert.MergeConfig{Out: f.outName(), Folder: f.store, Strict: f.Strict, MaxRejects: f.MaxRejects}))
	}
	src, closeSource, err := openSource(ctx, f.Src, f.source(ctx, c))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSource()) }()
	cfg := f.config(src, task)
	c.start(src.Describe(), &cfg)
	cfg.Progress = c.progress
	defer cli.SpareProcessors()()
	return c.end(convert.Run(ctx, cfg))
}
