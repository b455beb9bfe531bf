package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"alexnet/augment"
	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/tools/stores"
	"alexnet/train/collective"
)

// flags are bench's command line.
type flags struct {
	Records   string             `placeholder:"DIR|URL" help:"Records that ingest made, in a folder or an object store (s3://bucket/out); none: made-up ones."`
	Split     string             `default:"train" help:"The split of --records."`
	Src       string             `placeholder:"DIR|TAR" help:"Pictures for the stage ingest, as for the command ingest."`
	Stage     []string           `enum:"all,ingest,read,augment,stream,train,predict,allreduce" default:"all" placeholder:"NAME" help:"all, or some of ingest, read, augment, stream, train and predict, or allreduce. all leaves out predict, allreduce, and ingest without --src (all)."`
	Net       string             `default:"alexnet" help:"The net to train; its input is also the crop of augment and stream."`
	Batch     int                `default:"128" help:"Images of a batch, over all ranks."`
	Size      int                `default:"256" help:"Side of the pictures that ingest makes and of made-up records."`
	Pixels    string             `enum:"int16,uint8" default:"int16" help:"What made-up records store: int16 or uint8."`
	Dtype     string             `enum:"float32,float16,bfloat16,stored,all" default:"float32" help:"Type of the images of augment and stream: float32, float16, bfloat16, stored (the records' own), or all, one after another."`
	Layout    augment.Layout     `default:"nchw" help:"Layout of the images of augment and stream: nchw or nhwc."`
	Precision string             `enum:"fp32,bf16" default:"fp32" help:"Arithmetic of train: fp32 or bf16 (oneDNN on a processor with AVX512_BF16 or AMX)."`
	Jobs      int                `placeholder:"N" help:"Goroutines of ingest (default: one a processor)."`
	Workers   int                `placeholder:"N" help:"Goroutines of read, augment and stream (default: one a processor)."`
	Threads   int                `placeholder:"N" help:"Threads of train and predict (default: one a processor)."`
	Rank      int                `placeholder:"R" help:"stream: be this one of the ranks, from 0."`
	World     int                `placeholder:"W" help:"stream: the number of ranks that share it. With --check-epoch the one number to check."`
	Shuffle   pipeline.Shuffle   `default:"global" help:"stream: mix all records (global), or block by block (block), for data larger than memory."`
	Window    int                `placeholder:"N" help:"stream: records that --shuffle block mixes at a time (default: by the memory there is)."`
	Depth     int                `placeholder:"N" help:"stream: batches in the ring (default: by the memory there is)."`
	Cache     cacheSize          `placeholder:"SIZE" help:"Memory for decompressed records, such as 8GB; 0 for none (default: a quarter of what is available for stream, none for read)."`
	Requests  int                `placeholder:"N" help:"read and stream, of records at a URL: how many are asked for at a time (default: 64)."`
	OnCorrupt pipeline.OnCorrupt `default:"stop" help:"What becomes of records that cannot be read: stop or skip."`
	Consume   float64            `placeholder:"N" help:"stream: the consumer takes N images a second, and holds each batch for as long as that takes (default: all there are)."`
	Seed      uint64             `default:"1" help:"Of orders, crops, made-up pictures and weights."`
	Time      time.Duration      `default:"3s" help:"How long to measure each stage; at least one unit of work is done."`
	Preload   bool               `help:"ingest: read the pictures into memory before the clock starts, up to 1 GiB of them."`
	Write     bool               `help:"ingest: do all that the command ingest does, once, with records in a temporary folder; --time does not count."`

	Compare    string        `placeholder:"FILE" help:"Compare with an earlier run, whose --json lines FILE holds: the last line for each stage, type, layout, batch and number of workers."`
	CheckEpoch bool          `help:"Measure nothing: let 1, 2, 3 and 8 ranks (or --world) go through an epoch, and check that each record came once, in the one order; fail if not."`
	Soak       time.Duration `placeholder:"D" help:"Stream for so long, and show speed and memory 30 times at most."`
	Images     int64         `placeholder:"N" help:"As --soak, but for N images."`
	Sweep      bool          `help:"Stream with 1, 2, 4 ... workers and batches of 32, 128, 256 and 1024, for --time each."`

	Profile bool `help:"train, predict: say where the time of a step goes, by layer and pass; with --json as lines of their own."`

	Result bool `help:"Print RESULT alexnet_STAGE THREADS IMAGES SECONDS CPU_SECONDS lines instead of the table. Types but float32 and layouts but nchw are added to STAGE."`
	JSON   bool `name:"json" help:"One JSON object a line instead of the table."`

	Store stores.Cache `embed:""`

	stdout, stderr io.Writer
	group          collective.Group // in place of the one that a launcher has made, for tests
}

// check finds flags that are out of range or exclude each other.
func (f *flags) check() error {
	if err := f.checkRanges(); err != nil {
		return err
	}
	mode, err := f.mode()
	if err != nil {
		return err
	}
	switch {
	case f.asks("ingest") && f.Src == "":
		return cli.Usagef("--stage ingest needs pictures: give --src")
	case f.Profile && !f.asks("train") && !f.asks("predict"):
		return cli.Usagef("--profile is for --stage train or predict")
	case f.Profile && f.Result:
		return cli.Usagef("--profile and --result exclude each other")
	case f.Result && f.JSON:
		return cli.Usagef("--result and --json exclude each other")
	case f.Result && f.Compare != "":
		return cli.Usagef("--result and --compare exclude each other")
	case f.Pixels != string(records.Int16) && f.Records != "":
		return cli.Usagef("--pixels is for made-up records, and excludes --records")
	case f.Dtype != "float32" && !f.asks("all") && !f.asks("augment") && !f.asks("stream"):
		return cli.Usagef("--dtype %s: the stage %s has no type to choose", f.Dtype, f.Stage[0])
	case f.Window != 0 && f.Shuffle != pipeline.ShuffleBlock:
		return cli.Usagef("--window is for --shuffle block")
	case f.World == 0 && f.Rank != 0:
		return cli.Usagef("--rank %d: of how many? give --world", f.Rank)
	case f.World > 0 && f.Rank >= f.World:
		return cli.Usagef("--rank %d: the ranks of --world %d are 0 to %d", f.Rank, f.World, f.World-1)
	case f.World > f.Batch:
		return cli.Usagef("--world %d: batches of %d have no image for each rank", f.World, f.Batch)
	}
	return errors.Join(f.checkMode(mode), f.checkAllReduce())
}

// checkAllReduce finds what the stage allreduce cannot go with.
func (f *flags) checkAllReduce() error {
	switch {
	case !f.asks("allreduce"):
		return nil
	case len(f.Stage) > 1:
		return cli.Usagef("allreduce is a stage on its own: leave the others of --stage out")
	case f.Result || f.Compare != "":
		return cli.Usagef("--result and --stage allreduce exclude each other, and so do --compare and it: it has no images a second")
	}
	return nil
}

// asks reports whether --stage names a stage, or "all".
func (f *flags) asks(stage string) bool { return slices.Contains(f.Stage, stage) }

// cacheSize is a pipeline.Options.Cache: -1 for none, 0 when it was not given.
type cacheSize int64

// UnmarshalText reads a number of bytes.
func (c *cacheSize) UnmarshalText(text []byte) error {
	bytes, err := cli.ParseBytes(string(text))
	if *c = cacheSize(bytes); bytes == 0 {
		*c = -1
	}
	return err
}

// checkRanges finds numbers that are out of range.
func (f *flags) checkRanges() error {
	switch {
	case f.Batch < 1:
		return cli.Usagef("--batch %d: must be at least 1", f.Batch)
	case f.Size < 1 || f.Size > 4096:
		return cli.Usagef("--size %d: must lie between 1 and 4096", f.Size)
	case f.Time < 0:
		return cli.Usagef("--time %v: must not be negative", f.Time)
	case f.Soak < 0:
		return cli.Usagef("--soak %v: must not be negative", f.Soak)
	case !(f.Consume >= 0): // NaN, too
		return cli.Usagef("--consume %v: must not be negative", f.Consume)
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"jobs", int64(f.Jobs)}, {"workers", int64(f.Workers)}, {"threads", int64(f.Threads)}, {"rank", int64(f.Rank)},
		{"world", int64(f.World)}, {"window", int64(f.Window)}, {"depth", int64(f.Depth)}, {"requests", int64(f.Requests)}, {"images", f.Images},
	} {
		if n.value < 0 {
			return cli.Usagef("--%s %d: must not be negative", n.name, n.value)
		}
	}
	return nil
}

// mode returns the flag that asks for something else than measuring stages, or
// "" without one.
func (f *flags) mode() (string, error) {
	mode := ""
	for _, m := range []struct {
		name  string
		given bool
	}{
		{"--check-epoch", f.CheckEpoch}, {"--soak", f.Soak > 0}, {"--images", f.Images > 0}, {"--sweep", f.Sweep},
	} {
		switch {
		case m.given && mode != "":
			return "", cli.Usagef("%s and %s exclude each other", mode, m.name)
		case m.given:
			mode = m.name
		}
	}
	return mode, nil
}

// checkMode finds what a mode cannot go with.
func (f *flags) checkMode(mode string) error {
	if mode == "" {
		return nil
	}
	for _, excluded := range []struct {
		flag  string
		given bool
	}{
		{"--result", f.Result},
		{"--compare", f.Compare != ""},
		{"--src", f.Src != ""},
		{"--stage " + strings.Join(f.Stage, ","), !slices.Equal(f.Stage, []string{"all"}) && !slices.Equal(f.Stage, []string{"stream"})},
		{"--dtype all", f.Dtype == "all"},
		{"--dtype", f.CheckEpoch && f.Dtype != "float32"},
		{"--layout", f.CheckEpoch && f.Layout != augment.NCHW},
		{"--rank", f.CheckEpoch && f.Rank != 0},
		{"--consume", (f.CheckEpoch || f.Sweep) && f.Consume > 0},
		{"--workers", f.Sweep && f.Workers != 0},
		{"--batch", f.Sweep && f.Batch != 128},
		{"--world", f.Sweep && f.World != 0},
	} {
		if excluded.given {
			return cli.Usagef("%s and %s exclude each other", mode, excluded.flag)
		}
	}
	if most := worlds[len(worlds)-1]; f.CheckEpoch && f.World == 0 && f.Batch < most {
		return cli.Usagef("--batch %d: --check-epoch needs an image for each of %d ranks, or --world", f.Batch, most)
	}
	return nil
}

// types lists the types of --dtype.
func (f *flags) types() []augment.Type {
	all := []augment.Type{augment.Float32, augment.Float16, augment.BFloat16, augment.Stored}
	for _, t := range all {
		if f.Dtype == t.String() {
			return []augment.Type{t}
		}
	}
	return all
}
