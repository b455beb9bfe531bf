package pipeline

import (
	"unsafe"

	"alexnet/augment"
)

// Batch is a set of records ready for the network. Its slices are borrowed from
// the pipeline: they may be read and written until Release, and not after. A
// copy of a Batch is the same loan: one Release ends it for all.
type Batch struct {
	// Epoch is the epoch's number, Step the batch's within it, both from 0.
	Epoch, Step int
	// N is the number of records here, Global that of the batch over all ranks:
	// Options.Batch, or fewer in the last batch of an epoch. Without ranks they
	// are the same.
	N, Global int
	// First is the place of the first of the N in the batch over all ranks.
	First int
	// Bytes holds N x Views images, in the type and layout of Options, one after
	// another, in the machine's byte order. What the values are is said at
	// Images; those of augment.Stored are the records' own.
	Bytes []byte
	// Images views Bytes as float32, and is nil when they are of another type:
	// C x Crop x Crop values an image (Crop x Crop x C for NHWC), each pixel less
	// mean, plus the colour shift, on the scale of 0 to 255.
	Images []float32
	// Labels holds the N labels, -1 for a record without one and for a hole.
	Labels []int32
	// Indices holds the rows of the split that the N records are.
	Indices []int64
	// Params holds what was done with each of the N x Views images, or, when
	// they are of type augment.Stored, what remains to be done: crop and flip are
	// made, mean and colour are not.
	Params []augment.Params
	// Skipped lists the holes, by slot: images of zeros with label -1, in place
	// of records that could not be read (Options.OnCorrupt).
	Skipped []Skipped
	// Keys is the digest of the records that are here.
	Keys Digest

	pipeline *Pipeline
	buffer   *buffer
	lease    uint64
}

// Skipped is a record that was skipped.
type Skipped struct {
	// Slot is its place in the batch: Indices[Slot] tells which record it is.
	Slot int
	// Err names its file, its row and what is wrong.
	Err error
}

// lend wraps a filled buffer for the consumer.
func (p *Pipeline) lend(b *buffer) Batch {
	batch := Batch{
		Epoch: b.epoch, Step: b.step, N: b.n, Global: b.global, First: b.first,
		Bytes:    b.pixels[:b.n*len(p.views)*p.image],
		Labels:   b.labels[:b.n],
		Indices:  b.indices[:b.n],
		Params:   b.params[:b.n*len(p.views)],
		Skipped:  b.skipped,
		Keys:     b.keys,
		pipeline: p,
		buffer:   b,
		lease:    p.ring.lend(b),
	}
	if p.o.Type == augment.Float32 {
		batch.Images = as[float32](batch.Bytes)
	}
	return batch
}

// Halves views the images as the 16-bit words of float16 or bfloat16, or of
// stored int16 values.
func (b *Batch) Halves() []uint16 { return as[uint16](b.Bytes) }

// as views bytes as values.
func as[T float32 | uint16](bytes []byte) []T {
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(bytes))), len(bytes)/int(unsafe.Sizeof(zero)))
}

// Release gives the batch's memory back, after which its slices are nil. It
// must be called once for every batch, from any goroutine, before or after
// Close. A second call, on the same Batch or on a copy, has no effect but to be
// counted in Stats, and on a Batch that is none, as Next returns at the end, none.
func (b *Batch) Release() {
	p := b.pipeline
	if p == nil {
		return
	}
	if b.buffer == nil || !b.buffer.lease.CompareAndSwap(b.lease, b.lease+1) {
		p.meter.doubleReleases.Add(1)
		return
	}
	p.delivered(b)
	p.ring.giveBack(b.buffer)
	b.Bytes, b.Images, b.Labels, b.Indices, b.Params, b.Skipped, b.buffer = nil, nil, nil, nil, nil, nil, nil
	p.meter.released()
}
