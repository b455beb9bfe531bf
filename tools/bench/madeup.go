package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"alexnet/records"
)

// madeUpBytes is, in stored bytes of pictures of 256 x 256, how much is made up:
// more than the caches that most processors give a process, and quickly made.
const madeUpBytes = 400 << 20

// madeUpMost is how much of larger pictures is made up, at most: what fits beside other
// things in the folder of temporary files.
const madeUpMost = 2 << 30

// madeUpRows is the number of made-up records of a type: 1024 of int16, of whatever
// size, unless that is too much.
func madeUpRows(size int, pixels records.PixelType) int {
	rows := madeUpBytes / (3 * 256 * 256 * pixels.Size()) / 512 * 512
	return min(rows, madeUpMost/(3*size*size*pixels.Size()))
}

// makeUpRecords writes records of noise, stored as ingest stores that type.
func makeUpRecords(dir, split string, size int, pixels records.PixelType, codec records.Compression, seed uint64) error {
	shape := records.Shape{C: 3, H: size, W: size}
	mean := &records.Mean{Shape: shape, Mean: make([]float32, shape.Size()), Baseline: make([]uint8, shape.Size())}
	o := records.WriterOptions{Split: split, Shape: shape, Pixels: pixels, Compression: codec}
	for i := range mean.Mean {
		mean.Mean[i] = 127.25
	}
	if pixels == records.Int16 {
		for i := range mean.Baseline {
			mean.Baseline[i] = 127
		}
		o.Baseline = mean.Baseline
	}
	rows := madeUpRows(size, pixels)
	shard, err := makeUpShard(filepath.Join(dir, records.ShardName(split, 0, 1)), o, rows, seed)
	if err != nil {
		return err
	}
	file, err := records.WriteMean(filepath.Join(dir, records.MeanName), mean)
	if err != nil {
		return err
	}
	return records.WriteManifest(dir, &records.Manifest{
		Shape: shape, Pixels: pixels, Compression: codec, Seed: seed,
		Decoder: "none", Filter: "none", Mean: file, Classes: []records.Class{{WNID: "n00000000"}},
		Splits: map[string]records.SplitInfo{
			split: {Seen: rows, Written: rows, Shards: []records.ShardInfo{shard}},
		},
	})
}

// makeUpShard writes a shard of noise.
func makeUpShard(path string, o records.WriterOptions, rows int, seed uint64) (records.ShardInfo, error) {
	w, err := records.CreateShard(path, o)
	if err != nil {
		return records.ShardInfo{}, err
	}
	pixels := make([]uint8, o.Shape.Size())
	source := newNoise(seed)
	for i := range rows {
		source.fill(pixels)
		r := records.Record{Key: fmt.Sprintf("%06d", i), Width: uint16(o.Shape.W), Height: uint16(o.Shape.H), Pixels: pixels}
		if err := w.Write(r); err != nil {
			return records.ShardInfo{}, errors.Join(err, w.Abort())
		}
	}
	return w.Commit()
}
