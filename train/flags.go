package main

import (
	"io"
	"path/filepath"
	"slices"

	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/tools/cli"
	"alexnet/tools/stores"
	"alexnet/train/collective"
	"alexnet/train/loop"
	"alexnet/train/sgd"
)

// flags is train's command line. A nil pointer is a flag that was not given.
type flags struct {
	Records string  `placeholder:"DIR|URL" help:"Records that ingest made, in a folder or an object store (s3://bucket/out); with --resume those of the run."`
	RunDir  string  `name:"run" placeholder:"DIR" help:"The run's folder (default: runs/NET)."`
	Net     *string `enum:"alexnet,alexnet-small,alexnet-conv6,cifar-4layer,cifar-4layer-no-lrn,lenet" help:"alexnet (default), alexnet-small, alexnet-conv6, cifar-4layer, cifar-4layer-no-lrn or lenet."`
	Preset  *string `enum:"paper,as-run-2012,caffe,torchvision,alexnet-small,alexnet-conv6,cifar-4layer,cifar-4layer-no-lrn,lenet" help:"A net with its recipe: paper (that of --net alexnet), as-run-2012, caffe, torchvision, or the name of a net. inspect net --preset NAME shows it."`
	Device  string  `enum:"auto,cpu,gpu" default:"auto" help:"auto (default), cpu or gpu; auto is a GPU where there is one and this build can use it."`
	Travel  string  `enum:"stored,bfloat16,float32" default:"stored" help:"What images travel to a GPU as: stored (default; the GPU subtracts the mean and shifts the colours), bfloat16 or float32."`
	Resume  bool    `help:"Go on from the newest sound checkpoint of --run."`
	Init    string  `placeholder:"FILE|RUN" help:"Take the first weights from a checkpoint, a safetensors file, or the best checkpoint of a run's folder."`

	InitExcept  []string `placeholder:"LAYER" help:"Layers that do not take theirs from --init but draw them from the seed: fc9, say, to train a net for other classes."`
	InitWeights *string  `enum:"own,average" placeholder:"own|average" help:"Which weights of --init: its own (default), or the average that a run with --ema keeps."`
	Precision   *string  `enum:"fp32,tf32,bf16" placeholder:"fp32|tf32|bf16" help:"Arithmetic: fp32 (default), tf32 (a GPU's) or bf16, which on the CPU needs oneDNN and a processor with AVX512_BF16 or AMX; weights and their update are float32 in all."`

	Batch       *int     `placeholder:"N" help:"Images of a batch, of all ranks together."`
	Accumulate  *int     `placeholder:"K" help:"Batches of a step, whose gradients are averaged (default: 1)."`
	Epochs      *int     `placeholder:"N" help:"Passes over the training split."`
	MaxSteps    int      `placeholder:"N" help:"End after so many steps in all."`
	LR          *float64 `name:"lr" placeholder:"RATE" help:"Learning rate of the first epoch."`
	Momentum    *float64 `placeholder:"SHARE" help:"Share of the last update that goes into the next."`
	WeightDecay *float64 `placeholder:"RATE" help:"Weight decay."`
	ClipNorm    *float64 `placeholder:"NORM" help:"Scale a step's gradient down to this norm where it is longer (default: 0, never)."`
	EMA         *float64 `name:"ema" placeholder:"DECAY" help:"Keep an exponential average of the weights in the checkpoints, such as 0.999, and validate with it at the end (default: 0, none)."`
	Optimizer   *string  `enum:"sgd,lars" placeholder:"sgd|lars" help:"sgd (default), or lars for large batches: each parameter takes steps in proportion to its norm (--batch 512 --accumulate 16 --optimizer lars --lr 10 --warmup-epochs 5 --schedule poly)."`

	TrustCoefficient *float64 `placeholder:"SHARE" help:"lars: share of a parameter's norm that a step changes at a rate of 1 (default: 0.001)."`

	Seed  *uint64 `placeholder:"N" help:"Of weights, order, crops and dropout (default: 1)."`
	Color *string `enum:"none,stddev,eigenvalue" placeholder:"KIND" help:"Colour augmentation: none, stddev (as the 2012 code) or eigenvalue (as the paper, default)."`

	ColorEpochs  *int     `placeholder:"EPOCHS" help:"Leave the colours as they are after so many epochs (default: the preset's, or 0, never)."`
	ColorDivisor *float64 `placeholder:"F" help:"Divide images with shifted colours by this (default: the preset's, 1.1 for as-run-2012, or 0, none)."`
	CropGroup    *int     `placeholder:"N" help:"Consecutive images that share a crop and a flip (default: the preset's, 32 for as-run-2012, or 1)."`
	Crops        *string  `enum:"exclusive,inclusive,center" placeholder:"KIND" help:"Random crops without the last offset (exclusive, as the paper's 32x32) or with it (inclusive, 33x33), or the central crop of every image (center); default: the preset's."`
	NoFlip       *bool    `help:"Leave mirror images out (default: the preset's)."`

	Activation  *string  `enum:"relu,tanh" placeholder:"relu|tanh" help:"The net's non-linearity: relu or tanh."`
	NoLRN       bool     `name:"no-lrn" help:"The net without local response normalisation."`
	NoOverlap   bool     `help:"The net with pooling windows that do not overlap."`
	SingleTower bool     `help:"The net with convolutions that see all channels, not in groups."`
	HalfTower   bool     `help:"The same with half the kernels in all convolutions but the last, as the net on one GPU of the paper's section 3.2."`
	Dropout     *float64 `placeholder:"RATE" help:"The net with another rate of dropout; 0: without."`

	Shuffle *string `enum:"global,block" placeholder:"global|block" help:"Order of an epoch: global (default) mixes all records; block reads neighbours together and mixes them in windows, for records larger than memory on a disk that is slow to seek."`
	Window  *int    `placeholder:"N" help:"block: records that are mixed at a time (default, also 0: what suits this machine's memory when the run begins)."`

	Schedule *string  `enum:"constant,step,plateau,linear,cosine,poly" placeholder:"KIND" help:"Learning rate: constant, step (drops at --drop-at), plateau (drops when the validation error no longer improves), linear, cosine or poly (falls to --final-lr over the --epochs that the run begins with)."`
	DropAt   []int    `placeholder:"EPOCH" help:"step: epochs, counted from 0, before which the rate drops."`
	Factor   *float64 `placeholder:"F" help:"step, plateau: what a drop multiplies the rate by (default: 0.1)."`
	Patience *int     `placeholder:"EPOCHS" help:"plateau: epochs without a better validation before a drop (default: 5)."`
	MaxDrops *int     `placeholder:"N" help:"plateau: drops at most (default: 3)."`
	Stop     *bool    `name:"plateau-stop" help:"plateau: end the run when the patience runs out after the last drop."`
	FinalLR  *float64 `name:"final-lr" placeholder:"RATE" help:"linear, cosine, poly: the rate at the end (default: 0)."`
	Power    *float64 `placeholder:"P" help:"poly: the power of what is left that the rate falls as (default: 2)."`

	WarmupSteps  *int `placeholder:"N" help:"Let the rate rise to its value over the first N steps."`
	WarmupEpochs *int `placeholder:"N" help:"The same in epochs."`

	StopAfter       *int    `placeholder:"EPOCHS" help:"End the run after so many epochs without a better validation (default: 0, never)."`
	CheckpointEvery *int    `placeholder:"STEPS" help:"Steps between checkpoints, beside those after each epoch (default: 500; 0: none)."`
	LogEvery        *int    `placeholder:"STEPS" help:"Steps between lines of metrics.jsonl (default: 20; 0: epochs only)."`
	Workers         *int    `placeholder:"N" help:"Goroutines that prepare batches (default: one a processor)."`
	OnCorrupt       *string `enum:"stop,skip" placeholder:"stop|skip" help:"Damaged or missing training records: stop (default), or skip them and go on. Validation always stops."`
	Cache           *string `placeholder:"SIZE" help:"Memory for decompressed records, such as 8GB, of each rank; 0 for none (default: a quarter of what is available, shared by the ranks of a machine)."`
	Requests        *int    `placeholder:"N" help:"Records at a URL: how many are asked for at a time (default: 64)."`
	Threads         int     `placeholder:"N" help:"Threads of the CPU engine (default: one a processor; ranks of a machine share its processors)."`

	Store stores.Cache `embed:""`

	JSON bool `name:"json" help:"Metrics and summary on standard output, one JSON object a line."`

	stdout, stderr io.Writer

	join func() (collective.Group, error) // in place of collective.Join, for tests
}

// Defaults of what no recipe gives.
const (
	defaultNet    = "alexnet"
	defaultFactor = 0.1
	defaultPower  = 2     // as those of LARS's paper
	defaultTrust  = 0.001 // its eta
)

// run returns the run's folder.
func (f *flags) run() string {
	if f.RunDir != "" {
		return f.RunDir
	}
	return filepath.Join("runs", f.name())
}

// name returns what the net is asked for by.
func (f *flags) name() string { return value(f.Preset, value(f.Net, defaultNet)) }

// vary changes a net as the flags ask for.
func (f *flags) vary(n *model.Net) (*model.Net, error) {
	if f.Activation != nil {
		n = n.WithActivation(model.Kind(*f.Activation))
	}
	if f.NoLRN {
		n = n.WithoutLRN()
	}
	if f.NoOverlap {
		n = n.WithoutOverlap()
	}
	if f.SingleTower {
		n = n.SingleTower()
	}
	if f.HalfTower {
		n = n.HalfTower()
	}
	if f.Dropout != nil {
		n = n.WithDropout(*f.Dropout)
	}
	if err := n.Validate(); err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	return n, nil
}

// value returns what a flag says, or the default.
func value[T any](given *T, otherwise T) T {
	if given != nil {
		return *given
	}
	return otherwise
}

// check finds flags that do not go together.
func (f *flags) check() error {
	switch {
	case f.Records == "" && !f.Resume:
		return cli.Usagef("--records DIR is missing: the folder that ingest wrote")
	case f.Resume && f.Init != "":
		return cli.Usagef("--init gives the first weights of a new run, and --resume goes on with a run's own: give one of them")
	case f.InitWeights != nil && f.Init == "":
		return cli.Usagef("--init-weights says which weights of --init, and there is no --init")
	case f.InitExcept != nil && f.Init == "":
		return cli.Usagef("--init-except names layers that do not take the weights of --init, and there is no --init")
	case f.SingleTower && f.HalfTower:
		return cli.Usagef("--single-tower and --half-tower are two nets: give one of them")
	case f.Net != nil && f.Preset != nil:
		return cli.Usagef("--net and --preset: a preset has its own net, so give one of them")
	case f.Threads < 0:
		return cli.Usagef("--threads %d: must not be negative", f.Threads)
	}
	return stores.Local("--run", f.RunDir)
}

// apply puts the flags that were given over the settings and limits.
func (f *flags) apply(s *loop.Settings, l *loop.Limits) error {
	s.Batch = value(f.Batch, s.Batch)
	s.Accumulate = value(f.Accumulate, s.Accumulate)
	if s.Accumulate == 1 {
		s.Accumulate = 0 // as in a run that was not asked
	}
	if f.Precision != nil {
		if err := s.Precision.UnmarshalText([]byte(*f.Precision)); err != nil {
			return &cli.UsageError{Err: err}
		}
	}
	s.ClipNorm = value(f.ClipNorm, s.ClipNorm)
	s.EMA = value(f.EMA, s.EMA)
	if err := f.applyOptimizer(s); err != nil {
		return err
	}
	s.Seed = value(f.Seed, s.Seed)
	s.Momentum = value(f.Momentum, s.Momentum)
	s.WeightDecay = value(f.WeightDecay, s.WeightDecay)
	s.Color = value(f.Color, s.Color)
	s.ColorEpochs = value(f.ColorEpochs, s.ColorEpochs)
	s.ColorDivisor = value(f.ColorDivisor, s.ColorDivisor)
	s.CropGroup = value(f.CropGroup, s.CropGroup)
	if s.CropGroup == 1 {
		s.CropGroup = 0
	}
	if f.Crops != nil {
		s.InclusiveCrops, s.CenterCrops = *f.Crops == "inclusive", *f.Crops == "center"
	}
	s.NoFlip = value(f.NoFlip, s.NoFlip)
	l.Epochs = value(f.Epochs, l.Epochs)
	l.StopAfter = value(f.StopAfter, l.StopAfter)
	l.CheckpointEvery = value(f.CheckpointEvery, l.CheckpointEvery)
	l.LogEvery = value(f.LogEvery, l.LogEvery)
	l.Workers = value(f.Workers, l.Workers)
	l.Requests = value(f.Requests, l.Requests)
	l.MaxSteps = f.MaxSteps // of one call: a resumed run goes on to its epochs
	if err := f.applyStream(s, l); err != nil {
		return err
	}
	var err error
	if s.Schedule, err = f.schedule(s.Schedule, l.Epochs); err != nil {
		return err
	}
	if err := s.Check(); err != nil {
		return &cli.UsageError{Err: err}
	}
	if err := l.Check(); err != nil {
		return &cli.UsageError{Err: err}
	}
	return nil
}

// applyOptimizer puts the flags of the optimizer over the settings. Rates of LARS are so
// much higher than others that no recipe's will do.
func (f *flags) applyOptimizer(s *loop.Settings) error {
	was := s.Optimizer
	if f.Optimizer != nil {
		s.Optimizer = loop.Optimizer(*f.Optimizer)
		if *f.Optimizer == "sgd" {
			s.Optimizer, s.TrustCoefficient = loop.SGD, 0
		}
	}
	switch {
	case s.Optimizer != loop.LARS && f.TrustCoefficient != nil:
		return cli.Usagef("--trust-coefficient is for --optimizer lars")
	case s.Optimizer != loop.LARS:
		return nil
	case was != loop.LARS && f.LR == nil:
		return cli.Usagef("--optimizer lars needs --lr RATE: its rates are of another size, 2 for batches of 1,024, say, and 10 for 8,192")
	}
	s.TrustCoefficient = value(f.TrustCoefficient, or(s.TrustCoefficient, defaultTrust))
	return nil
}

// applyStream puts the flags that say how records are read over the settings and
// limits.
func (f *flags) applyStream(s *loop.Settings, l *loop.Limits) error {
	if f.Shuffle != nil {
		if err := s.Shuffle.UnmarshalText([]byte(*f.Shuffle)); err != nil {
			return &cli.UsageError{Err: err}
		}
	}
	switch block := s.Shuffle == pipeline.ShuffleBlock; {
	case block:
		s.Window = value(f.Window, s.Window)
	case f.Window != nil:
		return cli.Usagef("--window is for --shuffle block, and the shuffle is %v", s.Shuffle)
	default:
		s.Window = 0
	}
	if f.OnCorrupt != nil {
		if err := l.OnCorrupt.UnmarshalText([]byte(*f.OnCorrupt)); err != nil {
			return &cli.UsageError{Err: err}
		}
	}
	if f.Cache != nil {
		bytes, err := cli.ParseBytes(*f.Cache)
		if err != nil {
			return cli.Usagef("--cache: %w", err)
		}
		if l.Cache = bytes; bytes == 0 {
			l.Cache = -1 // what the pipeline calls none
		}
	}
	return nil
}

// schedule puts the flags over a schedule, keeps what its kind uses, and refuses
// flags of another kind. A decay that has no length yet lasts for the given epochs.
func (f *flags) schedule(c sgd.Config, epochs int) (sgd.Config, error) {
	kind := sgd.Kind(value(f.Schedule, string(c.Kind)))
	for _, flag := range []struct {
		name  string
		given bool
		kinds []sgd.Kind
	}{
		{"--drop-at", f.DropAt != nil, []sgd.Kind{sgd.Step}},
		{"--factor", f.Factor != nil, []sgd.Kind{sgd.Step, sgd.Plateau}},
		{"--patience", f.Patience != nil, []sgd.Kind{sgd.Plateau}},
		{"--max-drops", f.MaxDrops != nil, []sgd.Kind{sgd.Plateau}},
		{"--plateau-stop", f.Stop != nil, []sgd.Kind{sgd.Plateau}},
		{"--final-lr", f.FinalLR != nil, []sgd.Kind{sgd.Linear, sgd.Cosine, sgd.Poly}},
		{"--power", f.Power != nil, []sgd.Kind{sgd.Poly}},
	} {
		if flag.given && !slices.Contains(flag.kinds, kind) {
			return c, cli.Usagef("%s is for --schedule %s, and the schedule is %s", flag.name, flag.kinds[0], kind)
		}
	}
	if kind != c.Kind {
		c = sgd.Config{Kind: kind, Base: c.Base, WarmupSteps: c.WarmupSteps, WarmupEpochs: c.WarmupEpochs}
	}
	c.Base = value(f.LR, c.Base)
	c.WarmupSteps = value(f.WarmupSteps, c.WarmupSteps)
	c.WarmupEpochs = value(f.WarmupEpochs, c.WarmupEpochs)
	switch kind {
	case sgd.Linear, sgd.Cosine, sgd.Poly:
		c.Epochs = or(c.Epochs, epochs)
		c.Final = value(f.FinalLR, c.Final)
		if kind == sgd.Poly {
			c.Power = value(f.Power, or(c.Power, defaultPower))
		}
	case sgd.Step:
		c.Factor = value(f.Factor, or(c.Factor, defaultFactor))
		if f.DropAt != nil {
			c.DropAt = f.DropAt
		}
		if len(c.DropAt) == 0 {
			return c, cli.Usagef("--schedule step needs --drop-at EPOCH,…: when the rate drops")
		}
	case sgd.Plateau:
		c.Factor = value(f.Factor, or(c.Factor, defaultFactor))
		c.Patience = value(f.Patience, or(c.Patience, loop.DefaultPatience))
		c.MaxDrops = value(f.MaxDrops, or(c.MaxDrops, loop.DefaultMaxDrops))
		c.Stop = value(f.Stop, c.Stop)
	}
	return c, nil
}

// or returns v, or the default where v is zero.
func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
