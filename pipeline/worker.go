package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"time"
	"unsafe"

	"alexnet/augment"
	"alexnet/records"
)

// worker is what one of the pipeline's worker goroutines keeps from task to
// task.
type worker struct {
	*Pipeline
	scratch records.Scratch
	sampler augment.Sampler
	// The contexts carry the labels of the stages, for profiles and traces.
	fetching, reading, augmenting context.Context
	// What the task has come to: the meter and the batch get it at its end, since
	// what all workers count in costs each of them, with every record, more than
	// the counting.
	done tally
	keys Digest
	last time.Time // when the last part of the work ended
}

// tally is what a worker has done.
type tally struct {
	fetch, read, augment time.Duration
	records              int
}

// labelled labels this goroutine, for profiles, with the stage that it works
// for.
func labelled(ctx context.Context, stage string) context.Context {
	ctx = pprof.WithLabels(ctx, pprof.Labels("stage", stage))
	pprof.SetGoroutineLabels(ctx)
	return ctx
}

// work serves tasks until there are no more or ctx is done.
func (p *Pipeline) work(ctx context.Context) {
	// Rows are mapped files: a disk that fails under them is a fault, which
	// fill turns into an error.
	debug.SetPanicOnFault(true)
	w := &worker{Pipeline: p}
	w.augmenting, w.reading, w.fetching = labelled(ctx, "augment"), labelled(ctx, "read"), labelled(ctx, "fetch")
	for t := range p.tasks {
		w.done, w.keys, w.last = tally{}, Digest{}, time.Now()
		for slot := t.from; slot < t.to; slot++ {
			if ctx.Err() != nil {
				return
			}
			switch err := w.fill(ctx, t.buffer, slot); {
			case err == nil:
			case ctx.Err() != nil:
				return // whatever else it is: the stream is over
			case p.o.OnCorrupt == Skip && isDamage(err):
				w.leaveOut(t.buffer, slot, err)
			default:
				t.buffer.fail(slot, err)
			}
		}
		p.meter.worked(w.done, len(p.views), p.image, p.rowBytes)
		if t.buffer.finish(t.to-t.from, w.keys) {
			p.meter.filled.Add(1)
			// With as many workers as processors nobody else would run until
			// all buffers are full: let the batch out first.
			runtime.Gosched()
		}
	}
}

// lap returns the time since it was last called.
func (w *worker) lap() time.Duration {
	before := w.last
	w.last = time.Now()
	return w.last.Sub(before)
}

// fill reads the record that belongs into a slot and writes its images, label
// and all, straight into the buffer.
func (w *worker) fill(ctx context.Context, b *buffer, slot int) (err error) {
	index := b.indices[slot]
	defer func() {
		if r := recover(); r != nil {
			err = w.fault(b, index, r)
		}
	}()
	if w.loads != nil {
		return w.fillLoaded(ctx, b, slot)
	}
	fetched := w.packed || w.ahead.cold.Load()
	if fetched {
		if err := w.fetch(index); err != nil {
			return err
		}
	}
	row, err := w.read(index, nil)
	took := w.lap()
	w.done.read += took
	if err != nil {
		return err
	}
	making := w.finish(b, slot, row)
	if !fetched {
		w.ahead.used(took + making)
	}
	return nil
}

// fillLoaded is fill for records in an object store.
func (w *worker) fillLoaded(ctx context.Context, b *buffer, slot int) error {
	l, err := w.wait(ctx, b, slot)
	if err != nil {
		return err
	}
	defer w.loads.giveBack(l)
	row, err := w.read(b.indices[slot], l)
	w.done.read += w.lap()
	if err != nil {
		return err
	}
	w.finish(b, slot, row)
	return nil
}

// finish makes the images of a record that was read and returns how long that took.
func (w *worker) finish(b *buffer, slot int, row records.Row) time.Duration {
	w.augment(b, slot, row)
	making := w.lap()
	w.done.augment += making
	w.done.records++
	w.keys = w.keys.Add(Digest{1, row.KeyXXH3})
	return making
}

// fetch brings a record into memory, where it may not be.
func (w *worker) fetch(index int64) error {
	defer trace.StartRegion(w.fetching, "fetch").End()
	pprof.SetGoroutineLabels(w.fetching)
	err := w.split.Fetch(int(index))
	took := w.lap()
	w.done.fetch += took
	w.ahead.fetched(took)
	if err != nil {
		return fmt.Errorf("record %d of split %q: %w", index, w.split.Name(), err)
	}
	return nil
}

// read reads a record that is in memory, or in l: verifies its checksum the first
// time, decompresses it.
func (w *worker) read(index int64, l *records.Loaded) (row records.Row, err error) {
	defer trace.StartRegion(w.reading, "read").End()
	pprof.SetGoroutineLabels(w.reading)
	if l != nil {
		row, err = w.split.Unpack(l, &w.scratch)
	} else {
		row, err = w.split.Row(int(index), &w.scratch)
	}
	if err == nil {
		err = w.check(index, &row)
	}
	if err != nil {
		return records.Row{}, fmt.Errorf("record %d of split %q: %w", index, w.split.Name(), err)
	}
	return row, nil
}

// check finds what a record that was read cannot be of these data. Its label has no
// checksum that was verified, and whoever trains on it knows neither file nor row.
func (w *worker) check(index int64, row *records.Row) error {
	var cause error
	switch values := len(row.U8) + len(row.I16); {
	case values != w.shape.Size():
		cause = fmt.Errorf("%d values, but a picture of %v has %d", values, w.shape, w.shape.Size())
	case row.Label < -1 || w.classes > 0 && int(row.Label) >= w.classes:
		cause = fmt.Errorf("its label is %d, and the manifest has %d classes", row.Label, w.classes)
	default:
		return nil
	}
	file, at, _ := w.split.Locate(int(index)) // Row found it
	return &records.CorruptError{File: file, Row: at, Key: strings.Clone(row.Key), Cause: cause}
}

// augment makes the images of a record in its slot.
func (w *worker) augment(b *buffer, slot int, row records.Row) {
	defer trace.StartRegion(w.augmenting, "augment").End()
	pprof.SetGoroutineLabels(w.augmenting)
	b.labels[slot] = row.Label
	views := len(w.views)
	params := b.params[slot*views : (slot+1)*views]
	if w.o.Train {
		params[0] = w.draw(b, slot)
	} else {
		copy(params, w.views)
	}
	images := b.pixels[slot*views*w.image : (slot+1)*views*w.image]
	for v := range params {
		image := images[v*w.image : (v+1)*w.image]
		if row.U8 != nil {
			w.kernel.Uint8(image, row.U8, params[v])
		} else {
			w.kernel.Int16(image, row.I16, params[v])
		}
		if w.divisor != 0 {
			augment.Divide(as[float32](image), w.divisor)
		}
	}
}

// draw draws what is done with the picture of a slot in training.
func (w *worker) draw(b *buffer, slot int) augment.Params {
	index := b.indices[slot]
	if w.o.CropGroup <= 1 {
		return w.sampler.Draw(w.o.Seed, b.epoch, index, w.geometry, w.o.Color)
	}
	place := int64(b.step)*int64(w.o.Batch) + int64(b.first+slot) // in the order of the epoch
	return w.sampler.DrawGrouped(w.o.Seed, b.epoch, place/int64(w.o.CropGroup), index, w.geometry, w.o.Color)
}

// leaveOut makes a hole of a slot: an image of zeros that no label counts.
func (w *worker) leaveOut(b *buffer, slot int, err error) {
	views := len(w.views)
	clear(b.pixels[slot*views*w.image : (slot+1)*views*w.image])
	clear(b.params[slot*views : (slot+1)*views])
	b.labels[slot] = -1
	b.skip(slot, err)
}

// isDamage says whether an error is about data that are lost, so that one may go
// on without them.
func isDamage(err error) bool {
	var f memoryFault
	return records.IsDamage(err) || errors.As(err, &f)
}

// memoryFault is what the runtime makes of a fault in a mapped file.
type memoryFault interface {
	error
	Addr() uintptr
}

// fault makes an error of a memory fault: in a mapped file, whose disk fails or
// which was cut short, or in the batch, whose Allocator gave what cannot be
// written. Anything else that was recovered is a mistake in the program and goes
// on.
func (w *worker) fault(b *buffer, index int64, recovered any) error {
	f, ok := recovered.(memoryFault)
	if !ok {
		panic(recovered)
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(b.pixels)))
	if at := f.Addr(); at >= start && at < start+uintptr(len(b.pixels)) {
		return fmt.Errorf("record %d of split %q: writing to the memory of the batch: %v", index, w.split.Name(), f) //nolint:errorlint // no damage of the record
	}
	file, row, _ := w.split.Locate(int(index)) // Row found it
	return fmt.Errorf("record %d of split %q: row %d: %w", index, w.split.Name(), row,
		&fs.PathError{Op: "read mapped", Path: file, Err: f})
}
