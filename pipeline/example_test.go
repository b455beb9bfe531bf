package pipeline_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"alexnet/augment"
	"alexnet/pipeline"
	"alexnet/records"
)

// Two epochs of training on ten small pictures, four to a batch.
func Example() {
	dir, err := os.MkdirTemp("", "records")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := makeRecords(dir); err != nil {
		log.Fatal(err)
	}

	ds, err := records.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	color, err := pipeline.ColorOf(ds.Manifest, augment.ScaleEigenvalue)
	if err != nil {
		log.Fatal(err)
	}
	p, err := pipeline.Open(context.Background(), dir, pipeline.Options{
		Batch: 4, Crop: 24, Seed: 1, Train: true, Color: color, Epochs: 2,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	for b := range p.Batches() {
		fmt.Printf("epoch %d, step %d of %d: %d records, %d values\n",
			b.Epoch, b.Step, p.StepsPerEpoch(), b.N, len(b.Images))
		b.Release()
	}
	if err := p.Err(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// epoch 0, step 0 of 3: 4 records, 6912 values
	// epoch 0, step 1 of 3: 4 records, 6912 values
	// epoch 0, step 2 of 3: 2 records, 3456 values
	// epoch 1, step 0 of 3: 4 records, 6912 values
	// epoch 1, step 1 of 3: 4 records, 6912 values
	// epoch 1, step 2 of 3: 2 records, 3456 values
}

// One of two ranks, for a device that subtracts the mean itself: the pixels come
// as they are stored, cut and mirrored, with what was drawn for each beside.
func Example_stored() {
	dir, err := os.MkdirTemp("", "records")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := makeRecords(dir); err != nil {
		log.Fatal(err)
	}
	p, err := pipeline.Open(context.Background(), dir, pipeline.Options{
		Batch: 4, Crop: 24, Seed: 1, Train: true, Type: augment.Stored, Rank: 1, World: 2,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	var keys pipeline.Digest
	for b := range p.Batches() {
		fmt.Printf("step %d: %d of %d records, %d bytes, crops at", b.Step, b.N, b.Global, len(b.Bytes))
		for _, params := range b.Params {
			fmt.Printf(" %d,%d", params.Top, params.Left)
		}
		fmt.Println()
		keys = keys.Add(b.Keys)
		b.Release()
	}
	if err := p.Err(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(keys.Records, "records, and the other rank has the rest")
	// Output:
	// step 0: 2 of 4 records, 3456 bytes, crops at 6,0 1,6
	// step 1: 2 of 4 records, 3456 bytes, crops at 5,1 7,7
	// step 2: 1 of 2 records, 1728 bytes, crops at 1,2
	// 5 records, and the other rank has the rest
}

// makeRecords writes ten pictures of 32 x 32, as the command ingest would.
func makeRecords(dir string) error {
	shape := records.Shape{C: 3, H: 32, W: 32}
	w, err := records.CreateShard(filepath.Join(dir, records.ShardName("train", 0, 1)),
		records.WriterOptions{Split: "train", Shape: shape, Pixels: records.Uint8, Compression: records.None})
	if err != nil {
		return err
	}
	defer w.Abort()
	for i := range 10 {
		pixels := make([]uint8, shape.Size())
		for j := range pixels {
			pixels[j] = uint8(i * j)
		}
		err := w.Write(records.Record{Key: fmt.Sprint(i), Label: int32(i % 2), Width: 32, Height: 32, Pixels: pixels})
		if err != nil {
			return err
		}
	}
	shard, err := w.Commit()
	if err != nil {
		return err
	}
	mean, err := records.WriteMean(filepath.Join(dir, records.MeanName), &records.Mean{
		Shape: shape, Mean: make([]float32, shape.Size()), Baseline: make([]uint8, shape.Size()),
	})
	if err != nil {
		return err
	}
	return records.WriteManifest(dir, &records.Manifest{
		Shape: shape, Pixels: records.Uint8, Compression: records.None, Decoder: "none", Filter: "none",
		Mean: mean,
		PCA: &records.PCA{
			Eigenvalues:  [3]float64{14000, 1300, 380},
			Eigenvectors: [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
		},
		Splits:  map[string]records.SplitInfo{"train": {Seen: 10, Written: 10, Shards: []records.ShardInfo{shard}}},
		Classes: []records.Class{{WNID: "n00000001"}, {WNID: "n00000002"}},
	})
}
