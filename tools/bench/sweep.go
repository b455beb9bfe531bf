package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
)

// sweepBatches are the batches that --sweep tries.
//
//nolint:gochecknoglobals // read only
var sweepBatches = []int{32, 128, 256, 1024}

// sweepWorkers lists the numbers of workers to try: doubled up to the number of
// processors, and to 4 at least.
func sweepWorkers(processors int) []int {
	list := []int{1}
	for n := 2; n <= max(processors, 4); n *= 2 {
		list = append(list, n)
	}
	return list
}

// sweep measures the stream with several numbers of workers and batches.
func (b *bench) sweep(ctx context.Context) error {
	t := b.types()[0]
	out := newReport(b.flags)
	workers := sweepWorkers(runtime.GOMAXPROCS(0))
	var batches []int
	for _, n := range sweepBatches {
		// No batch is larger than the split.
		if n = min(n, b.split.Len()); len(batches) == 0 || n > batches[len(batches)-1] {
			batches = append(batches, n)
		}
	}
	var cells [][]result // by batch, then by workers
	for _, batch := range batches {
		var line []result
		for _, n := range workers {
			f := *b.flags
			f.Batch, f.Workers = batch, n
			cell := *b
			cell.flags = &f
			r, err := cell.stream(t).measure(ctx, b.Time)
			if err != nil {
				return fmt.Errorf("batches of %d, %d workers: %w", batch, n, err)
			}
			if b.JSON {
				if err := out.add(r); err != nil {
					return err
				}
			}
			line = append(line, r)
		}
		cells = append(cells, line)
	}
	if b.JSON {
		return nil
	}
	var text strings.Builder
	fmt.Fprintf(&text, "stream, %v %v, of %s\n", t, b.Layout, b.describe())
	grid(&text, "images/s", workers, cells, func(r result) float64 { return r.Rate })
	grid(&text, "images a CPU second", workers, cells, func(r result) float64 { return r.CPURate })
	_, err := io.WriteString(b.stdout, text.String())
	return err
}

// grid writes a value of all cells.
func grid(text *strings.Builder, title string, workers []int, cells [][]result, value func(result) float64) {
	fmt.Fprintf(text, "\n%s\n%8s", title, "batch")
	for _, n := range workers {
		name := fmt.Sprintf("%d workers", n)
		if n == 1 {
			name = "1 worker"
		}
		fmt.Fprintf(text, " %11s", name)
	}
	for _, line := range cells {
		fmt.Fprintf(text, "\n%8d", line[0].Batch)
		for _, r := range line {
			fmt.Fprintf(text, " %11s", orDash(figures(value(r)), value(r) > 0))
		}
	}
	text.WriteByte('\n')
}
