package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"

	"alexnet/ingest/convert"
	"alexnet/ingest/decode"
	"alexnet/ingest/resize"
	"alexnet/ingest/source"
	"alexnet/records"
	"alexnet/records/bucket"
	"alexnet/tools/cli"
)

// flags are the command's.
type flags struct {
	Src           string    `placeholder:"DIR|TAR|URL" help:"Pictures: a folder, a folder with archives, or one archive, here or in a store (s3://bucket/prefix). Needed, but for --merge."`
	Out           string    `default:"out" placeholder:"DIR|URL" help:"Folder for the records, here or in an object store: s3://bucket/folder, file:///folder (${default})."`
	Scratch       string    `placeholder:"DIR" help:"Where shards are written before they are sent to an object store: room for two of them for every four --jobs. A folder ingest-* is made there and removed at the end; a killed run leaves its (the system's folder for temporaries)."`
	Layout        string    `default:"auto" enum:"auto,ilsvrc,kaggle,folder,cifar10,cifar100,mnist" help:"How the source is laid out: ${enum} (${default})."`
	Classes       string    `placeholder:"FILE" help:"Class list: one WNID or folder name a line."`
	Pixels        string    `default:"int16" enum:"int16,uint8" help:"Store differences to the mean picture (int16) or raw values (uint8) (${default})."`
	Compress      string    `default:"none" enum:"none,lz4,zstd" help:"Compression of the pixels: ${enum} (${default})."`
	Size          int       `placeholder:"N" help:"Side of the squares, in pixels (the source's own where its pictures have one, else 256)."`
	Filter        string    `default:"triangle" enum:"triangle,box,bicubic" help:"Filter that scales: ${enum} (${default})."`
	Warp          bool      `help:"Squeeze the whole picture into the square, as Caffe did, instead of cutting its centre out."`
	ShardSize     byteCount `default:"256MB" placeholder:"BYTES" help:"Pixel bytes a shard, before compression (${default})."`
	Jobs          int       `placeholder:"N" help:"Pictures decoded at the same time; one for each processor if not given."`
	Seed          uint64    `default:"1" help:"Seed of the order of the pictures (${default})."`
	Limit         int       `placeholder:"N" help:"Take N pictures of each split, drawn with the seed."`
	ValFraction   float64   `placeholder:"SHARE" help:"Hold out this share of each class for validation, where the source has no val."`
	Mean          string    `placeholder:"DIR|URL" help:"Take the mean picture from these records, where the source has no train."`
	KeepTruncated bool      `help:"Take pictures whose files end too early, with what is missing in grey, and list them in damaged.jsonl."`
	ExifRotate    bool      `help:"Turn pictures as their EXIF orientation says."`
	CheckMD5      bool      `name:"check-md5" help:"First compare the archives with the MD5 sums that were published for them."`
	MaxPixels     int       `default:"100000000" help:"Reject larger pictures, in pixels (${default})."`
	Strict        bool      `help:"Stop at the first file that gives no picture."`
	MaxRejects    float64   `default:"0.01" placeholder:"SHARE" help:"Stop when more than this share of all files gives no picture (${default}; one is always let pass)."`
	Restart       bool      `help:"Throw away the records in --out, and nothing else that is there, and begin anew. In an object store nothing can be locked: see that no other ingest is at work there."`
	Shard         string    `placeholder:"I/N" help:"Do task I of N, counted from 0, of a job that N tasks share in one --out; then --merge. auto: take I and N from a Slurm array (SLURM_ARRAY_TASK_ID) or a Kubernetes Indexed Job (JOB_COMPLETION_INDEX, JOB_COMPLETIONS). Without it the job is done whole, also in an array."`
	Index         bool      `help:"Only do what all tasks would do at their start: index the archives and take the sample for int16."`
	Merge         bool      `help:"End a job whose tasks are all done: write mean, lists and manifest. Only --out, --max-rejects, --strict and --json count; the rest is known from the tasks."`
	JSON          bool      `name:"json" help:"Print the summary as one JSON object."`

	stdout, stderr io.Writer
	store          bucket.Folder // where Out is if that is a URL, else nil
}

// source is what the source has to know.
func (f *flags) source(ctx context.Context, c *console) source.Options {
	o := source.Options{Layout: f.Layout, ClassesFile: f.Classes, Limit: f.Limit, Seed: f.Seed, CheckMD5: f.CheckMD5,
		OnCheck: c.passing("read for its MD5"), OnScan: c.passing("looked through for pictures")}
	switch shared := f.Shard != "" || f.Index; {
	case shared && f.store != nil:
		o.ReadIndex = convert.IndexReader(ctx, f.store)
	case shared:
		o.Index = convert.IndexPath(f.Out)
	}
	return o
}

// config is what the job has to know.
func (f *flags) config(src source.Source, task convert.Task) convert.Config {
	filter, _ := resize.ParseFilter(f.Filter) // the flag's enum has only those that are known
	return convert.Config{
		Source: src, Out: f.outName(), Folder: f.store, Scratch: f.Scratch,
		Pixels: records.PixelType(f.Pixels), Compression: records.Compression(f.Compress),
		Size: f.Size, ShardBytes: int64(f.ShardSize), Seed: f.Seed, ValFraction: f.ValFraction,
		Limits: decode.Limits{MaxPixels: f.MaxPixels}, MeanFrom: f.Mean, OpenMean: openMean,
		KeepTruncated: f.KeepTruncated, ExifRotate: f.ExifRotate, Resize: resize.Options{Filter: filter, Warp: f.Warp},
		Jobs: cmp.Or(f.Jobs, runtime.GOMAXPROCS(0)), Strict: f.Strict, MaxRejects: f.MaxRejects, Restart: f.Restart,
		Task: task, Prepare: f.Index,
	}
}

// byteCount is a number of bytes that may be written with a unit: 256MB, 1GiB.
type byteCount int64

// UnmarshalText parses what cli.ParseBytes does, if it is positive.
func (b *byteCount) UnmarshalText(text []byte) error {
	n, err := cli.ParseBytes(string(text))
	if err != nil {
		return err
	}
	if n < 1 {
		return fmt.Errorf("%q is not a size: it must be at least one byte", text)
	}
	*b = byteCount(n)
	return nil
}
