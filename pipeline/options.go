package pipeline

import (
	"fmt"
	"math"
	"runtime"

	"alexnet/augment"
	"alexnet/records"
)

// OptionError reports an option that cannot work, alone or with the data.
type OptionError struct {
	// Option is the name of the field of Options.
	Option string
	// Reason says what is wrong with it and what would do.
	Reason string
}

// Error names the option and the reason.
func (e *OptionError) Error() string { return "pipeline: " + e.Option + ": " + e.Reason }

// Options say what to stream. Batch and Crop must be given; everything else has
// a useful zero.
type Options struct {
	// Split is the name of the split that Open opens; empty means "train".
	Split string
	// Batch is the number of records in a batch, over all ranks: 128 in the
	// paper. The last batch of an epoch holds what is left.
	Batch int
	// Crop is the side of the squares cut from the pictures: 224 in the paper.
	Crop int
	// Inclusive draws crops at the last offset too (augment.Geometry).
	Inclusive bool
	// CropGroup is the number of pictures, one after another in the order of an epoch,
	// that share a crop and a flip in training, as 32 did in the program of 2012; each
	// has its own where it is 0 or 1. The groups begin with the epoch, whatever the
	// batches are.
	CropGroup int
	// NoFlip leaves mirror images out of training (augment.Geometry).
	NoFlip bool
	// Centered takes the central crop of every picture in training too
	// (augment.Geometry).
	Centered bool
	// Type and Layout are those of the images: float32 and planar unless given.
	Type   augment.Type
	Layout augment.Layout
	// Seed decides the order of the epochs and every crop, flip and colour.
	Seed uint64
	// Train permutes the records in each epoch and augments them. Without it
	// they come in stored order, in fixed views, with their own colours.
	Train bool
	// Shuffle says how Train permutes them: over all records, or block by block
	// for data larger than memory.
	Shuffle Shuffle
	// Window is the number of records that ShuffleBlock mixes at a time. It is
	// part of what decides the order, so a stream that is to be the same on
	// another machine, or on the next day, must be given it. 0 takes what
	// DefaultWindow says; Pipeline.Window tells which that was.
	Window int
	// Views is the number of images made of a record without Train: 1 for the
	// centre, 10 for the paper's corners, centre and mirrors (augment.View).
	// The images of a record follow one another. 0 means 1.
	Views int
	// Color is the distribution of the colour shifts in training; nil for none. One
	// with a divisor is for images of float32 only.
	// ColorOf makes one of a data set's principal components.
	Color *augment.Color
	// World is the number of ranks that share the stream, 0 meaning 1, and Rank
	// which of them this is, from 0. Of each batch of n records rank r gets
	// those from n*r/World up to n*(r+1)/World: none, perhaps, of the last batch
	// of an epoch, which is delivered all the same so that ranks keep in step.
	Rank, World int
	// Workers is the number of goroutines that read and augment; 0 means
	// GOMAXPROCS.
	Workers int
	// Requests is the number of rows that are asked for at a time where the records
	// lie in an object store; 0 means DefaultRequests. It decides how fast they come:
	// a store that answers in 20 ms gives 50 rows a second for each.
	Requests int
	// Depth is the number of batches in the ring: those being filled, those
	// that are ready and those that the consumer holds. A consumer that holds k
	// batches while it waits for another needs more than k. 0 chooses between 2
	// and 8, by the memory there is.
	Depth int
	// Cache is the most memory, in bytes, for the pixels of decompressed rows,
	// which are kept from epoch to epoch. 0 takes a quarter of the memory there
	// is, a negative number none. It is of no use to uncompressed records in files:
	// the system's page cache holds those. Rows of an object store it keeps whether
	// or not they are compressed.
	Cache int64
	// Beside is the number of processes of this machine that stream as this one does, at
	// the same time, itself included; 0 means 1. They share the memory that Depth, Cache
	// and Requests choose by.
	Beside int
	// OnCorrupt says what becomes of a record that cannot be read.
	OnCorrupt OnCorrupt
	// Allocator provides the batches' memory; nil means HostAllocator.
	Allocator Allocator
	// Epoch is the number of the first epoch, from 0.
	Epoch int
	// Skip is the number of batches of the first epoch that have been consumed
	// already: the stream begins with step Skip. StepsPerEpoch skips it all.
	Skip int
	// Epochs is the number of epochs to deliver, the first one included, back
	// to back. 0 means 1.
	Epochs int
}

// OnCorrupt says what becomes of a record that cannot be read: whose checksum
// is wrong, whose label is none of the manifest's classes, whose shard is damaged or
// gone, whose disk fails.
type OnCorrupt int

const (
	// Stop ends the stream before the batch with the record, with its error.
	Stop OnCorrupt = iota
	// Skip leaves a hole: an image of zeros, with label -1, listed in
	// Batch.Skipped and counted in Stats. All other records stay where they are.
	Skip
)

// String returns "stop" or "skip".
func (c OnCorrupt) String() string {
	switch c {
	case Stop:
		return "stop"
	case Skip:
		return "skip"
	}
	return fmt.Sprintf("OnCorrupt(%d)", int(c))
}

// MarshalText writes the name, for configurations and flags.
func (c OnCorrupt) MarshalText() ([]byte, error) {
	if c != Stop && c != Skip {
		return nil, fmt.Errorf("pipeline: no name for %v", c)
	}
	return []byte(c.String()), nil
}

// UnmarshalText reads the names that MarshalText writes.
func (c *OnCorrupt) UnmarshalText(text []byte) error {
	switch string(text) {
	case "stop":
		*c = Stop
	case "skip":
		*c = Skip
	default:
		return fmt.Errorf("pipeline: unknown treatment of corrupt records %q: use stop or skip", text)
	}
	return nil
}

// ColorOf returns the distribution of colour shifts that the principal
// components in a data set's manifest give, with the paper's standard deviation
// of 0.1. It is an error for a data set without them: one of grey pictures.
func ColorOf(m *records.Manifest, scale augment.ColorScale) (*augment.Color, error) {
	if m.PCA == nil {
		return nil, fmt.Errorf("pipeline: colour shifts need the principal components of RGB pictures, which these records, of %d channels, do not have", m.Shape.C)
	}
	c := augment.EigenColor(m.PCA.Eigenvectors, m.PCA.Eigenvalues, scale)
	return &c, nil
}

// configure checks the options against the data and fills in the defaults.
func (p *Pipeline) configure(o Options, sub []float32) error {
	n := p.split.Len()
	if err := o.check(p.shape, n, p.split.Name()); err != nil {
		return err
	}
	o.Views = max(o.Views, 1)
	o.World = max(o.World, 1)
	if o.Epochs == 0 {
		o.Epochs = 1
	}
	o.Batch = min(o.Batch, n) // no buffer need be larger than an epoch
	p.steps = (n + o.Batch - 1) / o.Batch
	if err := o.checkRanges(p.steps); err != nil {
		return err
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Requests == 0 {
		o.Requests = DefaultRequests
	}
	if o.Allocator == nil {
		o.Allocator = HostAllocator{}
	}
	if o.Color != nil {
		c := *o.Color
		o.Color = &c
		if o.Train {
			p.divisor = c.Divisor
		}
	}
	if err := p.makeKernel(o, sub); err != nil {
		return err
	}
	p.order = Ordering{Seed: o.Seed, Rows: n}
	if o.Train && o.Shuffle == ShuffleBlock {
		if o.Window == 0 {
			o.Window = DefaultWindow(p.split)
		}
		p.order.Block, p.order.Window = BlockRows(p.split.RowBytes()), o.Window
	}
	p.slots = (o.Batch + o.World - 1) / o.World
	// Runs of records make the channel cheap; short ones keep all workers at work
	// on a batch until its end.
	p.run = max(1, min(8, p.slots/(8*o.Workers)))
	if o.Depth == 0 {
		o.Depth = depthFor(p.slots*o.Views*p.image, o.memory())
	}
	p.total = int64(p.steps)*int64(o.Epochs) - int64(o.Skip)
	o.Depth = int(max(1, min(int64(o.Depth), p.total)))
	p.views = make([]augment.Params, o.Views)
	for v := range p.views {
		p.views[v] = augment.View(p.geometry, v)
	}
	if o.Views == 1 {
		p.views[0] = augment.Center(p.geometry)
	}
	p.o = o
	return nil
}

// check finds options that cannot go together, or with the data.
func (o *Options) check(shape records.Shape, n int, split string) error {
	switch {
	case o.Batch < 1:
		return &OptionError{"Batch", fmt.Sprintf("%d records: there must be at least 1", o.Batch)}
	case o.World > 1 && o.Batch < o.World:
		return &OptionError{"Batch", fmt.Sprintf("%d records for %d ranks: there must be one for each", o.Batch, o.World)}
	case o.Views != 0 && o.Views != 1 && o.Views != augment.Views:
		return &OptionError{"Views", fmt.Sprintf("%d: use 1 or %d", o.Views, augment.Views)}
	case o.Train && o.Views > 1:
		return &OptionError{"Views", fmt.Sprintf("%d views of a picture are for evaluation; training has one", o.Views)}
	case o.Train && o.Color != nil && shape.C != 3:
		return &OptionError{"Color", fmt.Sprintf("colour shifts need pictures of 3 channels; these have %d", shape.C)}
	case o.Train && o.Color != nil && !validDivisor(o.Color.Divisor):
		return &OptionError{"Color", fmt.Sprintf("a divisor of %g: it must be positive, or 0 for none", o.Color.Divisor)}
	case o.Train && o.Color != nil && o.Color.Divisor != 0 && o.Type != augment.Float32:
		return &OptionError{"Color", fmt.Sprintf("a divisor of %g is for images of float32, and these are %v", o.Color.Divisor, o.Type)}
	case o.Shuffle != ShuffleGlobal && o.Shuffle != ShuffleBlock:
		return &OptionError{"Shuffle", fmt.Sprintf("%v: use ShuffleGlobal or ShuffleBlock", o.Shuffle)}
	case o.Window != 0 && o.Shuffle != ShuffleBlock:
		return &OptionError{"Window", "only ShuffleBlock has a window"}
	case o.OnCorrupt != Stop && o.OnCorrupt != Skip:
		return &OptionError{"OnCorrupt", fmt.Sprintf("%v: use Stop or Skip", o.OnCorrupt)}
	case n == 0:
		return &OptionError{"Split", fmt.Sprintf("%q holds no records", split)}
	}
	return nil
}

func validDivisor(d float32) bool { return d >= 0 && d <= math.MaxFloat32 }

// checkRanges finds numbers that are too small or too large.
func (o *Options) checkRanges(steps int) error {
	for _, f := range []struct {
		name     string
		value    int
		low, top int
	}{
		{"World", o.World, 1, 1 << 20},
		{"Rank", o.Rank, 0, o.World - 1},
		{"Workers", o.Workers, 0, 1 << 16},
		{"Requests", o.Requests, 0, 1 << 16},
		{"Depth", o.Depth, 0, 1 << 16},
		{"Window", o.Window, 0, math.MaxInt32},
		{"CropGroup", o.CropGroup, 0, math.MaxInt32},
		{"Epoch", o.Epoch, 0, 1 << 30},
		{"Epochs", o.Epochs, 1, 1 << 30},
		{"Skip", o.Skip, 0, steps},
	} {
		if f.value < f.low || f.value > f.top {
			return &OptionError{f.name, fmt.Sprintf("%d: it must lie between %d and %d", f.value, f.low, f.top)}
		}
	}
	return nil
}

// makeKernel makes the kernel for the images.
func (p *Pipeline) makeKernel(o Options, sub []float32) (err error) {
	p.geometry = augment.Geometry{Height: p.shape.H, Width: p.shape.W, Crop: o.Crop, Inclusive: o.Inclusive, NoFlip: o.NoFlip, Centered: o.Centered}
	if err := p.geometry.Check(); err != nil {
		return &OptionError{"Crop", err.Error()}
	}
	p.kernel, err = augment.NewKernel(augment.Spec{
		Geometry: p.geometry, Channels: p.shape.C, StoredBytes: p.pixels.Size(), Sub: sub, Type: o.Type, Layout: o.Layout,
	})
	if err != nil {
		return &OptionError{"Type", err.Error()}
	}
	p.image = p.kernel.ImageBytes()
	return nil
}
