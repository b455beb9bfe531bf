package loop

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/train/traintest"
)

// fetching is an engine that is given its batches ahead. It reads a batch as late as it
// may, so that one that came back too early shows.
type fetching struct {
	*traintest.Engine
	form   model.Form
	ds     *records.Dataset
	mu     sync.Mutex     // guards memory: the stream's goroutines free theirs
	memory map[*byte]bool // of Alloc, not yet freed
	staged int            // batches that are neither used nor dropped
	fails  int            // the Stage that fails, counted from 1; 0: none
	calls  int
}

// TestWorkersLeaveRoom: with a device, a processor is left to the trainer where there are
// some, and what the user asks for is as it is.
func TestWorkersLeaveRoom(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, test := range []struct {
		processors, asked, want int
		engine                  bool
	}{{16, 0, 15, true}, {16, 16, 16, true}, {16, 0, 0, false}, {4, 0, 0, true}} {
		runtime.GOMAXPROCS(test.processors)
		var s staging
		if test.engine {
			s.engine = &fetching{}
		}
		o := pipeline.Options{Workers: test.asked}
		if s.options(&o); o.Workers != test.want {
			t.Errorf("%+v: %d workers", test, o.Workers)
		}
	}
}

type fetched struct {
	e          *fetching
	images     []byte
	labels     []int32
	placements []model.Placement
	over       bool
}

func (e *fetching) Alloc(n int) ([]byte, error) {
	b := make([]byte, n+64)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % 64
	b = b[skip : int(skip)+n]
	e.mu.Lock()
	defer e.mu.Unlock()
	e.memory[unsafe.SliceData(b)] = true
	return b, nil
}

func (e *fetching) Free(b []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.memory[unsafe.SliceData(b)] {
		return errors.New("no memory of Alloc")
	}
	delete(e.memory, unsafe.SliceData(b))
	for i := range b {
		b[i] = 0xff
	}
	return nil
}

func (e *fetching) Stages() int      { return 3 }
func (e *fetching) Form() model.Form { return e.form }

func (e *fetching) Stage(images []byte, labels []int32, placements []model.Placement) (model.Staged, error) {
	if e.calls++; e.calls == e.fails {
		return nil, errors.New("the bus is on fire")
	}
	if e.staged++; e.staged > e.Stages() {
		return nil, fmt.Errorf("%d batches", e.staged)
	}
	return &fetched{e: e, images: images, labels: labels, placements: append([]model.Placement(nil), placements...)}, nil
}

func (f *fetched) Copied() error { return nil }

func (f *fetched) Drop() error {
	if !f.over {
		f.over = true
		f.e.staged--
	}
	return nil
}

func (e *fetching) BackwardStaged(batch model.Staged, step uint64) (model.Score, error) {
	f := batch.(*fetched)
	e.mu.Lock()
	none := len(e.memory) == 0
	e.mu.Unlock()
	if f.over || none {
		return model.Score{}, errors.New("a batch that was used")
	}
	defer f.Drop()
	in := e.Net().Input
	images := make([]float32, len(f.labels)*in.Size())
	if e.form == model.FormFloat32 {
		copy(images, unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(f.images))), len(images)))
		return e.Backward(images, f.labels, step)
	}
	shape, sub := e.ds.Manifest.Shape, e.ds.Mean.Subtrahend(e.ds.Manifest.Pixels)
	for i := range images {
		p, at := f.placements[i/in.Size()], i%in.Size()
		c, y, x := at/(in.H*in.W), at/in.W%in.H, at%in.W
		if p.Flip {
			x = in.W - 1 - x
		}
		var v float32
		if e.ds.Manifest.Pixels.Size() == 1 {
			v = float32(f.images[i])
		} else {
			v = float32(unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(f.images))), len(images))[i])
		}
		images[i] = v - sub[(c*shape.H+p.Top+y)*shape.W+p.Left+x] + p.Shift[c]
	}
	return e.Backward(images, f.labels, step)
}

// An engine that fetches its batches ahead trains the same net, whatever they come as,
// and gives everything back.
func TestStagingTrainsTheSame(t *testing.T) {
	ds := dataset(t, data)
	for _, names := range []string{"", "colors", "accumulate", "skip clip", "block"} {
		cfg := variant(config(filepath.Join(t.TempDir(), "plain")), names)
		train(t, cfg, ds, Hooks{})
		for _, form := range []model.Form{model.FormFloat32, model.FormStored} {
			if form == model.FormStored && cfg.Settings.ColorDivisor != 0 {
				continue // colours are divided where images are finished
			}
			own := variant(config(filepath.Join(t.TempDir(), "staged")), names)
			e := &fetching{Engine: engine(ds), form: form, ds: ds, memory: map[*byte]bool{}}
			if _, err := Run(t.Context(), own, e, ds, Hooks{}); err != nil {
				t.Fatal(err)
			}
			checkSame(t, cfg.Run, own.Run)
			if len(e.memory) > 0 || e.staged != 0 {
				t.Errorf("%q: %d buffers and %d batches are left", names, len(e.memory), e.staged)
			}
		}
	}
}

// Batches that are ready are sent on their way behind the one that is asked for, as many
// as the engine takes.
func TestStagingGoesAhead(t *testing.T) {
	e := &fetching{memory: map[*byte]bool{}}
	out := make(chan pipeline.Batch, 5)
	for i := range cap(out) {
		out <- pipeline.Batch{Step: i, N: 1, Labels: []int32{0}}
	}
	tr := &trainer{stream: readyStream{out: out}, until: 1, staging: staging{engine: e}}
	for i, want := range []int{3, 3, 3, 2, 1} {
		l, ok, err := tr.nextLesson(t.Context())
		if err != nil || !ok || l.Step != i || e.staged != want {
			t.Fatalf("lesson %d: batch %d, %d staged, want %d (%v, %v)", i, l.Step, e.staged, want, ok, err)
		}
		if err := l.staged.Drop(); err != nil { // as a step does
			t.Fatal(err)
		}
	}
}

// readyStream is a stream whose batches are ready.
type readyStream struct {
	stream
	out chan pipeline.Batch
}

func (s readyStream) Next(context.Context) (pipeline.Batch, bool) { b, ok := <-s.out; return b, ok }
func (s readyStream) Batches() <-chan pipeline.Batch              { return s.out }

// A run that is interrupted, or whose engine fails, gives back what was on its way.
func TestStagingIsGivenBack(t *testing.T) {
	ds := dataset(t, data)
	whole := config(filepath.Join(t.TempDir(), "whole"))
	train(t, whole, ds, Hooks{})
	cfg := config(filepath.Join(t.TempDir(), "broken"))
	e := &fetching{Engine: engine(ds), form: model.FormStored, ds: ds, memory: map[*byte]bool{}, fails: 9}
	_, err := Run(t.Context(), cfg, e, ds, Hooks{})
	if err == nil || !strings.Contains(err.Error(), "the bus is on fire; the last good checkpoint is ") || len(e.memory) > 0 || e.staged != 0 {
		t.Errorf("%v; %d buffers and %d batches are left", err, len(e.memory), e.staged)
	}
	for step := 5; ; {
		ctx, cancel := context.WithCancel(t.Context())
		e := &fetching{Engine: engine(ds), form: model.FormStored, ds: ds, memory: map[*byte]bool{}}
		s, err := Run(ctx, resumed(t, cfg.Run), e, ds, Hooks{Step: func(done int) {
			if done == step {
				cancel()
			}
		}})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if len(e.memory) > 0 || e.staged != 0 {
			t.Errorf("step %d: %d buffers and %d batches are left", s.Steps, len(e.memory), e.staged)
		}
		if s.End != EndInterrupted {
			break
		}
		step += 3
	}
	checkSame(t, whole.Run, cfg.Run)
}
