package eval

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
)

// silent is a stream whose disk does not answer: no batch comes, and it does not end
// before it is let go.
type silent struct {
	stream
	ctx   context.Context
	letGo <-chan struct{}
}

func (s silent) Batches() <-chan pipeline.Batch {
	out := make(chan pipeline.Batch)
	context.AfterFunc(s.ctx, func() { close(out) })
	return out
}

func (s silent) Err() error { return context.Cause(s.ctx) }

func (s silent) Close() error {
	<-s.letGo
	return s.stream.Close()
}

// Where one of two streams is silent, a cancelled evaluation gives the other's batch
// back and leaves the silent one to the group.
func TestSecondStreamIsSilent(t *testing.T) {
	ds, split := openVal(t, data)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	letGo, ended := make(chan struct{}), make(chan error, 1)
	var behind sync.WaitGroup
	var streams []*pipeline.Pipeline
	o := Options{Background: &behind, Progress: func(done, _ int) { t.Errorf("%d records are done", done) }}
	o.open = func(ctx context.Context, ds *records.Dataset, split *records.Split, po pipeline.Options) (stream, error) {
		p, err := pipeline.OpenSplit(ctx, ds, split, po)
		if streams = append(streams, p); len(streams) == 1 || err != nil {
			return p, err
		}
		time.AfterFunc(time.Millisecond, cancel)
		return silent{p, ctx, letGo}, nil
	}
	go func() {
		_, err := Evaluate(ctx, []model.Engine{net(1, 2), sized(6, 1, 2)}, ds, split, o)
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("it waits for the stream")
	}
	close(letGo)
	behind.Wait()
	if s := streams[0].Stats(); s.Held != 0 || s.DoubleReleases != 0 {
		t.Errorf("the first stream has %d batches held, %d released twice", s.Held, s.DoubleReleases)
	}
}

// When the second stream cannot be opened, the first is closed.
func TestSecondStreamFails(t *testing.T) {
	ds, split := openVal(t, data)
	broken := errors.New("broken")
	var first *pipeline.Pipeline
	o := Options{open: func(ctx context.Context, ds *records.Dataset, split *records.Split, po pipeline.Options) (stream, error) {
		if first != nil {
			return nil, broken
		}
		var err error
		first, err = pipeline.OpenSplit(ctx, ds, split, po)
		return first, err
	}}
	_, err := Evaluate(t.Context(), []model.Engine{net(1, 2), sized(6, 1, 2)}, ds, split, o)
	if !errors.Is(err, broken) || !errors.Is(first.Err(), pipeline.ErrClosed) {
		t.Errorf("error %v, the first stream ended with %v", err, first.Err())
	}
}
