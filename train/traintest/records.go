// Package traintest makes what the tests of the training packages need: small
// records of coloured noise that a net can tell apart, and an engine that is quick
// and easy to follow.
package traintest

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"

	"alexnet/records"
)

// Data describes records to make.
type Data struct {
	Classes    int
	Train, Val int // images; no validation split if Val is 0
	Shards     int // of the training split; 0 means 1
	Size       int // side of an image
	Seed       uint64
	Unlabelled bool // labels are -1
	Grey       bool // one channel, and no principal components
}

// Make writes the records to a folder that exists. Images of a class are noise
// around a colour of its own.
func (d Data) Make(dir string) error {
	shape := records.Shape{C: 3, H: d.Size, W: d.Size}
	m := &records.Manifest{Shape: shape, Pixels: records.Uint8, Compression: records.None, Seed: d.Seed,
		Decoder: "none", Filter: "none", Splits: map[string]records.SplitInfo{},
		PCA: &records.PCA{Eigenvalues: [3]float64{900, 400, 100}, Eigenvectors: [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, Pixels: 1}}
	if d.Grey {
		shape.C, m.Shape.C, m.PCA = 1, 1, nil
	}
	for c := range d.Classes {
		m.Classes = append(m.Classes, records.Class{WNID: fmt.Sprintf("n%08d", c)})
	}
	for split, rows := range map[string]int{"train": d.Train, "val": d.Val} {
		if rows == 0 {
			continue
		}
		info := records.SplitInfo{Seen: rows, Written: rows}
		shards := 1
		if split == "train" {
			shards = max(1, d.Shards)
		}
		for k := range shards {
			shard, err := d.shard(dir, records.ShardName(split, k, shards), split, rows*k/shards, rows*(k+1)/shards, shape)
			if err != nil {
				return err
			}
			info.Shards = append(info.Shards, shard)
		}
		m.Splits[split] = info
	}
	mean := &records.Mean{Shape: shape, Mean: make([]float32, shape.Size()), Baseline: make([]uint8, shape.Size())}
	for i := range mean.Mean {
		mean.Mean[i] = 127.5
	}
	var err error
	if m.Mean, err = records.WriteMean(filepath.Join(dir, records.MeanName), mean); err != nil {
		return err
	}
	return records.WriteManifest(dir, m)
}

// shard writes rows from to to of a split.
func (d Data) shard(dir, name, split string, from, to int, shape records.Shape) (records.ShardInfo, error) {
	var none records.ShardInfo
	w, err := records.CreateShard(filepath.Join(dir, name),
		records.WriterOptions{Split: split, Shape: shape, Pixels: records.Uint8, Compression: records.None})
	if err != nil {
		return none, err
	}
	defer func() { _ = w.Abort() }() // nothing after Commit
	random := rand.New(rand.NewPCG(d.Seed, uint64(len(split)+from<<8)))
	pixels := make([]uint8, shape.Size())
	for row := from; row < to; row++ {
		label := row % d.Classes
		for i := range pixels {
			channel := i / (shape.H * shape.W)
			level := 60 + 40*((label>>channel&1)+label%3)
			pixels[i] = uint8(level + random.IntN(80))
		}
		r := records.Record{Key: fmt.Sprintf("%s-%d", split, row), Label: int32(label), Width: 100, Height: 90, SourceXXH3: uint64(row) + 1, Pixels: pixels}
		if d.Unlabelled {
			r.Label = -1
		}
		if err := w.Write(r); err != nil {
			return none, err
		}
	}
	return w.Commit()
}
