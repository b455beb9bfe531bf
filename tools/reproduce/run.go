package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"alexnet/records"
	"alexnet/tools/cli"
	"alexnet/train/reproduce"
)

// The systems' commands.
type (
	oneCNN    struct{ row }
	fiveCNNs  struct{ row }
	oneStar   struct{ star }
	sevenStar struct{ star }
)

// Run makes the row.
func (f *oneCNN) Run(ctx context.Context, out io.Writer, all *flags) error {
	return f.plain(ctx, out, all, "1cnn")
}

// Run makes the row.
func (f *fiveCNNs) Run(ctx context.Context, out io.Writer, all *flags) error {
	return f.plain(ctx, out, all, "5cnns")
}

// Run makes the row.
func (f *oneStar) Run(ctx context.Context, out io.Writer, all *flags) error {
	return f.starred(ctx, out, all, "1cnn-star")
}

// Run makes the row.
func (f *sevenStar) Run(ctx context.Context, out io.Writer, all *flags) error {
	return f.starred(ctx, out, all, "7cnns-star")
}

func (f *row) plain(ctx context.Context, out io.Writer, all *flags, system string) (err error) {
	defer func() { err = errors.Join(err, f.close()) }()
	o, ds, err := f.options(ctx, all.stderr)
	if err != nil {
		return err
	}
	return f.reproduce(ctx, out, all.stderr, system, ds, nil, o)
}

func (f *star) starred(ctx context.Context, out io.Writer, all *flags, system string) (err error) {
	defer func() { err = errors.Join(err, f.close()) }()
	o, ds, pretrain, err := f.options(ctx, all.stderr)
	if err != nil {
		return err
	}
	return f.reproduce(ctx, out, all.stderr, system, ds, pretrain, o)
}

// reproduce makes a row and prints it.
func (f *row) reproduce(ctx context.Context, out, stderr io.Writer, system string, ds, pretrain *records.Dataset, o reproduce.Options) error {
	if f.Limit < 0 {
		return cli.Usagef("--limit must not be negative")
	}
	o.Nets = f.Limit
	s, err := reproduce.Find(system)
	if err != nil {
		return err
	}
	c := newConsole(stderr)
	defer c.progress.Done()
	r, err := reproduce.Reproduce(ctx, s, f.Out, ds, pretrain, o, c.work(&f.machine), c.measure(&f.common))
	if err != nil {
		return goOn(err)
	}
	if f.JSON {
		return json.NewEncoder(out).Encode(r)
	}
	_, err = io.WriteString(out, rowText(r))
	return err
}

// goOn adds to an interruption what to do.
func goOn(err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w; the same command goes on from there", err)
	}
	return err
}

// tableCommand prints rows.
type tableCommand struct {
	Dir  string `arg:"" help:"Folder of the runs that rows were made of, or one above."`
	JSON bool   `name:"json" help:"One JSON object a row."`
}

// Run prints the tables.
func (f *tableCommand) Run(out io.Writer) error {
	rows, err := reproduce.Rows(f.Dir)
	if err != nil {
		return err
	}
	if f.JSON {
		enc := json.NewEncoder(out)
		for _, r := range rows {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	_, err = io.WriteString(out, tableText(rows))
	return err
}

// ablate compares the net with others.
type ablate struct {
	common
	Seeds   int      `default:"1" placeholder:"N" help:"Seeds that each net is trained with (${default}); errors are averaged."`
	Views   int      `enum:"1,10" default:"10" help:"Views to measure with: 10 (default), or 1, the centre."`
	Variant []string `placeholder:"NAME" help:"Variants to compare (default: all): no-lrn, no-overlap, single-tower, half-tower, no-dropout, no-crops, no-flips, no-color, tanh."`
}

// Run compares.
func (f *ablate) Run(ctx context.Context, out io.Writer, all *flags) (err error) {
	defer func() { err = errors.Join(err, f.close()) }()
	if f.Seeds < 1 {
		return cli.Usagef("--seeds must be at least 1")
	}
	o, ds, err := f.options(ctx, all.stderr)
	if err != nil {
		return err
	}
	c := newConsole(all.stderr)
	defer c.progress.Done()
	m := c.measure(&f.common)
	m.Views = f.Views
	a := reproduce.Ablation{Out: f.Out, Records: ds, Options: o, Seeds: f.Seeds, Only: f.Variant}
	result, err := a.Run(ctx, c.work(&f.machine), m)
	if err != nil {
		return goOn(err)
	}
	if f.JSON {
		return json.NewEncoder(out).Encode(result)
	}
	_, err = io.WriteString(out, comparisonText(result))
	return err
}
