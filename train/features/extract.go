package features

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/zeebo/xxh3"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/model/vector"
	"alexnet/pipeline"
	"alexnet/records"
)

// Options says how to compute features.
type Options struct {
	// Layer is what model.Net.FeatureLayer takes.
	Layer string
	// Precision is that of the engine.
	Precision string
	// Workers prepare the images; 0 means GOMAXPROCS.
	Workers int
	// Progress, if not nil, is called after each batch with the number of rows done
	// and of all.
	Progress func(done, total int)

	perFile int // Source.perFile
}

// NewSource describes the features that an engine gives of a split.
func NewSource(engine model.FeatureEngine, ds *records.Dataset, split *records.Split, o Options) (Source, error) {
	_, shape, err := engine.Net().FeatureLayer(o.Layer)
	if err != nil {
		return Source{}, fmt.Errorf("features: %w", err)
	}
	digest, err := digestOf(engine)
	if err != nil {
		return Source{}, err
	}
	return Source{Records: ds.Manifest.Digest, Split: split.Name(), Net: digest, Layer: o.Layer, Precision: o.Precision,
		Size: shape.Size(), Rows: split.Len(), perFile: o.perFile}, nil
}

// digestOf returns a digest of a net and its weights.
func digestOf(engine model.Engine) (string, error) {
	snapshot := engine.Snapshot
	if e, ok := engine.(model.StateEngine); ok {
		snapshot = e.State
	}
	st, err := snapshot()
	if err != nil {
		return "", fmt.Errorf("features: %w", err)
	}
	text, err := json.Marshal(engine.Net())
	if err != nil {
		return "", fmt.Errorf("features: %w", err)
	}
	h := xxh3.New()
	_, _ = h.Write(text) // never fails
	for _, w := range st.Weights {
		_, _ = h.Write(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(w.Data))), 4*len(w.Data)))
	}
	sum := h.Sum128()
	return fmt.Sprintf("%016x%016x", sum.Hi, sum.Lo), nil
}

// Extract computes the features of the central crops of a split and stores them in a
// folder, which it makes. What is there already, of the same source, is kept: an
// interrupted Extract goes on where its last file ended. Records that cannot be read
// are an error.
func Extract(ctx context.Context, engine model.FeatureEngine, ds *records.Dataset, split *records.Split, dir string, o Options) (Source, error) {
	s, err := NewSource(engine, ds, split, o)
	if err != nil {
		return s, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return s, fmt.Errorf("features: %w", err)
	}
	first, err := s.Missing(dir)
	if err != nil || first == s.Rows {
		return s, err
	}
	batch := min(engine.Batch(), s.Rows)
	p, err := pipeline.OpenSplit(ctx, ds, split, pipeline.Options{Batch: batch, Crop: engine.Net().Input.H, Workers: o.Workers,
		Depth: 3, Epochs: 1, Skip: first / batch})
	if err != nil {
		return s, fmt.Errorf("features: %w", err)
	}
	w := newWriter(s, dir, first)
	for b := range p.Batches() {
		if err = ctx.Err(); err == nil {
			err = store(w, engine, split, &b, o.Layer)
		}
		b.Release()
		if err != nil {
			break
		}
		if o.Progress != nil {
			o.Progress(w.next, s.Rows)
		}
	}
	if err == nil {
		err = p.Err()
	}
	if err = errors.Join(err, p.Close(), w.abort()); err != nil {
		return s, fmt.Errorf("features of %s: %w", split.Name(), err)
	}
	return s, nil
}

// store adds the features of a batch, without the rows that are there.
func store(w *writer, engine model.FeatureEngine, split *records.Split, b *pipeline.Batch, layer string) error {
	values := make([]float32, b.N*w.source.Size)
	if err := engine.Features(layer, b.Images, b.N, values); err != nil {
		return err
	}
	if !vector.Finite(values) {
		return errNotFinite
	}
	for i, row := range b.Indices {
		if int(row) < w.next {
			continue
		}
		key, err := split.Key(int(row))
		if err != nil {
			return err
		}
		if err := w.add(key, b.Labels[i], values[i*w.source.Size:][:w.source.Size]); err != nil {
			return err
		}
	}
	return nil
}

// Of returns the features of the central crops of some rows, one after another.
func Of(engine model.FeatureEngine, ds *records.Dataset, split *records.Split, rows []int, layer string) ([]float32, error) {
	in := engine.Net().Input
	_, shape, err := engine.Net().FeatureLayer(layer)
	if err != nil {
		return nil, fmt.Errorf("features: %w", err)
	}
	s := ds.Manifest.Shape
	g := augment.Geometry{Height: s.H, Width: s.W, Crop: in.H}
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("features: %w", err)
	}
	sub := ds.Mean.Subtrahend(ds.Manifest.Pixels)
	image, values := make([]float32, in.Size()), make([]float32, len(rows)*shape.Size())
	var scratch records.Scratch
	for i, at := range rows {
		row, err := split.Row(at, &scratch)
		if err != nil {
			return nil, err
		}
		if row.I16 != nil {
			augment.Apply(image, row.I16, sub, s.C, g, augment.Center(g))
		} else {
			augment.Apply(image, row.U8, sub, s.C, g, augment.Center(g))
		}
		if err := engine.Features(layer, image, 1, values[i*shape.Size():]); err != nil {
			return nil, err
		}
	}
	if !vector.Finite(values) {
		return nil, fmt.Errorf("features: %w", errNotFinite)
	}
	return values, nil
}
