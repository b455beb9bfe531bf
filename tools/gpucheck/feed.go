package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
)

// pictures are what stored images were cut from.
type pictures struct {
	height, width int
	sub           []float32 // what is left to subtract from a stored value
	wide          bool      // values are of two bytes
}

// feed is records of noise, in the page cache.
type feed struct {
	dir      string
	ds       *records.Dataset
	seed     uint64
	pictures pictures
}

// newFeed makes rows records of so many channels, side x side, with labels below classes.
func newFeed(channels, side, rows, classes int, pixels records.PixelType, seed uint64) (f *feed, err error) {
	dir, err := os.MkdirTemp("", "gpucheck-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	const split = "train"
	shape := records.Shape{C: channels, H: side, W: side}
	mean := &records.Mean{Shape: shape, Mean: make([]float32, shape.Size()), Baseline: make([]uint8, shape.Size())}
	o := records.WriterOptions{Split: split, Shape: shape, Pixels: pixels, Compression: records.None}
	for i := range mean.Mean { // another one at each place, so that a wrong place shows
		mean.Mean[i] = 100 + float32(i%211)/4
	}
	if pixels == records.Int16 {
		for i, m := range mean.Mean {
			mean.Baseline[i] = uint8(m)
		}
		o.Baseline = mean.Baseline
	}
	shard, err := writeShard(filepath.Join(dir, records.ShardName(split, 0, 1)), o, rows, classes, seed)
	if err != nil {
		return nil, err
	}
	file, err := records.WriteMean(filepath.Join(dir, records.MeanName), mean)
	if err != nil {
		return nil, err
	}
	m := &records.Manifest{Shape: shape, Pixels: pixels, Compression: records.None, Seed: seed, Decoder: "none", Filter: "none", Mean: file,
		Splits: map[string]records.SplitInfo{split: {Seen: rows, Written: rows, Shards: []records.ShardInfo{shard}}}}
	for i := range classes {
		m.Classes = append(m.Classes, records.Class{WNID: fmt.Sprintf("n%08d", i)})
	}
	if err := records.WriteManifest(dir, m); err != nil {
		return nil, err
	}
	ds, err := records.Open(dir)
	if err != nil {
		return nil, err
	}
	sub := ds.Mean.Subtrahend(pixels)
	return &feed{dir: dir, ds: ds, seed: seed, pictures: pictures{side, side, sub, pixels == records.Int16}}, nil
}

// writeShard writes records of noise.
func writeShard(path string, o records.WriterOptions, rows, classes int, seed uint64) (records.ShardInfo, error) {
	w, err := records.CreateShard(path, o)
	if err != nil {
		return records.ShardInfo{}, err
	}
	pixels := make([]uint8, o.Shape.Size())
	source := newNoise(seed)
	for i := range rows {
		source.fill(pixels)
		r := records.Record{Key: fmt.Sprintf("%06d", i), Label: int32(i % classes), Width: uint16(o.Shape.W), Height: uint16(o.Shape.H), Pixels: pixels}
		if err := w.Write(r); err != nil {
			return records.ShardInfo{}, errors.Join(err, w.Abort())
		}
	}
	return w.Commit()
}

// close removes the records.
func (f *feed) close() error { return os.RemoveAll(f.dir) }

// open streams them: augmented, epoch after epoch, for an engine that may fetch batches
// ahead.
func (f *feed) open(ctx context.Context, e model.Engine, batch int, t augment.Type) (*pipeline.Pipeline, error) {
	o := pipeline.Options{Batch: batch, Crop: e.Net().Input.H, Type: t, Seed: f.seed, Train: true, Epochs: 1 << 30}
	if f.ds.Manifest.Shape.C == 3 {
		c := augment.EigenColor([3][3]float64{{0.58, 0.58, 0.57}, {0.71, 0, -0.71}, {0.41, -0.82, 0.41}}, [3]float64{14830, 1376, 389}, augment.ScaleStdDev)
		o.Color = &c
	}
	if s, ok := e.(model.StagingEngine); ok {
		const ahead = 4 // batches in the stream's hands beside those that are staged
		o.Allocator, o.Depth = s, s.Stages()+ahead
		if n := runtime.GOMAXPROCS(0); n > 4 { // as train does
			o.Workers = n - 1
		}
	}
	return pipeline.Open(ctx, f.dir, o)
}

// trainer trains on a stream, sending batches ahead where the engine takes them.
type trainer struct {
	e       model.Engine
	staging model.StagingEngine // nil for other engines
	p       *pipeline.Pipeline
	queue   []sent
	step    uint64
}

// sent is a batch on its way.
type sent struct {
	pipeline.Batch
	staged model.Staged
}

func newTrainer(e model.Engine, p *pipeline.Pipeline) *trainer {
	t := &trainer{e: e, p: p}
	t.staging, _ = e.(model.StagingEngine)
	return t
}

// next trains on the next batch.
func (t *trainer) next(ctx context.Context) (score model.Score, err error) {
	if len(t.queue) == 0 {
		b, ok := t.p.Next(ctx)
		if !ok {
			return score, errors.Join(ctx.Err(), t.p.Err(), errors.New("the stream has ended"))
		}
		if err := t.send(b); err != nil {
			return score, err
		}
	}
	for t.staging != nil && len(t.queue) < t.staging.Stages() {
		b, ok := t.ready()
		if !ok {
			break
		}
		if err := t.send(b); err != nil {
			return score, err
		}
	}
	s := t.queue[0]
	t.queue = append(t.queue[:0], t.queue[1:]...)
	defer s.Release()
	if s.staged != nil {
		score, err = t.staging.BackwardStaged(s.staged, t.step)
		err = errors.Join(err, s.staged.Drop())
	} else {
		score, err = t.e.Backward(s.Images, s.Labels, t.step)
	}
	t.step++
	if err != nil {
		return score, err
	}
	return score, t.e.Update(hyper())
}

// ready returns a batch if there is one.
func (t *trainer) ready() (b pipeline.Batch, ok bool) {
	select {
	case b, ok = <-t.p.Batches():
	default:
	}
	return b, ok
}

// send begins to send a batch.
func (t *trainer) send(b pipeline.Batch) error {
	s := sent{Batch: b}
	if t.staging != nil {
		placements := make([]model.Placement, len(b.Params))
		for i, p := range b.Params {
			placements[i] = model.Placement(p)
		}
		var err error
		if s.staged, err = t.staging.Stage(b.Bytes, b.Labels, placements); err != nil {
			b.Release()
			return err
		}
	}
	t.queue = append(t.queue, s)
	return nil
}

// close drops what is on its way and ends the stream.
func (t *trainer) close() error {
	var errs []error
	for _, s := range t.queue {
		if s.staged != nil {
			errs = append(errs, s.staged.Drop())
		}
		s.Release()
	}
	t.queue = nil
	return errors.Join(append(errs, t.p.Close())...)
}
