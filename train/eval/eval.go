// Package eval measures nets as section 5 of Krizhevsky, Sutskever and Hinton
// (2012) does: top-1 and top-5 error, in the central crop or averaged over ten
// views (section 4.1), of one net or of several averaged (section 6). It also counts
// by class and by confusion, and writes predictions, as a submission to ILSVRC if
// need be.
//
// One pass over the records serves all nets, and nothing of the size of records x
// classes is kept.
package eval

import (
	"context"
	"errors"
	"fmt"
	"sync"

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
	// OnCorrupt says what becomes of records that cannot be read: an error, or they
	// are left out and counted. Whole shards that are missing can be left out when the
	// split was opened with OpenSplitLenient.
	OnCorrupt pipeline.OnCorrupt
	// Background, if not nil, gets what a cancelled evaluation leaves behind: it does not
	// wait for a disk that does not answer. The split must stay open until the group is
	// done.
	Background *sync.WaitGroup
	// Progress, if not nil, is called after each batch with the number of records
	// done and of all.
	Progress func(done, total int)
	// Skipped, if not nil, is called with the row and the error of each record that is
	// left out.
	Skipped func(row int, err error)
	// Predictions, if not nil, is called for each record that was not skipped, in the
	// order of the rows. An error of it ends the evaluation.
	Predictions func(Prediction) error

	// open replaces pipeline.OpenSplit in tests.
	open func(context.Context, *records.Dataset, *records.Split, pipeline.Options) (stream, error)
}

// Evaluate is Measure for those who want the result of the average only.
func Evaluate(ctx context.Context, engines []model.Engine, ds *records.Dataset, split *records.Split, o Options) (Result, error) {
	r, err := Measure(ctx, engines, ds, split, o)
	if err != nil {
		return Result{}, err
	}
	return r.Result, nil
}

// Measure runs all records of a split through the engines, in one pass of the data,
// and averages the probabilities over views and over nets. All nets with the same
// size of input get the same images, each made once; nets of several sizes can be
// averaged, but all must have the records' classes and channels.
//
// Records with damage are an error, since a result without them would be of another
// split, unless Options.OnCorrupt says otherwise; so are records without a label,
// unless there is someone to take the predictions, and probabilities that are not
// numbers. When ctx is cancelled, the call of an engine in hand is the last, and the
// error is that of ctx.
func Measure(ctx context.Context, engines []model.Engine, ds *records.Dataset, split *records.Split, o Options) (*Report, error) {
	o, err := o.check(engines, ds, split)
	if err != nil {
		return nil, err
	}
	e := newEvaluation(engines, split, o)
	if e.feed, err = openFeed(ctx, ds, split, o, e.crops); err != nil {
		return nil, fmt.Errorf("evaluating %s: %w", split.Name(), err)
	}
	r := e.report
	for err == nil && e.feed.next() {
		if err = ctx.Err(); err == nil { // a batch that is ready may come even then
			err = e.add(ctx)
		}
		e.feed.release()
		if err == nil && o.Progress != nil {
			o.Progress(r.Images+r.Unlabelled+r.Skipped, split.Len())
		}
	}
	if err == nil {
		if err = e.feed.err(); err != nil && ctx.Err() == nil {
			err = fmt.Errorf("no record may be left out of an evaluation: %w", err)
		}
	}
	if err == nil && r.Images+r.Unlabelled == 0 {
		err = fmt.Errorf("none of its %d records could be read", split.Len())
	}
	r.Speed = e.feed.speed(&r.Result)
	if err = errors.Join(err, e.feed.close(ctx)); err != nil {
		return nil, fmt.Errorf("evaluating %s: %w", split.Name(), err)
	}
	e.finish()
	return r, nil
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
	for _, e := range engines {
		net := e.Net()
		if err := CheckFit(net, ds); err != nil {
			return o, fmt.Errorf("evaluating: %w", err)
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
