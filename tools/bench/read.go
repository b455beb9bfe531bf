package main

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"

	"alexnet/pipeline"
	"alexnet/records"
)

// read visits rows in the order of a training epoch.
func (b *bench) read() stage {
	workers := orAll(b.Workers)
	if b.data.Remote() { // which is waited for
		workers = max(workers, cmp.Or(b.Requests, pipeline.DefaultRequests))
	}
	run := func(ctx context.Context, c *clock) (err error) {
		split, err := b.openSplit()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, split.Close()) }()
		if b.Cache > 0 {
			split.UseCache(records.NewCache(int64(b.Cache)))
		}
		v := &visitor{
			split: split, order: pipeline.Order(b.Seed, 0, split.Len()), clock: c,
			skip: b.OnCorrupt == pipeline.Skip, scratch: make([]records.Scratch, workers),
		}
		once := func(taken int64) bool { return taken <= int64(len(v.order)) && c.running(ctx) }
		if err := v.visit(ctx, once); err != nil {
			return err
		}
		c.restart()
		err = v.visit(ctx, func(int64) bool { return c.running(ctx) })
		c.stop()
		return err
	}
	return stage{name: "read", threads: workers, note: b.describe(), run: run}
}

// visitor reads rows.
type visitor struct {
	split   *records.Split
	order   []uint32
	clock   *clock
	skip    bool // leave out rows that cannot be read
	scratch []records.Scratch
	taken   atomic.Int64 // rows, over all passes and workers
	sink    atomic.Int64
}

// visit lets all workers read rows, one at least each, for as long as more,
// which is told the number taken so far.
func (v *visitor) visit(ctx context.Context, more func(taken int64) bool) error {
	return parallel(ctx, len(v.scratch), func(ctx context.Context, worker int) error {
		sum := int64(0)
		for first := true; ; first = false {
			n := v.taken.Add(1)
			if !first && !more(n) {
				v.sink.Add(sum)
				return nil
			}
			row, err := v.split.Row(int(v.order[int(n-1)%len(v.order)]), &v.scratch[worker])
			switch {
			case err != nil && v.skip && records.IsDamage(err):
				continue
			case err != nil:
				return err
			}
			// Touch every cache line (64 bytes), or a mapped row costs nothing.
			for i := 0; i < len(row.U8); i += 64 {
				sum += int64(row.U8[i])
			}
			for i := 0; i < len(row.I16); i += 32 {
				sum += int64(row.I16[i])
			}
			bytes := len(row.U8) + 2*len(row.I16)
			v.clock.add(1, bytes, bytes)
		}
	})
}
