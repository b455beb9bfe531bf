package records_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"alexnet/records"
)

// A data set of two grey pictures of 2x2, written and read.
func Example() {
	dir, err := os.MkdirTemp("", "records")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := write(dir); err != nil {
		log.Fatal(err)
	}

	ds, err := records.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	split, err := ds.OpenSplit("train")
	if err != nil {
		log.Fatal(err)
	}
	defer split.Close()
	left := ds.Mean.Subtrahend(ds.Manifest.Pixels)
	var scratch records.Scratch // one for each goroutine
	for i := range split.Len() {
		row, err := split.Row(i, &scratch)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s, class %s, stored as %d; picture - mean:", row.Key, ds.Manifest.Classes[row.Label].Words, row.I16)
		for k, v := range row.I16 {
			fmt.Print(" ", float32(v)-left[k])
		}
		fmt.Println()
	}
	// Output:
	// n01440764/a.JPEG, class tench, stored as [0 2 0 -1]; picture - mean: -0.5 1.5 0 -1
	// n01443537/b.JPEG, class goldfish, stored as [1 -1 0 1]; picture - mean: 0.5 -1.5 0 1
}

// write makes the data set: shards, then the mean, then the manifest.
func write(dir string) error {
	shape := records.Shape{C: 1, H: 2, W: 2}
	baseline := []uint8{10, 20, 30, 40} // of a sample; the mean is known at the end
	w, err := records.CreateShard(filepath.Join(dir, records.ShardName("train", 0, 1)), records.WriterOptions{
		Split: "train", Shape: shape, Pixels: records.Int16, Compression: records.Zstd, Baseline: baseline,
	})
	if err != nil {
		return err
	}
	defer w.Abort() // does nothing after Commit
	for _, r := range []records.Record{
		{Key: "n01440764/a.JPEG", Label: 0, Width: 500, Height: 375, Pixels: []uint8{10, 22, 30, 39}},
		{Key: "n01443537/b.JPEG", Label: 1, Width: 640, Height: 480, Pixels: []uint8{11, 19, 30, 41}},
	} {
		if err := w.Write(r); err != nil {
			return err
		}
	}
	shard, err := w.Commit()
	if err != nil {
		return err
	}
	mean, err := records.WriteMean(filepath.Join(dir, records.MeanName), &records.Mean{
		Shape: shape, Mean: []float32{10.5, 20.5, 30, 40}, Baseline: baseline,
	})
	if err != nil {
		return err
	}
	return records.WriteManifest(dir, &records.Manifest{
		Shape: shape, Pixels: records.Int16, Compression: records.Zstd, Mean: mean,
		Classes: []records.Class{{WNID: "n01440764", Words: "tench"}, {WNID: "n01443537", Words: "goldfish"}},
		Splits: map[string]records.SplitInfo{
			"train": {Seen: 2, Written: 2, Shards: []records.ShardInfo{shard}},
		},
	})
}
