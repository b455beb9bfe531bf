package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/tools/stores"
)

// recordsCommand shows what a data set holds.
type recordsCommand struct {
	Dir     string `arg:"" help:"Folder that ingest wrote, or its URL (s3://bucket/out)."`
	Classes bool   `help:"List the classes, with the number of rows of each in each split."`
	JSON    bool   `name:"json" help:"The manifest as one JSON object."`
}

// Help returns what --help shows besides the flags.
func (*recordsCommand) Help() string { return "Example:\n  inspect records out/ --classes" }

// Run prints the summary.
func (c *recordsCommand) Run(ctx context.Context, out io.Writer) (err error) {
	ds, done, err := openRecords(ctx, c.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	m := ds.Manifest
	if c.JSON {
		return json.NewEncoder(out).Encode(m)
	}
	fmt.Fprintf(out, "%s: records of %dx%dx%d %s, compression %s, seed %d\n", ds.Dir, m.Shape.C, m.Shape.H, m.Shape.W, m.Pixels, m.Compression, m.Seed)
	fmt.Fprintf(out, "made by decoder %s, filter %s\ndigest  %s\n\n", m.Decoder, m.Filter, m.Digest)
	names := slices.Sorted(maps.Keys(m.Splits))
	fmt.Fprintf(out, "%-8s %10s %10s %10s %7s %10s\n", "split", "seen", "written", "rejected", "shards", "bytes")
	for _, name := range names {
		s := m.Splits[name]
		var bytes int64
		for _, shard := range s.Shards {
			bytes += shard.Bytes
		}
		fmt.Fprintf(out, "%-8s %10s %10s %10s %7d %10s\n", name, cli.FormatCount(s.Seen), cli.FormatCount(s.Written), cli.FormatCount(s.Rejected), len(s.Shards), cli.FormatBytes(bytes))
	}
	fmt.Fprintf(out, "\nclasses %d", len(m.Classes))
	if n := len(m.Classes); n > 0 {
		named := func(c records.Class) string { return strings.TrimSpace(c.WNID + " " + c.Words) }
		fmt.Fprintf(out, ", %s ... %s", named(m.Classes[0]), named(m.Classes[n-1]))
	}
	fmt.Fprintf(out, "\n")
	printMean(out, ds)
	if c.Classes {
		return printClasses(ctx, out, ds, names)
	}
	return nil
}

// openRecords opens a data set, which is looked at once: without a cache.
func openRecords(ctx context.Context, where string) (ds *records.Dataset, done func() error, err error) {
	return stores.Records(ctx, where, stores.Cache{}, false, io.Discard)
}

// openSplit opens a split of a data set. done closes both.
func openSplit(ctx context.Context, where, name string) (ds *records.Dataset, split *records.Split, done func() error, err error) {
	ds, closeStore, err := openRecords(ctx, where)
	if err != nil {
		return nil, nil, nil, err
	}
	if split, err = ds.OpenSplit(name); err != nil {
		return nil, nil, nil, errors.Join(err, closeStore())
	}
	return ds, split, func() error { return errors.Join(split.Close(), closeStore()) }, nil
}

// printMean prints the mean picture's channels and the principal components.
func printMean(out io.Writer, ds *records.Dataset) {
	s := ds.Mean.Shape
	fmt.Fprintf(out, "mean   ")
	for c := range s.C {
		var sum float64
		for _, v := range ds.Mean.Mean[c*s.H*s.W : (c+1)*s.H*s.W] {
			sum += float64(v)
		}
		fmt.Fprintf(out, " %7.2f", sum/float64(s.H*s.W))
	}
	fmt.Fprintf(out, "  of 0..255, by channel\n")
	p := ds.Manifest.PCA
	if p == nil {
		return
	}
	fmt.Fprintf(out, "\n%-12s %12s %22s\n", "component", "eigenvalue", "standard deviation")
	for j, v := range p.Eigenvalues {
		e := p.Eigenvectors[j]
		fmt.Fprintf(out, "%-12d %12.2f %22.2f   (R %+.4f, G %+.4f, B %+.4f)\n", j+1, v, math.Sqrt(max(v, 0)), e[0], e[1], e[2])
	}
}

// printClasses prints each class with its rows a split.
func printClasses(ctx context.Context, out io.Writer, ds *records.Dataset, names []string) error {
	counts := make([][]int, len(names))
	for i, name := range names {
		counts[i] = make([]int, len(ds.Manifest.Classes))
		split, err := ds.OpenSplit(name)
		if err != nil {
			return err
		}
		for r := 0; r < split.Len() && err == nil; r++ {
			var label int32
			label, err = split.Label(r)
			switch {
			case err != nil:
			case int(label) >= len(counts[i]): // no checksum covers labels
				file, row, _ := split.Locate(r) // Label found it
				err = fmt.Errorf("%s: row %d has label %d, and there are %d classes: inspect verify %s shows which files are damaged", file, row, label, len(counts[i]), ds.Dir)
			case label >= 0:
				counts[i][label]++
			}
			if err == nil {
				err = ctx.Err()
			}
		}
		if err = errors.Join(err, split.Close()); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\n%-6s %-10s", "label", "wnid")
	for _, name := range names {
		fmt.Fprintf(out, " %8s", name)
	}
	fmt.Fprintf(out, "  words\n")
	for label, class := range ds.Manifest.Classes {
		fmt.Fprintf(out, "%-6d %-10s", label, class.WNID)
		for i := range names {
			fmt.Fprintf(out, " %8d", counts[i][label])
		}
		fmt.Fprintf(out, "  %s\n", class.Words)
	}
	return nil
}
