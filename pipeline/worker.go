package pipeline

import (
	"context"
	"fmt"
	"io/fs"
	"runtime/debug"
	"time"

	"alexnet/augment"
	"alexnet/records"
)

// worker is what one of the pipeline's worker goroutines keeps from task to
// task.
type worker struct {
	*Pipeline
	scratch records.Scratch
	sampler augment.Sampler
}

// work serves tasks until there are no more or ctx is done.
func (p *Pipeline) work(ctx context.Context) {
	// Rows are mapped files: a disk that fails under them is a fault, which
	// fill turns into an error.
	debug.SetPanicOnFault(true)
	w := &worker{Pipeline: p}
	for t := range p.tasks {
		if ctx.Err() != nil {
			return
		}
		t.buffer.finish(t.slot, w.fill(t.buffer, t.slot))
	}
}

// fill reads the record that belongs into a slot and writes its images, label
// and all, straight into the buffer.
func (w *worker) fill(b *buffer, slot int) (err error) {
	index := b.indices[slot]
	defer func() {
		if r := recover(); r != nil {
			err = w.fault(index, r)
		}
	}()
	begin := time.Now()
	row, err := w.split.Row(int(index), &w.scratch)
	if err != nil {
		return fmt.Errorf("record %d of split %q: %w", index, w.split.Name(), err)
	}
	if got := len(row.U8) + len(row.I16); got != w.shape.Size() {
		file, at, _ := w.split.Locate(int(index)) // Row found it
		return fmt.Errorf("record %d of split %q: %w", index, w.split.Name(), &records.CorruptError{
			File: file, Row: at, Key: row.Key,
			Cause: fmt.Errorf("%d values, but a picture of %v has %d", got, w.shape, w.shape.Size()),
		})
	}
	read := time.Now()
	b.labels[slot] = row.Label
	images := b.pixels[slot*len(w.views)*w.image : (slot+1)*len(w.views)*w.image]
	if w.o.Train {
		w.apply(images, row, w.sampler.Draw(w.o.Seed, b.epoch, index, w.geometry, w.o.Color))
	} else {
		for v, params := range w.views {
			w.apply(images[v*w.image:(v+1)*w.image], row, params)
		}
	}
	w.meter.worked(read.Sub(begin), time.Since(read), len(w.views), 4*len(images))
	return nil
}

// apply writes one image of a row in either encoding.
func (w *worker) apply(dst []float32, row records.Row, params augment.Params) {
	if row.U8 != nil {
		augment.Apply(dst, row.U8, w.sub, w.shape.C, w.geometry, params)
	} else {
		augment.Apply(dst, row.I16, w.sub, w.shape.C, w.geometry, params)
	}
}

// fault makes an error of a memory fault in a mapped file. Anything else that
// was recovered is a mistake in the program and goes on.
func (w *worker) fault(index int64, recovered any) error {
	f, ok := recovered.(interface {
		error
		Addr() uintptr
	})
	if !ok {
		panic(recovered)
	}
	file, row, _ := w.split.Locate(int(index)) // Row found it
	return fmt.Errorf("record %d of split %q: row %d: %w", index, w.split.Name(), row,
		&fs.PathError{Op: "read mapped", Path: file, Err: f})
}
