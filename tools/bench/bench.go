package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"alexnet/augment"
	"alexnet/model"
	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/tools/stores"
)

// bench is what the stages share.
type bench struct {
	*flags
	net     *model.Net
	dir     string           // of the records
	data    *records.Dataset // nil when no stage needs any
	split   *records.Split
	done    func() error // ends the use of data
	madeUp  string       // folder of made-up records, to be removed
	classes int
	earlier []result // of --compare
}

// newBench checks the flags and opens or makes the records.
func newBench(ctx context.Context, f *flags) (*bench, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	b := &bench{flags: f, classes: 1000}
	var err error
	if f.Compare != "" {
		if b.earlier, err = readResults(f.Compare); err != nil {
			return nil, err
		}
	}
	if err = b.openRecords(ctx); err == nil {
		if b.net, err = model.Preset(f.Net, b.classes); err != nil {
			err = cli.Usagef("--net: %w", err)
		}
	}
	if err == nil {
		err = b.checkCrop()
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// checkCrop finds records that are smaller than the crops that a stage would cut.
func (b *bench) checkCrop() error {
	fed := b.Records != "" && (b.asks("train") || b.asks("predict"))
	if b.data == nil || b.CheckEpoch || !(b.asks("all") || b.asks("augment") || b.asks("stream") || fed) {
		return nil
	}
	if side, shape := b.net.Input.H, b.data.Manifest.Shape; side > min(shape.H, shape.W) {
		return fmt.Errorf("records of %dx%d are too small for the %dx%d crops of net %s: name a smaller net with --net, such as alexnet-small",
			shape.W, shape.H, side, side, b.net.Name)
	}
	return nil
}

// openRecords opens --records, or makes some up where a stage needs them.
func (b *bench) openRecords(ctx context.Context) (err error) {
	b.dir = b.Records
	if b.dir == "" {
		if !b.asks("all") && !b.asks("read") && !b.asks("augment") && !b.asks("stream") {
			return nil
		}
		if b.dir, err = os.MkdirTemp("", "bench-records-"); err != nil {
			return err
		}
		b.madeUp = b.dir
		if err := makeUpRecords(b.dir, b.Split, b.Size, records.PixelType(b.Pixels), records.None, b.Seed); err != nil {
			return fmt.Errorf("making up records: %w", err)
		}
	}
	if b.data, b.done, err = stores.Records(ctx, b.dir, b.Store, true, b.stderr); err != nil {
		return err
	}
	if b.Records != "" {
		b.classes = len(b.data.Manifest.Classes)
	}
	if b.split, err = b.openSplit(); err == nil && b.split.Len() == 0 {
		err = fmt.Errorf("split %q of %s holds no records", b.Split, b.dir)
	}
	return err
}

// openSplit opens the split once more, for a stage that needs one of its own.
func (b *bench) openSplit() (*records.Split, error) {
	if b.OnCorrupt == pipeline.Skip {
		return b.data.OpenSplitLenient(b.Split)
	}
	return b.data.OpenSplit(b.Split)
}

// close closes the split and removes made-up records.
func (b *bench) close() error {
	var errs []error
	if b.split != nil {
		errs = append(errs, b.split.Close())
	}
	if b.done != nil {
		errs = append(errs, b.done())
	}
	if b.madeUp != "" {
		errs = append(errs, os.RemoveAll(b.madeUp))
	}
	return errors.Join(errs...)
}

// stages lists what --stage asks for.
func (b *bench) stages() []stage {
	var list []stage
	asked := func(name string) bool {
		return b.asks(name) || b.asks("all") && (name != "ingest" || b.Src != "")
	}
	if asked("ingest") {
		list = append(list, b.ingest())
	}
	if asked("read") {
		list = append(list, b.read())
	}
	// Kernel and stream of a type one after the other: they will be compared.
	for _, t := range b.types() {
		if asked("augment") {
			list = append(list, b.augment(t))
		}
		if asked("stream") {
			list = append(list, b.stream(t))
		}
	}
	if asked("train") {
		list = append(list, b.train())
	}
	if b.asks("predict") {
		list = append(list, b.predict())
	}
	return list
}

// measure measures the stages and reports.
func (b *bench) measure(ctx context.Context) error {
	out := newReport(b.flags)
	for _, s := range b.stages() {
		r, err := s.measure(ctx, b.Time)
		if err != nil {
			return err
		}
		if err := out.add(r); err != nil {
			return err
		}
	}
	if err := out.end(); err != nil || b.Compare == "" {
		return err
	}
	return b.compare(out.results)
}

// describe names the records.
func (b *bench) describe() string {
	m := b.data.Manifest
	what := fmt.Sprintf("%v %s", m.Shape, m.Pixels)
	if m.Compression != records.None {
		what += " " + string(m.Compression)
	}
	if b.madeUp != "" {
		what += ", made up"
	}
	return what
}

// cropBytes is the size of the crop of a record, as it is stored.
func (b *bench) cropBytes() int {
	m := b.data.Manifest
	return m.Shape.C * b.net.Input.H * b.net.Input.H * m.Pixels.Size()
}

// color returns the colour shifts of the records, or typical ones.
func (b *bench) color() *augment.Color {
	// Typical standard deviations and axes of photographs.
	vectors := [3][3]float64{{0.58, 0.58, 0.57}, {0.71, 0, -0.71}, {0.41, -0.82, 0.41}}
	values := [3]float64{14830, 1376, 389}
	if m := b.data.Manifest; m.PCA != nil {
		vectors, values = m.PCA.Eigenvectors, m.PCA.Eigenvalues
	} else if m.Shape.C != 3 {
		return nil
	}
	c := augment.EigenColor(vectors, values, augment.ScaleStdDev)
	return &c
}
