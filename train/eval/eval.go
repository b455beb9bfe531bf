// Package eval measures nets as section 5 of Krizhevsky, Sutskever and Hinton
// (2012) does: top-1 and top-5 error, in the central crop or averaged over ten
// views (section 4.1), of one net or of several averaged (section 6).
package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
)

// Options says how to evaluate.
type Options struct {
	// Views is 1 for the central crop (also when 0), 10 for the four corners, the
	// centre, and their mirror images.
	Views int
	// Batch is the number of images, views counted, that are prepared at a time; 0
	// means the smallest batch of the engines. It does not change the result.
	Batch int
	// Workers prepare the images; 0 means GOMAXPROCS.
	Workers int
	// Background, if not nil, gets what a cancelled evaluation leaves behind: it does not
	// wait for a disk that does not answer. The split must stay open until the group is
	// done.
	Background *sync.WaitGroup
	// Progress, if not nil, is called after each batch with the number of records
	// done and of all.
	Progress func(done, total int)

	// open replaces pipeline.OpenSplit in tests.
	open func(context.Context, *records.Dataset, *records.Split, pipeline.Options) (stream, error)
}

// stream is what an evaluation needs of a pipeline.Pipeline.
type stream interface {
	Batches() <-chan pipeline.Batch
	Err() error
	Close() error
}

func openStream(ctx context.Context, ds *records.Dataset, split *records.Split, o pipeline.Options) (stream, error) {
	p, err := pipeline.OpenSplit(ctx, ds, split, o)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// patience is how long a cancelled evaluation waits for its stream to end.
const patience = 50 * time.Millisecond

// close closes the stream. It waits for that, unless ctx is cancelled and there is a
// group to leave the rest to.
func (o *Options) close(ctx context.Context, s stream) error {
	if o.Background == nil {
		return s.Close()
	}
	closed := make(chan error, 1)
	o.Background.Go(func() { closed <- s.Close() })
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-closed:
		return err
	case <-time.After(patience):
		return nil
	}
}

// Result is how many records of a split were recognised.
type Result struct {
	Split string `json:"split"`
	Views int    `json:"views"`
	Nets  int    `json:"nets"`
	// Images is the number of records.
	Images int `json:"images"`
	// Top1 and Top5 count the records whose label has the highest, or one of the
	// five highest, averaged probabilities. Of classes with equal probabilities the
	// one with the lower index ranks higher.
	Top1 int `json:"top1_correct"`
	Top5 int `json:"top5_correct"`
	// Loss is the mean cross-entropy, in nats, of the averaged probabilities; a
	// probability of zero counts as the smallest float32.
	Loss float64 `json:"loss"`
}

// Top1Accuracy returns the share of images whose label ranks first, in [0, 1].
func (r Result) Top1Accuracy() float64 { return float64(r.Top1) / float64(r.Images) }

// Top5Accuracy returns the share of images whose label ranks fifth or higher.
func (r Result) Top5Accuracy() float64 { return float64(r.Top5) / float64(r.Images) }

// Top1Error returns 1 - Top1Accuracy.
func (r Result) Top1Error() float64 { return float64(r.Images-r.Top1) / float64(r.Images) }

// Top5Error returns 1 - Top5Accuracy.
func (r Result) Top5Error() float64 { return float64(r.Images-r.Top5) / float64(r.Images) }

// Evaluate runs all records of a split through the engines, in one pass of the
// data, and averages the probabilities over views and over nets. The nets must
// have the same input and the same number of classes. Records without a label or
// with damage are an error, since a result without them would be of another split,
// as are probabilities that are not numbers. When ctx is cancelled, the call of an
// engine in hand is the last, and the error is that of ctx.
func Evaluate(ctx context.Context, engines []model.Engine, ds *records.Dataset, split *records.Split, o Options) (Result, error) {
	o, err := o.check(engines, ds, split)
	if err != nil {
		return Result{}, err
	}
	net := engines[0].Net()
	stream, err := o.open(ctx, ds, split, pipeline.Options{
		Batch: max(1, o.Batch/o.Views), Views: o.Views, Crop: net.Input.H, Workers: o.Workers, Depth: 3, Epochs: 1,
	})
	if err != nil {
		return Result{}, fmt.Errorf("evaluating %s: %w", split.Name(), err)
	}
	e := evaluation{engines: engines, split: split, views: o.Views,
		result: Result{Split: split.Name(), Views: o.Views, Nets: len(engines)}}
	for batch := range stream.Batches() {
		if err = ctx.Err(); err == nil { // a batch that is ready may come even then
			err = e.add(ctx, &batch)
		}
		batch.Release()
		if err != nil {
			break
		}
		if o.Progress != nil {
			o.Progress(e.result.Images, split.Len())
		}
	}
	if err == nil {
		if err = stream.Err(); err != nil && ctx.Err() == nil {
			err = fmt.Errorf("no record may be left out of an evaluation: %w", err)
		}
	}
	if err = errors.Join(err, o.close(ctx, stream)); err != nil {
		return Result{}, fmt.Errorf("evaluating %s: %w", split.Name(), err)
	}
	e.result.Loss = e.loss / float64(e.result.Images)
	return e.result, nil
}

// check fills in defaults and finds what cannot work.
func (o Options) check(engines []model.Engine, ds *records.Dataset, split *records.Split) (Options, error) {
	if len(engines) == 0 {
		return o, errors.New("evaluating: no net given")
	}
	if o.Views == 0 {
		o.Views = 1
	}
	if o.open == nil {
		o.open = openStream
	}
	if o.Views != 1 && o.Views != 10 {
		return o, fmt.Errorf("evaluating: %d views: must be 1 (centre) or 10 (corners, centre, mirrored)", o.Views)
	}
	if o.Batch < 0 {
		return o, fmt.Errorf("evaluating: batch of %d images: must not be negative", o.Batch)
	}
	if split.Len() == 0 {
		return o, fmt.Errorf("evaluating: split %s of %s is empty", split.Name(), ds.Dir)
	}
	first := engines[0].Net()
	for _, e := range engines {
		net := e.Net()
		if err := CheckFit(net, ds); err != nil {
			return o, fmt.Errorf("evaluating: %w", err)
		}
		if net.Input != first.Input || net.Classes != first.Classes {
			return o, fmt.Errorf("evaluating: nets of different kinds cannot be averaged: %s takes %v for %d classes, %s takes %v for %d",
				first.Name, first.Input, first.Classes, net.Name, net.Input, net.Classes)
		}
		if o.Batch == 0 || o.Batch > e.Batch() {
			o.Batch = e.Batch()
		}
	}
	return o, nil
}

// CheckFit returns an error unless the net's crops can be cut from the records and
// its outputs are their classes.
func CheckFit(net *model.Net, ds *records.Dataset) error {
	in, shape := net.Input, ds.Manifest.Shape
	switch {
	case in.C != shape.C:
		return fmt.Errorf("%s has images of %d channels, and net %s takes %d", ds.Dir, shape.C, net.Name, in.C)
	case in.H != in.W:
		return fmt.Errorf("net %s takes crops of %dx%d: only square ones can be cut", net.Name, in.W, in.H)
	case in.H > shape.H || in.W > shape.W:
		return fmt.Errorf("%s has images of %dx%d, too small for the %dx%d crops of net %s: ingest with a larger --size, or use a smaller net",
			ds.Dir, shape.W, shape.H, in.W, in.H, net.Name)
	case net.Classes != len(ds.Manifest.Classes):
		return fmt.Errorf("%s has %d classes, and net %s has %d outputs", ds.Dir, len(ds.Manifest.Classes), net.Name, net.Classes)
	}
	return nil
}

// evaluation is an Evaluate on its way.
type evaluation struct {
	engines []model.Engine
	split   *records.Split
	views   int
	result  Result
	loss    float64 // sum of cross-entropies

	probs []float32 // of one engine for one batch, images x classes
	sums  []float64 // over engines and views, records x classes
}

// add counts the records of a batch.
func (e *evaluation) add(ctx context.Context, b *pipeline.Batch) error {
	classes := e.engines[0].Net().Classes
	images := b.N * e.views
	if len(e.probs) < images*classes {
		e.probs = make([]float32, images*classes)
		e.sums = make([]float64, b.N*classes)
	}
	clear(e.sums)
	for _, engine := range e.engines {
		if err := predict(ctx, engine, b.Images, images, e.probs); err != nil {
			return err
		}
		for i := range images {
			sum := e.sums[i/e.views*classes:][:classes]
			for c, p := range e.probs[i*classes:][:classes] {
				sum[c] += float64(p)
			}
		}
	}
	for r := range b.N {
		label := b.Labels[r]
		if label < 0 || int(label) >= classes {
			return fmt.Errorf("record %d has label %d of %d classes: only labelled splits can be evaluated", b.Indices[r], label, classes)
		}
		sum := e.sums[r*classes:][:classes]
		rank, err := rankOf(sum, int(label))
		if err != nil {
			return fmt.Errorf("record %d: %w", b.Indices[r], err)
		}
		e.result.Images++
		if rank < 1 {
			e.result.Top1++
		}
		if rank < 5 {
			e.result.Top5++
		}
		p := sum[label] / float64(e.views*len(e.engines))
		e.loss -= math.Log(max(p, math.SmallestNonzeroFloat32))
	}
	return nil
}

// predict runs n images through an engine, as many at a time as it takes, unless ctx
// is cancelled.
func predict(ctx context.Context, engine model.Engine, images []float32, n int, probs []float32) error {
	size, classes := engine.Net().Input.Size(), engine.Net().Classes
	for done := 0; done < n; {
		if err := ctx.Err(); err != nil {
			return err
		}
		now := min(n-done, engine.Batch())
		if err := engine.Predict(images[done*size:(done+now)*size], now, probs[done*classes:(done+now)*classes]); err != nil {
			return err
		}
		done += now
	}
	return nil
}

// rankOf returns how many classes rank above the label.
func rankOf(scores []float64, label int) (int, error) {
	rank := 0
	for c, s := range scores {
		if math.IsNaN(s) {
			return 0, fmt.Errorf("the probability of class %d is not a number: the net's weights have diverged", c)
		}
		if s > scores[label] || s == scores[label] && c < label {
			rank++
		}
	}
	return rank, nil
}
