package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"alexnet/ingest/convert"
	"alexnet/ingest/decode"
	"alexnet/ingest/resize"
	"alexnet/ingest/source"
	"alexnet/records"
	"alexnet/tools/cli"
)

// preloadBytes bounds how much of a source --preload reads into memory.
const preloadBytes = 1 << 30

// warmUp is how many pictures each goroutine of ingest makes before the clock
// starts.
const warmUp = 4

// ingest reads, decodes and resizes the pictures of the source's first split,
// over and over; with --write it makes records of the whole source, once.
func (b *bench) ingest() stage {
	jobs := orAll(b.Jobs)
	note := fmt.Sprintf("%s, to %d x %d", decode.Name(), b.Size, b.Size)
	run := func(ctx context.Context, c *clock) (err error) {
		src, err := source.Open(ctx, b.Src, source.Options{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, src.Close()) }()
		if b.Preload {
			if src, err = preload(ctx, src, b.Seed); err != nil {
				return err
			}
		}
		defer cli.SpareProcessors()()
		if b.Write {
			return b.wholeIngest(ctx, c, src, jobs)
		}
		return b.prepare(ctx, c, src, jobs)
	}
	if b.Write {
		note += ", and written as int16 records"
	}
	if b.Preload {
		note += ", from memory"
	}
	return stage{name: "ingest", threads: jobs, note: note, run: run}
}

// prepare makes squares until the time is over.
func (b *bench) prepare(ctx context.Context, c *clock, src source.Source, jobs int) error {
	items := src.Splits()[0].Items
	m := &squareMaker{src: src, items: items, order: records.Permutation("bench", b.Seed, 0, len(items)), size: b.Size, clock: c}
	workers := make([]squareWorker, jobs)
	for i := range workers {
		workers[i] = squareWorker{maker: m, square: make([]uint8, 3*b.Size*b.Size)}
	}
	pass := func(more func(made int) bool) error {
		return parallel(ctx, jobs, func(ctx context.Context, i int) error {
			w := &workers[i]
			for made := 1; ; made++ {
				if err := w.next(ctx); err != nil || !more(made) {
					return err
				}
			}
		})
	}
	if err := pass(func(made int) bool { return made < warmUp && made < len(items) }); err != nil {
		return err
	}
	c.restart() // listing the source and first allocations are not what is measured
	if err := pass(func(int) bool { return c.running(ctx) }); err != nil {
		return err
	}
	if c.images.Load() == 0 && ctx.Err() == nil {
		return fmt.Errorf("no picture of %s could be decoded in the time", b.Src)
	}
	return nil
}

// squareMaker is what the goroutines of prepare share.
type squareMaker struct {
	src   source.Source
	items []source.Item
	order []uint32
	size  int
	taken atomic.Int64
	clock *clock
}

// squareWorker is what a goroutine of prepare keeps.
type squareWorker struct {
	maker   *squareMaker
	decoder decode.Decoder
	resizer resize.Resizer
	file    []byte
	square  []uint8
}

// next makes one square. A rejected picture is no image made.
func (w *squareWorker) next(ctx context.Context) error {
	m := w.maker
	start := time.Now()
	item := &m.items[m.order[int(m.taken.Add(1)-1)%len(m.order)]]
	data, err := m.src.Read(ctx, item, w.file)
	if err != nil {
		return err
	}
	w.file = data
	start = m.clock.spend(partRead, start)
	picture, err := w.decoder.Decode(data)
	start = m.clock.spend(partDecode, start)
	var bad *decode.Error
	if errors.As(err, &bad) {
		return nil
	}
	if err != nil {
		return err
	}
	err = w.resizer.Square(w.square, picture, m.size)
	m.clock.spend(partResize, start)
	if err == nil {
		m.clock.add(1, len(data), len(data)+len(w.square))
	}
	return err
}

// wholeIngest makes records of the source in a temporary folder.
func (b *bench) wholeIngest(ctx context.Context, c *clock, src source.Source, jobs int) (err error) {
	dir, err := os.MkdirTemp("", "bench-ingest-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg := convert.Config{Source: src, Out: filepath.Join(dir, "out"), Size: b.Size, Seed: b.Seed, Jobs: jobs, MaxRejects: 1}
	for _, s := range src.Splits() {
		if s.Name == source.Train {
			cfg.BaselineSample = min(len(s.Items), convert.DefaultBaselineSample)
		}
	}
	c.restart()
	s, err := convert.Run(ctx, cfg)
	if err != nil {
		return err
	}
	files := 0
	for _, split := range src.Splits() {
		for _, it := range split.Items {
			files += int(it.Size)
		}
	}
	written := 0
	for _, split := range s.Splits {
		written += split.Written
	}
	c.add(written, files, files+written*3*b.Size*b.Size)
	for part, spent := range [numParts]time.Duration{partRead: s.Read, partDecode: s.Decode, partResize: s.Resize, partWrite: s.Write} {
		c.parts[part].Store(int64(spent))
	}
	return nil
}

// preloaded is a source whose pictures are in memory.
type preloaded struct {
	source.Source
	splits []source.Split
	files  map[*source.Item][]byte
}

// preload reads the pictures of a source: all of each split, or of larger ones
// the first of a seeded permutation.
func preload(ctx context.Context, src source.Source, seed uint64) (*preloaded, error) {
	p := &preloaded{Source: src, files: map[*source.Item][]byte{}}
	total := int64(0)
	for _, split := range src.Splits() {
		kept := source.Split{Name: split.Name}
		for _, at := range records.Permutation("preload", seed, 0, len(split.Items)) {
			if total += split.Items[at].Size; total > preloadBytes && len(kept.Items) > 0 {
				break
			}
			kept.Items = append(kept.Items, split.Items[at])
		}
		p.splits = append(p.splits, kept)
	}
	for _, split := range p.splits {
		for i := range split.Items {
			data, err := src.Read(ctx, &split.Items[i], nil)
			if err != nil {
				return nil, err
			}
			p.files[&split.Items[i]] = data
		}
	}
	return p, nil
}

// Splits returns what was read.
func (p *preloaded) Splits() []source.Split { return p.splits }

// Read returns the bytes, which stay the source's.
func (p *preloaded) Read(ctx context.Context, it *source.Item, _ []byte) ([]byte, error) {
	return p.files[it], ctx.Err()
}
