package main

import (
	"context"
	"errors"
	"io"

	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/tools/stores"
	"alexnet/train/loop"
	"alexnet/train/reproduce"
)

// machine are the flags that say what a training runs on and how.
type machine struct {
	Device          string `enum:"auto,cpu,gpu" default:"auto" help:"auto (default), cpu or gpu."`
	Precision       string `enum:"fp32,tf32,bf16" default:"fp32" help:"Arithmetic, as train's: fp32 (default), bf16 or, on a GPU, tf32."`
	CheckpointEvery int    `placeholder:"STEPS" help:"Steps between checkpoints, beside those after each epoch (default: 500)."`
	Workers         int    `placeholder:"N" help:"Goroutines that prepare batches (default: one a processor)."`
	Threads         int    `placeholder:"N" help:"Threads of the CPU engine (default: one a processor)."`
	JSON            bool   `name:"json" help:"The result as a JSON object; shares are from 0 to 1."`

	Store stores.Cache   `embed:""`
	done  []func() error // ends the use of the records that open has opened
}

// open opens records.
func (f *machine) open(ctx context.Context, where string, tell io.Writer) (*records.Dataset, error) {
	ds, done, err := stores.Records(ctx, where, f.Store, true, tell)
	f.done = append(f.done, done)
	return ds, err
}

// close closes them.
func (f *machine) close() error {
	var errs []error
	for _, done := range f.done {
		errs = append(errs, done())
	}
	return errors.Join(errs...)
}

// apply puts the flags into options.
func (f *machine) apply(o *reproduce.Options) error {
	if f.CheckpointEvery < 0 || f.Workers < 0 || f.Threads < 0 {
		return cli.Usagef("--checkpoint-every, --workers and --threads must not be negative")
	}
	o.CheckpointEvery, o.Workers = f.CheckpointEvery, f.Workers
	if err := o.Precision.UnmarshalText([]byte(f.Precision)); err != nil {
		return &cli.UsageError{Err: err}
	}
	return nil
}

// common are the flags of all that trains. What is not given is as the recipe of the
// net has it.
type common struct {
	Records string  `required:"" placeholder:"DIR|URL" help:"Records that ingest made, in a folder or an object store (s3://bucket/out)."`
	Out     string  `default:"runs/reproduce" placeholder:"DIR" help:"Folder for the runs, one a net, and for the results (${default})."`
	Net     string  `placeholder:"PRESET" help:"Net, with its recipe (default: alexnet)."`
	Epochs  int     `placeholder:"N" help:"Passes over the training split; steps of the rate move along (default: the recipe's)."`
	Batch   int     `placeholder:"N" help:"Images of a batch (default: the recipe's)."`
	LR      float64 `name:"lr" placeholder:"RATE" help:"Learning rate of the first epoch (default: the recipe's)."`
	Seed    uint64  `default:"1" placeholder:"N" help:"Of the first net (${default}); each other has the next."`
	Split   string  `default:"val" help:"The split to measure on (${default})."`
	machine
}

// options returns the flags as options, and the records.
func (f *common) options(ctx context.Context, tell io.Writer) (o reproduce.Options, ds *records.Dataset, err error) {
	if f.Epochs < 0 || f.Batch < 0 || f.LR < 0 || f.Seed == 0 {
		return o, nil, cli.Usagef("--epochs, --batch and --lr must not be negative, and --seed not 0")
	}
	if err := stores.Local("--out", f.Out); err != nil {
		return o, nil, err
	}
	o = reproduce.Options{Net: f.Net, Seed: f.Seed, Epochs: f.Epochs, Batch: f.Batch, LR: f.LR}
	if err := f.machine.apply(&o); err != nil {
		return o, nil, err
	}
	if ds, err = f.open(ctx, f.Records, tell); err != nil {
		return o, nil, err
	}
	if f.Split != loop.ValSplit && ds.Manifest.Splits[f.Split].Written == 0 {
		return o, nil, cli.Usagef("--split %s: %s has no such split", f.Split, f.Records)
	}
	return o, ds, nil
}

// row are the flags of a system without pre-trained nets.
type row struct {
	common
	Limit int `placeholder:"N" help:"Average no more than N nets of each kind (default: the paper's number)."`
}

// star are those that pre-trained nets have too.
type star struct {
	row
	PretrainRecords string  `required:"" placeholder:"DIR|URL" help:"Records with more classes to train on first: in the paper ImageNet's Fall 2011 release, 22 thousand classes."`
	StarNet         string  `placeholder:"PRESET" help:"Net that is pre-trained, with its recipe (default: alexnet-conv6)."`
	PretrainEpochs  int     `placeholder:"N" help:"Passes over --pretrain-records (default: as --epochs)."`
	FinetuneEpochs  int     `placeholder:"N" help:"Passes over --records after that (default: a third of --epochs; the paper does not say)."`
	FinetuneLR      float64 `name:"finetune-lr" placeholder:"RATE" help:"Learning rate of the first of them (default: a tenth of --lr; the paper does not say)."`
}

// options returns the flags as options, and the records of both trainings.
func (f *star) options(ctx context.Context, tell io.Writer) (o reproduce.Options, ds, pretrain *records.Dataset, err error) {
	if f.PretrainEpochs < 0 || f.FinetuneEpochs < 0 || f.FinetuneLR < 0 {
		return o, nil, nil, cli.Usagef("--pretrain-epochs, --finetune-epochs and --finetune-lr must not be negative")
	}
	if o, ds, err = f.common.options(ctx, tell); err != nil {
		return o, nil, nil, err
	}
	o.StarNet, o.PretrainEpochs, o.FinetuneEpochs, o.FinetuneLR = f.StarNet, f.PretrainEpochs, f.FinetuneEpochs, f.FinetuneLR
	pretrain, err = f.open(ctx, f.PretrainRecords, tell)
	return o, ds, pretrain, err
}
