package loop

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/pipeline"
)

// lesson is a batch, and where it is for an engine that fetches its batches ahead.
type lesson struct {
	pipeline.Batch
	held   bool         // there is one
	staged model.Staged // nil for other engines, and for a slice without images
}

// release gives the batch's memory back. From then on the stream knows how long its
// training took.
func (l *lesson) release() error {
	var err error
	if l.staged != nil {
		err = l.staged.Drop()
	}
	l.Batch.Release()
	return err
}

// staging is what a trainer needs for an engine that fetches its batches ahead.
type staging struct {
	engine     model.StagingEngine // nil for other engines
	queue      []lesson            // staged, in order
	placements []model.Placement
}

// streamAhead is how many batches the stream has in hand beside those that are staged:
// one that is being filled while another waits.
const streamAhead = 4

// few are so many processors that none of them is left to who waits.
const few = 4

// options adapts the options of the stream to the engine.
func (s *staging) options(o *pipeline.Options) {
	if s.engine == nil {
		return
	}
	o.Allocator, o.Depth = s.engine, s.engine.Stages()+streamAhead
	// One processor is for who waits for the device: Go's scheduler lets workers that are all
	// busy go on for up to 10 ms before another goroutine has its turn, and a step may take
	// less.
	if n := runtime.GOMAXPROCS(0); o.Workers == 0 && n > few {
		o.Workers = n - 1
	}
	switch s.engine.Form() {
	case model.FormFloat32:
		o.Type = augment.Float32
	case model.FormBFloat16:
		o.Type = augment.BFloat16
	case model.FormStored:
		o.Type = augment.Stored
	}
}

// nextLesson waits for the next batch. Those that the stream has ready behind it are sent
// on their way as well, as many as the engine takes: they travel while it computes. It
// reports false when the context is cancelled.
func (t *trainer) nextLesson(ctx context.Context) (l lesson, ok bool, err error) {
	s := &t.staging
	if len(s.queue) == 0 {
		batch, ok, err := t.next(ctx)
		if err != nil {
			return l, false, &dataError{t.advise(err)}
		}
		if !ok {
			return l, false, nil
		}
		if s.engine == nil {
			return lesson{Batch: batch, held: true}, true, nil
		}
		if err := t.stage(batch); err != nil {
			return l, false, err
		}
	}
	for len(s.queue) < s.engine.Stages() {
		batch, ok := t.ready()
		if !ok {
			break
		}
		if err := t.stage(batch); err != nil {
			return l, false, err
		}
	}
	l = s.queue[0]
	s.queue = append(s.queue[:0], s.queue[1:]...)
	return l, true, nil
}

// ready returns a batch if the stream has one.
func (t *trainer) ready() (batch pipeline.Batch, ok bool) {
	select {
	case batch, ok = <-t.stream.Batches():
	default:
	}
	return batch, ok
}

// stage sends a batch on its way.
func (t *trainer) stage(batch pipeline.Batch) error {
	s := &t.staging
	if batch.N == 0 {
		s.queue = append(s.queue, lesson{Batch: batch, held: true})
		return nil
	}
	s.placements = s.placements[:0]
	for _, p := range batch.Params {
		s.placements = append(s.placements, model.Placement(p))
	}
	staged, err := s.engine.Stage(batch.Bytes, batch.Labels, s.placements)
	if err != nil {
		batch.Release()
		return fmt.Errorf("step %d: %w", t.p.Step, err)
	}
	s.queue = append(s.queue, lesson{batch, true, staged})
	return nil
}

// drop forgets the batches that were staged and not trained on.
func (s *staging) drop() error {
	var errs []error
	for i := range s.queue {
		errs = append(errs, s.queue[i].release())
	}
	s.queue = nil
	return errors.Join(errs...)
}

// backward computes the gradient of a batch, or of this rank's slice of it. That of no
// image is zero.
func (t *trainer) backward(l *lesson, pass uint64) (model.Score, error) {
	score, err := t.backwardOf(l, pass)
	if e, ok := t.eng.(model.SummingEngine); ok {
		t.summed(e.Summing())
	}
	return score, err
}

func (t *trainer) backwardOf(l *lesson, pass uint64) (model.Score, error) {
	if t.sliced != nil {
		t.sliced.SetFirst(l.First)
	}
	if l.N == 0 {
		if t.blank == nil {
			t.blank = make([]float32, t.eng.Net().Input.Size())
		}
		return t.eng.Backward(t.blank, []int32{-1}, pass)
	}
	if l.staged != nil {
		return t.staging.engine.BackwardStaged(l.staged, pass)
	}
	return t.eng.Backward(l.Images, l.Labels, pass)
}
