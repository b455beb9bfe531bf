package records_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"alexnet/records"
	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest"
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

// The same data set, read where it lies in an object store. Rows are loaded, which
// takes time, and unpacked, which takes the processor; a program that wants many
// has many goroutines for the one and few for the other.
func ExampleOpenFolder() {
	dir, err := os.MkdirTemp("", "records")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	var folder buckettest.Memory // in place of one that package cloud opens
	if err := write(dir); err != nil {
		log.Fatal(err)
	}
	if err := upload(ctx, &folder, dir); err != nil {
		log.Fatal(err)
	}

	ds, err := records.OpenFolder(ctx, &folder)
	if err != nil {
		log.Fatal(err)
	}
	split, err := ds.OpenSplit("train")
	if err != nil {
		log.Fatal(err)
	}
	defer split.Close()
	var loaded records.Loaded
	var scratch records.Scratch
	for i := range split.Len() {
		if err := split.Load(ctx, i, &loaded); err != nil {
			log.Fatal(err)
		}
		row, err := split.Unpack(&loaded, &scratch)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s of %s, class %s, stored as %d\n", row.Key, ds.Dir, ds.Manifest.Classes[row.Label].Words, row.I16)
	}
	// Output:
	// n01440764/a.JPEG of mem://test, class tench, stored as [0 2 0 -1]
	// n01443537/b.JPEG of mem://test, class goldfish, stored as [1 -1 0 1]
}

// upload makes an object of each file of a folder.
func upload(ctx context.Context, f bucket.Folder, dir string) error {
	files, err := os.ReadDir(dir)
	for _, file := range files {
		if data, rerr := os.ReadFile(filepath.Join(dir, file.Name())); rerr != nil {
			err = rerr
		} else if err == nil {
			err = f.Put(ctx, file.Name(), bytes.NewReader(data), int64(len(data)), bucket.Replace)
		}
	}
	return err
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
