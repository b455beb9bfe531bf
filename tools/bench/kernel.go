package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"alexnet/augment"
	"alexnet/pipeline"
	"alexnet/records"
)

// kernelBytes bounds how much of the records the stage augment goes through.
const kernelBytes = 1 << 30

// kernelRun is how many images a worker of augment makes before it looks at the
// clock.
const kernelRun = 8

// augment makes images of random rows that are in memory, with nothing but the
// kernel and the drawing of what it is to do.
func (b *bench) augment(t augment.Type) stage {
	workers := orAll(b.Workers)
	m := b.data.Manifest
	g := augment.Geometry{Height: m.Shape.H, Width: m.Shape.W, Crop: b.net.Input.H}
	run := func(ctx context.Context, c *clock) error {
		kernel, err := augment.NewKernel(augment.Spec{
			Geometry: g, Channels: m.Shape.C, StoredBytes: m.Pixels.Size(),
			Sub: b.data.Mean.Subtrahend(m.Pixels), Type: t, Layout: b.Layout,
		})
		if err != nil {
			return err
		}
		rows, err := b.loadRows(ctx)
		if err != nil {
			return err
		}
		// Two batches, as a ring has at least; each worker its part of them.
		slots, image := max(2*b.Batch/workers, 1), kernel.ImageBytes()
		ring, err := pipeline.HostAllocator{}.Alloc(workers * slots * image)
		if err != nil {
			return err
		}
		clear(ring) // to have the memory before the clock starts
		color := b.color()
		var next atomic.Int64
		c.restart()
		err = parallel(ctx, workers, func(ctx context.Context, worker int) error {
			own := ring[worker*slots*image:]
			var sampler augment.Sampler
			for made := 0; made == 0 || c.running(ctx); {
				at := int(next.Add(kernelRun)) - kernelRun
				for i := at; i < at+kernelRun; i++ {
					row := &rows[i%len(rows)]
					p := sampler.Draw(b.Seed, i/len(rows), int64(i%len(rows)), g, color)
					slot := made % slots * image
					if made++; row.U8 != nil {
						kernel.Uint8(own[slot:slot+image], row.U8, p)
					} else {
						kernel.Int16(own[slot:slot+image], row.I16, p)
					}
				}
				c.add(kernelRun, kernelRun*image, kernelRun*(image+b.cropBytes()))
			}
			return nil
		})
		c.stop()
		return err
	}
	return stage{
		name: "augment", dtype: t.String(), layout: b.Layout.String(), batch: b.Batch, threads: workers, run: run,
		note: fmt.Sprintf("%d x %d %v, from rows in memory, %s", g.Crop, g.Crop, b.Layout, b.describe()),
	}
}

// loadRows reads rows of the records in random order, which verifies them: all,
// or kernelBytes of them. Those that Row copies into a Scratch are copied out of it.
func (b *bench) loadRows(ctx context.Context) ([]records.Row, error) {
	most := max(1, kernelBytes/b.split.RowBytes())
	var rows []records.Row
	var scratch records.Scratch
	var lost error
	for _, i := range pipeline.Order(b.Seed, 0, b.split.Len()) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(rows) == most {
			break
		}
		row, err := b.split.Row(int(i), &scratch)
		switch {
		case err != nil && b.OnCorrupt == pipeline.Skip && records.IsDamage(err):
			lost = err
			continue
		case err != nil:
			return nil, err
		}
		if b.split.Packed() || b.data.Remote() {
			row.U8, row.I16 = bytes.Clone(row.U8), slices.Clone(row.I16)
		}
		row.Key = "" // borrowed from the scratch, and of no use here
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, errors.Join(errors.New("no record can be read"), lost)
	}
	return rows, nil
}
