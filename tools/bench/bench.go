package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/records"
	"alexnet/tools/cli"
)

// bench is what the stages share.
type bench struct {
	*flags
	net     *model.Net
	data    *records.Dataset // nil until needed
	split   *records.Split
	madeUp  string // folder of made-up records, to be removed
	classes int
}

// newBench checks the flags and opens or makes the records.
func newBench(f *flags) (*bench, error) {
	b := &bench{flags: f, classes: 1000}
	switch {
	case f.Stage == "ingest" && f.Src == "":
		return nil, cli.Usagef("--stage ingest needs pictures: give --src")
	case f.Result && f.JSON:
		return nil, cli.Usagef("--result and --json exclude each other")
	case f.Batch < 1:
		return nil, cli.Usagef("--batch %d: must be at least 1", f.Batch)
	case f.Size < 1 || f.Size > 4096:
		return nil, cli.Usagef("--size %d: must lie between 1 and 4096", f.Size)
	case f.Time < 0:
		return nil, cli.Usagef("--time %v: must not be negative", f.Time)
	}
	err := b.openRecords()
	if err == nil {
		if b.net, err = model.Preset(f.Net, b.classes); err != nil {
			err = cli.Usagef("--net: %w", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// openRecords opens --records, or makes some up where a stage needs them.
func (b *bench) openRecords() (err error) {
	dir := b.Records
	if dir == "" {
		if b.Stage == "ingest" || b.Stage == "train" {
			return nil
		}
		if dir, err = os.MkdirTemp("", "bench-records-"); err != nil {
			return err
		}
		b.madeUp = dir
		if err := makeUpRecords(dir, b.Split, b.Size, b.Seed); err != nil {
			return fmt.Errorf("making up records: %w", err)
		}
	}
	if b.data, err = records.Open(dir); err != nil {
		return err
	}
	if b.Records != "" {
		b.classes = len(b.data.Manifest.Classes)
	}
	b.split, err = b.data.OpenSplit(b.Split)
	return err
}

// close closes the split and removes made-up records.
func (b *bench) close() error {
	var errs []error
	if b.split != nil {
		errs = append(errs, b.split.Close())
	}
	if b.madeUp != "" {
		errs = append(errs, os.RemoveAll(b.madeUp))
	}
	return errors.Join(errs...)
}

// stages lists what --stage asks for.
func (b *bench) stages() []stage {
	var list []stage
	for _, s := range []struct {
		name string
		make func() stage
	}{
		{"ingest", b.ingest}, {"read", b.read}, {"augment", b.augment}, {"stream", b.stream}, {"train", b.train},
	} {
		if b.Stage == s.name || b.Stage == "all" && (s.name != "ingest" || b.Src != "") {
			list = append(list, s.make())
		}
	}
	return list
}

// describe names the records.
func (b *bench) describe() string {
	m := b.data.Manifest
	what := fmt.Sprintf("%v %s, %s", m.Shape, m.Pixels, m.Compression)
	if b.madeUp != "" {
		what += ", made up"
	}
	return what
}

// color returns the colour shifts of the records, or typical ones.
func (b *bench) color() *augment.Color {
	// Typical standard deviations and axes of photographs.
	vectors := [3][3]float64{{0.58, 0.58, 0.57}, {0.71, 0, -0.71}, {0.41, -0.82, 0.41}}
	values := [3]float64{14830, 1376, 389}
	if m := b.data.Manifest; m.PCA != nil {
		vectors, values = m.PCA.Eigenvectors, m.PCA.Eigenvalues
	} else if m.Shape.C != 3 {
		return nil
	}
	c := augment.EigenColor(vectors, values, augment.ScaleStdDev)
	return &c
}

// madeUpRows is the number of made-up records: more than the caches of a
// processor hold, and quickly made.
const madeUpRows = 512

// makeUpRecords writes records of noise, stored as ingest's defaults have it.
func makeUpRecords(dir, split string, size int, seed uint64) error {
	shape := records.Shape{C: 3, H: size, W: size}
	mean := &records.Mean{Shape: shape, Mean: make([]float32, shape.Size()), Baseline: make([]uint8, shape.Size())}
	for i := range mean.Mean {
		mean.Mean[i], mean.Baseline[i] = 127.25, 127
	}
	name := records.ShardName(split, 0, 1)
	w, err := records.CreateShard(filepath.Join(dir, name), records.WriterOptions{
		Split: split, Shape: shape, Pixels: records.Int16, Compression: records.None, Baseline: mean.Baseline,
	})
	if err != nil {
		return err
	}
	pixels := make([]uint8, shape.Size())
	source := newNoise(seed)
	for i := range madeUpRows {
		source.fill(pixels)
		r := records.Record{Key: fmt.Sprintf("%06d", i), Width: uint16(size), Height: uint16(size), Pixels: pixels}
		if err := w.Write(r); err != nil {
			return errors.Join(err, w.Abort())
		}
	}
	shard, err := w.Commit()
	if err != nil {
		return err
	}
	file, err := records.WriteMean(filepath.Join(dir, records.MeanName), mean)
	if err != nil {
		return err
	}
	return records.WriteManifest(dir, &records.Manifest{
		Shape: shape, Pixels: records.Int16, Compression: records.None, Seed: seed,
		Decoder: "none", Filter: "none", Mean: file, Classes: []records.Class{{WNID: "n00000000"}},
		Splits: map[string]records.SplitInfo{
			split: {Seen: madeUpRows, Written: madeUpRows, Shards: []records.ShardInfo{shard}},
		},
	})
}
