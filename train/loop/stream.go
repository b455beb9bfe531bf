package loop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"alexnet/pipeline"
	"alexnet/records"
)

// stream is what the loop needs of a pipeline.Pipeline.
type stream interface {
	Next(context.Context) (pipeline.Batch, bool)
	Batches() <-chan pipeline.Batch
	Err() error
	Stats() pipeline.Stats
	Diagnose(pipeline.Stats) pipeline.Diagnosis
	Close() error
}

// openStream opens a pipeline.
func openStream(ctx context.Context, ds *records.Dataset, split *records.Split, o pipeline.Options) (stream, error) {
	p, err := pipeline.OpenSplit(ctx, ds, split, o)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// openSplits opens the splits. That of the training may have lost shards when
// damaged records are skipped; a validation without some of its records would be
// another one.
func (t *trainer) openSplits() (err error) {
	skip := t.cfg.Limits.OnCorrupt == pipeline.Skip
	open := t.ds.OpenSplit
	if skip {
		open = t.ds.OpenSplitLenient
	}
	if t.train, err = open(TrainSplit); err != nil {
		return t.advise(err)
	}
	if !HasValidation(t.ds.Manifest) {
		return nil
	}
	if t.val, err = t.ds.OpenSplit(ValSplit); err != nil && skip {
		err = fmt.Errorf("records of split %q cannot be skipped, since validations would not be comparable: %w", ValSplit, err)
	}
	return err
}

// settle decides the window, if it is still open, before it is written down.
func (t *trainer) settle() (err error) {
	if t.cfg.Settings, err = t.cfg.settled(); err != nil {
		return err
	}
	if s := &t.cfg.Settings; s.Shuffle == pipeline.ShuffleBlock && s.Window == 0 {
		window := 0
		if t.first() {
			window = pipeline.DefaultWindow(t.train)
		}
		m, err := t.share(ready, float64(window))
		if err != nil {
			return err
		}
		s.Window = int(m.sums[0])
		t.say(fmt.Sprintf("block shuffle in windows of %d records, chosen by the memory of this machine", s.Window))
	}
	return nil
}

// advise adds to an error of damaged training records that a run can do without.
func (t *trainer) advise(err error) error {
	var corrupt *records.CorruptError
	if t.cfg.Limits.OnCorrupt == pipeline.Skip || !errors.As(err, &corrupt) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%w; or train without such records: --on-corrupt skip", err)
}

// next waits for the next batch. It reports false when the context is cancelled.
func (t *trainer) next(ctx context.Context) (batch pipeline.Batch, ok bool, err error) {
	if t.stream != nil && t.p.Epoch >= t.until {
		err = t.stream.Close()
		// Another stream has another clock.
		t.stream, t.window, t.epoch = nil, span{}, span{}
		if err != nil {
			return batch, false, err
		}
	}
	if t.stream == nil {
		if err = t.open(ctx); err != nil {
			return batch, false, err
		}
	}
	batch, ok = t.stream.Next(ctx)
	if !ok && ctx.Err() == nil {
		if err = t.stream.Err(); err == nil {
			err = errors.New("the stream of batches ended before its last epoch")
		}
	}
	return batch, ok, err
}

// open opens the stream for the epochs that are left, or for those with shifts of
// colour.
func (t *trainer) open(ctx context.Context) (err error) {
	s, color := &t.cfg.Settings, t.color
	t.until = t.cfg.Limits.Epochs
	switch end := s.ColorEpochs; {
	case color == nil || end == 0 || end >= t.until:
	case t.p.Epoch < end:
		t.until = end
	default:
		color = nil
	}
	open := t.cfg.openStream
	if open == nil {
		open = openStream
	}
	// Cancelling is this loop's affair: the stream must not drop the batch in hand.
	o := pipeline.Options{
		Batch: s.Batch, Crop: t.eng.Net().Input.H, Seed: s.Seed, Train: true, Color: color, Inclusive: s.InclusiveCrops, NoFlip: s.NoFlip, Centered: s.CenterCrops, CropGroup: s.CropGroup,
		Shuffle: s.Shuffle, Window: s.Window, Rank: t.ranks.Rank(), World: t.ranks.World(), Beside: t.beside,
		OnCorrupt: t.cfg.Limits.OnCorrupt, Cache: t.cfg.Limits.Cache, Workers: t.cfg.Limits.Workers, Requests: t.cfg.Limits.Requests,
		Epoch: t.p.Epoch, Skip: t.p.StepInEpoch * s.accumulate(), Epochs: t.until - t.p.Epoch,
	}
	t.staging.options(&o)
	t.stream, err = open(context.WithoutCancel(ctx), t.ds, t.train, o)
	if err != nil {
		t.stream = nil
	}
	return err
}

// patience is how long a cancelled run waits for its stream to end. Reading a
// record takes less, unless the disk does not answer.
const patience = 50 * time.Millisecond

// close closes what prepare and run have opened. When ctx is cancelled it does not
// wait for a disk that does not answer: all that is to be kept has been written by
// then, and the stream and its files are closed when it does answer, or with the
// process.
func (t *trainer) close(ctx context.Context) error {
	var err error
	if t.metrics != nil {
		err = t.metrics.Close()
	}
	closed := make(chan error, 1)
	go func() { closed <- t.closeData() }()
	late := make(<-chan time.Time)
	// An engine's memory must not go while the stream writes to it.
	if ctx.Err() != nil && t.staging.engine == nil {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case data := <-closed:
		return errors.Join(err, data)
	case <-late:
		return err
	}
}

// closeData closes the streams, and then the splits that they read.
func (t *trainer) closeData() error {
	errs := []error{t.staging.drop()}
	if t.stream != nil {
		errs = append(errs, t.stream.Close())
	}
	t.behind.Wait()
	for _, split := range []*records.Split{t.train, t.val} {
		if split != nil {
			errs = append(errs, split.Close())
		}
	}
	return errors.Join(errs...)
}
