package eval

import (
	"context"
	"errors"
	"time"

	"alexnet/pipeline"
	"alexnet/records"
)

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

// patience is how long a cancelled evaluation waits for a stream to end.
const patience = 50 * time.Millisecond

// close closes a stream. It waits for that, unless ctx is cancelled and there is a
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

// feed streams a split once for each size of crop that the nets take, in step: a
// batch of one stream holds the same records as the batch of another.
type feed struct {
	o       Options
	streams []stream
	ready   []<-chan pipeline.Batch
	batches []pipeline.Batch // of the present step
}

// openFeed opens a stream for each size.
func openFeed(ctx context.Context, ds *records.Dataset, split *records.Split, o Options, crops []int) (*feed, error) {
	f := &feed{o: o}
	for _, crop := range crops {
		s, err := o.open(ctx, ds, split, pipeline.Options{
			Batch: max(1, o.Batch/o.Views), Views: o.Views, Crop: crop, Workers: o.Workers, OnCorrupt: o.OnCorrupt,
			// One batch is computed while two are made. More would only take memory.
			Depth: 3, Epochs: 1,
		})
		if err != nil {
			return nil, errors.Join(err, f.close(ctx))
		}
		f.streams, f.ready = append(f.streams, s), append(f.ready, s.Batches())
	}
	return f, nil
}

// next takes a batch from each stream. At the end, or when one of them fails or is
// cancelled, it returns false.
func (f *feed) next() bool {
	f.batches = f.batches[:0]
	for _, ready := range f.ready {
		b, ok := <-ready
		if !ok {
			f.release()
			return false
		}
		f.batches = append(f.batches, b)
	}
	return true
}

// release gives the batches back.
func (f *feed) release() {
	for i := range f.batches {
		f.batches[i].Release()
	}
	f.batches = f.batches[:0]
}

// holes returns the errors of the records of the present step that one of the
// streams has skipped, by slot.
func (f *feed) holes() map[int]error {
	var holes map[int]error
	for i := range f.batches {
		for _, s := range f.batches[i].Skipped {
			if holes == nil {
				holes = map[int]error{}
			}
			holes[s.Slot] = s.Err
		}
	}
	return holes
}

// err returns what ended the streams early.
func (f *feed) err() error {
	for _, s := range f.streams {
		if err := s.Err(); err != nil {
			return err
		}
	}
	return nil
}

// speed says how it went, when all batches were released.
func (f *feed) speed(r *Result) Speed {
	var sum Speed
	worst := -1.0
	for _, s := range f.streams {
		p, ok := s.(*pipeline.Pipeline)
		if !ok {
			continue
		}
		stats := p.Stats()
		sum.Seconds = max(sum.Seconds, stats.Elapsed.Seconds())
		sum.WaitShare += stats.WaitShare()
		sum.Made += stats.Images
		if stats.WaitShare() > worst {
			worst, sum.Verdict = stats.WaitShare(), p.Diagnose(stats).Verdict
		}
	}
	if sum.Seconds > 0 {
		sum.ImagesPerSecond = float64(r.Images+r.Unlabelled) / sum.Seconds
	}
	return sum
}

// close ends the streams.
func (f *feed) close(ctx context.Context) error {
	var errs []error
	for _, s := range f.streams {
		errs = append(errs, f.o.close(ctx, s))
	}
	return errors.Join(errs...)
}
